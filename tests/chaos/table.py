"""What came of the chaos, for people and (the last line) for programs."""

import json
from collections import Counter
from collections.abc import Iterator

from tests.chaos.driver import Outcome

NAMES = {
    "lost": "accepted and never heard",
    "doubled": "heard more than once",
    "reordered": "heard in another order",
    "fenced": "writes of fenced hosts accepted",
    "early": "timers that rang early",
    "late": "timers that rang after their cancel",
    "life": "dead actors woken, lives not lived",
    "sum": "sums of transfers that changed",
    "dead": "dead letters without a reason",
    "left": "never came to rest",
    "odd": "anything else",
}
SHOWN = 12
"""Findings that are shown whole."""


def lines(outcome: Outcome) -> Iterator[str]:
    """Yield the table."""
    counts, found = Counter(outcome.counts), _count(outcome)
    takeovers, late = outcome.takeovers, outcome.late_ms
    yield f"chaos: {outcome.seconds:.0f} s, {outcome.asked.hosts} hosts, seed {outcome.asked.seed}"
    yield ""
    yield from _rows(
        ("hosts killed (kill -9)", counts["kills"]),
        ("hosts frozen for longer than their lease", counts["pauses"]),
        ("wires cut", counts["cuts"]),
        ("wires stalled in one direction", counts["stalls"]),
        ("server ended and started again", counts["servers"]),
        ("disk made slow", counts["slow_disks"]),
        ("mailboxes filled", counts["fills"]),
        ("clocks set wrong", counts["shifts"]),
        ("hosts replaced by another release (SIGTERM)", counts["rolls"]),
        ("old mails repeated", counts["repeats"]),
    )
    yield ""
    yield from _rows(
        ("messages heard and checked", counts["messages"]),
        ("of these told from outside", counts["accepted"]),
        ("refused by a full mailbox, told at once", counts["refused"]),
        ("given up by an actor before a full mailbox", counts["given_up"]),
        ("writes of records watched", counts["writes_seen"]),
        ("holes in that, where the server was killed", counts["writes_unseen"]),
        ("writes that the compare-and-set refused", counts["writes_refused"]),
        ("hosts that ended by themselves", counts["died"]),
        ("tracebacks in the logs of hosts", counts["tracebacks"]),
    )
    yield from (f"  {count} times {what}"[:118] for what, count in outcome.tracebacks.most_common(6))
    yield ""
    yield from _rows(*((NAMES[kind], found[kind]) for kind in NAMES))
    yield ""
    if takeovers:
        measured = f"{len(takeovers.alone)} kills that came alone"
        yield from _rows(
            (f"take-over p50, s ({measured})", takeovers.p50), ("take-over, longest, s", takeovers.longest)
        )
        if takeovers.others:
            yield from _rows(
                (f"longest of {len(takeovers.others)} amid other faults, s", round(max(takeovers.others), 3))
            )
    if late:
        yield from _rows(("timers late: p50, ms", late[len(late) // 2]), ("timers late: longest, ms", late[-1]))
    if not counts["shifts"] and not outcome.counts.get("shifts"):
        yield "no clock was shifted: there is no C compiler here, or the run was too short"


def trouble(outcome: Outcome) -> Iterator[str]:
    """Yield what is wrong, and the history around it."""
    yield ""
    yield f"VIOLATED. To see it again: CHAOS_SEED={outcome.asked.seed} make chaos; all logs are in {outcome.folder}"
    shown: set[str] = set()
    for one in outcome.found[:SHOWN]:
        yield f"- {one.kind}: {one.actor}: {one.text}"
        if one.actor not in shown and len(shown) < SHOWN // 3:
            yield from (f"    {line}" for line in outcome.log.around(one.actor, one.seq))
        shown.add(one.actor)
    if len(outcome.found) > SHOWN:
        yield f"... and {len(outcome.found) - SHOWN} more"


def summary(outcome: Outcome) -> str:
    """Return the last line."""
    counts, found = Counter(outcome.counts), _count(outcome)
    takeovers, late = outcome.takeovers, outcome.late_ms
    return json.dumps(
        {
            "seconds": outcome.seconds,
            "seed": outcome.asked.seed,
            "kills": counts["kills"],
            "pauses": counts["pauses"],
            "cuts": counts["cuts"],
            "messages": counts["messages"],
            "lost": found["lost"],
            "doubled": found["doubled"],
            "reordered": found["reordered"],
            "fenced_writes_accepted": found["fenced"],
            "timers_early": found["early"],
            "takeover_p50_s": takeovers.p50 if takeovers else 0.0,
            "takeover_max_s": takeovers.longest if takeovers else 0.0,
            "timers_after_cancel": found["late"],
            "dead_woken": found["life"],
            "sums_changed": found["sum"],
            "dead_unexpected": found["dead"],
            "unsettled": found["left"],
            "odd": found["odd"],
            "hosts": outcome.asked.hosts,
            "accepted": counts["accepted"],
            "servers": counts["servers"],
            "stalls": counts["stalls"],
            "shifts": counts["shifts"],
            "rolls": counts["rolls"],
            "takeovers_measured": len(takeovers.alone) if takeovers else 0,
            "timer_late_p50_ms": late[len(late) // 2] if late else 0,
            "timer_late_max_ms": late[-1] if late else 0,
        }
    )


def _count(outcome: Outcome) -> Counter[str]:
    found: Counter[str] = Counter()
    for one in outcome.found:
        found[one.kind if one.kind in NAMES else "odd"] += one.count
    return found


def _rows(*rows: tuple[str, float]) -> Iterator[str]:
    for what, figure in rows:
        yield f"{what:50s} {figure:>10,}"
