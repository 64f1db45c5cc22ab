"""A host in a process of its own, for what is seen only from outside: ``python -m tests.bench.post URL``.

It plays the cast of the benchmarks until it is killed. Its first line says that it reads.
"""

import signal
import subprocess
import sys
from pathlib import Path

import structlog
import uvloop

from actors.runtime.nats.link import Login, connect
from actors.runtime.nats.ports import open_ports
from actors.runtime.supervisor import Supervisor
from tests.bench.relay import Course, cast

ROOT = Path(__file__).parents[2]


class Outpost:
    """One such process; it is gone at the end."""

    def __init__(self, url: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.post", url], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        self.pid = self._process.pid

    def __enter__(self) -> "Outpost":
        assert self._process.stdout
        assert self._process.stdout.readline(), "the host did not begin"
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def freeze(self) -> None:
        """Let it stand still, as a machine does that has no time for it."""
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """End it as kill -9 does."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()


async def serve(url: str) -> None:
    link = await connect(Login(url, "host"))
    supervisor = Supervisor(cast(Course()), await open_ports(link))
    print("begun", flush=True)
    await supervisor.run()


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    uvloop.run(serve(sys.argv[1]))
