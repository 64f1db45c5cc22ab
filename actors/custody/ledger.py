"""Which processes are in custody, on disk: so that the next custodian can tell what became of those of a dead one."""

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from protocol.address import Address, address

KEPT = 86_400.0
"""Seconds for which an ended process is remembered: a repeated spawn of it must not start it again."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One process: who wants to hear of it, which custodian started it. ``ended`` is in seconds since 1970."""

    proc: str
    session: str
    custodian: str
    pid: int = 0
    born: int = 0
    ended: float = 0.0

    @property
    def owner(self) -> Address:
        """Return who wants to hear of it."""
        return address(self.session)


class Ledger:
    """One small file for each process."""

    def __init__(self, folder: Path) -> None:
        """Keep the files in this folder."""
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def read(self, proc: str) -> Entry | None:
        """Return what is known of a process."""
        try:
            return Entry(**json.loads((self._folder / f"{proc}.json").read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, entry: Entry) -> None:
        """Keep an entry, whole or not at all."""
        draft = self._folder / f".{entry.proc}.{os.getpid()}"
        with draft.open("w") as file:
            file.write(json.dumps(asdict(entry)))
            file.flush()
            os.fsync(file.fileno())  # an empty file after a loss of power would be a process whose end nobody tells
        draft.replace(self._folder / f"{entry.proc}.json")

    def living(self) -> list[Entry]:
        """Return the entries whose end nobody has seen; forget those that ended long ago."""
        found = []
        for path in sorted(self._folder.glob("*.json")):
            entry = self.read(path.stem)
            if entry is None or (entry.ended and time.time() - entry.ended > KEPT):
                path.unlink(missing_ok=True)
            elif not entry.ended:
                found.append(entry)
        return found
