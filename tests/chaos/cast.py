"""The cast of the chaos: pure actors that keep the proof of what befell them.

Each state holds who wrote it (``by``: the host) and how many steps it has taken (``turn``), so that in the history of
its records a write of a host that was fenced off would be seen.
"""

from dataclasses import dataclass, field, replace

from actors.runtime.actor import Actor, Budget, Cause, Former, Step
from actors.runtime.effects import After, Cancel, Effect, Publish, Send, Stop
from actors.runtime.supervisor import Cast
from protocol.address import Address, worker
from protocol.message import Message, Query, View
from protocol.node import Refusal, Undelivered
from tests.chaos.said import (
    Born,
    Count,
    Credit,
    Did,
    Die,
    Do,
    DropTimer,
    End,
    Ended,
    Fact,
    Fail,
    Hear,
    Job,
    Live,
    Poke,
    Poked,
    Push,
    Raise,
    Rang,
    SetTimer,
    Shown,
    Spread,
    Talk,
    Told,
    Transfer,
)
from tests.chaos.tally import Ranges, Tally, add

NODE = "chaos"
WEALTH = 1000
"""What each account has at first."""
LATENESS = 400
"""How many of the newest delays of timers an actor remembers."""
WRONGS = 12
TOLD = "it was told to fail"
CLOCK = Address("timer", "all")
"""Under this settings of timers are numbered."""


@dataclass(frozen=True, slots=True)
class Running:
    """A timer that runs: which setting it is, and when it is due in seconds since 1970."""

    n: int
    due: float


@dataclass(frozen=True, slots=True)
class Being:
    """Whoever it is. ``heard`` is by who spoke, ``said`` by who was spoken to; ``wrong`` are sentences."""

    turn: int = 0
    by: str = ""
    heard: dict[str, Tally] = field(default_factory=dict)
    said: dict[str, int] = field(default_factory=dict)
    balance: int = 0
    running: dict[str, Running] = field(default_factory=dict)
    rang: Ranges = ()
    dropped: Ranges = ()
    late_ms: tuple[int, ...] = ()
    given_up: tuple[str, ...] = ()
    facts: int = 0
    refused: int = 0
    life: int = 0
    wrong: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Grown:
    """A being as the newer release keeps it. Where it has a ``page``, the older one has no words for that."""

    being: Being = field(default_factory=Being)
    page: int = 0


def born(me: Address) -> Being:
    return Being(balance=WEALTH if me.kind == "account" else 0)


def step(being: Being, message: Message, cause: Cause) -> Step[Being]:
    """Note who has said what, then do it."""
    match message:
        case Told(by=by, n=n):
            being = hear(being, by, n)
        case Hear(n=n) | Credit(n=n) | Live(n=n) | Poked(n=n) | Die(n=n) | Fact(n=n):
            being = hear(being, str(cause.me if cause.me.kind == FRAGILE else cause.sender), n)
    return _do(being, message, cause)


def hear(being: Being, who: str, n: int) -> Being:
    return replace(being, heard={**being.heard, who: being.heard.get(who, Tally()).heard(n)})


def blame(being: Being, kind: str, what: str) -> Being:
    return replace(being, wrong=(*being.wrong, f"{kind}: {what}")[-WRONGS:])


def tell(being: Being, to: Address) -> tuple[Being, int]:
    """Number what is said to somebody."""
    n = being.said.get(str(to), 0) + 1
    return replace(being, said={**being.said, str(to): n}), n


def _do(being: Being, message: Message, cause: Cause) -> Step[Being]:
    match message:
        case Transfer(to=to, amount=amount):
            being, n = tell(being, to)
            return Step(replace(being, balance=being.balance - amount), (Send(to, Credit(n=n, amount=amount)),))
        case Credit(amount=amount):
            return Step(replace(being, balance=being.balance + amount))
        case Spread(ears=ears):
            return _spread(being, ears)
        case Talk(facts=facts):
            said = tuple(Publish(Fact(n=being.facts + 1 + index)) for index in range(facts))
            return Step(replace(being, facts=being.facts + facts), said)
        case Push(to=to):
            being, n = tell(being, to)
            return Step(being, (Send(to, Hear(n=n), f"{cause.me.key}-{n}"),))
        case Undelivered(to=to, id=id_):
            return Step(replace(being, given_up=(*being.given_up, f"{to} {id_}")))
        case SetTimer() | DropTimer() | Rang():
            return _timer(being, message, cause)
        case Raise() | Poke() | End():
            return _parent(being, message, cause)
        case Live() | Poked() | Die():
            return _child(being, message)
        case Refusal() if cause.me.kind == "parent":
            return Step(replace(being, refused=being.refused + 1))
        case Job() | Did():
            return _boss(being, message, cause)
        case Count() | Hear() | Fact() | Fail():
            return _heard(being, message, cause)
    return Step(blame(being, "odd", f"heard {message!r}"))


def _heard(being: Being, message: Message, cause: Cause) -> Step[Being]:
    """Note it and no more, but for those who fail or talk to themselves, and for those whose cards nobody looks at."""
    match message:
        case Fail():
            raise ZeroDivisionError(TOLD)
        case Count() if cause.me.kind == FRAGILE:
            being, n = tell(being, cause.me)
            return Step(being, (Send(cause.me, Hear(n=n)),))
        case _ if cause.me.kind == "slow":
            return _show(being, cause)
    return Step(being)


