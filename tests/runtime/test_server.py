"""The embedded server lets in nobody whom it does not know, and its files are for their owner alone."""

import asyncio
import re
import signal
import subprocess

import nkeys
import pytest

from actors.runtime import process
from actors.runtime.nats import keyring
from actors.runtime.nats.link import connect
from actors.runtime.nats.server import CONFIG, equip, login, readmit, settle, show_accounts
from actors.runtime.nats.users import USERS
from actors.runtime.place import init_hub
from protocol.errors import Refused, Unreachable
from tests.runtime.gate import gate, knock, links
from tests.server import binary, until

NAMES = tuple(user.name for user in USERS)


def test_whoever_has_no_key_or_another_is_not_let_in(tmp_path):
    async def run(url):
        stranger = nkeys.encode_seed(b"7" * 32, nkeys.PREFIX_BYTE_USER).decode()
        assert "authorization violation" in (await knock(url)).lower()
        assert "authorization violation" in (await knock(url, stranger)).lower()
        for name in NAMES:
            assert await knock(url, login(hub, name).seed) == "", name

    with gate(tmp_path) as (hub, _):
        asyncio.run(run(login(hub, "cli").url))


def test_keys_and_address_are_for_their_owner_alone(tmp_path):
    hub = init_hub(tmp_path / "hub")
    equip(hub)
    keyring.renew(hub, "cli")
    files = (*hub.nats.glob("*.seed"), hub.nats / "cli.old", hub.nats / CONFIG, hub.run / "nats.url")
    assert len(files) == len(USERS) + 3
    for path in files:
        assert path.stat().st_mode & 0o077 == 0, path
    assert hub.nats.stat().st_mode & 0o077 == 0


def test_nothing_but_the_seed_files_holds_a_seed(tmp_path):
    hub = init_hub(tmp_path / "hub")
    equip(hub)
    seeds = [keyring.seed_of(hub, name).read_text().strip() for name in NAMES]
    assert all(seed.startswith("SU") for seed in seeds)
    for path in (*hub.nats.iterdir(), *hub.run.iterdir()):
        if path.suffix != ".seed":
            assert not any(seed in path.read_text() for seed in seeds), path


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
    assert (login(hub, "host").url, login(hub, "host").seed) == ("nats://127.0.0.1:4333", "")


def test_at_an_existing_server_our_keys_are_used_unless_its_address_names_somebody(tmp_path, monkeypatch):
    hub = init_hub(tmp_path / "hub")
    assert not re.search(r"\bSU[A-Z2-7]{50}", show_accounts(hub))
    monkeypatch.setenv("CAR_NATS_URL", "nats://127.0.0.1:4333")
    assert login(hub, "cli").seed == keyring.seed_of(hub, "cli").read_text()
    monkeypatch.setenv("CAR_NATS_URL", "nats://ann:secret@127.0.0.1:4333")
    assert login(hub, "cli").seed == ""


def test_the_accounts_that_are_shown_are_a_configuration_that_lets_our_keys_in(tmp_path, monkeypatch):
    with gate(tmp_path) as (hub, server):
        url = login(hub, "cli").url
        server.kill()
        server.wait()
        theirs = tmp_path / "theirs.conf"
        store = f'jetstream {{ store_dir: "{tmp_path}/theirs" }}'
        theirs.write_text(f'listen: "{url.removeprefix("nats://")}"\n{store}\n{show_accounts(hub)}')
        monkeypatch.setenv("CAR_NATS_URL", url)

        async def run():
            async with links(hub, "cli") as (_, cli):
                assert cli.trouble == ""

        with (tmp_path / "theirs.log").open("wb") as log:
            other = subprocess.Popen([binary(), "-c", str(theirs)], stdout=log, stderr=log)
        try:
            asyncio.run(run())
        finally:
            other.kill()
            other.wait()
        assert b"[ERR]" not in (tmp_path / "theirs.log").read_bytes()


