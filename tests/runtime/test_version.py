"""Records of all versions are read by the newest, and written so that every host alive can read them."""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.runtime.actor import NoWayDown
from actors.runtime.record import Record
from actors.runtime.shape import Newer, StepFailed, decode, encode
from protocol.errors import Unreadable
from tests.runtime.purse import ONE, Purse
from tests.runtime.store import FOLDER, leaves, names
from tests.runtime.wallet import FIRST, THREE, TWO, Bank, Wallet
from tests.search import search

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
STORED = sorted(FOLDER.glob("*.json"))
CENTS = st.lists(st.integers(0, 10**6).map(lambda coins: coins * 100), max_size=5).map(tuple)
TEXTS = st.text(max_size=5)


def record(version, state):
    return Record[type(state)](version=version, state=state, at=NOON)


def version_of(data):
    return json.loads(data)["version"]


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_what_was_stored_by_any_version_is_read_today_and_nothing_of_it_is_lost(path):
    actor, data = names()[path.name.partition(".")[0]], path.read_bytes()
    again = encode(actor, decode(actor, data), version_of(data))
    if version_of(again) == version_of(data):
        assert set(map(repr, leaves(json.loads(data)))) <= set(map(repr, leaves(json.loads(again))))
    else:
        assert decode(actor, again) == decode(actor, data)


def test_records_of_every_version_of_every_kind_are_kept():
    kept = {path.name.rpartition(".")[0].rpartition(".")[0] for path in STORED}
    wanted = {f"{name}.{version}" for name, actor in names().items() for version in range(1, actor.version + 1)}
    assert kept == wanted


@search(50)
@given(cents=CENTS, notes=st.lists(TEXTS.filter(bool), max_size=1).map(tuple))
def test_what_goes_down_comes_up_as_it_was(cents, notes):
    bank = record(3, Bank(cents, notes))
    for asked in (1, 2, 3):
        data = encode(THREE, bank, asked)
        assert decode(THREE, data) == bank
        assert version_of(data) == max(asked, 2 if notes else 1)
        assert decode(TWO, encode(THREE, bank, min(asked, 2))).state == Wallet(cents, "".join(notes))


@search(50)
@given(cents=st.lists(st.integers(0, 1000), max_size=3).map(tuple), notes=st.lists(TEXTS, max_size=3).map(tuple))
def test_no_state_is_written_so_that_something_of_it_is_lost(cents, notes):
    bank = record(3, Bank(cents, notes))
    for asked in (1, 2, 3):
        assert decode(THREE, encode(THREE, bank, asked)) == bank


def test_an_old_host_reads_what_is_written_for_it_as_it_always_did():
    data = encode(THREE, record(3, Bank((300, 400))), 1)
    assert version_of(data) == 1
    assert decode(ONE, data).state == Purse((3, 4))


def test_all_else_in_a_record_goes_down_and_up_unchanged():
    data = next(FOLDER.glob("purse.1.1.json")).read_bytes()
    old, new = decode(ONE, data), decode(THREE, data)
    own = {"state", "version"}
    assert new.model_dump(exclude=own) == old.model_dump(exclude=own)
    assert json.loads(encode(THREE, new, 1)) == json.loads(data)


def test_an_old_host_does_not_read_what_could_not_be_written_for_it():
    data = encode(TWO, record(2, Wallet((300,), "for the journey")), 1)
    assert version_of(data) == 2
    with pytest.raises(Newer, match="upgrade this host"):
        decode(ONE, data)


def test_a_version_before_all_that_is_known_is_never_asked_for_in_vain():
    assert version_of(encode(THREE, record(3, Bank((300,))), 0)) == 1
    alone = replace(THREE, former=None)
    assert version_of(encode(alone, record(3, Bank((300,))), 1)) == 3
    short = replace(THREE, former=replace(THREE.former, before=None))
    assert version_of(encode(short, record(3, Bank((300,))), 1)) == 2
    for actor in (alone, short):
        with pytest.raises(Unreadable, match="upgrade by way of the versions between"):
            decode(actor, encode(ONE, record(1, Purse((3,))), 1))


def test_a_way_down_that_has_a_bug_is_not_taken_and_one_up_leaves_the_record_as_it_is():
    def bug(_):
        raise KeyError("bug")

    down = replace(TWO, former=replace(FIRST, sink=bug))
    assert version_of(encode(down, record(2, Wallet((300,))), 1)) == 2
    up = replace(TWO, former=replace(FIRST, rise=bug))
    with pytest.raises(Unreadable, match="cannot be brought up: KeyError: 'bug'"):
        decode(up, encode(ONE, record(1, Purse((3,))), 1))


def test_a_way_may_say_itself_that_it_cannot_go_down():
    def refuse(_):
        raise NoWayDown("not today")

    actor = replace(TWO, former=replace(FIRST, sink=refuse))
    assert version_of(encode(actor, record(2, Wallet()), 1)) == 2


def test_a_record_that_is_too_large_in_the_version_that_is_written_fails_the_step():
    with pytest.raises(StepFailed, match="100 are allowed"):
        encode(TWO, record(2, Wallet((300,))), 1, 100)


def test_what_a_record_of_the_same_version_has_more_is_passed_over():
    @dataclass(frozen=True, slots=True)
    class Richer:
        coins: tuple[int, ...]
        colour: str

    data = record(1, Richer((1, 2), "blue")).model_dump_json().encode()
    assert decode(ONE, data[:-1] + b',"weather":"fine"}').state == Purse((1, 2))


@pytest.mark.parametrize("data", [b"", b"[]", b'{"version":"new"}', b'{"version":1}', b'{"version":3,"state":7}'])
def test_bytes_that_are_no_record_are_unreadable(data):
    with pytest.raises(Unreadable, match="cannot be read"):
        decode(THREE, data)
