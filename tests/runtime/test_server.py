"""The embedded server lets in nobody whom it does not know, and everybody only where they belong."""

import asyncio
import subprocess
from contextlib import asynccontextmanager

import nats
import pytest

from actors.runtime.nats.link import connect
from actors.runtime.nats.ports import NatsPost, open_ports
from actors.runtime.nats.server import CONFIG, equip, login, settle
from actors.runtime.place import init_hub
from protocol.address import Address
from protocol.chat import Said
from protocol.envelope import Envelope, letter
from protocol.errors import CarError, Unreachable
from tests.server import binary

ROOM = Address("chat_cli", "ann")


@asynccontextmanager
async def hub_with_server(tmp_path):
    hub = init_hub(tmp_path / "hub")
    equip(hub)
    settle(hub)
    with (tmp_path / "log").open("ab") as log:
        server = subprocess.Popen([binary(), "-c", str(hub.nats / CONFIG)], stdout=log, stderr=log)
    try:
        host = await connect(login(hub, "host"))
        await open_ports(host)
        yield hub, host
        await host.close()
    finally:
        server.kill()
        server.wait()


def story(tmp_path, tell):
    async def run():
        async with hub_with_server(tmp_path) as (hub, host):
            await tell(hub, host)

    asyncio.run(run())


def said() -> Envelope:
    return Envelope(Address("door", "cli"), (letter(Said(text="hello"), "1"),))


def test_an_anonymous_client_is_refused(tmp_path):
    async def tell(hub, _):
        errors = []

        async def note(error):
            errors.append(str(error))

        with pytest.raises((nats.errors.Error, asyncio.TimeoutError)):
            await asyncio.wait_for(
                nats.connect(login(hub, "cli").url, allow_reconnect=False, connect_timeout=1, error_cb=note), 3
            )
        assert any("Authorization" in error for error in errors), errors

    story(tmp_path, tell)


def test_the_terminal_may_speak_in_its_rooms_and_nowhere_else(tmp_path):
    async def tell(hub, host):
        cli = await connect(login(hub, "cli"))
        ports = await _post(cli)
        assert await ports.send(ROOM, said()) == 1
        for to in (Address("chat_telegram", "ann"), Address("session", "s1"), Address("work", "n.git.k")):
            with pytest.raises(Unreachable):
                await asyncio.wait_for(ports.send(to, said()), 10)
        await cli.close()

    story(tmp_path, tell)


@pytest.mark.parametrize(
    "subject",
    [
        "STREAM.DELETE.MAIL",
        "STREAM.INFO.MAIL",
        "STREAM.MSG.GET.KV_STATE",
        "CONSUMER.MSG.NEXT.MAIL.s0",
        "DIRECT.GET.PROC",
    ],
)
def test_the_terminal_and_the_custodian_have_no_power_over_the_streams(tmp_path, subject):
    async def tell(hub, _):
        for name in ("cli", "custodian"):
            if (name, subject) == ("custodian", "DIRECT.GET.PROC"):
                continue
            link = await connect(login(hub, name))
            with pytest.raises(CarError):
                await link._request(f"$JS.API.{subject}", b'{"seq":1}', None, patience=0.5)
            await link.close()

    story(tmp_path, tell)


def test_nobody_hears_what_is_said_to_others(tmp_path):
    async def tell(hub, host):
        cli = await connect(login(hub, "cli"))
        heard = []

        async def hear(msg):
            heard.append(msg.subject)

        for subject in ("car.>", "_INBOX_host.>", "_INBOX_custodian.>", "$KV.>"):
            await cli.client.subscribe(subject, cb=hear)
        await cli.client.flush()
        await (await _post(host)).send(Address("session", "s1"), said())
        await host.say("_INBOX_custodian.x", b"secret")
        await cli.client.flush()
        assert heard == []
        assert "Permissions Violation" in cli.trouble or "permissions violation" in cli.trouble.lower()
        await cli.close()

    story(tmp_path, tell)


def test_keys_and_address_are_for_their_owner_alone(tmp_path):
    hub = init_hub(tmp_path / "hub")
    equip(hub)
    for path in (*hub.nats.glob("*.seed"), hub.nats / CONFIG, hub.run / "nats.url"):
        assert path.stat().st_mode & 0o077 == 0, path
    assert hub.nats.stat().st_mode & 0o077 == 0


def test_a_port_that_somebody_else_has_is_not_used(tmp_path):
    hub = init_hub(tmp_path / "hub")
    equip(hub)
    before = login(hub, "cli").url
    settle(hub)
    assert login(hub, "cli").url == before

    async def occupied():
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", int(before.rpartition(":")[2]))
        settle(hub)
        assert login(hub, "cli").url != before
        server.close()
        await server.wait_closed()

    asyncio.run(occupied())


def test_an_existing_server_is_used_where_one_is_named(tmp_path, monkeypatch):
    hub = init_hub(tmp_path / "hub")
    monkeypatch.setenv("CAR_NATS_URL", "nats://127.0.0.1:4333")
    assert login(hub, "host").url == "nats://127.0.0.1:4333"


async def _post(link):
    return NatsPost(link)
