"""Where a hub is: a directory with ``.codex-autorunner/hub/``, and the paths inside of it."""

import hashlib
import os
import re
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path

from actors.runtime.process import Identity
from protocol.errors import Refused

FULL = 1_000_000
"""Free bytes below which a disk is full."""
_FOLDER = ".codex-autorunner"
_PRIVATE = 0o700
_NODE = re.compile(r"[A-Za-z0-9_-]{1,64}")


class NoHub(Refused):
    """There is no hub where one was looked for."""


@dataclass(frozen=True, slots=True)
class Hub:
    """The paths of one hub, and the id of this machine in it (``node``)."""

    root: Path
    home: Path
    nats: Path
    run: Path
    log: Path
    node: str

    @property
    def token(self) -> str:
        """Return 12 hex digits that tell this hub from all others of the machine."""
        return hashlib.sha256(str(self.root).encode()).hexdigest()[:12]

    def custodian(self, who: Identity) -> str:
        """Return the id of a custodian of this hub; it ends with its identity, so that all can see whether it lives."""
        return f"{self.node}-{who}"

    def mark(self, custodian: str, proc: str) -> str:
        """Return the value of ``CAR_PROC`` for all that belongs to one process in custody."""
        return f"{self.token}.{custodian}.{proc}"


def find_hub(path: Path | None = None) -> Hub:
    """Find the hub that is meant: at ``path``, else at ``CAR_HUB``, else at the nearest folder above this one."""
    named = path or (Path(os.environ["CAR_HUB"]) if os.environ.get("CAR_HUB") else None)
    if named:
        root = named.expanduser().resolve()
        if not _is_hub(root):
            raise NoHub(f"no hub in {root}, type: car init --hub {root}")
        return _hub(root)
    here = Path.cwd()
    for root in (here, *here.parents):
        if _is_hub(root):
            return _hub(root)
    raise NoHub("no hub here, type: car init")


def init_hub(path: Path) -> Hub:
    """Make a hub; one that is there already stays as it is."""
    root = path.expanduser().resolve()
    home = root / _FOLDER / "hub"
    try:
        for folder in (home, home / "nats", home / "run", home / "log"):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(_PRIVATE)
        ignore = root / _FOLDER / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
        # The id comes last: a folder with it is a whole hub.
        if not _is_hub(root):
            _write_once(home / "node", secrets.token_hex(4))
    except OSError as error:
        raise Refused(f"no hub can be made in {root}: {error.strerror}") from error
    return _hub(root)


def free(folder: Path) -> int:
    """Return how many bytes there are left on the disk of a folder; nothing where the folder is gone."""
    try:
        disk = os.statvfs(folder)
    except FileNotFoundError:
        return 0
    return disk.f_bavail * disk.f_frsize


def program(name: str) -> str:
    """Find a program of ours: beside this Python, else on the PATH."""
    beside = Path(sys.executable).parent
    for folder in (beside, *map(Path, os.get_exec_path())):
        if os.access(folder / name, os.X_OK) and (folder / name).is_file():
            return str(folder / name)
    raise Refused(f"no program {name!r} beside {sys.executable} nor on the PATH, install car again")


def _is_hub(root: Path) -> bool:
    return (root / _FOLDER / "hub" / "node").is_file()


def _hub(root: Path) -> Hub:
    home = root / _FOLDER / "hub"
    node = os.environ.get("CAR_NODE") or (home / "node").read_text().strip()
    if not _NODE.fullmatch(node):
        raise Refused(f"{node!r} is no name for a machine, use letters, digits, - and _ (CAR_NODE or {home / 'node'})")
    return Hub(root, home, home / "nats", home / "run", home / "log", node)


def _write_once(path: Path, text: str) -> None:
    """Write a file whole; where two do this at once, both find the same text after it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
