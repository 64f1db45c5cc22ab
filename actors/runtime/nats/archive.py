"""The file of a backup: what is written into it, and the look that is taken before anything of it is believed.

A packed tar: first a manifest, then the settings, then the files of the store as they lie on the disk. It holds no
keys: whoever puts it back has keys of their own.
"""

import gzip
import os
import shutil
import tarfile
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import IO

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from actors.runtime.nats.epoch import Head
from actors.runtime.nats.witness import BEGIN, STORE
from actors.runtime.place import Hub
from actors.runtime.settings import FILE
from protocol.errors import Refused

FORMAT = 1
MANIFEST, SETTINGS = "car-backup.json", "settings.yml"
_PIECE = 1 << 20
_LEVEL = 3
"""How hard it is packed: more costs much time and saves little."""
_MANIFEST_LIMIT, _SETTINGS_LIMIT = 10_000_000, 1_000_000


class Manifest(BaseModel):
    """What an archive says of itself; it is its first member. ``heads`` is how far the streams had come."""

    model_config = ConfigDict(frozen=True)
    format: int = FORMAT
    car: str
    node: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    made: datetime
    files: int
    bytes: int
    heads: dict[str, Head]


def inspect(source: Path) -> Manifest:
    """Read an archive whole, and return what it says of itself; raise ``Refused`` where it is not all that it says."""
    try:
        with gzip.open(source) as packed, tarfile.open(fileobj=packed, mode="r|") as tar:
            manifest = _inspect(tar, source)
            while packed.read(_PIECE):
                pass  # the sum over all of it is compared at its very end
            return manifest
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error, ValidationError, UnicodeError) as error:
        raise Refused(f"{source} is no whole backup of CAR, name another file ({_first_line(error)})") from error
    except OSError as error:
        raise Refused(f"{source} cannot be read: {error.strerror or error}") from error


def pack(hub: Hub, heads: Mapping[str, Head], file: IO[bytes]) -> Manifest:
    """Write the store and the settings of a hub into a file. Its store is at rest, and its streams have these heads."""
    store = hub.nats / STORE
    paths = [path for path in sorted(store.rglob("*")) if path != store / BEGIN and not path.is_symlink()]
    sizes = [path.stat().st_size for path in paths if path.is_file()]
    manifest = Manifest(
        car=version("car"),
        node=hub.node,
        made=datetime.now(UTC),
        files=len(sizes),
        bytes=sum(sizes),
        heads=dict(heads),
    )
    with tarfile.open(fileobj=file, mode="w:gz", compresslevel=_LEVEL, format=tarfile.PAX_FORMAT) as tar:
        _add(tar, MANIFEST, manifest.model_dump_json(indent=1).encode())
        if (hub.root / FILE).is_file():
            _add(tar, SETTINGS, (hub.root / FILE).read_bytes())
        for path in paths:
            tar.add(path, f"{STORE}/{path.relative_to(store)}", recursive=False, filter=_plain)
    return manifest


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), 0o600
    tar.addfile(member, BytesIO(data))


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Say nothing in the archive of who saved it."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def _inspect(tar: tarfile.TarFile, source: Path) -> Manifest:
    members = iter(tar)
    first = next(members, None)
    if first is None or first.name != MANIFEST or not first.isreg() or first.size > _MANIFEST_LIMIT:
        raise Refused(f"{source} is no backup of CAR, name another file")
    manifest = Manifest.model_validate_json(_content(tar, first))
    if manifest.format > FORMAT:
        raise Refused(f"{source} was made by car {manifest.car}, which writes backups that this one does not read")
    names, files, size = {MANIFEST}, 0, 0
    for member in members:
        _want_harmless(member, source)
        if member.name in names:
            raise Refused(f"{source} holds {member.name} twice, it is no backup of CAR")
        names.add(member.name)
        if member.isreg():
            length = _drain(tar, member)
            files, size = (files + 1, size + length) if member.name != SETTINGS else (files, size)
    if (files, size) != (manifest.files, manifest.bytes):
        raise Refused(f"{source} is no whole backup: it holds {files} files of the {manifest.files} that it names")
    return manifest


def _want_harmless(member: tarfile.TarInfo, source: Path) -> None:
    """Refuse whatever is not a plain file or folder of a store: links, devices, paths that lead elsewhere."""
    path = PurePosixPath(member.name)
    inside = path.parts[:1] == (STORE,) and len(path.parts) > 1 and ".." not in path.parts
    is_settings = member.name == SETTINGS and member.isreg() and member.size <= _SETTINGS_LIMIT
    if not is_settings and not (inside and (member.isreg() or member.isdir()) and path.name != BEGIN):
        raise Refused(f"{source} holds {member.name!r}, which has no place in a store; nothing of it is put back")


def unpack(source: Path, draft: Path) -> bytes:
    """Write the store of an archive into a new folder, and return the settings that were saved with it.

    The archive is one that ``inspect`` has found whole.
    """
    draft.mkdir(mode=0o700)
    settings = b""
    with gzip.open(source) as packed, tarfile.open(fileobj=packed, mode="r|") as tar:
        for member in tar:
            if member.name == SETTINGS:
                settings = _content(tar, member)
            elif member.name != MANIFEST:
                _want_harmless(member, source)
                _put(tar, member, draft / PurePosixPath(member.name).relative_to(STORE))
    for folder in (path for path in draft.rglob("*") if path.is_dir()):
        settle(folder)
    return settings


def _put(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    """Write one member: nothing of it counts but its name and its content, and nothing is written through a link."""
    if member.isdir():
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = tar.extractfile(member)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        if found:
            shutil.copyfileobj(found, file)
        file.flush()
        os.fsync(file.fileno())


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    found = tar.extractfile(member)
    return found.read() if found else b""


def _drain(tar: tarfile.TarFile, member: tarfile.TarInfo) -> int:
    """Read a member to its end, so that damage is found, and return its length."""
    found, length = tar.extractfile(member), 0
    while found and (piece := found.read(_PIECE)):
        length += len(piece)
    if length != member.size:
        raise EOFError(f"{member.name} is cut off")
    return length


def settle(folder: Path) -> None:
    """Have the names in a folder on the disk, so that a power cut does not take them back."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0] or type(error).__name__
