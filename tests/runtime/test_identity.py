"""What a key says of itself is believed only as far as the key goes."""

import pytest

from actors.runtime.nats.identity import Forged, believe, private_id, voice_of
from protocol.address import Address, worker
from protocol.chat import Left, Said
from protocol.envelope import Envelope, Fire, Letter, Mark, letter
from protocol.errors import Unreadable
from protocol.message import Message
from protocol.node import Exited, Heeded, Signal, Unwatch, Watch
from protocol.work import Failed

HUB = Address("hub", "main")
MARK, FIRE = Mark("e1", 7), Fire("deadline", 3)
CUSTODY = worker("n1", "custody", "p1")
EXITED = Exited(proc="p1", code=0, lines=3)


def said(*, sender: Address = HUB, message: Message | None = None, **more) -> Envelope:
    return Envelope(sender, (letter(message or Said(text="hello"), "m1"),), **more)


def test_a_host_is_believed_as_it_is():
    envelope = said(cause="c", person="telegram:42", inbox="_INBOX_cli.a", mark=MARK, fire=FIRE)
    assert believe("mail", envelope) is envelope


def test_the_sender_is_the_door_whatever_the_header_says():
    assert believe("said_telegram", said(sender=HUB)).sender == Address("door", "telegram")
    assert believe("said_cli", said(sender=Address("door", "telegram"))).sender == Address("door", "cli")


def test_a_door_has_no_marks_no_timers_no_causes_and_answers_nothing():
    one = Letter("m1", "chat.Left", Left().model_dump_json(), re="somebody's question")
    found = believe("said_telegram", Envelope(HUB, (one,), cause="c", mark=MARK, fire=FIRE))
    assert (found.mark, found.fire, found.cause, found.letters[0].re) == (None, None, "", "")


def test_a_door_speaks_for_its_own_people_or_for_nobody():
    assert believe("said_telegram", said(person="telegram:42")).person == "telegram:42"
    assert believe("said_telegram", said()).person == ""
    for person in ("cli:root", "telegramm:42", "42", "telegram", " telegram:42", f"telegram:{'x' * 300}"):
        with pytest.raises(Forged, match=r"^telegram may not speak for '"):
            believe("said_telegram", said(person=person))


def test_a_door_is_answered_in_its_own_inboxes_only():
    assert believe("said_cli", said(inbox="_INBOX_cli.aB-_9.x")).inbox == "_INBOX_cli.aB-_9.x"
    for inbox in (
        "_INBOX_host.a",
        "_INBOX_clix.a",
        "_INBOX_cli",
        "_INBOX_cli.",
        "_INBOX_cli.>",
        "_INBOX_cli.*",
        "_INBOX_cli.a b",
        "_INBOX_cli.a\n",
        "$KV.STATE.hub.main",
        "car.mail.hub.main",
    ):
        with pytest.raises(Forged, match=r"only inboxes of its own$"):
            believe("said_cli", said(inbox=inbox))


def test_the_ids_of_two_doors_never_meet_nor_those_of_an_actor():
    ids = {believe(voice, said()).id for voice in ("mail", "said_cli", "said_telegram")}
    assert len(ids) == 3
    assert believe("said_cli", said()).id == believe("said_cli", said()).id


@pytest.mark.parametrize("id_", ["", "a b", "x" * 201, "a\x00", "ä", "a\n"])
def test_an_id_that_a_record_could_not_hold_is_refused(id_):
    one = Letter(id_, "chat.Left", "{}")
    for voice in ("said_telegram", "said_custodian"):
        with pytest.raises(Forged):
            believe(voice, Envelope(CUSTODY, (one,)))


@pytest.mark.parametrize("message", [EXITED, Failed(what="x"), Watch(), Watch(watcher=HUB), Unwatch()])
def test_a_door_says_wishes_and_never_what_happened_nor_who_is_to_hear_of_it(message):
    with pytest.raises(Forged, match=f"may not say {message.name}"):
        believe("said_telegram", said(message=message))


def test_one_lie_among_many_letters_is_found():
    letters = (letter(Left(), "m1"), letter(EXITED, "m2"))
    with pytest.raises(Forged):
        believe("said_telegram", Envelope(HUB, letters))


def test_a_message_of_a_newer_version_is_left_to_whoever_opens_it():
    one = Letter("m1", "chat.Whispered", "{}")
    assert believe("said_telegram", Envelope(HUB, (one,))).letters[0].name == "chat.Whispered"


def test_a_custodian_tells_as_a_worker_of_custody_what_happened():
    answers = Envelope(CUSTODY, (letter(Heeded(proc="p1"), "w1.r", "w1"),), cause="w1", mark=MARK, fire=FIRE)
    found = believe("said_custodian", answers)
    assert (found.sender, found.letters, found.mark, found.fire) == (CUSTODY, answers.letters, None, None)
    by_id = worker("n_1", "n_1-4711-90210", "p1")
    assert believe("said_custodian", said(sender=by_id, message=EXITED)).sender == by_id


def test_a_custodian_is_nobody_else():
    for sender in (
        HUB,
        Address("session", "s1"),
        Address("door", "cli"),
        worker("n1", "git", "k"),
        worker("n1", "n2-1-2", "k"),
        worker("n1", "custodyx", "k"),
        Address("work", "n1.custody"),
        Address("custodian", "n1"),
    ):
        with pytest.raises(Forged, match=f"^a custodian may not speak as {sender}$"):
            believe("said_custodian", said(sender=sender, message=EXITED))


def test_a_custodian_wishes_nothing_and_speaks_for_no_person():
    with pytest.raises(Forged, match=r"may not say node\.Signal"):
        believe("said_custodian", said(sender=CUSTODY, message=Signal(proc="p", signal="SIGINT")))
    found = believe("said_custodian", said(sender=CUSTODY, message=EXITED, person="cli:root", inbox="_INBOX_host.a"))
    assert (found.person, found.inbox) == ("", "")


@pytest.mark.parametrize("voice", ["", "fired", "said_", "said", "Mail", "mail ", "said_Telegram", "said_a.b"])
def test_an_unknown_voice_is_nobody(voice):
    with pytest.raises(Unreadable, match=r"^nobody speaks with the voice"):
        believe(voice, said())


def test_whoever_asks_is_named_by_the_account_that_the_server_names():
    assert voice_of({}) == "mail"
    assert voice_of({"Nats-Request-Info": '{"acc":"CAR_CLI","rtt":288270}'}) == "said_cli"
    for broken in ("", "[]", "{}", "7", "{"):
        assert voice_of({"Nats-Request-Info": broken}) == "mail"


def test_an_id_for_the_server_cannot_be_guessed_without_the_key():
    mine, theirs = private_id("SUA1", "run/r1:r1.deadline.3"), private_id("SUA2", "run/r1:r1.deadline.3")
    assert mine != theirs
    assert mine == private_id("SUA1", "run/r1:r1.deadline.3")
    assert "SUA1" not in mine
    assert private_id("", "x") == "x"
