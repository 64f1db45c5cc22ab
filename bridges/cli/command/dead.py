"""The commands ``car dead``: letters that could not be handled, and actors that rest since they failed too often."""

import sys
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from typing import Annotated

import typer

from actors.runtime.nats.dead import OFFICE, instruct
from actors.runtime.place import Hub, find_hub
from bridges.bridge import Door
from bridges.cli.complaint import complain
from bridges.cli.letter import SHOWN, Outcome, Trouble, body, head, listed, numbers, told
from bridges.cli.option import AsJson, HubPath
from bridges.cli.reach import NOBODY, enter, expect, person, play, view
from bridges.cli.show import clean
from bridges.cli.view import count, say, show
from protocol.address import address
from protocol.dead import (
    DeadDropped,
    DeadLetter,
    DeadList,
    DeadRetried,
    DeadView,
    DropDead,
    ListDead,
    RetryDead,
    ShowDead,
)
from protocol.errors import Refused, Unreachable, Unreadable
from protocol.message import Message
from protocol.node import Refusal

APP = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Letters that could not be handled.")
FAILED, REFUSED, UNREACHABLE = 1, 3, 4
PAGE = 100


Seq = Annotated[list[int] | None, typer.Argument(metavar="SEQ...", help="Numbers of letters.", show_default=False)]
To = Annotated[str, typer.Option("--to", metavar="ADDRESS", help="All to this receiver, such as run/ab12.")]
All = Annotated[bool, typer.Option("--all", help="All there are.")]


@APP.command("list")
def list_(
    *,
    to: To = "",
    kind: Annotated[str, typer.Option(metavar="KIND", help="Only to receivers of this kind, such as run.")] = "",
    after: Annotated[int, typer.Option(metavar="SEQ", help="Only those after this one.")] = 0,
    limit: Annotated[int, typer.Option(metavar="COUNT", min=1, max=PAGE, help="At most so many.")] = 50,
    hub: HubPath = None,
    as_json: AsJson = False,
) -> None:
    """Show which letters could not be handled, the oldest first, and who rests."""
    found, query = find_hub(hub), ListDead(start=after + 1, limit=limit, to=_receiver(to), kind=_kind(kind))

    async def look() -> DeadList:
        async with enter(found) as door:
            return await view(door, OFFICE, query, DeadList)

    seen = play(look())
    show(seen, listed(seen), as_json=as_json)


@APP.command("show")
def show_(
    seq: Annotated[int, typer.Argument(metavar="SEQ", help="The number of a letter.")],
    *,
    hub: HubPath = None,
    as_json: AsJson = False,
) -> None:
    """Show all that stands in a letter."""
    found = find_hub(hub)

    async def look() -> DeadView:
        async with enter(found) as door:
            return await view(door, OFFICE, ShowDead(seq=seq), DeadView)

    seen = play(look())
    show(seen, head(seen), as_json=as_json)
    if not as_json:
        # What others have written is shown as it is, without a look of its own.
        sys.stdout.write("".join(f"{clean(line)}\n" for line in body(seen)))


@APP.command()
def retry(seqs: Seq = None, *, to: To = "", all_: All = False, hub: HubPath = None, as_json: AsJson = False) -> None:
    """Say letters once more to those they were for; whoever rests goes on first."""
    found, query = find_hub(hub), _chosen(seqs, to, all_=all_)

    async def retry_all() -> Outcome:
        async with enter(found) as door:
            return await _do(door, [one async for one in _letters(door, seqs, query)], retries=True)

    _end(play(retry_all()), as_json=as_json)


@APP.command()
def drop(
    seqs: Seq = None,
    *,
    to: To = "",
    all_: All = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    hub: HubPath = None,
    as_json: AsJson = False,
) -> None:
    """Throw letters away for good."""
    found, query = find_hub(hub), _chosen(seqs, to, all_=all_)
    letters = play(_gather(found, seqs, query))
    if letters and not yes:
        _confirm(letters)

    async def drop_all() -> Outcome:
        async with enter(found) as door:
            return await _do(door, letters, retries=False)

    _end(play(drop_all()), as_json=as_json)


def _receiver(to: str) -> str:
    try:
        return str(address(to)) if to else ""
    except Unreadable as error:
        raise typer.BadParameter(str(error), param_hint="--to") from error


