"""Several hosts share the mailboxes: each seat has one reader, and whoever goes, in whatever way, is followed."""

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from actors.runtime.nats.layout import MAIL, SHARDS
from actors.runtime.nats.link import Link, Login, boot_time, connect
from actors.runtime.nats.ports import House, open_house, open_ports, shard_of
from actors.runtime.nats.roster import SILENCE, TERM, new_lease
from actors.runtime.placement import owner
from actors.runtime.supervisor import Supervisor
from protocol.address import Address
from protocol.errors import Unreachable
from tests.runtime.cast import CAST, Add
from tests.runtime.wire import Wire
from tests.runtime.world import NatsWorld
from tests.server import Server, until

SEATS = SHARDS + 1


@dataclass
class Player:
    """One host of several in this process, with a wire of its own."""

    link: Link
    house: House
    wire: Wire
    supervisor: Supervisor
    playing: "asyncio.Task[None]"

    @property
    def seats(self) -> int:
        return len(self.house.usher.held)


@asynccontextmanager
async def several(folder, count):
    with Server(folder) as server:
        outside = await connect(Login(server.url, "outside"))
        far = NatsWorld(outside, await open_ports(outside))
        far.server = server
        players, wires = [], []
        try:
            for number in range(count):
                wire = await Wire(server.port).__aenter__()
                wires.append(wire)
                link = await connect(Login(wire.url, f"host{number}"))
                house = await open_house(link, new_lease(f"n{number}", {"account": 1}))
                supervisor = Supervisor(CAST, house.ports)
                players.append(Player(link, house, wire, supervisor, asyncio.create_task(supervisor.run())))
            await until(lambda: sum(one.seats for one in players) == SEATS and all(one.seats for one in players))
            yield far, players
        finally:
            for one in players:
                one.playing.cancel()
            await asyncio.wait([one.playing for one in players])
            for one in players:
                await one.link.close()
            for wire in wires:
                await wire.__aexit__()
            await outside.close()


def story(folder, count, tell):
    async def run():
        async with several(folder, count) as (far, players):
            await tell(far, players)

    asyncio.run(run())


def of(player: Player, count: int) -> list[str]:
    """Return actors whose mail this host reads."""
    held = {int(name[1:]) for name in player.house.usher.held if name[1:].isdigit()}
    names = (f"k{n}" for n in range(1000))
    return [name for name in names if shard_of(Address("account", name)) in held][:count]


def test_the_shard_of_an_address_is_where_the_server_keeps_it(tmp_path):
    async def run():
        with Server(tmp_path) as server:
            link = await connect(Login(server.url, "test"))
            ports = await open_ports(link)
            addresses = [Address(kind, f"key-{n}_2f") for kind in ("hub", "chat_cli", "session") for n in range(30)]
            for one in addresses:
                await link.store(one.subject("mail"), b"", {})
            found = await link.api(f"STREAM.INFO.{MAIL}", {"subjects_filter": ">"})
            kept = found.section("state", "subjects")
            assert set(kept) == {f"car.mail.{shard_of(one)}.{one.kind}.{one.key}" for one in addresses}
            assert ports.store.epochs.newest
            await link.close()

    asyncio.run(run())


def test_hosts_share_the_seats_and_all_mail_is_handled(tmp_path):
    async def tell(far, players):
        assert all(10 < one.seats < 55 for one in players)
        for name in (*of(players[0], 3), *of(players[1], 3)):
            for n in range(5):
                await far.say(name, Add(n=n))
            await far.settled(name, tuple(range(5)))

    story(tmp_path, 2, tell)


def test_a_host_that_leaves_finishes_what_it_has_and_is_followed_at_once(tmp_path):
    async def tell(far, players):
        one, other = players
        (name,) = of(one, 1)
        await far.say(name, Add(n=1))
        await one.house.usher.drain()
        assert await one.supervisor.finish(5)
        began = time.monotonic()
        await far.say(name, Add(n=2))
        await far.settled(name, (1, 2))
        assert time.monotonic() - began < SILENCE
        assert other.seats == SEATS
        await one.house.usher.vacate()

    story(tmp_path, 2, tell)


