"""What one mail makes of a record: the rules that need no host to be seen."""

from datetime import UTC, datetime, timedelta

import pytest

from actors.runtime.effects import Asker
from actors.runtime.ports import Mail
from actors.runtime.record import Answer, DropTimer, Parcel, Record, Row, SetTimer
from actors.runtime.shape import StepFailed, decode, encode
from actors.runtime.transition import failed, parked, repeated, resting, transition, undelivered
from protocol.address import Address
from protocol.envelope import Envelope, Fire, Mark, letter
from protocol.errors import Unreadable
from protocol.node import Fired, Quarantined, Refusal, Release, Unwatch, Watch
from tests.runtime.cast import ACTOR, Account, Add, Added, Begin, Forget, Grow, Leave, SumView, Wait

ME, OTHER, DOOR = Address("account", "me"), Address("account", "other"), Address("door", "test")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def mail(seq, *messages, sender=DOOR, mark=None, inbox="", id_=""):
    letters = tuple(letter(one, id_ or f"{seq}.{number}") for number, one in enumerate(messages))
    return Mail(ME, Envelope(sender, letters, mark=mark, inbox=inbox), "e", seq, NOON + timedelta(seconds=seq))


def play(*mails):
    """Handle mails in order; return the records after each (encoded and read again between two)."""
    record, records = None, []
    for one in mails:
        new = transition(ACTOR, record, one)
        record = decode(ACTOR, encode(ACTOR, new, ACTOR.version)) if new else record
        records.append(record)
    return records


def test_a_step_taken_again_says_the_same_under_the_same_ids():
    first, second = (transition(ACTOR, None, mail(1, Add(n=1, then=OTHER))) for _ in range(2))
    assert first == second
    assert first.outbox[0] == Parcel(to=OTHER, letters=first.outbox[0].letters, cause="1.0")


def test_several_messages_for_one_receiver_go_in_one_parcel():
    (record,) = play(mail(1, Watch(watcher=OTHER), Add(n=1, then=OTHER), Add(n=2, then=OTHER)))
    parcels = [out for out in record.outbox if isinstance(out, Parcel)]
    assert [one.name for one in parcels[0].letters] == ["cast.Add", "cast.Added"] * 2
    assert len(parcels) == 1
    assert len([out for out in record.outbox if isinstance(out, Row)]) == 2


def test_a_mail_of_an_older_epoch_that_comes_again_is_known():
    (record,) = play(mail(9, Add(n=1)))
    again = mail(9, Add(n=1))
    assert repeated(record, again)
    assert repeated(record, Mail(ME, again.envelope, "older", 3, NOON))
    assert not repeated(record, Mail(ME, again.envelope, "newer", 10, NOON))


def test_a_mark_of_another_epoch_is_no_repeat():
    records = play(
        mail(1, Add(n=1), sender=OTHER, mark=Mark("a", 9)),
        mail(2, Add(n=2), sender=OTHER, mark=Mark("b", 1)),
    )
    assert records[-1].state.numbers == (1, 2)


def test_results_of_workers_count_only_while_their_command_is_open():
    worker = Address("work", "n.git.k")
    stray = Mail(ME, Envelope(worker, (letter(Add(n=1), "x.r", "x"),)), "e", 1, NOON)
    assert transition(ACTOR, None, stray).state.numbers == ()


def test_one_that_has_ended_refuses_commands_and_is_silent_to_events():
    records = play(
        mail(1, Leave()),
        mail(2, Add(n=1), sender=OTHER),
        mail(3, Added(n=1), sender=OTHER),
        mail(4, Begin()),
    )
    assert [out.letters[0].name for out in records[1].outbox] == [Refusal.name]
    assert records[2].outbox == ()
    assert not records[3].stopped


def test_sixty_four_watchers_and_not_one_more():
    everybody = [Address("account", f"w{n}") for n in range(70)]
    (record,) = play(mail(1, *(Watch(watcher=one) for one in everybody)))
    assert record.watchers == tuple(everybody[-64:])
    assert play(mail(1, Watch(watcher=OTHER)), mail(2, Unwatch(watcher=OTHER)))[-1].watchers == ()


def test_who_asks_from_outside_is_answered_again_among_the_last_sixteen():
    mails = [mail(n, Add(n=n), inbox="in", id_=f"a{n}") for n in range(1, 20)]
    records = play(*mails, mail(20, Add(n=19), inbox="again", id_="a19"), mail(21, Add(n=1), inbox="again", id_="a1"))
    again = [out for out in records[19].outbox if isinstance(out, Answer)]
    assert (again[0].inbox, again[0].letter.open()) == ("again", SumView(numbers=tuple(range(1, 20))))
    assert records[19].state.numbers == tuple(range(1, 20))
    assert records[20].state.numbers[-1] == 1  # the first is forgotten by now


