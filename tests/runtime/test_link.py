"""What a connection says of a server that is away, that is silent, or that has no room left."""

import asyncio
import socket
import time

import pytest

from actors.runtime.nats.layout import furnish
from actors.runtime.nats.link import PATIENCE, Login, connect
from protocol.errors import Refused, Unreachable
from tests.disk import fill, small_disk
from tests.runtime.wire import Wire
from tests.server import Server, free_port, until


def complaint(port: int) -> str:
    """Return what is said where nobody can be connected to."""
    with pytest.raises(Unreachable) as caught:
        asyncio.run(connect(Login(f"nats://127.0.0.1:{port}", "cli"), wait=0.2))
    return str(caught.value)


def test_a_closed_port_is_named_without_its_numbers():
    port = free_port()
    assert complaint(port) == f"the NATS server at nats://127.0.0.1:{port} does not answer: Connection refused"


def test_a_port_where_nobody_speaks_is_called_silent():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        port = one.getsockname()[1]
        assert complaint(port) == f"the NATS server at nats://127.0.0.1:{port} does not answer: it says nothing"


def test_what_a_full_disk_prevents_may_be_tried_again_and_what_is_wrong_may_not(tmp_path):
    async def run(server: Server) -> None:
        link = await connect(Login(server.url, "cli"))
        await link.api("STREAM.CREATE.A", {"name": "A", "subjects": ["a"]})
        fill(server.folder / "filler")
        consumer = {"durable_name": "c", "ack_policy": "explicit"}
        with pytest.raises(Unreachable, match=r"^NATS cannot do CONSUMER\.CREATE\.A\.c now: "):
            await link.api("CONSUMER.CREATE.A.c", {"stream_name": "A", "config": consumer})
        with pytest.raises(Refused, match=r"^NATS refuses STREAM\.PURGE\.B: stream not found$"):
            await link.api("STREAM.PURGE.B")
        await link.close()

    with small_disk(tmp_path / "disk", "20M") as disk, Server(disk) as server:
        asyncio.run(run(server))


def test_who_waits_when_the_wire_breaks_hears_of_it_at_once(tmp_path):
    async def run():
        with Server(tmp_path) as server:
            async with Wire(server.port) as wire:
                link = await connect(Login(wire.url, "test"))
                await furnish(link)
                wire.stall("down")
                storing = asyncio.create_task(link.store("car.event.a.b.C", b"{}", {}))
                await until(lambda: link.requests._open)
                began = time.monotonic()
                wire.cut()
                with pytest.raises(Unreachable, match="broke"):
                    await storing
                assert time.monotonic() - began < PATIENCE / 2
                wire.flow()
                await link.store("car.event.a.b.C", b"{}", {})
                await link.close()

    asyncio.run(run())


def test_what_the_server_does_not_allow_is_told_at_once_and_not_as_an_absence(tmp_path):
    async def run():
        permission = 'publish: { allow: ["$JS.API.>", "car.event.>"] }, subscribe: { allow: [">"] }'
        users = f'{{ user: "ann", password: "pw", permissions: {{ {permission} }} }}'
        with Server(tmp_path, f"authorization {{ users: [ {users} ] }}") as server:
            link = await connect(Login(server.url.replace("//", "//ann:pw@"), "test"))
            began = time.monotonic()
            with pytest.raises(Unreachable, match=r"does not allow us car\.mail\.hub\.main"):
                await link.store("car.mail.hub.main", b"{}", {})
            assert time.monotonic() - began < PATIENCE / 2
            await link.close()

    asyncio.run(run())


def test_a_question_that_nobody_hears_is_answered_at_once(tmp_path):
    async def run():
        with Server(tmp_path) as server:
            link = await connect(Login(server.url, "test"))
            with pytest.raises(Unreachable, match=r"nobody answers on car\.ask\.hub\.main"):
                await link.ask("car.ask.hub.main", b"", {})
            await link.close()

    asyncio.run(run())
