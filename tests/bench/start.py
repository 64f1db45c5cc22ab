"""How long the commands take to start, beside a Python that does nothing."""

import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from tests.bench.row import Peer, Row, medians

ROUNDS = 7


def measure(_: Path) -> Iterable[Row]:
    car = str(Path(sys.executable).parent / "car")
    words = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "car --help": [car, "--help"],
        "car --version": [car, "--version"],
    }
    found = medians(ROUNDS, {name: lambda argv=argv: _seconds(argv) for name, argv in words.items()})
    least = Peer("python -c pass", found.pop("python -c pass"))
    return [Row(name, figure, "s", peers=(least,)) for name, figure in found.items()]


def _seconds(argv: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(argv, check=True, capture_output=True)
    return time.perf_counter() - began
