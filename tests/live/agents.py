"""The real agents that the live tests talk to: the pinned programs, each with a home of its own and the scripted model.

None of them finds the person's own settings, keys or conversations (nor what a login shell of theirs does, for Codex
runs commands in one), and none reaches for anything beyond loopback.
"""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import yaml

from tests.world import hub_at_work

HERE = Path(__file__).parent
TEMPORARY = Path(tempfile.gettempdir()).resolve()
LAB = HERE / ".lab" if TEMPORARY not in HERE.resolve().parents else Path.home() / ".cache" / "car-tests"
"""Where agents live for the time of a test. The walls of Codex's sandbox leave the system's temporary folder open."""
KEY = "SCRIPT_KEY"
NOWHERE = "http://127.0.0.1:9/"
"""A package registry that refuses, for agents that would fetch what they were not asked for."""

CODEX = """\
model = "gpt-5.5"
model_provider = "scripted"
[model_providers.scripted]
name = "scripted"
base_url = "{url}"
wire_api = "responses"
env_key = "{key}"
request_max_retries = 0
stream_max_retries = 0
[features]
plugins = false
"""


@dataclass(frozen=True)
class Home:
    """One agent at home: its folder, the settings by which a hub finds it, and the variables that lead it there."""

    folder: Path
    settings: str
    env: dict[str, str]

    def hub(self, folder: Path):
        """Bring up a hub that knows the agent."""
        return hub_at_work(folder, self.settings, self.env)


def program(pattern: str) -> str:
    """Return the pinned program; skip the test where it is not installed, but fail in CI."""
    if found := sorted((HERE / "node_modules").glob(pattern)):
        return str(found[0])
    missing = "the agents of the live tests are not installed, type: make test"
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)


def codex() -> str:
    return program("codex-linux-x64/vendor/*/bin/codex")


def opencode() -> str:
    return program("opencode-linux-x64/bin/opencode")


@contextmanager
def codex_at_home(url: str, *prefix: str, sandbox: str = "") -> Iterator[Home]:
    """Let Codex live for a while, with the model of that address; ``prefix`` is what it is run through."""
    with _lodging() as home:
        (home / "codex").mkdir()
        (home / "codex" / "config.toml").write_text(CODEX.format(url=url, key=KEY))
        command = [*prefix, codex(), "app-server"]
        agent = {"command": command, "env": [KEY], "sandbox": sandbox or ("" if walls() else "danger-full-access")}
        yield Home(
            home,
            yaml.safe_dump({"agents": {"codex": agent}}),
            {"HOME": str(home), "CODEX_HOME": str(home / "codex"), KEY: "secret"},
        )


@contextmanager
def opencode_at_home(url: str) -> Iterator[Home]:
    """Let OpenCode live for a while, with the model of that address; it asks before it does anything."""
    scripted = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "Scripted",
        "options": {"baseURL": url, "apiKey": "secret"},
        "models": {"one": {"name": "One", "tool_call": True, "limit": {"context": 100_000, "output": 8000}}},
    }
    config = {
        "autoupdate": False,
        "share": "disabled",
        "model": "scripted/one",
        "small_model": "scripted/one",
        "enabled_providers": ["scripted"],
        "provider": {"scripted": scripted},
        "permission": {"edit": "ask", "bash": "ask"},
    }
    quiet = {
        f"OPENCODE_DISABLE_{what}": "1" for what in ("AUTOUPDATE", "MODELS_FETCH", "LSP_DOWNLOAD", "DEFAULT_PLUGINS")
    }
    quiet |= {"npm_config_registry": NOWHERE, "BUN_CONFIG_REGISTRY": NOWHERE}
    with _lodging() as home:
        folders = {f"XDG_{what.upper()}_HOME": str(home / what) for what in ("config", "data", "state", "cache")}
        agent = {"command": [opencode(), "acp"], "env": list(quiet)}
        env = {"HOME": str(home), **folders, **quiet, "OPENCODE_CONFIG_CONTENT": json.dumps(config)}
        yield Home(home, yaml.safe_dump({"agents": {"opencode": agent}}), env)


@contextmanager
def _lodging() -> Iterator[Path]:
    LAB.mkdir(parents=True, exist_ok=True)
    (LAB / ".gitignore").write_text("*\n")
    home = Path(tempfile.mkdtemp(dir=LAB))
    try:
        yield home
    finally:
        shutil.rmtree(home)


@cache
def walls() -> bool:
    """Tell whether Codex's sandbox can be set up on this machine."""
    return not wall_says()


def wall_says(*prefix: str) -> str:
    """Return what the program behind Codex's sandbox says when it cannot make one; nothing where it can."""
    bwrap = str(Path(codex()).parents[1] / "codex-resources" / "bwrap")
    command = [*prefix, bwrap, "--unshare-user", "--unshare-pid", "--ro-bind", "/", "/", "--proc", "/proc", "true"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stderr.partition("\n")[0] if done.returncode else ""


def script(*steps: dict, words: str = "Do what the script says.") -> str:
    """Return the body of a ticket for an agent whose model plays a script."""
    return f"{words}\n\n```script\n{json.dumps(steps)}\n```"


def done(number: int = 1) -> dict[str, str]:
    """Return the step that marks a ticket as done."""
    return {"shell": f"sed -i 's/^done: false$/done: true/' .codex-autorunner/tickets/TICKET-{number:03}.md"}
