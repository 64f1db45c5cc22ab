"""What this machine has seen of the store, so that one which has lost something is not taken for the whole.

Two files: ``heads.json`` beside the store says how far each stream had come; ``store/begin.json``, which a restore puts
into it, says that a new epoch is to begin. The store is never above suspicion: it may be on a disk of its own, be
copied back by hand, or belong to a server of others.
"""

import asyncio
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from actors.runtime.nats.epoch import NOTHING, Anew, Head, begun, read_epochs, read_text
from actors.runtime.nats.layout import DEAD, MAIL, STATE, STREAMS
from actors.runtime.nats.link import Link
from actors.runtime.nats.log import read_all
from protocol.errors import Refused, Unreachable

HEADS, STORE, BEGIN = "heads.json", "store", "begin.json"
BEAT = 10.0
"""Seconds between two looks at how far the streams have come."""
SAMPLE = 200
"""Revisions of STATE, the newest, whose records are asked which mail they have handled."""
LAST = 1.0
"""Seconds for the look that is taken at the end."""
MEND = (
    "bring back the last backup, type: car restore FILE --replace, or go on without what is lost, type: "
    "car restore --as-it-is"
)

log = structlog.get_logger()


class Begin(BaseModel):
    """A new epoch is to begin, in a store that had come as far as ``heads``.

    With ``as_it_is`` nothing that is missing holds up the start: a person has said so.
    """

    model_config = ConfigDict(frozen=True)
    epoch: str
    heads: dict[str, Head] = {}
    as_it_is: bool = False


class _Seen(BaseModel):
    heads: dict[str, Head] = {}


class _Handled(BaseModel):
    """What is needed of a record: its last mail."""

    last: int = 0


class Witness:
    """The two files, in the folder of a hub that holds its store."""

    def __init__(self, folder: Path) -> None:
        """Look into this folder."""
        self._heads = folder / HEADS
        self._begin = folder / STORE / BEGIN

    def seen(self) -> dict[str, Head]:
        """Return how far the streams had come when they were last seen."""
        text = _read(self._heads)
        return _Seen.model_validate_json(text).heads if text else {}

    def beginning(self) -> Begin | None:
        """Return what is to begin, if a restore has left word."""
        text = _read(self._begin)
        return Begin.model_validate_json(text) if text else None

    def testify(self, heads: Mapping[str, Head]) -> None:
        """Write down how far the streams have come, whole, and with the new epoch in them it has begun."""
        begin = self.beginning()
        if heads != self.seen():
            write(self._heads, _Seen(heads=dict(heads)))
        if begin and heads and all(read_text(head.epochs).knows(begin.epoch) for head in heads.values()):
            self._begin.unlink()

    def announce(self, begin: Begin) -> None:
        """Have a new epoch begin at the next start."""
        self._begin.parent.mkdir(mode=0o700, exist_ok=True)
        write(self._begin, begin)


async def check(link: Link, witness: Witness) -> Anew:
    """Return what is to begin anew in the store, or raise ``Refused`` where it is not the whole that was seen.

    It comes before everything else that a host does with the store.
    """
    before, begin = _recall(witness)
    there = await survey(link)
    if begin and begin.as_it_is:
        return await _take(link, begin, there)
    if faults := [fault for name, head in before.items() if (fault := _fault(name, head, there.get(name)))]:
        raise Refused(f"the store is not whole: {'; '.join(faults)}; {MEND}")
    mail = there.get(MAIL)
    handled = await _handled(link, there[STATE].last - SAMPLE) if STATE in there else 0
    if handled > (mail.last if mail else 0):
        came = f"ends at {mail.last}" if mail else "is missing"
        raise Refused(f"the store is not whole: {MAIL} {came}, but records know of mail up to {handled}; {MEND}")
    if mail and mail.last and STATE not in there:
        raise Refused(f"the store is not whole: {STATE} is missing beside {MAIL}, which ends at {mail.last}; {MEND}")
    return Anew(begin.epoch, begin.heads) if begin else NOTHING


async def remember(link: Link, witness: Witness) -> None:
    """Keep in mind how far the streams come, until cancelled; raise ``Refused`` where one has gone back."""
    try:
        while True:
            await _look(link, witness)
            await asyncio.sleep(BEAT)
    finally:
        try:
            async with asyncio.timeout(LAST):
                await _look(link, witness)
        except (TimeoutError, Refused) as error:
            log.info("the store was not seen at the end", error=str(error))


