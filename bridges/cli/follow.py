"""Follows a flow run in the terminal: its events as they come, and at the bottom what its agent does now."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from bridges.bridge import Door
from bridges.cli.show import Board
from bridges.cli.view import count
from protocol.address import Address
from protocol.chat import Card
from protocol.errors import Unreachable
from protocol.flow import (
    RunCompleted,
    RunPaused,
    RunRefused,
    RunResumed,
    RunStarted,
    RunStopped,
    TicketChosen,
    TicketDone,
    Told,
    TurnBegun,
    TurnDone,
)
from protocol.message import Message
from protocol.session import ToolUsed, TurnEnded, TurnStarted
from protocol.work import Commit, Diffstat

AWAY = 20.0
"""Seconds for which the server may be away until nobody waits for it any more."""
TOOLS = 4
NOW = "now"
"""The id of the card that shows the present turn."""
_DOES = {
    "work": "works on it",
    "lint": "mends the ticket's file",
    "commit": "commits its work",
    "reply": "goes on with your answer",
}

End = RunPaused | RunStopped | RunCompleted | RunRefused


@dataclass(slots=True)
class Follower:
    """What is shown of one run. ``thought`` are the seconds in which an agent had the turn."""

    door: Door
    run: Address
    board: Board
    session: Address | None = None
    card: Card | None = None
    tools: tuple[str, ...] = ()
    thought: float = 0.0
    begun: float = 0.0
    listening: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def follow(self, start: int) -> End:
        """Show what happens from a sequence of the events on, until the run waits or is over; return how it ended."""
        loop = asyncio.get_running_loop()
        both = (loop.create_task(self._until_end(start)), loop.create_task(self.door.until_away(AWAY)))
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if not both[0].done():
                raise Unreachable(f"the server has been away for {AWAY:.0f} s, type: car status")
            return both[0].result()
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)

    async def join(self, turn: TurnBegun) -> None:
        """Show a turn that has begun before anybody looked."""
        await self._begin(turn)

    async def _until_end(self, start: int) -> End:
        async with self.listening:
            async for sender, event in self._events(start):
                if sender == self.session:
                    self._act(event)
                elif isinstance(event, TurnBegun):
                    await self._begin(event)
                else:
                    if isinstance(event, TurnDone | TicketDone | End):
                        self._drop(event)
                    self._tell(event)
                if isinstance(event, End):
                    return event
        raise Unreachable("the events of the run have ended, type: car status")

    async def _events(self, start: int) -> AsyncIterator[tuple[Address, Message]]:
        """Yield the events of the run, and of the session of its present turn."""
        async for seen in self.door.events("car.event.>", start):
            if seen.sender in (self.run, self.session):
                yield seen.sender, seen.event

    async def _begin(self, turn: TurnBegun) -> None:
        """Show that an agent works, and what it is writing."""
        await self.listening.aclose()
        self.session, self.tools = turn.session, ()
        text = f"  **{turn.agent}** {_DOES[turn.why]} · turn {turn.turn}"
        self.card = Card(id=NOW, revision=turn.turn, text=text, tone="working", live=turn.session)
        self.board.drop(NOW)
        self.board.show(self.card)
        await self.listening.enter_async_context(self.door.words(turn.session, self._hear))

    async def _hear(self, words: str) -> None:
        if self.card:
            self.board.live(self.card, words)

    def _act(self, event: Message) -> None:
        match event:
            case TurnStarted():
                self.begun = time.monotonic()
            case TurnEnded() if self.begun:
                self.thought, self.begun = self.thought + time.monotonic() - self.begun, 0.0
            case ToolUsed(title=title, state=state) if self.card and state != "began":
                self.tools = (*self.tools, f"  {'·' if state == 'done' else '✗'} `{one_line(title)}`")[-TOOLS:]
                text = "\n".join((self.card.text.split("\n")[0], *self.tools))
                self.card = self.card.model_copy(update={"text": text})
                self.board.show(self.card)

    def _drop(self, event: Message) -> None:
        """Show no longer what the agent does; the end of what it wrote may have come too late to be seen."""
        if self.card and isinstance(event, TurnDone) and event.said:
            self.board.live(self.card, event.said)
        self.card = None
        self.board.drop(NOW)

    def _tell(self, event: Message) -> None:
        for text in tell(event):
            self.board.say(text)


def tell(event: Message) -> tuple[str, ...]:  # noqa: PLR0911  # one for each event
    """Say for people what an event of a run means."""
    match event:
        case RunStarted(repo=repo, tickets=tickets, done=done):
            return (f"**{repo}** · {count(tickets, 'ticket')}{f', {done} done before' if done else ''}",)
        case TicketChosen(number=number, title=title, ticket=ticket, agent=agent):
            return ("", f"→ ticket {number}: **{one_line(title or ticket)}** ({agent})")
        case TurnDone(commits=made):
            return commits(made)
        case TicketDone(done=done, total=total, title=title, ticket=ticket):
            return (f"  ✓ {one_line(title or ticket)}: done, {done} of {total}",)
        case Told(title=title, body=body):
            return (f"  the agent says: {one_line(title)}", *(f"    {line}" for line in body.splitlines()))
        case RunPaused(body=body):
            return tuple(f"  {line}" for line in body.splitlines())
        case RunResumed():
            return ("goes on",)
        case RunCompleted():
            return ("", *completed(event))
    return ()


def completed(event: RunCompleted) -> tuple[str, ...]:
    """Say what a run has brought."""
    facts = (count(event.turns, "turn"), f"{event.seconds:.0f} s")
    return (
        f"✓ {count(event.done, 'ticket')} done · {' · '.join(facts)}",
        *commits(event.commits),
        *diffstat(event.diffstat),
    )


def commits(made: tuple[Commit, ...]) -> tuple[str, ...]:
    """Show commits, one a line."""
    return tuple(f"  + `{one.id[:7]}` {one_line(one.subject)}" for one in made)


def diffstat(stat: Diffstat) -> tuple[str, ...]:
    """Show how much has changed."""
    added, removed = count(stat.insertions, "line"), stat.deletions
    return (f"  {count(stat.files, 'file')} changed, {added} added, {removed} removed",) if stat.files else ()


def reason(end: End) -> str:
    """Return why a run has not come to its end; nothing where it has."""
    match end:
        case RunPaused(code="question", reason=why):
            return f"the agent asks: {why} (answer with: car flow resume --reply TEXT)"
        case RunPaused(reason=why):
            return f"the run is paused: {why}"
        case RunStopped():
            return "the run was stopped"
        case RunRefused(reason=why):
            return why
    return ""


def one_line(text: str) -> str:
    """Make one line of any text, without what would be taken for markup."""
    return " ".join(text.split()).replace("`", "'").replace("**", "*")[:100]
