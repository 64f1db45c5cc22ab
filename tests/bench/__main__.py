"""Measures what CAR costs, each figure beside a limit or a peer in the same run: ``python -m tests.bench [PART ...]``.

Each part runs in a process of its own, so that none inherits the memory or the loop of another; it has a deadline, so
that the whole ends. The table goes to stdout, and as JSON to the file that ``BENCH_JSON`` names.
"""

import importlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from tests.bench import table
from tests.bench.row import Peer, Row

PARTS = {
    "talk": 40,
    "mailbox": 80,
    "crowd": 90,
    "activation": 30,
    "takeover": 70,
    "timers": 40,
    "hub": 80,
    "start": 30,
}
"""The parts, in the order of the table, and how many seconds each may take."""


def main(names: list[str]) -> int:
    """Measure, print and write; the code says whether all could be measured, not whether all is met."""
    if names[:1] == ["--rows"]:
        return _part(names[1])
    began, load = time.time(), os.getloadavg()[0]
    print(table.head(), flush=True)
    rows: list[Row] = []
    failed = []
    for name in names or PARTS:
        found, why = _rows(name)
        for row in found:
            print(*table.lines(row), sep="\n", flush=True)
        if why:
            failed.append(name)
            print(f"{name}: could not be measured: {why}", flush=True)
        rows += found
    missed = [row.what for row in rows if row.met is False]
    print(f"{time.time() - began:.0f} s; not met: {_list(missed)}; not measured: {_list(failed)}")
    if path := os.environ.get("BENCH_JSON"):
        facts = {
            "seconds": round(time.time() - began, 1),
            "python": platform.python_version(),
            "system": platform.platform(),
            "cores": os.cpu_count(),
            "load_before": round(load, 2),
            "not_met": missed,
            "not_measured": failed,
        }
        Path(path).write_text(table.body(rows, facts) + "\n")
    return 1 if failed else 0


def _list(names: list[str]) -> str:
    return ", ".join(names) or "nothing"


def _rows(name: str) -> tuple[list[Row], str]:
    """Run one part by itself; return its rows, and why there are none."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench", "--rows", name],
            timeout=PARTS[name],
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[2],
        )
    except subprocess.TimeoutExpired:
        return [], f"it took more than {PARTS[name]} s"
    try:
        found = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        return [], " ".join(done.stderr.splitlines()[-1:]) or f"it ended with {done.returncode}"
    return [Row(**{**one, "peers": tuple(Peer(**peer) for peer in one["peers"])}) for one in found], ""


def _part(name: str) -> int:
    """Be one part: measure, and say the rows as JSON in the last line."""
    module = importlib.import_module(f"tests.bench.{name}")
    with tempfile.TemporaryDirectory(prefix="car-bench-") as folder:
        rows = module.measure(Path(folder))
    print(json.dumps([asdict(row) for row in rows]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
