"""How dead letters look in a terminal: a list of them, one of them, and what was done with them."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from pydantic import BaseModel
from rich.cells import cell_len, set_cell_size
from rich.console import Console

from bridges.cli.amount import clip, size, span
from bridges.cli.view import columns, count
from protocol.dead import DeadDropped, DeadLetter, DeadList, DeadRetried, DeadView

SHOWN = 8
"""Letters that are named one by one after a command."""
_WHY = 70


class Trouble(BaseModel):
    """A letter with which nothing was done, and why."""

    seq: int
    why: str


class Outcome(BaseModel):
    """What was done with each letter. ``trouble`` is what ended it, where not all was done."""

    retried: tuple[DeadRetried, ...] = ()
    dropped: tuple[DeadDropped, ...] = ()
    refused: tuple[Trouble, ...] = ()
    trouble: str = ""


def told(outcome: Outcome) -> Iterator[str]:
    """Say what was done."""
    gone = [one.seq for one in outcome.retried if one.gone] + [one.seq for one in outcome.dropped if one.gone]
    for to in dict.fromkeys(one.to for one in outcome.retried if not one.gone):
        mine = [one for one in outcome.retried if one.to == to and not one.gone]
        rested = ", which rested and goes on" if any(one.released for one in mine) else ""
        yield f"✓ retried {numbers([one.seq for one in mine])}: on the way to {to}{rested}"
    if dropped := [one.seq for one in outcome.dropped if not one.gone]:
        yield f"✓ dropped {numbers(dropped)}"
    if gone:
        yield f"{numbers(gone)} {'is' if len(gone) == 1 else 'are'} gone already"
    if not (outcome.retried or outcome.dropped or outcome.refused or outcome.trouble):
        yield "There is no such dead letter."


def numbers(seqs: list[int]) -> str:
    """Name letters by their numbers, but not all of very many."""
    more = f" and {len(seqs) - SHOWN} more" if len(seqs) > SHOWN else ""
    return ", ".join(map(str, seqs[:SHOWN])) + more


def listed(seen: DeadList) -> Iterator[str]:
    """Say which letters there are, and who rests."""
    now = datetime.now(UTC)
    if not seen.letters:
        yield "There is no dead letter." if not seen.total else "There is no dead letter after that one."
    else:
        yield f"**{count(seen.total, 'dead letter')}**"
        names = ("  seq", "age", "to", "from", "message", "why")
        yield from _fit(columns([names, *(_row(one, now) for one in seen.letters)]))
    if seen.next:
        yield f"  there are more, type: car dead list --after {seen.next - 1}"
    if seen.resting:
        yield ""
        yield "At rest, since they failed too often; whoever is retried a letter goes on:"
        yield from _fit(columns([(f"  {one.who}", clip(one.why, _WHY)) for one in seen.resting]))
    if seen.letters:
        yield ""
        yield "type: car dead show SEQ, car dead retry SEQ, car dead drop SEQ"


def _row(one: DeadLetter, now: datetime) -> tuple[str, ...]:
    age = span((now - one.at).total_seconds())
    return (f"  {one.seq}", age, one.to, one.sender, _names(one), clip(one.why, _WHY))


def _fit(lines: Iterable[str]) -> Iterator[str]:
    """Cut rows that a terminal would break in two."""
    console = Console()
    for line in lines:
        yield set_cell_size(line, console.width) if console.is_terminal and cell_len(line) > console.width else line


def _names(one: DeadLetter) -> str:
    if one.raw:
        return f"{size(one.size)} that nobody can read"
    more = f" +{len(one.names) - 1}" if len(one.names) > 1 else ""
    return f"{one.names[0] if one.names else ''}{more}"


def head(seen: DeadView) -> Iterator[str]:
    """Say whose a letter is and why it is dead."""
    one = seen.letter
    age = span((datetime.now(UTC) - one.at).total_seconds())
    yield f"**dead letter {one.seq}** to {one.to}, {age} ago, {size(one.size)}"
    facts = (
        ("  why", one.why),
        ("  from", one.sender),
        ("  person", seen.person),
        ("  cause", seen.cause),
    )
    yield from columns([fact for fact in facts if fact[1]])


def body(seen: DeadView) -> Iterator[str]:
    """Return what stands in a letter, as others have written it."""
    if seen.letter.raw:
        yield ""
        yield "Nobody can read it. It can be retried only as it is:"
        yield from seen.headers
        yield seen.raw
        yield from _cut(seen.cut)
    for one in seen.bodies:
        yield ""
        yield f"{one.name} {one.id}{f', an answer to {one.re}' if one.re else ''}"
        yield one.text
        yield from _cut(one.cut)


def _cut(left_out: int) -> Iterator[str]:
    if left_out:
        yield f"… {left_out} characters more are not shown"
