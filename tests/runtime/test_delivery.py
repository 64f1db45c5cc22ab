"""One delivery, step by step: a write that fails, a mail that only others can read, and much time that has passed."""

import json
from datetime import timedelta

import pytest

from actors.runtime.delivery import GivenUp, Known, handle
from actors.runtime.ports import Conflict, Mail
from actors.runtime.record import Record
from actors.runtime.shape import encode
from protocol.address import Address
from protocol.envelope import Envelope, Letter, letter
from protocol.errors import Unreachable
from protocol.node import Refusal
from tests.backstage import EPOCH, NOON, Backstage, Deeds, drive
from tests.fault import Cut, Fortune, Plan
from tests.runtime.cast import ACTOR, Account, Add, Leave
from tests.runtime.purse import Put
from tests.runtime.wallet import TWO
from tests.stage import DOOR, Stage

ME, OTHER = Address("account", "me"), Address("account", "other")
DAY = 86_400


def nobody(*_: object) -> None:
    """Whoever does nothing with it."""


def mail(seq, message):
    return Mail(ME, Envelope(DOOR, (letter(message, f"m{seq}"),)), EPOCH, seq, NOON)


class Unlucky(Deeds):
    """Hands that have a mishap at their first write, and note how they are to post."""

    def __init__(self, back: Backstage, mishap: Exception, *, written: bool) -> None:
        super().__init__(back, ACTOR, ME, nobody)
        self.mishap, self.written = mishap, written
        self.said: list[bool] = []

    async def save(self, data: bytes, revision: int, *, stopped: bool) -> int:
        if self.written:
            await super().save(data, revision, stopped=stopped)
        raise self.mishap

    async def say(self, known: Known[Account], *, again: bool) -> GivenUp:
        self.said.append(again)
        return await super().say(known, again=again)


def test_a_write_whose_answer_was_lost_was_a_write():
    for mishap in (Unreachable("no answer"), Conflict("somebody has written it")):
        back = Backstage(Fortune(), nobody)
        hands = Unlucky(back, mishap, written=True)
        known = drive(handle(ACTOR, hands, Known(None, 0), mail(1, Add(n=1))))
        assert (known.record.state.numbers, known.revision, hands.said) == ((1,), 1, [False])
        assert [told.event.n for told in back.log] == [1]


def test_a_write_that_was_none_is_no_write_whatever_stands_there():
    back = Backstage(Fortune(), nobody)
    foreign = Record[Account](version=1, state=Account((7,)), epoch=EPOCH, last=1, at=NOON, nonce="of another host")
    back.write(ME, encode(ACTOR, foreign, 1), 0, stopped=False)
    hands = Unlucky(back, Conflict("somebody else"), written=False)
    with pytest.raises(Conflict):
        drive(handle(ACTOR, hands, Known(None, 0), mail(2, Add(n=2))))
    assert (hands.said, back.log) == ([], [])
    assert back.load(ACTOR, ME).record.state.numbers == (7,)


def test_a_mail_that_only_a_newer_host_can_read_waits_for_it_and_is_not_overtaken():
    stage = Stage(cast={"account": ACTOR})
    stage.back.newer = True
    stage._deliver(ME, Envelope(DOOR, (Letter("m1", "tomorrow.Said", "{}"),)))
    stage.put(ME, Add(n=2))
    stage.settle()
    assert (stage.left, stage.dead, stage.state(ME).numbers) == ({ME}, [], ())
    stage.back.newer = False  # it has gone, and now nobody will ever read it
    stage.settle()
    assert [(to, why) for to, _, why in stage.dead] == [(ME, "no message is called 'tomorrow.Said'")]
    assert stage.state(ME).numbers == (2,)


def test_records_are_written_in_the_version_that_all_who_live_can_read():
    stage = Stage(cast={"purse": TWO})
    for reads, written in ((1, 1), (2, 2), (1, 1)):
        stage.back.reads["purse"] = reads
        stage.say("purse/a", Put(coins=1))
        assert json.loads(stage.back.history[-1][1])["version"] == written
    assert stage.state("purse/a").cents == (100, 100, 100)


def test_a_tombstone_refuses_for_seven_days_after_it_was_last_asked():
    stage = Stage(cast={"account": ACTOR})
    stage.say(ME, Add(n=1))
    stage.say(ME, Leave())
    for _ in range(3):
        stage.later(6 * DAY)
        assert stage.say(ME, Add(n=2)) == Refusal(text="account/me has ended")
    stage.later(7 * DAY)
    stage.say(ME, Add(n=3))
    assert stage.state(ME).numbers == (3,)


@pytest.mark.parametrize(("days", "heard"), [(6, (1,)), (8, ())])
def test_what_was_not_said_for_seven_days_is_not_said_any_more(days, heard):
    stage = Stage(Plan([("cut before it is posted", 1)]), {"account": ACTOR})
    stage.put(ME, Add(n=1, then=OTHER))
    with pytest.raises(Cut):
        stage._ready()[0]()
    stage.back.now += timedelta(days=days)
    stage.settle()
    assert (stage.state(ME).numbers, stage.state(OTHER).numbers) == ((1,), heard)
    assert [(to, why) for to, _, why in stage.dead] == ([] if heard else [(OTHER, "too old to be sent")])