def _show(being: Being, cause: Cause) -> Step[Being]:
    """Show something in a room; where that is full this takes long, and so the mailbox becomes full."""
    room = Address("out", f"{NODE}.{cause.me.key}")
    being, n = tell(being, room)
    return Step(being, (Send(room, Shown(n=n), f"{cause.me.key}-{n}"),))


def _spread(being: Being, ears: tuple[Address, ...]) -> Step[Being]:
    said: list[Effect] = []
    for ear in ears:
        being, n = tell(being, ear)
        said.append(Send(ear, Hear(n=n)))
    return Step(being, tuple(said))


def _timer(being: Being, message: Message, cause: Cause) -> Step[Being]:
    match message:
        case SetTimer(timer=name, seconds=seconds):
            being, n = tell(_drop(being, name), CLOCK)
            due = cause.at.timestamp() + seconds
            being = replace(being, running={**being.running, name: Running(n, due)})
            return Step(being, (After(seconds, Rang(timer=name, n=n), name),))
        case DropTimer(timer=name):
            return Step(_drop(being, name), (Cancel(name),))
        case Rang(timer=name, n=n):
            return Step(_ring(being, name, n, cause))
    return Step(being)


def _ring(being: Being, name: str, n: int, cause: Cause) -> Being:
    timer = being.running.get(name)
    if timer is None or timer.n != n:
        return blame(being, "late", f"timer {name} rang for its setting {n}; what runs is {timer}")
    late = round((cause.at.timestamp() - timer.due) * 1000)
    if late < 0:
        being = blame(being, "early", f"timer {name} rang {-late} ms early in its setting {n}")
    rest = {key: one for key, one in being.running.items() if key != name}
    return replace(being, running=rest, late_ms=(*being.late_ms, late)[-LATENESS:], rang=add(being.rang, n))


def _drop(being: Being, name: str) -> Being:
    timer = being.running.get(name)
    if timer is None:
        return being
    rest = {key: one for key, one in being.running.items() if key != name}
    return replace(being, running=rest, dropped=add(being.dropped, timer.n))


def _parent(being: Being, message: Message, cause: Cause) -> Step[Being]:
    child = Address("child", cause.me.key)
    being, n = tell(being, child)
    match message:
        case Raise(life=life):
            said: Message = Live(n=n, life=life)
        case End(life=life):
            said = Die(n=n, life=life)
        case Poke(life=life):
            said = Poked(n=n, life=life)
        case _:
            return Step(being)
    return Step(being, (Send(child, said),))


def _child(being: Being, message: Message) -> Step[Being]:
    """One state is one life; what was before is only in the log of events."""
    match message:
        case Live(life=life) if not being.life:
            return Step(replace(being, life=life), (Publish(Born(life=life)),))
        case Poked(life=life) if being.life == life:
            return Step(replace(being, facts=being.facts + 1))
        case Die(life=life) if being.life == life:
            return Step(being, (Publish(Ended(life=life, pokes=being.facts)), Stop()))
    return Step(blame(being, "life", f"heard {message!r} in life {being.life}"))


def _boss(being: Being, message: Message, cause: Cause) -> Step[Being]:
    match message:
        case Job():
            bench = worker(NODE, "bench", cause.me.key)
            being, n = tell(being, bench)
            return Step(being, (Send(bench, Do(n=n)),))
        case Did(n=n):
            return Step(hear(being, str(cause.sender), n))
    return Step(being)


def answer(_: Being, __: Query, ___: Cause) -> View:
    return View()


KINDS = ("counter", "account", "clock", "horn", "ear", "parent", "child", "talker", "boss", "pusher", "slow")
FRAGILE = "fragile"
"""The kind that fails when it is told to, and else talks to itself."""
GROWN = "grown"
"""The kind whose record the newer release writes in another version."""
PAGE = 7
"""Each so manieth message leaves the newer release with a state that the older one cannot read."""
OLD, NEW = "1.0", "1.1"
"""The releases that live side by side."""


def cast(by: str, release: str) -> Cast:
    """Return the cast of one host: what it writes bears its name."""

    def signed(being: Being, message: Message, cause: Cause) -> Step[Being]:
        done = step(being, message, cause)
        return Step(replace(done.state, turn=being.turn + 1, by=by), done.effects)

    def grown(state: Grown, message: Message, cause: Cause) -> Step[Grown]:
        done = signed(state.being, message, cause)
        n = message.n if isinstance(message, Told) else 0
        return Step(Grown(done.state, 0 if n % PAGE else n), done.effects)

    players = {kind: Actor(kind, Being, born, signed, answer) for kind in (*KINDS, GROWN)}
    players[FRAGILE] = Actor(FRAGILE, Being, born, signed, answer, budget=Budget(failures=1_000_000))
    if release == NEW:
        before = Former(Being, rise=Grown, sink=lambda state: state.being)
        players[GROWN] = Actor(GROWN, Grown, lambda me: Grown(born(me)), grown, answer, version=2, former=before)
    return players
