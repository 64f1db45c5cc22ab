"""A small disk of its own for a test that fills it; to mount one wants to be root, as CI is."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_PIECE = b"x" * 100_000


@contextmanager
def small_disk(folder: Path, size: str = "12M") -> Iterator[Path]:
    """Mount a small disk on a new folder; it is gone afterwards, with all that is on it."""
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True)
    if done.returncode:
        pytest.fail(f"no small disk can be mounted here: {done.stderr.decode()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(file: Path) -> None:
    """Write a file until not a byte more goes onto its disk."""
    with file.open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(_PIECE)
        except OSError:
            return
