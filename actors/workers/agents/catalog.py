"""Which agents there are on this machine, and how each is started."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from actors.runtime.place import program
from actors.runtime.settings import FILE, Settings
from protocol.agent import Driver, Find, Found
from protocol.errors import WorkFailed


@dataclass(frozen=True, slots=True)
class Agent:
    """One agent: the protocol that it speaks, its command, the variables that it needs, how it is installed."""

    driver: Driver
    command: tuple[str, ...]
    inherit: tuple[str, ...] = ()
    env: Mapping[str, str] | None = None
    install: str = ""


KNOWN: dict[str, Agent] = {
    "demo": Agent("acp", ("car-demo-agent",), install="install car again"),
    "codex": Agent(
        "codex",
        ("codex", "app-server"),
        inherit=("CODEX_HOME", "OPENAI_API_KEY", "OPENAI_BASE_URL", "CODEX_API_KEY"),
        install="install it with: npm install -g @openai/codex",
    ),
    "opencode": Agent(
        "acp",
        ("opencode", "acp"),
        inherit=(
            "OPENCODE_CONFIG",
            "OPENCODE_CONFIG_CONTENT",
            "ANTHROPIC_API_KEY",
            "OPENAI_API_KEY",
            "OPENROUTER_API_KEY",
        ),
        install="install it with: npm install -g opencode-ai",
    ),
}


def names(settings: Settings) -> frozenset[str]:
    """Return the ids of all agents that a ticket may name."""
    return frozenset(KNOWN) | frozenset(settings.agents)


def find(settings: Settings, asked: Find) -> Found:
    """Return how an agent is started here; raise ``WorkFailed`` with a sentence where it cannot be."""
    own = settings.agents.get(asked.agent)
    known = KNOWN.get(asked.agent)
    command = (own.command if own else ()) or (known.command if known else ())
    if not command and own:
        raise WorkFailed(f"it has no command; set agents.{asked.agent}.command in {FILE}")
    if not command:
        there = ", ".join(sorted(names(settings)))
        raise WorkFailed(
            f"no agent is called {asked.agent}; there are {there}, and {FILE} may name others under agents"
        )
    driver: Driver = (own.driver if own else "") or (known.driver if known else "acp")
    return Found(
        agent=asked.agent,
        driver=driver,
        argv=(_whereabouts(asked.agent, command[0], known), *command[1:]),
        inherit=((known.inherit if known else ()) + (own.env if own else ())),
        sandbox=own.sandbox if own else "",
    )


def _whereabouts(agent: str, name: str, known: Agent | None) -> str:
    if agent == "demo" and name == "car-demo-agent":
        return program(name)
    path = name if os.sep in name and os.access(name, os.X_OK) else shutil.which(name) if os.sep not in name else None
    if path is None:
        where = f"no program {name!r}" + ("" if os.sep in name else " on the PATH")
        how = (known.install if known else "") or "install it"
        raise WorkFailed(f"{where} on this machine; {how}, or set agents.{agent}.command in {FILE}")
    return _native(Path(path))


def _native(path: Path) -> str:
    """Return the native program behind a launcher of Node's: its child would outlive it."""
    real = path.resolve()
    if real.suffix != ".js":
        return str(path)
    package = real.parent.parent
    for folder in (package / "node_modules" / "@openai", package.parent):
        for found in sorted(folder.glob("codex-*/vendor/*/bin/codex")):
            return str(found)
    return str(path)
