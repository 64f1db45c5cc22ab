"""The checker of the chaos must be able to fail: a history that is whole, and what it says of each way to break it."""

import json
from dataclasses import replace

import pytest

from tests.chaos.cast import WEALTH, Being
from tests.chaos.check import check, heard_in_all
from tests.chaos.history import Accepted, Dead, Fact, History, Log
from tests.chaos.tally import Tally, add, numbers, rolled
from tests.chaos.watch import Watch

COUNTER, ACCOUNT, OTHER, CLOCK = "counter/c", "account/a", "account/b", "clock/c"
TALKER, CHILD, PARENT, PUSHER, SLOW = "talker/t", "child/p", "parent/p", "pusher/p", "slow/s"


def tally(*heard: int) -> Tally:
    one = Tally()
    for n in heard:
        one = one.heard(n)
    return one


def told(*numbers_: int) -> list[Accepted]:
    return [Accepted(n, 100 + n, float(n)) for n in numbers_]


def whole() -> History:
    """Return a history in which nothing is wrong, with something of each kind in it."""
    history = History(accounts=2)
    history.accepted[("t0", COUNTER)] = told(1, 2, 3)
    history.accepted[("pour", SLOW)] = told(2, 1, 5)
    history.lives["child/p"] = [("raise", 1), ("poke", 1), ("end", 1), ("poke", 1), ("raise", 2), ("end", 2)]
    history.facts[TALKER] = [Fact("Fact", {"n": n}) for n in (1, 2, 3)]
    history.facts[CHILD] = [
        Fact("Born", {"life": 1}),
        Fact("Ended", {"life": 1, "pokes": 1}),
        Fact("Born", {"life": 2}),
        Fact("Ended", {"life": 2, "pokes": 0}),
    ]
    history.accepted[("fails", COUNTER)] = told(1)
    history.dead = [
        Dead(COUNTER, "fails-counter-c-1", "boom"),
        Dead(SLOW, "p-2", "given up: full"),
        Dead("out/chaos.s", "s-9", "given up: full"),
    ]
    history.beings = {
        COUNTER: Being(heard={"t0": tally(1, 2, 3)}),
        ACCOUNT: Being(balance=WEALTH - 7, said={OTHER: 2}),
        OTHER: Being(balance=WEALTH + 7, heard={ACCOUNT: tally(1, 2)}),
        CLOCK: Being(said={"timer/all": 3}, rang=((1, 1), (3, 3)), dropped=((2, 2),)),
        TALKER: Being(facts=3),
        PARENT: Being(refused=1),
        PUSHER: Being(said={SLOW: 3}, given_up=(f"{SLOW} p-2",)),
        SLOW: Being(heard={PUSHER: tally(1, 3), "pour": tally(1, 2, 5)}, given_up=("out/chaos.s s-9",)),
    }
    return history


def kinds(history: History) -> set[str]:
    return {one.kind for one in check(history)}


def change(history: History, who: str, **to: object) -> History:
    history.beings[who] = replace(history.beings[who], **to)
    return history


def test_nothing_is_found_in_a_whole_history_and_all_of_it_is_counted():
    assert check(whole()) == []
    assert heard_in_all(whole()) == 3 + 2 + 2 + 3 + 2 + (1 + 2 + 1 + 1)


