"""How much of the disk the embedded server may have: what is there and free, less a reserve.

A server that may have less than its streams were promised when they were made still serves them, but changes none of
them any more, which an upgrade or a restore has to. So the promise counts where a disk has become smaller since.
"""

import os
from pathlib import Path

from pydantic import BaseModel, ValidationError

from actors.runtime.nats.witness import STORE

RESERVE = 2_000_000_000
"""Bytes of the disk that the store leaves free, or a tenth of what is free where that is less."""
SMALLEST = 64_000_000


class _Stream(BaseModel):
    """What the server has written down of a stream."""

    max_bytes: int = 0


def space(folder: Path) -> int:
    """Return how many bytes the store in a folder may have: at least what was promised, and room for a small stream."""
    disk = os.statvfs(folder)
    used = sum(map(_size, (folder / STORE).rglob("*")))
    free = disk.f_bavail * disk.f_frsize
    return max(used + free - min(RESERVE, free // 10), int(promised(folder) * 1.1), SMALLEST)


def promised(folder: Path) -> int:
    """Return how many bytes the streams of the store in a folder may have together."""
    return sum(map(_bound, (folder / STORE).glob("jetstream/*/streams/*/meta.inf")))


def _bound(path: Path) -> int:
    try:
        return max(_Stream.model_validate_json(path.read_bytes()).max_bytes, 0)
    except (OSError, ValidationError):
        return 0  # the server itself complains of it


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0  # it was there a moment ago
