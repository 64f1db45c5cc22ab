"""A real server with the configuration that ``server.py`` writes, and whoever comes in to it with a key."""

import socket
import subprocess
import time
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import nats
from nats.aio.client import Client

from actors.runtime.nats.layout import OUT, UNACKED, furnish, hire, lasting
from actors.runtime.nats.link import Link, connect
from actors.runtime.nats.server import CONFIG, equip, login, settle
from actors.runtime.nats.users import BRIDGES
from actors.runtime.place import Hub, init_hub
from tests.server import binary


@contextmanager
def gate(folder: Path):
    """Yield a hub whose server runs, and the process of the server."""
    hub = init_hub(folder / "hub")
    equip(hub)
    settle(hub)
    with (hub.log / "server.log").open("ab") as log:
        server = subprocess.Popen([binary(), "-c", str(hub.nats / CONFIG)], stdout=log, stderr=log)
    try:
        port = int(login(hub, "host").url.rpartition(":")[2])
        until = time.monotonic() + 10
        while not _answers(port):
            assert time.monotonic() < until, (hub.log / "server.log").read_text()
            time.sleep(0.02)
        yield hub, server
    finally:
        server.kill()
        server.wait()


def _answers(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


@asynccontextmanager
async def links(hub: Hub, *names: str):
    """Connect as several users, the host first; it has made the streams and the consumers of the bridges."""
    host = await connect(login(hub, "host"))
    await furnish(host)
    for bridge in BRIDGES:
        await hire(host, OUT, lasting(bridge, f"car.out.{bridge}.*", UNACKED))
    others = [await connect(login(hub, name)) for name in names]
    try:
        yield (host, *others)
    finally:
        for link in (host, *others):
            await link.close()


async def sure(link: "Link | Stranger") -> None:
    """Return when the server has taken in all that was said: the library's first ping overtakes what is pending."""
    await link.client.flush()
    await link.client.flush()


class Stranger:
    """A client that does what our own would never do, with a key of ours (or with none)."""

    def __init__(self) -> None:
        self.client = Client()
        self.errors: list[str] = []

    async def _note(self, error: Exception) -> None:
        self.errors.append(str(error))

    @classmethod
    async def enter(cls, url: str, name: str, seed: str) -> "Stranger":
        me = cls()
        await me.client.connect(
            url,
            nkeys_seed_str=seed or None,
            inbox_prefix=f"_INBOX_{name}".encode(),
            error_cb=me._note,
            allow_reconnect=False,
            connect_timeout=2,
        )
        return me

    async def may_say(self, subject: str) -> bool:
        """Say something, and tell whether the server has refused it."""
        before = len(self.errors)
        await self.client.publish(subject, b"{}", reply=self.client.new_inbox())
        await sure(self)
        return len(self.errors) == before

    async def may_hear(self, subject: str) -> bool:
        before = len(self.errors)
        subscription = await self.client.subscribe(subject)
        await sure(self)
        if len(self.errors) == before:
            await subscription.unsubscribe()
            return True
        return False

    async def close(self) -> None:
        await self.client.close()


@asynccontextmanager
async def stranger(hub: Hub, name: str):
    """Come in with the key of a user, as a client that nobody of us has written."""
    me = login(hub, name)
    one = await Stranger.enter(me.url, name, me.seed)
    try:
        yield one
    finally:
        await one.close()


async def knock(url: str, seed: str = "") -> str:
    """Try to come in once; return what the server said to it, or nothing where it let us in."""
    one = Stranger()
    try:
        await one.client.connect(
            url, nkeys_seed_str=seed or None, error_cb=one._note, allow_reconnect=False, connect_timeout=2
        )
    except (nats.errors.Error, TimeoutError, OSError):
        return " ".join(one.errors) or "closed"
    await one.close()
    return ""


__all__ = ["Link", "Stranger", "gate", "knock", "links", "stranger", "sure"]
