"""Whatever goes wrong below, nobody sees it: the same events, the same cards, the same states, for any seed."""

import functools
from collections import Counter
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.runtime.ports import Mail
from protocol.address import Address
from protocol.chat import Said
from protocol.envelope import Envelope
from tests.actors import plays
from tests.actors.plays import DESK, PLAYS, Play, shop
from tests.fault import Misfortune, Name, Plan, plans
from tests.outcome import outcome
from tests.player import Die
from tests.search import search
from tests.stage import Stage

SEEDS = st.integers(0, 2**32)


@functools.cache
def clean(play: Play) -> list[str]:
    return outcome(put_on(play, Stage()))


@functools.cache
def counted(play: Play) -> Plan:
    """Return how often what could go wrong in a play."""
    could = Plan()
    put_on(play, Stage(could))
    return could


def put_on(play: Play, stage: Stage) -> Stage:
    play(stage)
    return stage


@pytest.mark.parametrize("play", PLAYS, ids=lambda play: play.__name__)
@search(3)
@given(seed=SEEDS)
def test_nobody_sees_what_goes_wrong(play, seed):
    assert outcome(put_on(play, Stage(seed))) == clean(play)


@pytest.mark.parametrize("play", PLAYS, ids=lambda play: play.__name__)
@search(5)
@given(data=st.data())
def test_whatever_is_planned_to_go_wrong_all_ends_as_if_it_had_not(play, data):
    plan = data.draw(plans(counted(play)))
    assert outcome(put_on(play, Stage(plan))) == clean(play)


@pytest.mark.parametrize("seed", range(10))
def test_words_to_an_agent_that_dies_at_that_moment_are_answered_or_told_to_be_lost(seed):
    """Under seed 5 the third line is sent to a session of which the repository does not know yet that it has ended."""
    stage = Stage(seed)
    shop(stage)
    stage.machine.scripts[""].append((Die(2),))
    for text in ("One", "Two", "Three"):
        stage.put(DESK, Said(text=text))
    stage.later(100)
    last = {card.id: card for card in stage.cards(DESK)}
    assert [card.text for card in last.values() if not card.final] == []


@pytest.mark.parametrize("play", [plays.lost_custodian, plays.going_down, plays.choice], ids=lambda play: play.__name__)
def test_what_an_actor_says_comes_in_the_order_of_its_steps(play):
    for seed in range(5):
        stage = put_on(play, Stage(seed))
        for actor in {one.sender for one in stage.log}:
            writes = [one.place[0] for one in stage.log if one.sender == actor]
            assert writes == sorted(writes)


def test_everything_goes_wrong_that_may():
    struck: Counter[Name] = Counter()
    for seed in range(10):
        for play in (plays.lost_custodian, plays.mute_agent, plays.talk_at_once, plays.full_queue):
            fortune = put_on(play, Stage(seed)).fortune
            assert isinstance(fortune, Misfortune)
            struck += fortune.struck
    assert set(struck) == set(get_args(Name))


class Unmarked(Stage):
    """A stage on which nobody knows what they have heard of whom."""

    def _deliver(self, to: Address, envelope: Envelope) -> None:
        super()._deliver(to, replace(envelope, mark=None))


class Silent(Stage):
    """A stage on which nobody says again what they may not have said."""

    def _handle(self, mail: Mail) -> bool:
        record = self.back.load(self._actor(mail.to), mail.to).record
        return bool(record and mail.seq <= record.last) or super()._handle(mail)


class Forgetful(Stage):
    """A stage on which the host acknowledges a mail whatever became of it."""

    def _take(self, box) -> None:
        mail = box[0]
        try:
            super()._take(box)
        finally:
            if mail in box:
                box.remove(mail)


@pytest.mark.parametrize("broken", [Unmarked, Silent, Forgetful])
def test_a_promise_that_is_broken_is_seen(broken):
    play = plays.three_tickets
    assert outcome(put_on(play, broken())) == clean(play)
    assert any(_differs(play, broken(seed)) for seed in range(10))


def _differs(play: Play, stage: Stage) -> bool:
    try:
        return outcome(put_on(play, stage)) != clean(play)
    except AssertionError:
        return True
