"""How an agent's process comes to life: what it may know, where its program is, the leash that it is run on."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from actors.custody import leash
from actors.runtime.process import MARK
from protocol.errors import WorkFailed

_PROXY = frozenset(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"))
_BASE = frozenset(
    (
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TERM", "TMPDIR", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR"),
        *_PROXY,
        *map(str.lower, _PROXY),
    )
)
_BASE_FAMILIES = ("LC_", "XDG_")
_OURS = "CAR_"
_LEASH = Path(leash.__file__).read_text()
_HAS_LEASH = sys.platform == "linux"


class SpawnError(WorkFailed):
    """A process could not be started."""


@dataclass(frozen=True, slots=True)
class Birth:
    """What to start. ``inherit`` names variables to be passed on; ``mark`` is the value of ``CAR_PROC``."""

    argv: tuple[str, ...]
    cwd: str
    mark: str
    env: Mapping[str, str] = field(default_factory=dict)
    inherit: tuple[str, ...] = ()


def environment(birth: Birth, here: Mapping[str, str]) -> dict[str, str]:
    """Return what a process is to know of the environment ``here``: a short list, what is named, what is given.

    Of the variables of CAR none passes but the mark.
    """
    named = {*_BASE, *birth.inherit}
    passed = {name: value for name, value in here.items() if name in named or name.startswith(_BASE_FAMILIES)}
    given = {**passed, **birth.env}
    return {**{name: value for name, value in given.items() if not name.startswith(_OURS)}, MARK: birth.mark}


def find_program(birth: Birth, env: Mapping[str, str]) -> str:
    """Return the path of the program; raise ``SpawnError`` where it or its folder is missing."""
    name = birth.argv[0]
    if not Path(birth.cwd).is_dir():
        raise SpawnError(f"{Path(name).name} cannot be started in {birth.cwd}: there is no such folder")
    if os.sep not in name:
        found = shutil.which(name, path=env.get("PATH", os.defpath))
        if not found:
            raise SpawnError(f"{name} is not installed on this machine: no program {name!r} on the PATH")
        return found
    path = Path(birth.cwd, name)
    if not path.is_file():
        raise SpawnError(f"{path.name} is not installed on this machine: no program {name!r}")
    if not os.access(path, os.X_OK):
        raise SpawnError(f"{path.name} cannot be started: {name!r} may not be run (chmod +x)")
    return str(path)


def fork(birth: Birth, env: dict[str, str], program: str, report: int) -> subprocess.Popen[bytes]:
    """Start the program in a session of its own; what goes wrong later is told, as an errno, through ``report``."""
    argv, run, fds = birth.argv, program, tuple[int, ...]()
    if _HAS_LEASH:
        keeps_locale = str(int("LC_CTYPE" in env))
        leashed = (sys.executable, "-I", "-S", "-c", _LEASH, str(os.getpid()), str(report), keeps_locale, program)
        argv, run, fds = (*leashed, *birth.argv), sys.executable, (report,)
    try:
        return subprocess.Popen(  # noqa: S603  # what an agent is, is for its driver to say
            argv,
            executable=run,
            cwd=birth.cwd,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            pass_fds=fds,
        )
    except OSError as error:
        raise SpawnError(f"{birth.argv[0]} cannot be started: {error.strerror}") from error


async def readable(fd: int) -> None:
    """Wait until something can be read, or never will be."""
    loop = asyncio.get_running_loop()
    arrived = asyncio.Event()
    loop.add_reader(fd, arrived.set)
    try:
        await arrived.wait()
    finally:
        loop.remove_reader(fd)
