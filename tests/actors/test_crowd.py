"""Several people say whatever comes to their minds, agents do what they like, and all ends in good order."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from protocol.address import Address
from protocol.chat import Said
from protocol.hub import Quiesce
from protocol.session import TurnEnded, TurnStarted
from tests.actors.plays import DESK, ONE, SOFA, TWO, shop
from tests.player import (
    Commit,
    Die,
    Dispatch,
    Edit,
    Fail,
    Finish,
    Mend,
    Quit,
    Resist,
    Say,
    Sleep,
    Spoil,
    Use,
    Vanish,
    work,
)
from tests.search import search
from tests.stage import HUB, Stage

LINES = ("/flow start", "/flow start", "/flow stop", "/flow resume", "/flow resume now", "Blue.", "What?", "/status")
TURNS = (
    (),
    work("a"),
    work("b", Sleep(20)),
    (*work("c"), Spoil("it is broken")),
    (*work("d"), Quit()),
    (Edit("e.py"), Finish()),
    (Commit("e"),),
    (Mend(), Finish()),
    (Dispatch("pause", "Which colour?"),),
    (Dispatch("notify", "Halfway"),),
    (Sleep(40),),
    (Resist(), Sleep(100)),
    (Use("f"), Die(1, "boom")),
    (Fail("quota", "the quota is used up"),),
    (Use("g"), Vanish()),
)
TALKS = ((Say("Yes."),), (Sleep(20), Say("No.")), (Die(2),), (Vanish(),), (Quit(),))

SCRIPTS = st.fixed_dictionaries(
    {
        ONE: st.lists(st.sampled_from(TURNS), max_size=6),
        TWO: st.lists(st.sampled_from(TURNS), max_size=3),
        "": st.lists(st.sampled_from(TALKS), max_size=4),
    }
)
SCENES = st.tuples(
    st.lists(st.tuples(st.sampled_from((DESK, SOFA)), st.sampled_from(LINES)), min_size=1, max_size=3),
    st.sampled_from((0, 0, 1, 15, 25)),
    st.sampled_from(("", "", "", "", "restart", "quiesce")),
)


@search(100)
@given(scripts=SCRIPTS, scenes=st.lists(SCENES, min_size=1, max_size=8), seed=st.none() | st.integers(0, 2**32))
def test_whatever_people_and_agents_do_everything_comes_to_rest(scripts, scenes, seed):
    stage = Stage(seed)
    shop(stage, tickets=2)
    for path, turns in scripts.items():
        stage.machine.scripts[path].extend(turns)
    for lines, seconds, then in scenes:
        for room, text in lines:
            stage.put(room, Said(text=text))
        stage.later(seconds)
        if then == "restart":
            stage.restart()
        elif then == "quiesce":
            stage.say(HUB, Quiesce(reason="stopped by car down"))
    stage.later(2000)
    assert stage.dead == []
    assert stage.waiting == []
    _runs_are_over_or_wait(stage)
    _turns_began_and_ended_once(stage)
    _nobody_is_forgotten(stage)
    _no_card_says_that_something_goes_on(stage)


def _runs_are_over_or_wait(stage: Stage) -> None:
    repo = stage.state("repo/shop")
    *old, new = [stage.state(run) for run in stage.actors("run")] or [None]
    assert all(run.status in ("stopped", "completed", "refused") for run in old)
    if new:
        assert (repo.run, repo.status) == (new.me.key, new.status)
        assert new.status in ("stopped", "completed", "refused", "paused")
        assert new.errands == ()
    assert (repo.starting, repo.turns, repo.errands) == ((), (), ())


def _turns_began_and_ended_once(stage: Stage) -> None:
    began = Counter(event.turn for event in stage.told if isinstance(event, TurnStarted))
    ended = Counter(event.turn for event in stage.told if isinstance(event, TurnEnded))
    assert set(began.values()) | set(ended.values()) <= {1}
    assert began.keys() <= ended.keys()


def _nobody_is_forgotten(stage: Stage) -> None:
    """Every agent that is alive belongs to a run that waits, or to the people who talk with it."""
    owned = {Address("session", stage.state("repo/shop").session)}
    owned |= {stage.state(run).session for run in stage.actors("run")}
    alive = [stage.machine.players[proc].role.session for proc in stage.machine.alive]
    assert owned.issuperset(alive)


def _no_card_says_that_something_goes_on(stage: Stage) -> None:
    for room in (DESK, SOFA):
        last = {card.id: card for card in stage.cards(room)}
        assert [card.text for card in last.values() if card.tone == "working" and not card.final] == []
        assert stage.state(room).asked == ()
