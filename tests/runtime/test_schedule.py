"""Any schedule of cuts, repeats, lost answers and other orders ends as the run ends in which all goes well."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from actors.runtime.actor import Actor, Budget, Cause, Step
from actors.runtime.effects import After, Cancel, Effect, Publish, Reply, Send, Stop
from protocol.address import Address
from protocol.message import Command, Event, Message
from protocol.node import Undelivered, Watch
from tests.fault import Fortune, Plan, plans
from tests.search import search
from tests.stage import Stage

NAMES = "abc"


class Pass(Command):
    """Hear a number, and pass it on to these, one after the other; ``via`` is how it came."""

    birth = True
    n: int
    path: tuple[str, ...] = ()
    via: tuple[str, ...] = ()


class Later(Command):
    """Pass a number later."""

    n: int
    seconds: float
    timer: str
    path: tuple[str, ...] = ()


class Forget(Command):
    timer: str


class Fail(Command):
    pass


class Leave(Command):
    pass


class Passed(Event):
    n: int
    via: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Log:
    """What was heard, and how it had come: what comes the same way comes in order, and nothing else has to."""

    heard: tuple[tuple[str, int], ...] = ()

    def hear(self, n: int, *way: str) -> "Log":
        return Log((*self.heard, (" ".join(way), n)))


def _step(log: Log, message: Message, cause: Cause) -> Step[Log]:
    match message:
        case Pass(n=n, path=path, via=via):
            way = (*via, str(cause.sender))
            onward: tuple[Effect, ...] = tuple(Send(at(to), Pass(n=n, path=path[1:], via=way)) for to in path[:1])
            told = Passed(n=n, via=way)
            # Whoever passes a number to itself has not been asked twice.
            answer = (Reply(told),) if cause.sender.kind == "one" or not via else ()
            return Step(log.hear(n, *way, _when(cause)), (*onward, Publish(told), *answer))
        case Passed(n=n, via=via):
            return Step(log.hear(n, "passed", *via, str(cause.sender)))
        case Later(n=n, seconds=seconds, timer=timer, path=path):
            return Step(log, (After(seconds, Pass(n=n, path=path, via=(timer,)), timer),))
        case Forget(timer=timer):
            return Step(log, (Cancel(timer),))
        case Undelivered(to=to):
            return Step(log.hear(0, "lost", str(to)))
        case Fail():
            raise ArithmeticError("as was wished")
        case Leave():
            return Step(log, (Stop(),))
    return Step(log)


def _when(cause: Cause) -> str:
    """Return when a timer has fired; all else comes when it comes."""
    return cause.at.isoformat() if cause.sender.kind == "timer" else ""


ACTOR = Actor("one", Log, lambda _: Log(), _step, lambda log, _, __: Passed(n=len(log.heard)), budget=Budget(1000))


def at(name: str) -> Address:
    return Address("one", name)


@dataclass(frozen=True)
class Say:
    """Say something to one of them; ``full`` are those whose mailboxes take nothing meanwhile.

    In a ``calm`` all that was said before has led to all that it leads to.
    """

    to: str
    message: Message
    full: tuple[str, ...] = ()
    calm: bool = False


@dataclass(frozen=True)
class Pause:
    """Let time pass; then the host may be killed, and begin again."""

    seconds: float
    killed: bool = False


Line: TypeAlias = Say | Pause
PATHS = st.lists(st.sampled_from(NAMES), max_size=4).map(tuple)
TIMERS = st.sampled_from(("x", "y"))
NUMBERS = st.integers(1, 10**6)
MESSAGES = st.one_of(
    st.builds(Pass, n=NUMBERS, path=PATHS),
    st.builds(Pass, n=NUMBERS, path=PATHS),
    st.builds(Later, n=NUMBERS, seconds=st.sampled_from((1.5, 3.5)), timer=TIMERS, path=PATHS),
    st.builds(Forget, timer=TIMERS),
    st.builds(Fail),
)
# Nobody else speaks to this one: whether others were heard before or after its end is a matter of who came first.
ALONE = st.one_of(
    st.builds(Pass, n=NUMBERS),
    st.builds(Later, n=NUMBERS, seconds=st.just(1.5), timer=TIMERS),
    st.builds(Leave),
    st.builds(Fail),
)
LINES = st.one_of(
    st.builds(Say, st.sampled_from(NAMES), MESSAGES, st.sets(st.sampled_from(NAMES), max_size=1).map(tuple)),
    st.builds(Say, st.just("alone"), ALONE),
    st.builds(
        Say, st.sampled_from(NAMES), st.builds(Watch, watcher=st.sampled_from(NAMES).map(at)), calm=st.just(True)
    ),
    st.builds(Pause, st.sampled_from((0, 1, 5)), st.booleans()),
)


def play(lines: Sequence[Line], fortune: Fortune) -> Stage:
    stage = Stage(fortune, {"one": ACTOR})
    for line in lines:
        match line:
            case Say(to=to, message=message, full=full, calm=calm):
                if calm:
                    stage.settle()
                stage.full.update(map(at, full))
                stage.put(at(to), message)
                if full or calm:
                    stage.settle()
                    stage.full.clear()
            case Pause(seconds=seconds, killed=killed):
                stage.later(seconds)
                if killed:
                    stage.restart()
    stage.later(60)
    return stage


def outcome(stage: Stage) -> object:
    """Return all that must be the same: what each heard of each other in order, what was told, answered, put aside."""
    heard = {
        (str(me), way): [n for other, n in stage.state(me).heard if other == way]
        for me in stage.actors("one")
        for way, _ in stage.state(me).heard
    }
    told = Counter((str(one.sender), one.event) for one in stage.log)
    aside = Counter((str(to), one.body) for to, envelope, _ in stage.dead for one in envelope.letters)
    given_up = Counter((str(to), one.body) for to, envelope, _ in stage.back.given_up for one in envelope.letters)
    return heard, told, stage.back.answers, aside, given_up, stage.waiting


@search(250)
@given(lines=st.lists(LINES, min_size=1, max_size=8), data=st.data())
def test_any_schedule_ends_as_the_run_in_which_all_goes_well(lines, data):
    could = Plan()
    with capture_logs():  # what fails as was wished fills no screens
        clean = outcome(play(lines, could))
        plan = data.draw(plans(could))
        assert outcome(play(lines, plan)) == clean
