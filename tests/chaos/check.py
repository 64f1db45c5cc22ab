"""The history checker: pure, from what was accepted and what became of it to what must not be.

Each finding has a kind: ``lost`` ``doubled`` ``reordered`` ``fenced`` ``early`` (a timer) ``late`` (a timer after its
cancel) ``life`` (a dead actor woken, or a life not lived) ``sum`` ``dead`` (in DEAD without a reason) ``left`` (never
came to rest) ``odd`` (anything else).
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise

from tests.chaos.cast import CLOCK, WEALTH, Being
from tests.chaos.history import FAILS, Finding, History
from tests.chaos.tally import Tally, numbers, rolled

_NOBODY = Being()
POURS = "pour"
"""Who tells many things at once and may be refused: in no order."""


def check(history: History) -> list[Finding]:
    """Return all that is wrong."""
    return [
        *history.found,
        *_told(history),
        *_said(history),
        *_watched(history),
        *_timers(history),
        *_sum(history),
        *_lives(history),
        *_facts(history),
        *_dead(history),
        *(
            Finding("left", stream, f"{count} are still there", count)
            for stream, count in history.left.items()
            if count
        ),
    ]


def heard_in_all(history: History) -> int:
    """Count the messages that were heard, and checked one by one."""
    beings = history.beings.values()
    tallies = sum(tally.count for being in beings for tally in being.heard.values())
    rang = sum(len(numbers(being.rang)) for being in beings)
    lived = sum(
        1 + fact.body.get("pokes", 0) for facts in history.facts.values() for fact in facts if "life" in fact.body
    )
    return tallies + rang + lived


def _told(history: History) -> Iterator[Finding]:
    """What was accepted from outside: each once, and in order."""
    for (by, actor), accepted in history.accepted.items():
        if by == FAILS:
            continue
        tally = history.beings.get(actor, _NOBODY).heard.get(by, Tally())
        order = [one.n for one in accepted]
        for n in sorted(set(order) - numbers(tally.runs)):
            seq = next(one.seq for one in accepted if one.n == n)
            yield Finding("lost", actor, f"{by} told {n}; it was accepted as {seq} and never heard", seq=seq)
        more = numbers(tally.runs) - set(order) - history.unsure.get((by, actor), set())
        if more:
            yield Finding("odd", actor, f"{by} was refused {_few(more)}, and yet they were heard", len(more))
        tally = replace(tally, reordered=0, hash=rolled(order)) if by == POURS else tally
        yield from _tally(actor, by, tally)
        wrong = more or tally.doubled or tally.reordered or tally.count != len(order)
        if not wrong and tally.hash != rolled(order):
            yield Finding("reordered", actor, f"heard {by} in another order than it told")
    for actor, being in history.beings.items():
        for by, tally in being.heard.items():
            if "/" not in by and (by, actor) not in history.accepted:
                yield Finding("odd", actor, f"heard {by}, who told nothing: {tally}")


def _said(history: History) -> Iterator[Finding]:
    """What actors told each other, and workers: all of it but what was given up, and of that nothing."""
    for actor, being in history.beings.items():
        for to, count in being.said.items():
            kind = to.partition("/")[0]
            if kind in ("timer", "out", "child"):
                continue
            hearer, by = (actor, to) if kind == "work" else (to, actor)
            tally = history.beings.get(hearer, _NOBODY).heard.get(by, Tally())
            given_up = _given_up(being, to)
            yield from _whole(hearer, by, tally, set(range(1, count + 1)) - given_up)
            if both := numbers(tally.runs) & given_up:
                yield Finding("doubled", hearer, f"{by} gave up {_few(both)}, and yet they were heard", len(both))


def _watched(history: History) -> Iterator[Finding]:
    for actor, watcher in history.watchers:
        tally = history.beings.get(watcher, _NOBODY).heard.get(actor, Tally())
        yield from _whole(watcher, actor, tally, set(range(1, history.beings.get(actor, _NOBODY).facts + 1)))


def _whole(hearer: str, by: str, tally: Tally, wanted: set[int]) -> Iterator[Finding]:
    heard = numbers(tally.runs)
    if missing := wanted - heard:
        yield Finding("lost", hearer, f"{by} said {_few(missing)}, never heard", len(missing))
    yield from _tally(hearer, by, tally)


def _tally(hearer: str, by: str, tally: Tally) -> Iterator[Finding]:
    if tally.doubled:
        yield Finding("doubled", hearer, f"heard {tally.doubled} of what {by} said again: {tally}", tally.doubled)
    if tally.reordered:
        yield Finding("reordered", hearer, f"heard {tally.reordered} of what {by} said late: {tally}", tally.reordered)


def _timers(history: History) -> Iterator[Finding]:
    for actor, being in history.beings.items():
        rang, dropped = numbers(being.rang), numbers(being.dropped)
        if both := rang & dropped:
            yield Finding("late", actor, f"rang though dropped: {_few(both)}", len(both))
        if silent := set(range(1, being.said.get(str(CLOCK), 0) + 1)) - rang - dropped:
            yield Finding(
                "lost", actor, f"timers {_few(silent)} never rang; what still runs: {being.running}", len(silent)
            )


def _sum(history: History) -> Iterator[Finding]:
    born = [being.balance for actor, being in history.beings.items() if actor.startswith("account/")]
    total = sum(born) + WEALTH * (history.accounts - len(born))
    if total != WEALTH * history.accounts:
        yield Finding("sum", "account", f"the accounts hold {total}, not {WEALTH * history.accounts}")


def _lives(history: History) -> Iterator[Finding]:
    """Each life is lived as it was told, and nothing that came after an end has had an effect."""
    for child, told in history.lives.items():
        wanted: list[tuple[str, int, int]] = []
        alive, pokes, in_vain = 0, 0, 0
        for deed, life in told:
            if deed == "raise":
                alive, pokes = life, 0
                wanted.append(("Born", life, 0))
            elif deed == "poke" and alive == life:
                pokes += 1
            elif deed == "end" and alive == life:
                wanted.append(("Ended", life, pokes))
                alive = 0
            else:
                in_vain += 1
        lived = [(fact.name, fact.body["life"], fact.body.get("pokes", 0)) for fact in history.facts.get(child, [])]
        if lived != wanted:
            same = (n for n, pair in enumerate(zip(lived, wanted, strict=False)) if pair[0] != pair[1])
            at = next(same, min(len(lived), len(wanted)))
            yield Finding("life", child, f"was to live {wanted[at : at + 3]}, and lived {lived[at : at + 3]}")
        parent = f"parent/{child.partition('/')[2]}"
        if (heard := history.beings.get(parent, _NOBODY).refused) != in_vain:
            yield Finding("life", child, f"{parent} spoke to the dead {in_vain} times and was told so {heard} times")


def _facts(history: History) -> Iterator[Finding]:
    """Each fact is kept once, in order."""
    for actor, being in history.beings.items():
        kept = [fact.body["n"] for fact in history.facts.get(actor, []) if "n" in fact.body]
        missing = set(range(1, being.facts + 1)) - set(kept)
        if missing and not actor.startswith("child/"):
            yield Finding("lost", actor, f"published {_few(missing)}, not kept in EVENT", len(missing))
        if len(kept) > len(set(kept)):
            twice = {n for n in kept if kept.count(n) > 1}
            yield Finding("doubled", actor, f"kept in EVENT more than once: {_few(twice)}", len(kept) - len(set(kept)))
        elif kept != sorted(kept):
            late = {two for one, two in pairwise(kept) if two < one}
            yield Finding("reordered", actor, f"kept in EVENT too late: {_few(late)}", len(late))


def _dead(history: History) -> Iterator[Finding]:
    """DEAD holds what steps failed on and what was given up before a full mailbox, each once, and nothing else.

    A host that is killed right after it has written so leaves no copy there: the actor was told, which is the promise.
    """
    given_up = {text for being in history.beings.values() for text in being.given_up}
    failed = {
        f"{actor} {by}-{actor.replace('/', '-')}-{one.n}"
        for (by, actor), accepted in history.accepted.items()
        if by == FAILS
        for one in accepted
    }
    for one in history.dead:
        if f"{one.to} {one.id}" not in given_up | failed:
            yield Finding("dead", one.to, f"{one.id} is in DEAD: {one.why}")
    kept = Counter(f"{one.to} {one.id}" for one in history.dead)
    for text in sorted(failed - set(kept)):
        yield Finding("lost", text.partition(" ")[0], f"its step failed on {text}, which is not in DEAD")
    for text, count in kept.items():
        if count > 1:
            yield Finding("doubled", text.partition(" ")[0], f"{text} is {count} times in DEAD", count - 1)


def _given_up(being: Being, to: str) -> set[int]:
    return {int(text.rpartition("-")[2]) for text in being.given_up if text.startswith(f"{to} ")}


def _few(some: Iterable[int]) -> str:
    ordered = sorted(some)
    return ", ".join(map(str, ordered[:6])) + (f" and {len(ordered) - 6} more" if len(ordered) > 6 else "")
