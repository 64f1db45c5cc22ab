"""What a room follows: the runs that concern it and the turns that it has asked for, and the cards they make."""

from dataclasses import dataclass, replace
from typing import NamedTuple

from actors.chat import cards
from actors.chat.progress import Progress, Talking, begin, fold, use
from actors.runtime.actor import Cause
from protocol.address import Address
from protocol.chat import Card
from protocol.flow import RunCompleted, RunPaused, RunRefused, RunStopped, Told
from protocol.message import Event
from protocol.node import Quarantined
from protocol.session import Closed, ToolUsed, TurnEnded, TurnStarted

RUNS = 4
TALKS = 20


@dataclass(frozen=True, slots=True)
class Feed:
    """The runs and the turns, the newest last."""

    runs: tuple[Progress, ...] = ()
    talks: tuple[Talking, ...] = ()

    def run(self, run: str) -> Progress | None:
        """Return what is known of a run."""
        return next((one for one in self.runs if one.run == run), None)

    def talk(self, turn: str) -> Talking | None:
        """Return what is known of a turn of this room's own that is not over."""
        return next((one for one in self.talks if one.turn == turn and not one.over), None)

    def keep(self, known: Progress | Talking) -> "Feed":
        """Remember this, in the place of what was known of it; the oldest is forgotten where there are too many."""
        if isinstance(known, Talking):
            others = tuple(one for one in self.talks if one.turn != known.turn)
            return replace(self, talks=(*others, known)[-TALKS:])
        return replace(self, runs=(*(one for one in self.runs if one.run != known.run), known)[-RUNS:])

    def drop(self, id_: str) -> "Feed":
        """Forget a run or a turn."""
        runs = tuple(one for one in self.runs if one.run != id_)
        return Feed(runs, tuple(one for one in self.talks if one.turn != id_))

    def sources(self) -> tuple[Address, ...]:
        """Return everybody from whom this room hears."""
        runs = tuple(Address("run", one.run) for one in self.runs)
        of_runs = (one.session for one in self.runs if one.session)
        of_talks = (one.session for one in self.talks if one.session)
        return tuple(dict.fromkeys((*runs, *of_runs, *of_talks)))


class News(NamedTuple):
    """What an event has changed, and what is to be shown of it."""

    feed: Feed
    cards: tuple[Card, ...] = ()


def follow(feed: Feed, event: Event, bound: str, cause: Cause) -> News:
    """Take an event of a run; ``bound`` is the repository of the room."""
    id_ = cause.sender.key
    known = feed.run(id_)
    if isinstance(event, RunRefused):
        # Who has just started it hears this as the answer; one that had been paused before was resumed, and tells.
        shown = (cards.refused(event.reason, cards.run_id(id_)),) if known else ()
        return News(feed.drop(id_), shown)
    known = fold(known or Progress(id_), event)
    over = isinstance(event, RunStopped | RunCompleted)
    return News(feed.drop(id_) if over else feed.keep(known), _cards(known, event, bound, cause))


def _cards(known: Progress, event: Event, bound: str, cause: Cause) -> tuple[Card, ...]:
    match event:
        case RunPaused(reason=reason, body=body):
            return waits(known, (reason, body), bound, cause)
        case Told():
            return (cards.told(known, event, cause.derive("told")),)
        case RunStopped():
            return (cards.stopped(known),)
        case RunCompleted():
            return (cards.completed(known, event),)
        case Quarantined(text=text):
            return (cards.refused(text, cause.derive("card")),)
    return (cards.run(known),)


def waits(known: Progress, said: tuple[str, str], bound: str, cause: Cause) -> tuple[Card, ...]:
    """Ask in a card of its own; any other pause is shown by the card that has followed the run."""
    if not known.asks:
        return (cards.paused(known, *said),)
    return (cards.run(known), cards.question(known, said, cause.derive("ask"), here=bound in ("", known.repo)))


def listen(feed: Feed, event: TurnStarted | ToolUsed | TurnEnded | Closed, session: Address) -> News:
    """Take an event of a session: of the turn of a run the tools, of a turn of this room's own everything."""
    if isinstance(event, Closed):
        return _closed(feed, event, session)
    working = next((one for one in feed.runs if one.working and one.session == session), None)
    if working and isinstance(event, ToolUsed):
        working = replace(working, tools=use(working.tools, event))
        return News(feed.keep(working), (cards.run(working),))
    talk = feed.talk(event.turn)
    if not talk:
        return News(feed)
    match event:
        case TurnStarted():
            talk = begin(talk, event, session)
        case ToolUsed():
            talk = replace(talk, tools=use(talk.tools, event))
        case TurnEnded():
            return News(feed.keep(replace(talk, over=True, tools=())), (cards.answered(talk, event),))
    return News(feed.keep(talk), (cards.talking(talk),))


def _closed(feed: Feed, event: Closed, session: Address) -> News:
    """Say of every open turn of a session that nobody answers it any more, and forget the session."""
    why = event.error or "the agent was ended before it could answer; write it again"
    left = tuple(one for one in feed.talks if one.session == session and not one.over)
    told = tuple(cards.answered(one, TurnEnded(turn=one.turn, outcome="failed", error=why)) for one in left)
    runs = tuple(replace(one, session=None, working=False) if one.session == session else one for one in feed.runs)
    return News(Feed(runs, tuple(one for one in feed.talks if one.session != session)), told)


def fail(feed: Feed, talk: Talking, why: str) -> News:
    """Take that a turn which was accepted never began."""
    return News(feed.drop(talk.turn), (cards.answered(talk, TurnEnded(turn=talk.turn, outcome="failed", error=why)),))