@pytest.mark.parametrize(
    ("broken", "kind", "who", "text"),
    [
        (lambda h: change(h, COUNTER, heard={"t0": tally(1, 3)}), "lost", COUNTER, "told 2; it was accepted as 102"),
        (lambda h: change(h, COUNTER, heard={"t0": tally(1, 2, 2, 3)}), "doubled", COUNTER, "said again"),
        (lambda h: change(h, COUNTER, heard={"t0": tally(1, 3, 2)}), "reordered", COUNTER, "said late"),
        (lambda h: change(h, OTHER, heard={ACCOUNT: tally(1)}), "lost", OTHER, "account/a said 2"),
        (lambda h: change(h, OTHER, heard={ACCOUNT: tally(1, 2, 2)}), "doubled", OTHER, "account/a said again"),
        (lambda h: change(h, OTHER, balance=WEALTH), "sum", "account", "hold 1993, not 2000"),
        (lambda h: change(h, CLOCK, rang=((1, 1),)), "lost", CLOCK, "timers 3 never rang"),
        (lambda h: change(h, CLOCK, dropped=((2, 3),)), "late", CLOCK, "rang though dropped: 3"),
        (lambda h: change(h, TALKER, facts=4), "lost", TALKER, "published 4, not kept"),
        (lambda h: h.facts[TALKER].append(Fact("Fact", {"n": 3})) or h, "doubled", TALKER, "more than once: 3"),
        (lambda h: h.facts[TALKER].reverse() or h, "reordered", TALKER, "too late: 1, 2"),
        (lambda h: h.facts[CHILD].append(Fact("Born", {"life": 3})) or h, "life", CHILD, "lived [('Born', 3, 0)]"),
        (lambda h: h.facts[CHILD].pop() and h, "life", CHILD, "was to live [('Ended', 2, 0)]"),
        (lambda h: change(h, PARENT, refused=2), "life", CHILD, "spoke to the dead 1 times and was told so 2"),
        (lambda h: h.dead.append(Dead(COUNTER, "t0-1", "a bug")) or h, "dead", COUNTER, "is in DEAD: a bug"),
        (lambda h: h.dead.append(h.dead[1]) or h, "doubled", SLOW, "p-2 is 2 times in DEAD"),
        (lambda h: h.dead.pop(0) and h, "lost", COUNTER, "failed on counter/c fails-counter-c-1, which is not in DEAD"),
        (lambda h: change(h, PUSHER, given_up=()), "dead", SLOW, "p-2 is in DEAD: given up"),
        (
            lambda h: change(h, SLOW, heard={**h.beings[SLOW].heard, PUSHER: tally(1, 2, 3)}),
            "doubled",
            SLOW,
            "gave up 2",
        ),
        (
            lambda h: change(h, SLOW, heard={**h.beings[SLOW].heard, "pour": tally(1, 2, 3, 5)}),
            "odd",
            SLOW,
            "refused 3",
        ),
        (lambda h: h.left.update(MAIL=2) or h, "left", "MAIL", "2 are still there"),
    ],
)
def test_a_broken_history_is_named(broken, kind, who, text):
    found = [one for one in check(broken(whole())) if one.kind == kind]
    assert any(one.actor == who and text in one.text for one in found), (found, check(broken(whole())))


def test_who_was_not_answered_may_have_been_heard():
    history = change(whole(), SLOW, heard={PUSHER: tally(1, 3), "pour": tally(1, 2, 4, 5)})
    history.unsure[("pour", SLOW)].add(4)
    assert check(history) == []


def test_two_that_changed_places_are_found_though_none_is_missing():
    assert kinds(change(whole(), COUNTER, heard={"t0": replace(tally(1, 2, 3), hash=rolled((2, 1, 3)))})) == {
        "reordered"
    }


def test_numbers_are_kept_as_runs():
    runs = ()
    for n in (5, 1, 2, 9, 3, 5):
        runs = add(runs, n)
    assert runs == ((1, 3), (5, 5), (9, 9))
    assert numbers(runs) == {1, 2, 3, 5, 9}


# what is seen while it goes on


def watching(tmp_path, *writes, wrong=(), kind="counter", unseen=0):
    """Let a watch see writes of one actor, each (last, turn, stopped); return what it has found."""
    log = Log(tmp_path / "log")
    watch = Watch(History(), log)
    for revision, (last, turn, stopped) in enumerate(writes, 1):
        being = {"turn": turn, "by": "h0-1", "wrong": list(wrong), "heard": {}}
        record = {"state": being, "last": last, "stopped": stopped}
        headers = {"Nats-Sequence": str(revision), "Nats-Last-Sequence": str(revision - 1 - unseen)}
        watch.see(f"{kind}/c", headers, json.dumps(record).encode())
    log.close()
    return [(one.kind, one.text) for one in watch.history.found]


@pytest.mark.parametrize(
    "writes",
    [
        pytest.param(((5, 1, False), (7, 2, False), (6, 2, False)), id="over a newer mail"),
        pytest.param(((5, 1, False), (5, 1, False)), id="of the same step by two hosts"),
        pytest.param(((5, 3, False), (9, 2, False)), id="on from an older state"),
    ],
)
def test_a_write_of_a_fenced_host_is_found(tmp_path, writes):
    assert [kind for kind, _ in watching(tmp_path, *writes)] == ["fenced"]


def test_a_new_life_begins_with_its_first_step(tmp_path):
    assert watching(tmp_path, (5, 3, True), (9, 1, False)) == []


def test_a_life_whose_end_was_not_seen_is_not_taken_for_an_older_state(tmp_path):
    writes = (5, 3, False), (9, 1, False)
    assert watching(tmp_path, *writes, kind="child", unseen=1) == []
    assert [one for one, _ in watching(tmp_path, *writes, kind="child")] == ["fenced"]
    assert [one for one, _ in watching(tmp_path, *writes, kind="counter", unseen=1)] == ["fenced"]


def test_who_hears_that_something_was_given_up_writes_twice_over_one_mail(tmp_path):
    assert watching(tmp_path, (5, 3, False), (5, 4, False), (6, 5, True)) == []


def test_what_an_actor_says_is_wrong_is_found_once(tmp_path):
    found = watching(tmp_path, (5, 1, False), (6, 2, False), wrong=["early: timer t rang 3 ms early"])
    assert found == [("early", "timer t rang 3 ms early")]