def test_a_new_key_counts_beside_the_old_one_until_that_is_retired(tmp_path):
    async def run(hub, server):
        old = login(hub, "cli")
        async with links(hub, "cli") as (host, cli):
            assert keyring.renew(hub, "cli").old == (_public(old.seed),)
            assert readmit(hub)
            new = login(hub, "cli")
            assert new.seed != old.seed
            await _let_in(new)
            assert await knock(old.url, old.seed) == ""
            assert cli.client.stats["reconnects"] == 0
            later = await connect(new)

            assert keyring.retire(hub, "cli") == (_public(old.seed),)
            assert readmit(hub)
            # Thrown out, not let in again, and told so.
            with pytest.raises(Unreachable, match="does not let our key in any more"):
                async with asyncio.timeout(20):
                    await cli.watch()
            assert not cli.client.is_connected
            assert "violation" in (await knock(old.url, old.seed)).lower()
            # Nobody else noticed any of it.
            assert await knock(new.url, new.seed) == ""
            assert later.client.stats["reconnects"] == host.client.stats["reconnects"] == 0
            assert (await host.api("STREAM.INFO.MAIL")).text("config", "name") == "MAIL"
            await later.close()

    with gate(tmp_path) as (hub, server):
        _record(hub, server)
        asyncio.run(run(hub, server))


def test_keys_that_were_changed_while_no_server_ran_count_from_its_next_start(tmp_path):
    hub = init_hub(tmp_path / "hub")
    equip(hub)
    old = login(hub, "telegram").seed
    middle = keyring.renew(hub, "telegram").key
    newest = keyring.renew(hub, "telegram")
    assert newest.old == (_public(old), middle)
    assert not readmit(hub)

    with gate(tmp_path) as (hub, _):
        url = login(hub, "telegram").url
        assert asyncio.run(knock(url, old)) == ""
        assert asyncio.run(knock(url, login(hub, "telegram").seed)) == ""
    keyring.retire(hub, "telegram")
    with gate(tmp_path) as (hub, _):
        assert "violation" in asyncio.run(knock(login(hub, "telegram").url, old)).lower()


def test_a_server_that_is_told_of_new_keys_keeps_its_port_and_its_bounds(tmp_path):
    with gate(tmp_path) as (hub, server):
        _record(hub, server)
        before = (hub.nats / CONFIG).read_text()
        (hub.nats / "filler").write_bytes(b"x" * 5_000_000)
        assert readmit(hub)
        assert (hub.nats / CONFIG).read_text() == before
        asyncio.run(_reloaded(hub))


def test_only_the_server_of_our_own_records_is_told(tmp_path):
    hub = init_hub(tmp_path / "hub")
    equip(hub)
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        sight = process.look(bystander.pid)
        assert sight
        # The pid is somebody else's today than when it was written down.
        record = process.Record("server", bystander.pid, sight.who.born + 1, (), 0.0, boot=process._boot())
        process.write(hub.run, record)
        assert not readmit(hub)
        with pytest.raises(subprocess.TimeoutExpired):
            bystander.wait(0.2)
    finally:
        bystander.send_signal(signal.SIGKILL)
        bystander.wait()


def test_a_name_that_nobody_has_is_refused(tmp_path):
    hub = init_hub(tmp_path / "hub")
    for change in (keyring.renew, keyring.retire):
        with pytest.raises(Refused, match=r"^nobody is called 'clie' here; there are host, custodian, cli"):
            change(hub, "clie")
    assert list(hub.nats.iterdir()) == []


def test_a_seed_that_is_broken_is_named_and_not_shown(tmp_path):
    hub = init_hub(tmp_path / "hub")
    equip(hub)
    keyring.seed_of(hub, "cli").write_text("SUnotaseed")
    with pytest.raises(Refused, match=r"cli\.seed holds no key; remove it") as caught:
        settle(hub)
    assert "SUnotaseed" not in str(caught.value)


def _public(seed: str) -> str:
    return nkeys.from_seed(seed.encode()).public_key.decode()


def _record(hub, server):
    """Write the server down as the keeper does."""
    who = process.identify(server.pid)
    process.write(hub.run, process.Record("server", who.pid, who.born, (), 0.0, boot=process._boot()))


async def _let_in(who):
    link = await connect(who, wait=5)
    await link.close()


async def _reloaded(hub):
    log = hub.log / "server.log"
    await until(lambda: "Reloaded server configuration" in log.read_text())
    assert "[ERR]" not in log.read_text()
