"""Runs every benchmark and prints ratios: each figure beside its limit or peer, measured in the same run."""

import asyncio
import tempfile
from pathlib import Path

from tests.bench import mailbox, start


def main() -> None:
    """Measure, one after the other."""
    for bench in (mailbox, start):
        with tempfile.TemporaryDirectory(prefix="car-bench-") as folder:
            for line in asyncio.run(bench.measure(Path(folder))):
                print(line, flush=True)


if __name__ == "__main__":
    main()
