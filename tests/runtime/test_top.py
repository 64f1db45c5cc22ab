"""The operator's view on a real server: what it counts is what is there, and what it says of hosts is what they say."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from actors.runtime.nats import micro
from actors.runtime.nats.layout import DEAD, MAIL, NODES, SHARDS, WORK, consumer
from actors.runtime.nats.link import Link, Login, connect
from actors.runtime.nats.ports import NatsPost, open_ports, shard_of
from actors.runtime.nats.roster import new_lease
from actors.runtime.nats.top import DEEPEST, Overview, consumers, look, streams
from actors.runtime.ports import Ports
from protocol.address import Address, token
from protocol.envelope import Envelope, letter
from protocol.errors import Refused
from protocol.node import Lease
from protocol.top import DescribeRuntime, HostView, RuntimeView
from tests.runtime.cast import Add
from tests.runtime.wire import Wire
from tests.runtime.world import DOOR
from tests.server import Server, until

SEATS = ("s0", "s7", "fired", "n1-git")


def story(tmp_path, tell: Callable[[Server, Link, Ports], Awaitable[None]]) -> None:
    async def run():
        with Server(tmp_path) as server:
            link = await connect(Login(server.url, "test"))
            try:
                await tell(server, link, await open_ports(link))
            finally:
                await link.close()

    asyncio.run(run())


async def say(post: NatsPost, to: str, count: int, voice: str = "") -> None:
    for n in range(count):
        await post.send(Address("account", to), Envelope(DOOR, (letter(Add(n=n), f"{voice}{to}{n}"),)))


async def lease(link: Link, node: str) -> Lease:
    """Put a lease on the list, as a host does."""
    made = new_lease(node, {})
    await link.store(f"$KV.NODES.host.{token(made.name)}", made.model_dump_json().encode(), {})
    return made


@asynccontextmanager
async def announced(link: Link, who: Lease, awake: int = 3):
    task = asyncio.create_task(micro.announce(link, lambda: micro.fare(who, awake, SEATS)))
    await link.client.flush()
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


# mailboxes


def test_depth_and_age_of_mailboxes_are_those_of_the_mail_that_waits(tmp_path):
    async def tell(_, link, ports):
        began = time.monotonic()
        await say(ports.post, "deep", 30)
        await say(NatsPost(link, "said_cli"), "deep", 10, "cli")
        mid = time.monotonic()
        await asyncio.sleep(1.2)  # the age that is looked for
        await say(ports.post, "late", 5)
        seen = await look(link, ports.store)
        now = time.monotonic()
        assert (seen.waiting, seen.mailboxes, seen.partial) == (45, 2, False)
        deep, late = seen.deepest
        assert (deep.who, deep.waiting, late.who, late.waiting) == ("account/deep", 40, "account/late", 5)
        assert now - mid - 0.3 <= deep.age <= now - began + 0.3
        assert deep.age >= 1.2
        assert late.age < 1.0
        assert abs((seen.at - datetime.now(UTC)).total_seconds()) < 2

    story(tmp_path, tell)


def test_the_deepest_mailboxes_come_first_and_are_not_too_many(tmp_path):
    async def tell(_, link, ports):
        for n in range(DEEPEST + 5):
            await say(ports.post, f"a{n}", n + 1)
        seen = await look(link, ports.store)
        assert [one.waiting for one in seen.deepest] == list(range(DEEPEST + 5, 5, -1))
        assert seen.mailboxes == DEEPEST + 5
        assert seen.waiting == sum(range(DEEPEST + 6))

    story(tmp_path, tell)


def test_of_too_many_mailboxes_a_part_is_looked_at_and_all_mail_is_counted(tmp_path):
    async def tell(_, link, ports):
        for n in range(40):
            await say(ports.post, f"a{n}", 2)
        seen = await look(link, ports.store, bound=10)
        assert (seen.partial, seen.waiting) == (True, 80)
        assert 10 <= seen.mailboxes < 40
        assert {one.waiting for one in seen.deepest} == {2}

    story(tmp_path, tell)


def test_an_empty_house_is_shown_as_it_is(tmp_path):
    async def tell(_, link, ports):
        seen = await look(link, ports.store)
        assert (seen.waiting, seen.mailboxes, seen.deepest, seen.hosts, seen.dead, seen.resting) == (
            0,
            0,
            (),
            (),
            0,
            (),
        )
        assert seen.unread == tuple(range(SHARDS))

    story(tmp_path, tell)


# streams and dead letters


def test_streams_are_counted_as_the_server_counts_them(tmp_path):
    async def tell(_, link, ports):
        await say(ports.post, "a", 7)
        await ports.post.bury(Address("account", "a"), Envelope(DOOR, (letter(Add(n=1), "m1"),)), "why")
        found = {one.name: one for one in await streams(link)}
        info = await link.api(f"STREAM.INFO.{MAIL}")
        assert found[MAIL].messages == 7
        assert found[MAIL].bytes == info.number("state", "bytes") > 0
        assert found[MAIL].bound == info.number("config", "max_bytes") > 0
        assert found[MAIL].oldest == datetime.fromisoformat(info.text("state", "first_ts"))
        assert (found[WORK].messages, found[WORK].oldest) == (0, None)
        assert (await look(link, ports.store)).dead == found[DEAD].messages == 1

    story(tmp_path, tell)


def test_who_reads_a_stream_is_named_with_what_waits_and_what_is_in_hand(tmp_path):
    async def tell(_, link, ports):
        config = consumer("s7-host", "car.*.7.*.*")
        await link.api("CONSUMER.CREATE.MAIL.s7-host.car.*.7.*.*", {"stream_name": MAIL, "config": config})
        box = next(name for name in map(str, range(1000)) if shard_of(Address("account", name)) == 7)
        await say(ports.post, box, 5)
        inbox = link.client.new_inbox()
        heard = await link.client.subscribe(inbox)
        await link.client.publish("$JS.API.CONSUMER.MSG.NEXT.MAIL.s7-host", b'{"batch": 2}', reply=inbox)
        for _ in range(2):
            await heard.next_msg()
        (one,) = await consumers(link, MAIL)
        assert (one.name, one.subjects, one.waits, one.taken, one.asks) == ("s7-host", ("car.*.7.*.*",), 3, 2, 0)
        assert one.active

    story(tmp_path, tell)


def test_lists_that_come_in_pages_are_read_to_their_end(tmp_path):
    async def tell(_, link, __):
        names = [f"r{n:03}" for n in range(300)]
        for name in names:
            config = consumer(name, "car.event.*.*.*")
            await link.api(f"CONSUMER.CREATE.EVENT.{name}.car.event.*.*.*", {"stream_name": "EVENT", "config": config})
        assert [one.name for one in await consumers(link, "EVENT")] == names

    story(tmp_path, tell)


# hosts


def test_hosts_are_those_with_a_lease_and_say_themselves_how_they_fare(tmp_path):
    async def tell(_, link, ports):
        one, two = await lease(link, "n1"), await lease(link, "n2")
        async with announced(link, one, awake=3):
            seen = await look(link, ports.store)
            await link.store(f"$KV.NODES.host.{token(two.name)}", b"", {"KV-Operation": "DEL"})
            await link.store("$KV.NODES.host.strange", b"{}", {})
            after = await look(link, ports.store)
        assert [(host.lease, host.release, host.since) for host in seen.hosts] == [
            (who.name, who.release, who.since) for who in (one, two)
        ]
        says = seen.hosts[0].says
        assert (says.awake, says.shards, says.seats) == (3, (0, 7), ("fired", "n1-git"))
        assert says.cpu > 0
        assert says.memory > 10_000_000
        assert seen.hosts[1].says is None
        assert seen.unread == tuple(shard for shard in range(SHARDS) if shard not in {0, 7})
        assert [host.lease for host in after.hosts] == [one.name]

    story(tmp_path, tell)


def test_the_view_is_answered_over_the_wire_and_nothing_else_is(tmp_path):
    async def tell(_, link, ports):
        overview = Overview(link, ports.store)
        asked = Envelope(DOOR, (letter(DescribeRuntime(), "q"),))
        assert isinstance(await overview.answer(Address("runtime", "main"), asked, 0), RuntimeView)
        with pytest.raises(Refused, match=r"runtime/main cannot be asked cast\.Add"):
            await overview.answer(Address("runtime", "main"), Envelope(DOOR, (letter(Add(n=1), "q"),)), 0)
        assert NODES in {one.name for one in await streams(link)}

    story(tmp_path, tell)


# the service


async def services(link: Link, verb: str = "PING") -> list[dict]:
    """Ask as ``nats micro`` does: all who answer within a moment."""
    inbox = link.client.new_inbox()
    heard = await link.client.subscribe(inbox)
    await link.client.publish(f"$SRV.{verb}.{micro.NAME}", b"", reply=inbox)
    found: list[bytes] = []
    try:
        while True:
            found.append((await heard.next_msg(timeout=0.3)).data)
    except TimeoutError:
        await heard.unsubscribe()
        return [json.loads(one) for one in found if one]  # an empty one says that nobody is there


def test_each_host_is_a_service_that_tells_the_truth(tmp_path):
    async def tell(server, link, _):
        one, two = new_lease("n1", {}), new_lease("n2", {}, "1.2.3.dev4")
        far = await connect(Login(server.url, "far"))
        async with announced(link, one), announced(far, two):
            pinged = sorted(await services(link), key=lambda each: each["metadata"]["node"])
            assert [(each["name"], each["version"], each["metadata"]["lease"]) for each in pinged] == [
                ("car-host", one.release, one.name),
                ("car-host", "1.2.3", two.name),
            ]
            assert pinged[1]["metadata"]["release"] == "1.2.3.dev4"
            info = {each["metadata"]["lease"]: each["endpoints"] for each in await services(link, "INFO")}
            assert [endpoint["subject"] for endpoint in info[one.name]] == [f"car.node.{token(one.name)}.stats"]
            await micro.fares(link, one.name)
            stats = {each["metadata"]["lease"]: each["endpoints"][0] for each in await services(link, "STATS")}
            assert (stats[one.name]["num_requests"], stats[two.name]["num_requests"]) == (1, 0)
            assert stats[two.name]["data"]["shards"] == [0, 7]
        assert await services(link) == []
        await far.close()

    story(tmp_path, tell)


def test_the_service_is_there_again_after_the_wire_was_cut(tmp_path):
    async def tell(server, link, _):
        who = new_lease("n1", {})
        async with Wire(server.port) as wire:
            far = await connect(Login(wire.url, "far"))
            async with announced(far, who):
                assert await micro.fares(link, who.name)
                wire.cut()
                await until(lambda: not far.client.is_connected)
                await until(lambda: far.client.is_connected)
                await far.client.flush()
                assert isinstance(await micro.fares(link, who.name), HostView)
                assert len(await services(link)) == 1
            await far.close()

    story(tmp_path, tell)


def test_the_service_takes_its_leave_at_once_where_the_server_is_away(tmp_path):
    async def tell(server, link, _):
        far = await connect(Login(server.url, "far"))
        async with announced(far, new_lease("n1", {})) as task:
            server.kill()
            await until(lambda: not far.client.is_connected)
            began = time.monotonic()
            task.cancel()
            await asyncio.wait([task])
            assert time.monotonic() - began < 2
            assert task.cancelled()
        await far.close()
        await link.close()

    story(tmp_path, tell)
