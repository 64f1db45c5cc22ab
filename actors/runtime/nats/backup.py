"""A backup: the whole store of a hub at rest goes into one file, and back from there with a new epoch.

What is put back takes the place of the old store in one rename, and the old one is kept. Nobody starts meanwhile: the
keeper's own lock is held.
"""

import contextlib
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from actors.runtime import launch
from actors.runtime.nats.archive import inspect, pack, settle, unpack
from actors.runtime.nats.epoch import Head, begun
from actors.runtime.nats.witness import BEGIN, STORE, Begin, Witness, write
from actors.runtime.place import Hub
from actors.runtime.settings import FILE
from protocol.errors import Refused


class Saved(BaseModel):
    """A backup that was made. ``size`` is in bytes."""

    model_config = ConfigDict(frozen=True)
    file: str
    size: int
    files: int


class Restored(BaseModel):
    """A backup that was put back: when it was made, and where the store of before is kept, if there was one."""

    model_config = ConfigDict(frozen=True)
    file: str
    made: datetime
    node: str
    kept: str = ""
    settings: bool = False


def save(hub: Hub, target: Path) -> Saved:
    """Write the store of a hub at rest into a file; raise ``Refused`` where it runs or the file cannot be written."""
    target = target.expanduser().absolute()
    if target.exists():
        raise Refused(f"{target} is there already, name another file")
    if target.resolve().is_relative_to(hub.home):
        raise Refused(f"{target} lies inside of the hub that is saved, name a file outside of it")
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    with resting(hub):
        if not is_used(hub.nats / STORE):
            raise Refused(f"the hub in {hub.root} has no store yet, there is nothing to save")
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                manifest = pack(hub, _heads(hub), file)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(target)
            settle(target.parent)
        except OSError as error:
            raise Refused(f"no backup is made: {_what(error, target)}") from error
        finally:
            draft.unlink(missing_ok=True)
    return Saved(file=str(target), size=target.stat().st_size, files=manifest.files)


def restore(hub: Hub, source: Path, *, replace: bool) -> Restored:
    """Put a backup back into a hub at rest; a store that is there is only replaced when that is said, and kept."""
    source = source.expanduser().absolute()
    manifest = inspect(source)
    with resting(hub):
        if is_used(hub.nats / STORE) and not replace:
            raise Refused(
                f"the hub in {hub.root} has a store of its own; to put the backup in its place, and keep that one "
                f"aside, type: car restore {source} --replace"
            )
        drafts = _Drafts(hub)
        try:
            settings = unpack(source, drafts.store)
            write(drafts.store / BEGIN, Begin(epoch=begun().newest, heads=manifest.heads))
            settle(drafts.store)
            drafts.settings.write_bytes(settings)
            drafts.node.write_text(manifest.node)
            kept = drafts.exchange()
        except OSError as error:
            where = _what(error, hub.nats)
            raise Refused(f"the backup is not put back, and the store is as it was: {where}") from error
        finally:
            drafts.drop()
    taken = not settings or (hub.root / FILE).read_bytes() == settings
    return Restored(file=str(source), made=manifest.made, node=manifest.node, kept=kept, settings=taken)


def accept(hub: Hub) -> str:
    """Have the store taken as it is at the next start, whatever it has lost; return the epoch that begins then."""
    with resting(hub):
        try:
            heads = _heads(hub)
        except (Refused, OSError):
            heads = {}  # what cannot be read is forgotten
        begin = Begin(epoch=begun().newest, heads=heads, as_it_is=True)
        try:
            Witness(hub.nats).announce(begin)
        except OSError as error:
            raise Refused(f"that cannot be written down: {_what(error, hub.nats)}") from error
    return begin.epoch


def is_used(store: Path) -> bool:
    """Tell whether there is a store with anything in it."""
    return any(path.is_file() for path in store.rglob("*") if path.name != BEGIN)


@contextlib.contextmanager
def resting(hub: Hub) -> Iterator[None]:
    """Keep a hub at rest for as long as the context lasts; raise ``Refused`` where it is not."""
    lock = os.open(hub.run / "keeper.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(f"CAR runs in {hub.root}, type: car down") from None
        alive = [one.name for one in launch.states(hub) if one.alive]
        if alive:
            raise Refused(f"CAR runs in {hub.root} ({', '.join(alive)}), type: car down")
        yield
    finally:
        os.close(lock)


def _heads(hub: Hub) -> dict[str, Head]:
    """Return what the store that is saved has to have: a store just put back is known by its own backup."""
    witness = Witness(hub.nats)
    try:
        begin = witness.beginning()
        if begin:
            return begin.heads
        return witness.seen()
    except ValidationError as error:
        raise Refused(f"what was seen of the store in {hub.nats} cannot be read; type: car up, and see") from error


class _Drafts:
    """What is put back, beside the places where it belongs, so that nothing more can fail when it goes there."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        mark = secrets.token_hex(4)
        self.store = hub.nats / f".{STORE}.{mark}"
        self.node = hub.home / f".node.{mark}"
        self.settings = hub.root / f".{FILE}.{mark}"

    def exchange(self) -> str:
        """Put the new store in the place of the old one; return where the old one is kept."""
        store = self._hub.nats / STORE
        aside = self._hub.nats / f"{STORE}-until-{datetime.now(UTC):%Y%m%dT%H%M%S}"
        is_there, kept = store.exists(), is_used(store)
        if is_there:
            store.rename(aside)
        try:
            self.store.rename(store)
        except OSError:
            if is_there:
                aside.rename(store)
            raise
        # Records name the machine on which a checkout lies: this one takes its place.
        self.node.replace(self._hub.home / "node")
        if self.settings.stat().st_size and not (self._hub.root / FILE).exists():
            self.settings.replace(self._hub.root / FILE)
        for folder in (self._hub.nats, self._hub.home, self._hub.root):
            settle(folder)
        return str(aside) if kept else ""

    def drop(self) -> None:
        """Leave nothing of it that was not used."""
        shutil.rmtree(self.store, ignore_errors=True)
        self.node.unlink(missing_ok=True)
        self.settings.unlink(missing_ok=True)


def _what(error: OSError, path: Path) -> str:
    where = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else str(path)
    return f"{where}: {error.strerror or error}"
