"""The demo agent: a real program that speaks ACP on stdio, and needs no model and no key."""

import argparse
import asyncio
import contextlib
import itertools
import signal
import sys
import uuid
from asyncio import StreamWriter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from acp.core import run_agent
from acp.exceptions import RequestError
from acp.interfaces import Agent, Client
from acp.meta import PROTOCOL_VERSION
from acp.schema import (
    ClientCapabilities,
    Implementation,
    InitializeResponse,
    NewSessionResponse,
    PromptResponse,
    TextContentBlock,
)
from acp.stdio import stdio_streams

from actors.demo.deed import Turn
from actors.demo.prompt import Prompt, read_prompt
from actors.demo.report import Report
from actors.demo.script import find_block
from actors.demo.steps import Memory, answer
from protocol.errors import Unreadable

_INVALID_REQUEST = -32600
_INVALID_PARAMS = -32602
_LONGEST_LINE = 64 * 1024 * 1024
_BY_SIGNAL = 128


@dataclass(slots=True)
class Session:
    """One conversation: its checkout, what it remembers of each ticket, and the turn that it is at."""

    cwd: Path
    memories: dict[str, Memory] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    turn: asyncio.Task[None] | None = None


class DemoAgent:
    """Answers what an ACP client asks. What it does not offer has no method here, and is refused by the library."""

    def __init__(self, stdout: StreamWriter) -> None:
        self._stdout = stdout
        self._sessions: dict[str, Session] = {}
        self._able = ClientCapabilities()
        self._client: Client | None = None

    def on_connect(self, conn: Client) -> None:
        """Keep the client, to talk to it."""
        self._client = conn

    async def initialize(
        self, protocol_version: int, client_capabilities: ClientCapabilities | None = None, **_: object
    ) -> InitializeResponse:
        """Greet. The answer names the one version of the protocol that is spoken here, whatever was asked for."""
        del protocol_version
        self._able = client_capabilities or ClientCapabilities()
        who = Implementation(name="car-demo-agent", title="CAR demo agent", version="1")
        return InitializeResponse(protocol_version=PROTOCOL_VERSION, agent_info=who)

    async def new_session(self, cwd: str, **_: object) -> NewSessionResponse:
        """Begin a conversation in a folder."""
        if not _is_folder(cwd):
            raise RequestError(_INVALID_PARAMS, f"{cwd} is no folder; a session needs one to work in.")
        name = f"demo-{uuid.uuid4().hex[:12]}"
        self._sessions[name] = Session(Path(cwd))
        return NewSessionResponse(session_id=name)

    async def prompt(self, prompt: Sequence[object], session_id: str, **_: object) -> PromptResponse:
        """Work for one turn."""
        session = self._sessions.get(session_id)
        if session is None:
            raise RequestError(_INVALID_PARAMS, f"There is no session {session_id}.")
        if session.turn and not session.turn.done():
            raise RequestError(_INVALID_REQUEST, f"The session {session_id} works already; wait or cancel.")
        text = "\n".join(block.text for block in prompt if isinstance(block, TextContentBlock))
        turn = session.turn = asyncio.create_task(self._work(read_prompt(text), session_id, session))
        # A task of its own: to cancel the turn must not cancel the answer. Where the client goes, asyncio.run ends it.
        await asyncio.wait({turn})
        if turn.cancelled():
            return PromptResponse(stop_reason="cancelled")
        turn.result()
        return PromptResponse(stop_reason="end_turn")

    async def cancel(self, session_id: str, **_: object) -> None:
        """Stop the turn at once, and what it runs."""
        session = self._sessions.get(session_id)
        if session and session.turn:
            session.turn.cancel()

    async def _work(self, prompt: Prompt, name: str, session: Session) -> None:
        """Do what a prompt wants."""
        ticket = prompt.ticket if prompt.chosen or not _has_block(prompt.text) else ""
        # A block that stands in the prompt itself is new each time.
        memory = session.memories.setdefault(ticket, Memory()) if ticket else Memory()
        report = Report(cast("Client", self._client), self._able, name, session.numbers, self._stdout)
        await answer(prompt, Turn(session.cwd, ticket, report), memory)


def main() -> None:
    """Run the agent until its client closes stdin."""
    description = "The demo agent of CAR. It speaks the Agent Client Protocol on stdin and stdout, and has no options."
    argparse.ArgumentParser("car-demo-agent", description=description).parse_args()
    sys.exit(asyncio.run(_serve()))


async def _serve() -> int:
    """Serve one client, and return the exit code."""
    reader, writer = await stdio_streams(limit=_LONGEST_LINE)
    heard: list[int] = []
    loop, me = asyncio.get_running_loop(), asyncio.current_task()

    def leave(number: int) -> None:
        # Not at once, as a signal does by itself: the command that is running is to end first.
        heard.append(number)
        if me:
            me.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, leave, number)
    with contextlib.suppress(asyncio.CancelledError):
        # The library's protocol class demands every method of ACP; its router takes an object with fewer.
        await run_agent(cast("Agent", DemoAgent(writer)), writer, reader)
    return _BY_SIGNAL + heard[0] if heard else 0


def _is_folder(path: str) -> bool:
    """Tell whether there is a folder of that name."""
    return Path(path).is_dir()


def _has_block(text: str) -> bool:
    """Tell whether a text has a demo block, be it a broken one."""
    try:
        return find_block(text) is not None
    except Unreadable:
        return True