def _kind(kind: str) -> str:
    try:
        return address(f"{kind}/x").kind if kind else ""
    except Unreadable as error:
        raise typer.BadParameter(f"{kind!r} is no kind of receiver; one looks like run", param_hint="--kind") from error


def _chosen(seqs: list[int] | None, to: str, *, all_: bool) -> ListDead:
    """Return the question for the letters that are meant; there is one way to name them at a time."""
    if bool(seqs) + bool(to) + all_ != 1:
        raise typer.BadParameter("name letters by their numbers, or by --to ADDRESS, or by --all")
    return ListDead(to=_receiver(to), limit=PAGE)


async def _gather(hub: Hub, seqs: list[int] | None, query: ListDead) -> list[DeadLetter]:
    async with enter(hub) as door:
        return [one async for one in _letters(door, seqs, query)]


async def _letters(door: Door, seqs: list[int] | None, query: ListDead) -> AsyncIterator[DeadLetter]:
    """Yield the letters that are meant, the oldest first; of one that is not there only its number is known."""
    for seq in sorted(set(seqs or ())):
        there = (await view(door, OFFICE, ListDead(start=seq, limit=1), DeadList)).letters
        yield there[0] if there and there[0].seq == seq else _absent(seq)
    while not seqs:
        page = await view(door, OFFICE, query, DeadList)
        for one in page.letters:
            yield one
        if not page.next:
            return
        query = query.model_copy(update={"start": page.next})


def _absent(seq: int) -> DeadLetter:
    return DeadLetter(seq=seq, at=datetime.now(UTC), to="", why="", size=0)


async def _do(door: Door, letters: Iterable[DeadLetter], *, retries: bool) -> Outcome:
    """Do it one by one, so that each mailbox gets its letters in their order; end where nobody answers any more."""
    done: list[DeadRetried | DeadDropped] = []
    refused: list[Trouble] = []
    heard: set[str] = set()
    trouble = ""
    for one in letters:
        # Who rests goes on once: if they fail again, the letters that come after find them at rest.
        asked = RetryDead(seq=one.seq, release=one.to not in heard) if retries else DropDead(seq=one.seq)
        heard.add(one.to)
        try:
            done.append(_done(await _instruct(door, asked)))
        except Refused as error:
            refused.append(Trouble(seq=one.seq, why=str(error)))
        except Unreachable as error:
            trouble = str(error)
            break
    return Outcome(
        retried=tuple(one for one in done if isinstance(one, DeadRetried)),
        dropped=tuple(one for one in done if isinstance(one, DeadDropped)),
        refused=tuple(refused),
        trouble=trouble,
    )


async def _instruct(door: Door, asked: RetryDead | DropDead) -> Message:
    try:
        answer = await instruct(door.link, door.me, asked, person())
    except Unreachable as error:
        raise Unreachable(NOBODY) from error
    if isinstance(answer, Refusal):
        raise Unreachable(answer.text) if answer.unable else Refused(answer.text)
    return answer


def _done(answer: Message) -> DeadRetried | DeadDropped:
    return answer if isinstance(answer, DeadDropped) else expect(answer, DeadRetried)


def _confirm(letters: list[DeadLetter]) -> None:
    """Ask whoever sits there; raise ``Exit`` where they do not want it."""
    if not sys.stdin.isatty():
        raise typer.BadParameter("nobody is here to be asked, so say --yes")
    named = f"{count(len(letters), 'dead letter')} ({numbers([one.seq for one in letters])})"
    if not typer.confirm(f"Drop {named} for good?"):
        say("Nothing was dropped.")
        raise typer.Exit(FAILED)


def _end(outcome: Outcome, *, as_json: bool) -> None:
    """Say what was done, then what was not."""
    show(outcome, told(outcome), as_json=as_json)
    for one in outcome.refused[:SHOWN]:
        complain(one.why)
    if len(outcome.refused) > SHOWN:
        complain(f"{len(outcome.refused) - SHOWN} more were refused")
    if outcome.trouble:
        complain(outcome.trouble)
        raise typer.Exit(UNREACHABLE)
    if outcome.refused:
        raise typer.Exit(REFUSED)