async def survey(link: Link) -> dict[str, Head]:
    """Return how far each stream on the disk has come; those that are not there are left out."""
    found = await asyncio.gather(*(link.find(f"STREAM.INFO.{name}") for name in STREAMS))
    return {
        name: Head(epochs=str(read_epochs(info.section("config", "metadata"))), last=info.number("state", "last_seq"))
        for name, info in zip(STREAMS, found, strict=True)
        if info and info.text("config", "storage") == "file"
    }


def write(path: Path, what: BaseModel) -> None:
    """Write a file that only we may read, whole or not at all, also where the power is cut."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(what.model_dump_json(indent=1).encode())
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


async def _look(link: Link, witness: Witness) -> None:
    # What is compared is read first: another host may write down meanwhile what it has seen later.
    before, begin = _recall(witness)
    try:
        there = await survey(link)
    except Unreachable as error:
        log.debug("the store is not seen", error=str(error))
        return
    faults = [fault for name, head in before.items() if (fault := _fault(name, head, there.get(name)))]
    if faults and not begin:
        raise Refused(f"the store has gone back while it was in use: {'; '.join(faults)}; {MEND}")
    try:
        await asyncio.to_thread(witness.testify, there)
    except OSError as error:
        log.warning("what was seen of the store is not written down", error=error.strerror)


def _recall(witness: Witness) -> tuple[dict[str, Head], Begin | None]:
    """Return what the store has to have, and what is to begin in it; after a restore the backup says both."""
    try:
        begin = witness.beginning()
        return begin.heads if begin else witness.seen(), begin
    except (ValidationError, OSError) as error:
        why = " ".join(str(error).split())
        raise Refused(f"what was seen of the store cannot be read ({why}); {MEND}") from error


def _fault(name: str, before: Head, now: Head | None) -> str:
    """Say what is missing of a stream, or nothing.

    Where an epoch has begun since, that was done knowingly, and what the old one has lost was lost then.
    """
    if name not in STREAMS:
        return ""  # a stream of another version of ours
    if now is None:
        return f"{name} is missing, which had come to {before.last}"
    epochs, known = read_text(now.epochs), read_text(before.epochs).newest
    if not epochs.knows(known):
        return f"{name} is another one, of epoch {epochs.newest}, than was seen, of epoch {known}"
    if epochs.newest == known and now.last < before.last:
        return f"{name} ends at {now.last}, but had come to {before.last}"
    return ""


async def _handled(link: Link, after: int) -> int:
    """Return the newest mail that records know of, of those which were written after a revision."""
    records = await read_all(link, STATE, "$KV.STATE.>", max(after, 0) + 1)
    return max((_last(one.data) for one in records), default=0)


def _last(data: bytes) -> int:
    try:
        return _Handled.model_validate_json(data).last
    except ValidationError:
        return 0  # no record: a marker of something deleted, or a newer version's, which its actor complains of


async def _take(link: Link, begin: Begin, there: Mapping[str, Head]) -> Anew:
    """Take the store as it is: mail goes on above all that any record knows of, so that nothing new is swallowed."""
    heads = dict(begin.heads)
    handled = await _handled(link, 0) if STATE in there else 0
    mail, known = there.get(MAIL), heads.get(MAIL)
    top = max(handled, known.last if known else 0)
    heads[MAIL] = Head(epochs=(mail or known or Head(epochs=str(begun()), last=0)).epochs, last=top)
    if mail and mail.last < top:
        await _raise(link, top, is_kept=DEAD in there)
    return Anew(begin.epoch, heads)


async def _raise(link: Link, top: int, *, is_kept: bool) -> None:
    """Let new mail come above ``top``, which records know of, in a MAIL that has gone back.

    Nobody can say whether what lies in there was handled: it is kept in DEAD, where a person may see to it.
    """
    config = (await link.api(f"STREAM.INFO.{MAIL}")).section("config")
    await link.api(f"STREAM.UPDATE.{MAIL}", {**config, "allow_direct": True})
    left = await read_all(link, MAIL, "car.>")
    log.warning("mail is put aside: it is older than the records", count=len(left), kept=is_kept)
    for one in left if is_kept else ():
        _, voice, _, kind, key = one.subject.split(".")
        own = {name: value for name, value in one.headers.items() if not name.startswith("Nats-")}
        why = {"Car-Voice": voice, "Car-To": f"{kind}/{key}", "Car-Why": "this mail was older than the records"}
        await link.store(f"car.dead.{kind}.{key}", one.data, {**own, **why, "Nats-Msg-Id": f"aside:{one.seq}"})
    await link.api(f"STREAM.PURGE.{MAIL}", {"seq": top + 1})
    await link.api(f"STREAM.UPDATE.{MAIL}", config)
