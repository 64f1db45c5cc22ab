"""The wall clock of a host, shifted while it runs: a few lines of C before the system, where there is a compiler.

What counts time since some moment (monotonic, boot) is left alone: no clock of a machine that is set wrong moves these.
"""

import mmap
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).with_name("clock.c")
_CHECK = "import time; print(int(time.time()))"


class Clocks:
    """Makes the clocks of hosts. ``possible`` is false where there is no compiler, or the trick does not work here."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._library = folder / "clock.so"
        self.possible = self._build() and self._works()

    def environment(self, host: str) -> dict[str, str]:
        """Return what is to be in the environment of a host whose clock is to be shifted."""
        if not self.possible:
            return {}
        path = self._path(host)
        if not path.exists():
            path.write_bytes(struct.pack("q", 0))
        return {"LD_PRELOAD": str(self._library), "CHAOS_CLOCK": str(path)}

    def shift(self, host: str, seconds: int) -> None:
        """Set the clock of a host so many seconds off, from this moment on."""
        if self.possible:
            with self._path(host).open("r+b") as file, mmap.mmap(file.fileno(), 8) as page:
                page[:8] = struct.pack("q", seconds)

    def _path(self, host: str) -> Path:
        return self._folder / f"{host}.clock"

    def _build(self) -> bool:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None or sys.platform != "linux":
            return False
        asked = [compiler, "-shared", "-fPIC", "-O1", "-o", str(self._library), str(SOURCE), "-ldl"]
        return subprocess.run(asked, capture_output=True).returncode == 0

    def _works(self) -> bool:
        """Prove it: a process with a shifted clock must say another time."""
        self.possible = True
        environment = {**os.environ, **self.environment("check")}
        self.shift("check", 7200)
        said = subprocess.run([sys.executable, "-c", _CHECK], env=environment, capture_output=True, text=True).stdout
        here = subprocess.run([sys.executable, "-c", _CHECK], capture_output=True, text=True).stdout
        return said.strip().isdecimal() and int(said) - int(here) > 3600
