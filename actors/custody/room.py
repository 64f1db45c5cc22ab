"""Room on the disk: a server that has met a full disk does not heal by itself, so it is started again later.

Both signs count: little room at this moment, and what the server has written into its log since it was last looked.
"""

from pathlib import Path

from actors.runtime.place import FULL, free

ENOUGH = 4_000_000
"""Free bytes from which on a start is worth it."""
_SIGN = b"no space left on device"


class Room:
    """Watches the disk of a server's store and the server's log."""

    def __init__(self, store: Path, log: Path) -> None:
        self._store = store
        self._log = log
        self._read = _size(log)
        self._was_full = False

    def came_back(self) -> bool:
        """Tell, once, that there is room again after there was none."""
        left = free(self._store)
        self._was_full |= left < FULL or self._complained()
        if not self._was_full or left < ENOUGH:
            return False
        self._was_full = False
        return True

    def _complained(self) -> bool:
        size = _size(self._log)
        start, self._read = (self._read if size >= self._read else 0), size
        if size == start:
            return False
        with self._log.open("rb") as log:
            log.seek(start)
            return _SIGN in log.read(size - start)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # there is no log yet
        return 0