def test_a_host_that_leaves_while_its_lease_is_renewed_stays_away(tmp_path):
    async def tell(_, players):
        one, other = players
        one.wire.stall("down")
        asked = one.link.requests._open
        await until(lambda: any(waiting.subject.startswith("$KV.NODES") for waiting in asked.values()))
        draining = asyncio.create_task(one.house.usher.drain())
        await until(lambda: one.house.roster._is_leaving)
        one.wire.flow()
        await draining
        await until(lambda: other.seats == SEATS)
        for _ in range(20):
            await asyncio.sleep(0.05)
            assert (one.seats, other.seats) == (0, SEATS)
        assert one.link.valid_until > boot_time() + TERM

    story(tmp_path, 2, tell)


def test_a_host_that_is_cut_off_is_followed_and_comes_back(tmp_path):
    async def tell(far, players):
        one, other = players
        (name,) = of(one, 1)
        await far.say(name, Add(n=1))
        await far.settled(name, (1,))
        one.wire.stall("up")
        one.wire.stall("down")
        await far.say(name, Add(n=2))
        await far.settled(name, (1, 2), 2 * TERM)
        assert other.seats == SEATS
        one.wire.flow()
        await until(lambda: one.seats and one.seats + other.seats == SEATS, 20)
        await far.say(name, Add(n=3))
        await far.settled(name, (1, 2, 3))
        assert await far.dead() == []

    story(tmp_path, 2, tell)


def test_a_host_whose_lease_has_lapsed_writes_nothing(tmp_path):
    async def tell(_, players):
        (one,) = players
        one.link.valid_until = boot_time() - 1
        with pytest.raises(Unreachable, match="was away for longer than its lease"):
            await one.link.store("car.mail.account.a", b"", {})
        # It has a new one as soon as it says that it lives.
        await until(lambda: one.link.valid_until > boot_time())
        await one.link.store("car.event.account.a.X", b"", {})

    story(tmp_path, 1, tell)


def test_all_goes_on_after_a_restart_of_the_server(tmp_path):
    async def tell(far, players):
        name = of(players[0], 1)[0]
        await far.say(name, Add(n=1))
        await far.settled(name, (1,))
        far.server.kill()
        await until(lambda: not far.link.client.is_connected)
        far.server.start()
        await until(lambda: far.link.client.is_connected)
        await far.say(name, Add(n=2))
        await far.settled(name, (1, 2), 20)
        await until(lambda: sum(one.seats for one in players) == SEATS, 20)
        for name in [of(one, 1)[0] for one in players]:
            before = await far.numbers(name)
            await far.say(name, Add(n=3))
            await far.settled(name, (*before, 3))

    story(tmp_path, 2, tell)


def test_a_seat_that_somebody_takes_away_is_taken_again(tmp_path):
    async def tell(far, players):
        (one,) = players
        (name,) = of(one, 1)
        shard = f"s{shard_of(Address('account', name))}"
        pump = one.house.usher._held[shard]
        await far.link.api(f"CONSUMER.DELETE.{MAIL}.{pump.consumer}")
        await far.say(name, Add(n=1))
        await far.settled(name, (1,))
        assert one.house.usher._held[shard] is not pump

    story(tmp_path, 1, tell)


# placement


def lease(name, node="n", declines=()):
    return new_lease(node, {}).model_copy(update={"name": name, "declines": declines})


def test_a_host_that_comes_moves_only_the_seats_that_it_gets():
    three = [lease("a"), lease("b"), lease("c")]
    seats = [f"s{n}" for n in range(SHARDS)]
    before = {seat: owner(seat, three) for seat in seats}
    after = {seat: owner(seat, [*three, lease("d")]) for seat in seats}
    assert {after[seat] for seat in seats if after[seat] != before[seat]} == {"d"}
    assert set(before.values()) == {"a", "b", "c"}


def test_a_seat_of_a_machine_goes_to_a_host_of_that_machine():
    hosts = [lease("a", "x"), lease("b", "y")]
    assert {owner(f"w{n}", hosts, node="y") for n in range(20)} == {"b"}
    assert owner("w", hosts, node="z") == ""


def test_a_shard_that_a_host_declines_goes_to_another_unless_there_is_none():
    hosts = [lease("a", declines=(7,)), lease("b")]
    assert owner("s7", hosts, shard=7) == "b"
    assert owner("s7", hosts[:1], shard=7) == "a"