def test_old_marks_are_forgotten_after_seven_days():
    old = mail(1, Add(n=1), sender=OTHER, mark=Mark("e", 5))
    late = Mail(ME, Envelope(DOOR, (letter(Add(n=2), "late"),)), "e", 2, NOON + timedelta(days=8))
    assert str(OTHER) in play(old)[-1].marks
    assert play(old, late)[-1].marks == {}


def test_what_is_too_large_fails_the_step():
    with pytest.raises(StepFailed, match="256000 are allowed"):
        encode(ACTOR, transition(ACTOR, None, mail(1, Grow(size=300_000))), ACTOR.version)


def test_a_record_of_a_newer_version_is_not_read():
    record = Record[Account](version=2, state=Account(), at=NOON)
    with pytest.raises(Unreadable, match="upgrade this host"):
        decode(ACTOR, record.model_dump_json().encode())


def test_an_asker_can_be_kept_in_a_state_and_read_again():
    assert Asker(OTHER, "1") == Asker(Address("account", "other"), "1", "")


def fired(seq, generation):
    timers = Address("timer", "test")
    return Mail(ME, Envelope(timers, (letter(Fired(), "f"),), fire=Fire("t", generation)), "e", seq, NOON)


def test_only_the_setting_of_a_timer_that_runs_is_heard_and_only_once():
    set_twice = play(mail(1, Wait(seconds=1, n=1)), mail(2, Wait(seconds=2, n=2)))[-1]
    assert set_twice.outbox == (
        DropTimer(timer="t", generation=1),
        SetTimer(timer="t", generation=2, due=NOON + timedelta(seconds=4)),
    )
    assert transition(ACTOR, set_twice, fired(3, 1)) is None
    heard = transition(ACTOR, set_twice, fired(3, 2))
    assert (heard.state.numbers, heard.timers) == ((2,), {})
    assert transition(ACTOR, heard, fired(4, 2)) is None


def test_a_timer_that_was_cancelled_is_not_heard_however_late_it_fires():
    records = play(mail(1, Wait(seconds=1, n=1)), mail(2, Forget()), mail(3, Wait(seconds=1, n=3)))
    assert transition(ACTOR, records[1], fired(4, 1)) is None
    assert transition(ACTOR, records[2], fired(4, 1)) is None
    assert transition(ACTOR, records[2], fired(4, 2)).state.numbers == (3,)


def test_one_that_fails_too_often_rests_until_it_is_released():
    record = None
    for seq in (1, 2, 3):
        assert not (record and record.quarantine)
        record = failed(ACTOR, record, mail(seq, Add(n=seq)), "boom")
    assert [out.letter.name for out in record.outbox] == [Quarantined.name]
    late = mail(4, Add(n=4))
    assert resting(record, late)
    record = parked(record, late)
    assert (record.last, record.outbox, record.state.numbers) == (4, (), ())
    release = mail(5, Release())
    assert not resting(record, release)
    record = transition(ACTOR, record, release)
    assert (record.quarantine, record.failures) == ("", ())
    assert not resting(record, mail(6, Add(n=6)))


def test_failures_that_are_long_past_are_forgiven():
    record = None
    for seq in (1, 100, 200, 300):
        record = failed(ACTOR, record, mail(seq, Add(n=seq)), "boom")
    assert (len(record.failures), record.quarantine) == (1, "")


def test_what_was_given_up_is_heard_of_and_is_not_in_the_outbox_any_more():
    said = transition(ACTOR, None, mail(1, Add(n=1, then=OTHER)))
    (parcel,) = (out for out in said.outbox if isinstance(out, Parcel))
    heard = undelivered(ACTOR, said, mail(1, Add(n=1, then=OTHER)), ((parcel, "full"),))
    assert (heard.state.numbers, heard.state.lost, heard.outbox, heard.last) == ((1,), 1, (), 1)


def test_a_timer_that_came_due_while_its_actor_rested_is_set_again_when_it_goes_on():
    (waiting,) = play(mail(1, Wait(seconds=5, n=9)))
    resting = waiting.model_copy(update={"quarantine": "it failed", "outbox": ()})
    going = transition(ACTOR, resting, mail(2, Release()))
    assert going.quarantine == ""
    (again,) = (out for out in going.outbox if isinstance(out, SetTimer))
    assert (again.timer, again.generation) == ("t", waiting.timers["t"].generation)
