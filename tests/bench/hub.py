"""A whole hub as ``car up`` starts it: how soon it answers, and what it costs while nothing happens."""

import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from actors.runtime import launch
from actors.runtime.place import Hub, find_hub
from tests.bench.row import Peer, Row
from tests.server import Server

ROUNDS, COLD = 3, 1.5
SECONDS, SETTLING, SHARE = 20.0, 3.0, 1.0
CAR = str(Path(sys.executable).parent / "car")


def measure(folder: Path) -> Iterable[Row]:
    first, again, bare = [], [], []
    for number in range(ROUNDS):
        with _hub(folder / f"hub{number}") as hub:
            first.append(_up(hub))
            _car(hub, "down")
            again.append(_up(hub))
            if number == ROUNDS - 1:
                idle = _idle(hub)
        bare.append(_server(folder / f"bare{number}"))
    cold, warm = statistics.median(first), statistics.median(again)
    alone = _alone(folder / "alone")
    both = idle["server"] + idle["host"]
    others = ", ".join(f"{name} {share:.2f} %" for name, share in idle.items() if name not in ("server", "host"))
    return [
        Row(
            "car up in a new hub until it answers",
            cold,
            "s",
            f"under {COLD} s",
            cold < COLD,
            (Peer("a bare server listens", statistics.median(bare)),),
            f"with the streams of another day: {warm:.2f} s; each with the embedded server",
        ),
        Row(
            f"server and host of an idle hub, of a core ({SECONDS:.0f} s)",
            both,
            "%",
            f"under {SHARE:.0f} %",
            both < SHARE,
            (Peer("a bare idle server", alone),),
            f"server {idle['server']:.2f} %, host {idle['host']:.2f} %; beside them: {others}",
        ),
    ]


@contextmanager
def _hub(folder: Path) -> Iterator[Hub]:
    folder.mkdir()
    subprocess.run([CAR, "init", str(folder)], check=True, capture_output=True, cwd=folder)
    hub = find_hub(folder)
    try:
        yield hub
    finally:
        _car(hub, "down")


def _car(hub: Hub, word: str) -> None:
    done = subprocess.run([CAR, word, "--hub", str(hub.root)], capture_output=True, text=True, cwd=hub.root)
    assert done.returncode == 0, done.stdout + done.stderr


def _up(hub: Hub) -> float:
    """Return the seconds until ``car up`` has returned: it does when the host answers."""
    began = time.perf_counter()
    _car(hub, "up")
    return time.perf_counter() - began


def _server(folder: Path) -> float:
    folder.mkdir()
    server, began = Server(folder), time.perf_counter()
    with server:
        return time.perf_counter() - began


def _idle(hub: Hub) -> dict[str, float]:
    """Return what each process of a hub used while nothing happened, in per cent of a core."""
    time.sleep(SETTLING)
    return _used({one.name: psutil.Process(one.pid) for one in launch.states(hub) if one.alive})


def _alone(folder: Path) -> float:
    folder.mkdir()
    with Server(folder) as server:
        assert server.process
        return _used({"server": psutil.Process(server.process.pid)}, SECONDS / 4)["server"]


def _used(processes: dict[str, psutil.Process], seconds: float = SECONDS) -> dict[str, float]:
    before = {name: _cpu(one) for name, one in processes.items()}
    time.sleep(seconds)
    return {name: 100 * (_cpu(one) - before[name]) / seconds for name, one in processes.items()}


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system
