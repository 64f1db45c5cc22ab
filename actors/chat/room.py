"""A room: turns what people say into commands, once for every bridge, and what happens into cards.

What a room has asked for it knows again by the id that it gave its question. A turn of a free session bears the id of
the words that asked for it, so the room knows its own turns before anybody has accepted them.
"""

from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Literal

from actors.chat import cards
from actors.chat.feed import Feed, fail, follow, listen, waits
from actors.chat.progress import Progress, Talking, learn, line
from actors.chat.words import PLAIN, WORDS, Line, closest, read
from actors.runtime.actor import Actor, Budget, Cause, Step
from actors.runtime.effects import Effect, Send, Stop
from actors.runtime.weight import weigh
from protocol.address import Address, out, token
from protocol.chat import Card, Left, Pressed, RoomView, Said
from protocol.flow import DescribeRun, RunView, TurnBegun
from protocol.hub import DescribeHub, HubView, RepoEntry
from protocol.message import Event, Message, Query
from protocol.node import Refusal, Undelivered, Unwatch, Watch
from protocol.repo import DescribeRepo, FlowAccepted, RepoView, Talk, TalkAccepted
from protocol.session import Closed, Place, ToolUsed, TurnEnded, TurnStarted

HUB = Address("hub", "main")
ASKED = 20
LINES = 2
"""Lines that may wait at the same time until the repositories are known."""
LONG = 50_000
"""Weight of a line: what waits is kept in the record, and what is sent lies in the outbox."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a line asks for. ``repo`` is the repository of the card whose button was pressed."""

    line: Line
    place: Place | None = None
    repo: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question or a command without an answer yet: of the hub the first three, of a repository, of a run."""

    id: str
    why: Literal["wish", "repos", "bind", "tell", "follow", "status", "join", "learn"]
    repo: str = ""
    wish: Wish = Wish(Line(""))


@dataclass(frozen=True, slots=True)
class Room:
    """What a room remembers. ``repo`` is the one it was bound to; ``pending`` waits until a person chooses one."""

    repo: str = ""
    revision: int = 0
    feed: Feed = field(default_factory=Feed)
    asked: tuple[Asked, ...] = ()
    pending: Wish | None = None


def step(room: Room, message: Message, cause: Cause) -> Step[Room]:  # noqa: PLR0911  # one for each kind of message
    """Answer one message."""
    match message:
        case Said(text=text, place=place):
            return _hear(room, Wish(read(text), place), cause)
        case Pressed(card=card, says=says, place=place):
            repo = next((one.repo for one in room.feed.runs if card.startswith(cards.run_id(one.run))), "")
            return _hear(room, Wish(read(says), place, repo), cause)
        case Left():
            return _leave(room)
        case Undelivered(id=id_, why=why):
            return _take(room, id_, Refusal(text=f"nobody could be reached ({why}); write it again"), cause)
        case Refusal(text=text) if cause.sender.kind == "repo" and not _open(room, cause.re):
            return _late(room, text, cause)
        case Event() if cause.re:
            return _take(room, cause.re, message, cause)
        case Event() if cause.sender.kind == "run":
            return _follow(room, message, cause)
        case TurnStarted() | ToolUsed() | TurnEnded() | Closed():
            return _listen(room, message, cause)
    return Step(room)


# what people say


def _hear(room: Room, wish: Wish, cause: Cause) -> Step[Room]:
    """Do what a line says, or say why not."""
    said, id_ = wish.line, cause.derive("card")
    if not (said.says or said.rest):
        return Step(room)
    if wrong := _wrong(said, id_):
        return _show(room, cause, wrong)
    match said.says:
        case "/help":
            return _show(room, cause, cards.helped(room.repo, id_))
        case "/repos":
            return _ask(room, HUB, DescribeHub(), Asked(id_, "repos"))
        case "/bind":
            wish = Wish(Line(said.says, line(said.rest)))
            return _ask(room, HUB, DescribeHub(), Asked(id_, "bind", wish=wish))
    return _pass(replace(room, pending=None), wish, cause)


def _wrong(said: Line, id_: str) -> Card | None:
    """Say what is wrong with a line, where something is."""
    word = WORDS.get(said.says, PLAIN)
    if said.says and word is PLAIN:
        return cards.unknown(said, closest(said), id_)
    if said.rest and not word.takes and word is not PLAIN:
        return cards.alone(word, id_)
    if weigh(said.rest) > LONG:
        text = f"this is too long for one message ({len(said.rest)} characters); put it into a file and name the file"
        return cards.refused(text, id_)
    return None


def _pass(room: Room, wish: Wish, cause: Cause) -> Step[Room]:
    """Tell a repository, as soon as it is known which."""
    if repo := wish.repo or room.repo or _asking(room, wish.line):
        return _tell(room, repo, wish, cause)
    id_ = cause.derive("card")
    if sum(one.why == "wish" for one in room.asked) >= LINES:
        return _show(room, cause, cards.refused("this comes too fast; wait for an answer and write it again", id_))
    return _ask(room, HUB, DescribeHub(), Asked(id_, "wish", wish=wish))


def _asking(room: Room, said: Line) -> str:
    """Find whose question plain text answers in a room that is not bound, where it shows one question alone."""
    asking = tuple(one.repo for one in room.feed.runs if one.asks)
    return asking[0] if not said.says and len(asking) == 1 else ""


def _tell(room: Room, repo: str, wish: Wish, cause: Cause) -> Step[Room]:
    """Pass on to a repository what it concerns."""
    tells = WORDS.get(wish.line.says, PLAIN).tells
    if tells is None:
        return Step(room)
    message = tells(wish.line.rest)
    asked = Asked(cause.derive("tell"), "tell", repo, Wish(Line(wish.line.says)))
    if isinstance(message, Talk):
        room = replace(room, feed=room.feed.keep(Talking(asked.id, repo)))
    return _ask(room, Address("repo", token(repo)), message, asked)


def _ask(room: Room, to: Address, message: Message, asked: Asked) -> Step[Room]:
    """Send something and remember what for; the oldest is forgotten rather than that nobody can speak any more."""
    return Step(replace(room, asked=(*room.asked, asked)[-ASKED:]), (Send(to, message, id=asked.id),))


def _leave(room: Room) -> Step[Room]:
    """Hear no more of anything."""
    return Step(Room(), (*(Send(one, Unwatch()) for one in room.feed.sources()), Stop()))


# what is answered


def _take(room: Room, id_: str, said: Event, cause: Cause) -> Step[Room]:  # noqa: PLR0911  # one for each answer
    """Take the answer to something that this room has asked, and only once."""
    asked = _open(room, id_)
    if not asked:
        return Step(room)
    room = replace(room, asked=tuple(one for one in room.asked if one != asked))
    match said:
        case HubView(repos=repos) if asked.why == "repos":
            return _show(room, cause, cards.repos(repos, room.repo, asked.id))
        case HubView(repos=repos):
            return _choose(room, repos, asked, cause)
        case RepoView():
            return _described(room, said, asked, cause)
        case RunView():
            return _joined(room, said, asked, cause)
        case FlowAccepted() | TalkAccepted():
            return _accepted(room, said, asked, cause)
        case Refusal(text=text):
            return _refused(room, text, asked, cause)
    return Step(room)


def _choose(room: Room, repos: tuple[RepoEntry, ...], asked: Asked, cause: Cause) -> Step[Room]:
    """Find the repository that is meant, or ask for it."""
    wish, said = asked.wish, asked.wish.line
    if not repos:
        return _show(room, cause, cards.none(asked.id))
    if asked.why == "bind" and said.rest:
        return _bind(room, repos, asked, cause)
    if asked.why == "bind":
        return _show(room, cause, cards.which(repos, "", asked.id))
    if entry := _nearest(repos, wish.place):
        return _tell(room, entry.repo, wish, cause)
    pending = f"{said.says} {said.rest}".strip()
    return _show(replace(room, pending=wish), cause, cards.which(repos, pending, asked.id))


def _nearest(repos: tuple[RepoEntry, ...], place: Place | None) -> RepoEntry | None:
    """Return the repository in which the place lies (the innermost), else the only one."""
    around = [one for one in repos if place and one.place.node == place.node and _within(place.path, one.place.path)]
    if around:
        return max(around, key=lambda one: len(one.place.path))
    return repos[0] if len(repos) == 1 else None


def _within(path: str, folder: str) -> bool:
    return f"{path.rstrip('/')}/".startswith(f"{folder.rstrip('/')}/")


def _bind(room: Room, repos: tuple[RepoEntry, ...], asked: Asked, cause: Cause) -> Step[Room]:
    """Work with one repository from now on, and do what was waiting for that."""
    named = {one.repo: one for one in repos}
    wanted = asked.wish.line.rest
    entry = named.get(wanted)
    if not entry:
        near = tuple(named[one] for one in get_close_matches(wanted, named, n=3))
        return _show(room, cause, cards.missing(wanted, near, asked.id))
    pending = room.pending
    room = replace(room, repo=entry.repo, pending=None)
    room, shown = _show(room, cause, cards.bound(entry, asked.id, final=pending is None))
    if pending:
        room, told = _tell(room, entry.repo, pending, cause)
    else:
        active = Asked(cause.derive("follow"), "follow", entry.repo)
        room, told = _ask(room, Address("repo", token(entry.repo)), DescribeRepo(), active)
    return Step(room, (*shown, *told))


def _described(room: Room, view: RepoView, asked: Asked, cause: Cause) -> Step[Room]:
    """Go on from the repository to its run, where one is active."""
    run = Address("run", view.run)
    if asked.why == "follow":
        if not view.active or room.feed.run(view.run):
            return Step(room)
        room, effects = _ask(room, run, DescribeRun(), Asked(cause.derive("join"), "join", view.repo))
        return Step(room, (Send(run, Watch()), *effects))
    if view.active:
        return _ask(room, run, DescribeRun(), Asked(cause.derive("status"), "status", view.repo))
    if not view.place.path:
        text = f"no repository is called {view.repo}; type /repos to see those that are there"
        return _show(room, cause, cards.refused(text, asked.id))
    return _show(room, cause, cards.idle(view, asked.id))


def _joined(room: Room, view: RunView, asked: Asked, cause: Cause) -> Step[Room]:
    """Know how far a run is, and show it to whoever asked for it."""
    known = learn(room.feed.run(view.run) or Progress(view.run), view)
    said = (view.reason, view.body)
    if asked.why == "status":
        return _show(room, cause, cards.stands(known, said, asked.id))
    if view.status in ("stopped", "completed", "refused"):
        return _refused(replace(room, feed=room.feed.drop(view.run)), "", asked, cause)
    room = replace(room, feed=room.feed.keep(known))
    if asked.why == "learn":
        return Step(room)
    if known.status == "paused":
        return _show(room, cause, *waits(known, said, room.repo, cause))
    return _show(room, cause, cards.run(known))


def _accepted(room: Room, said: FlowAccepted | TalkAccepted, asked: Asked, cause: Cause) -> Step[Room]:
    """Know the run or the session that does what was asked; its events tell the rest."""
    if isinstance(said, TalkAccepted) and said.session:
        talk = room.feed.talk(asked.id)
        if not talk or talk.begun:
            return Step(room)
        talk = replace(talk, session=said.session)
        return _show(replace(room, feed=room.feed.keep(talk)), cause, cards.talking(talk))
    room = replace(room, feed=room.feed.drop(asked.id))
    run = Address("run", said.run)
    joins = isinstance(said, FlowAccepted) and asked.wish.line.says == "/flow start" and not said.fresh
    if joins:
        return _ask(room, run, DescribeRun(), Asked(cause.derive("join"), "join", said.repo))
    if room.feed.run(said.run):
        return Step(room)
    room = replace(room, feed=room.feed.keep(Progress(said.run, said.repo)))
    return _ask(room, run, DescribeRun(), Asked(cause.derive("learn"), "learn", said.repo))


def _refused(room: Room, text: str, asked: Asked, cause: Cause) -> Step[Room]:
    """Show why something is not done."""
    room = replace(room, feed=room.feed.drop(asked.id))
    match asked.why:
        case "follow" | "learn":
            return Step(room)
        case "status" | "join":
            text = f"the run in {asked.repo} has just ended; type /flow start to begin another"
    return _show(room, cause, cards.refused(text, asked.id))


def _late(room: Room, text: str, cause: Cause) -> Step[Room]:
    """Show that what a repository had accepted was refused further on."""
    talk = room.feed.talk(cause.re)
    if not talk:
        return _show(room, cause, cards.refused(text, cause.derive("card")))
    news = fail(room.feed, talk, text)
    return _show(replace(room, feed=news.feed), cause, *news.cards)


# what happens


def _follow(room: Room, event: Event, cause: Cause) -> Step[Room]:
    """Show what happens in a run, and learn of one that is new to this room."""
    before = room.feed.run(cause.sender.key)
    news = follow(room.feed, event, room.repo, cause)
    room, effects = _show(replace(room, feed=news.feed), cause, *news.cards)
    known = room.feed.run(cause.sender.key)
    if known and not known.repo and not before:
        room, asking = _ask(room, cause.sender, DescribeRun(), Asked(cause.derive("learn"), "learn"))
        effects = (*effects, *asking)
    if isinstance(event, TurnBegun) and not (before and before.session == event.session):
        effects = (*effects, Send(event.session, Watch()))
    return Step(room, effects)


def _listen(room: Room, event: TurnStarted | ToolUsed | TurnEnded | Closed, cause: Cause) -> Step[Room]:
    """Show what happens in a session."""
    news = listen(room.feed, event, cause.sender)
    return _show(replace(room, feed=news.feed), cause, *news.cards)


# what they share


def _open(room: Room, id_: str) -> Asked | None:
    return next((one for one in room.asked if one.id == id_), None)


def _show(room: Room, cause: Cause, *shown: Card) -> Step[Room]:
    """Send the cards out in order, with rising numbers."""
    effects: list[Effect] = []
    for revision, card in enumerate(shown, room.revision + 1):
        effects.append(Send(out(cause.me), card.model_copy(update={"revision": revision})))
    return Step(replace(room, revision=room.revision + len(shown)), tuple(effects))


def answer(room: Room, _query: Query, _cause: Cause) -> RoomView:
    """Say which repository the room was bound to, and which runs it follows."""
    return RoomView(repo=room.repo, runs=tuple(one.run for one in room.feed.runs))


def _born(_address: Address) -> Room:
    return Room()


ACTOR = Actor(kind="chat_*", state=Room, born=_born, step=step, answer=answer, budget=Budget(10, 60))
