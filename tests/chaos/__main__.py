"""Breaks a house of several hosts in every way we know, and proves that nothing is lost: ``python -m tests.chaos``.

``CHAOS_SECONDS`` (180) is how long faults go on, ``CHAOS_SEED`` which (random, and printed), ``CHAOS_HOSTS`` (3) the
number of hosts. ``CHAOS_SABOTAGE`` breaks promises of the runtime on purpose (see ``sabotage.py``): that must be found.
``CHAOS_KEEP`` keeps the logs also where all is well.
The table goes to stdout, and as JSON in its last line. The code is 1 where anything was violated.
"""

import asyncio
import os
import secrets
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import structlog
import uvloop

from tests.chaos.driver import REST, Asked, Outcome, run
from tests.chaos.table import lines, summary, trouble

BOUND = 2 * REST
"""Seconds that the whole may take beside its faults."""


def main() -> int:
    """Run as the environment says."""
    said = os.environ.get
    asked = Asked(
        seconds=float(said("CHAOS_SECONDS") or 180),
        seed=int(said("CHAOS_SEED") or secrets.randbelow(1_000_000)),
        hosts=int(said("CHAOS_HOSTS") or 3),
        sabotage=said("CHAOS_SABOTAGE") or "",
    )
    folder = Path(tempfile.mkdtemp(prefix="car-chaos-"))
    _say(f"chaos: seed {asked.seed}, {asked.seconds:.0f} s, {asked.hosts} hosts; logs in {folder}")
    structlog.configure(logger_factory=structlog.WriteLoggerFactory((folder / "driver.log").open("w")))
    try:
        outcome = uvloop.run(_bounded(asked, folder))
    except (TimeoutError, asyncio.CancelledError) as error:
        why = "it did not end in its time" if isinstance(error, TimeoutError) else "interrupted"
        _say(f"{why}; seed {asked.seed}; all logs are in {folder}")
        return 1
    _say(*lines(outcome))
    if outcome.found:
        _say(*trouble(outcome))
    elif not said("CHAOS_KEEP"):
        shutil.rmtree(folder)
    _say(summary(outcome))
    return 1 if outcome.found else 0


async def _bounded(asked: Asked, folder: Path) -> Outcome:
    """Run, but not for ever; SIGINT and SIGTERM end it as well, and with it all that it has started."""
    me = asyncio.current_task()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, lambda: me.cancel() if me else None)
    async with asyncio.timeout(asked.seconds + BOUND):
        return await run(asked, folder)


def _say(*lines_: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines_))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
