"""A real nats-server for a test, on loopback, with a store of its own."""

import asyncio
import socket
import subprocess
import sys
import time
from pathlib import Path


def binary() -> str:
    """Return the server that the wheel installed."""
    return str(Path(sys.executable).parent / "nats-server")


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Server:
    """One nats-server; it may be killed and started again on the same port and store."""

    def __init__(self, folder: Path, more: str = "") -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        stream = f'jetstream {{ store_dir: "{folder}", sync_interval: always }}'
        config = f'listen: "127.0.0.1:{self.port}"\nmax_payload: 8MB\n{stream}\n{more}\n'
        (folder / "server.conf").write_text(config)

    def start(self) -> None:
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [binary(), "-c", str(self.folder / "server.conf")], stdout=log, stderr=log, start_new_session=True
            )
        until = time.monotonic() + 10
        while time.monotonic() < until:
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError((self.folder / "server.log").read_text())

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def __enter__(self) -> "Server":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


async def until(true, seconds: float = 10.0):
    """Wait until something holds, looking often; fail where it does not come to hold."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not (found := true()):
        assert loop.time() < end, f"did not come to hold within {seconds} s"
        await asyncio.sleep(0.01)
    return found
