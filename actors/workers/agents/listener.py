"""Follows one agent process: folds its log into the driver's machine, tells the session what it hears, speaks for it.

All that is known of the conversation stands in PROC. So a new host folds the same lines to the same machine, tells only
what the session has not handled, and says nothing twice: a tell that is in the log has been said.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

import structlog

from actors.runtime.nats.layout import PROC
from actors.runtime.nats.link import Link
from actors.runtime.nats.proc import Chunk, Writer, chunks
from actors.runtime.ports import Post
from actors.workers.agents import live
from actors.workers.agents.machine import find
from protocol.address import Address
from protocol.agent import Caught, Fact, FileOffered, Tell, TurnOver
from protocol.envelope import Envelope, letter
from protocol.errors import Unreachable
from protocol.session import SessionView

OFFERED = 1_000_000
"""Characters that are told of a file that the agent offers; no session takes so many."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Ears:
    """Where a listener listens, and to whom it tells what it hears."""

    link: Link
    post: Post
    me: Address
    session: Address


class Listener:
    """Listens to one process from where its session left off."""

    def __init__(self, ears: Ears, view: SessionView) -> None:
        """Begin with the machine of the session's last snapshot."""
        self._ears = ears
        self._proc = view.proc
        self._driver = find(view.driver or "acp")
        self._machine = self._driver.load(view.snapshot) if view.snapshot else self._driver.born(view.proc)
        self._heard = view.heard
        self._position = view.position
        self._told = 0
        self._folded = 0
        self._writer = Writer(ears.link, view.proc, "in")
        self._moved = asyncio.Condition()
        self._live = live.Live()
        self._news = asyncio.Event()
        self._much = asyncio.Event()

    async def run(self) -> None:
        """Listen until cancelled."""
        showing = asyncio.get_running_loop().create_task(self._show())
        try:
            async for chunk in chunks(self._ears.link, self._proc, self._position + 1):
                await self._fold(chunk)
                async with self._moved:
                    self._position = chunk.seq
                    self._moved.notify_all()
        finally:
            showing.cancel()

    async def report(self) -> None:
        """Tell the session how far all is heard, as soon as all is folded that stands in the log now."""
        await self._caught_up()
        if self._folded:
            await self._inform((), self._folded, "caught")

    async def tell(self, command: Tell) -> None:
        """Say something to the agent, once: when all that stands in the log is folded."""
        await self._caught_up()
        if command.number <= self._told:
            return
        lines = self._driver.say(self._machine, command)
        await self._writer.tell(command.number, lines)

    async def _caught_up(self) -> None:
        newest = await self._ears.link.newest(PROC, f"car.proc.{self._proc}.*")
        async with self._moved:
            await self._moved.wait_for(lambda: self._position >= newest)

    async def _fold(self, chunk: Chunk) -> None:
        if chunk.stream == "in":
            for line in chunk.lines:
                self._machine = self._driver.wrote(self._machine, line)
            self._told = chunk.last
        elif chunk.stream == "out":
            await self._hear(chunk)
        self._listen(self._driver.words(self._machine))

    def _listen(self, words: str) -> None:
        """Note what the agent is just writing."""
        self._live = live.hear(self._live, words)
        pause = live.wait(self._live, asyncio.get_running_loop().time())
        if pause is not None:
            self._news.set()
        if pause == 0:
            self._much.set()

    async def _hear(self, chunk: Chunk) -> None:
        facts: list[Fact] = []
        for number, line in enumerate(chunk.lines, chunk.first):
            self._machine, new = self._driver.hear(self._machine, line, number)
            facts += (_bounded(fact) for fact in new if number > self._heard)
        self._folded = chunk.last
        if any(isinstance(fact, TurnOver) for fact in facts):
            kept = {"snapshot": self._driver.dump(self._machine), "position": chunk.seq}
            facts = [fact.model_copy(update=kept) if isinstance(fact, TurnOver) else fact for fact in facts]
        if facts:
            await self._inform(tuple(facts), chunk.last)

    async def _inform(self, facts: tuple[Fact, ...], line: int, why: str = "heard") -> None:
        """Tell the session facts, and that all lines up to this one are heard."""
        told = (*facts, Caught(proc=self._proc, line=line))
        letters = tuple(letter(fact, f"{self._proc}.{why}.{line}.{index}") for index, fact in enumerate(told))
        pause = 0.05
        while True:
            try:
                await self._ears.post.send(self._ears.session, Envelope(self._ears.me, letters))
            except Unreachable as error:
                log.info("waiting to tell facts", session=str(self._ears.session), error=str(error))
                await asyncio.sleep(pause)
                pause = min(pause * 2, 2.0)
            else:
                return

    async def _show(self) -> None:
        """Let whoever watches see what the agent is just writing; nothing is done while it writes nothing."""
        loop = asyncio.get_running_loop()
        subject = self._ears.session.subject("live")
        while True:
            await self._news.wait()
            self._news.clear()
            if pause := live.wait(self._live, loop.time()):
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._much.wait()
            self._much.clear()
            self._live, words = live.tell(self._live, loop.time())
            if words:
                try:
                    await self._ears.link.say(subject, words.encode())
                except Unreachable as error:
                    log.debug("nobody sees", error=str(error))


def _bounded(fact: Fact) -> Fact:
    """Return a fact that fits into a mail: an agent may offer a file of any size."""
    if isinstance(fact, FileOffered) and len(fact.text) > OFFERED:
        return fact.model_copy(update={"text": fact.text[:OFFERED]})
    return fact
