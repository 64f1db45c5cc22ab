"""How long the commands take to start, beside a Python that does nothing."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 7


async def measure(_):
    """Return lines with the medians and their ratios."""
    car = str(Path(sys.executable).parent / "car")
    rows = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "car --help": [car, "--help"],
        "car --version": [car, "--version"],
    }
    times: dict[str, list[float]] = {name: [] for name in rows}
    for _round in range(ROUNDS):
        for name, args in rows.items():
            began = time.perf_counter()
            subprocess.run(args, check=True, capture_output=True)
            times[name].append(time.perf_counter() - began)
    least = statistics.median(times["python -c pass"])
    return tuple(
        f"{name:57s} {statistics.median(taken):8.3f} s    {statistics.median(taken) / least:.1f} times the least"
        for name, taken in times.items()
    )
