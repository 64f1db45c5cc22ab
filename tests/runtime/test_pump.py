"""No mail above a gap reaches anybody: deliveries that are lost, and wires that break, cost time and nothing else."""

import asyncio
import random

from actors.runtime.nats.layout import MAIL, consumer, furnish, hire
from actors.runtime.nats.link import Login, connect
from actors.runtime.nats.ports import open_house, open_ports, shard_of
from actors.runtime.nats.pump import Item, Pump, tend
from actors.runtime.nats.roster import new_lease
from protocol.address import Address
from tests.runtime.cast import Add
from tests.runtime.wire import Wire
from tests.runtime.world import NatsWorld
from tests.server import Server, until

COUNT = 400


class LossyPump(Pump):
    """Loses some deliveries on their way, as a client does that drops what it cannot hold."""

    lose: set[int] = set()
    lost = 0

    def hear(self, msg) -> None:
        status = (msg.headers or {}).get("Status")
        if not status and int(msg.reply.split(".")[5]) in self.lose:
            self.lose.discard(int(msg.reply.split(".")[5]))
            self.lost += 1
            return
        super().hear(msg)


def test_lost_deliveries_come_again_and_nothing_above_them_is_taken_first(tmp_path):
    async def run():
        with Server(tmp_path) as server:
            link = await connect(Login(server.url, "test"))
            await furnish(link)
            await hire(link, MAIL, consumer("one", "car.*.*.*.*"))
            for n in range(150):
                await link.store("car.mail.account.a", str(n).encode(), {})
            taken: list[int] = []

            def take(item: Item) -> None:
                if item.seq > len(taken):  # an actor passes over what it has had
                    taken.append(item.seq)
                asyncio.get_running_loop().create_task(link.say(item.msg.reply, b"+ACK"))

            pump = LossyPump(link, MAIL, "one", take)
            pump.lose = {3, 4, 40, 149}
            await pump.open()
            reading = asyncio.create_task(tend(link, lambda: (pump,)))
            await until(lambda: len(taken) == 150)
            assert taken == list(range(1, 151))
            assert pump.lost == 4
            assert pump.resets >= 2
            reading.cancel()
            await asyncio.wait([reading])
            await pump.close()
            await link.close()

    asyncio.run(run())


def test_a_wire_that_breaks_while_mail_is_on_its_way_loses_and_doubles_nothing(tmp_path):
    async def run():
        chance = random.Random(5)
        with Server(tmp_path) as server:
            outside = await connect(Login(server.url, "outside"))
            far = NatsWorld(outside, await open_ports(outside))
            async with Wire(server.port) as wire:
                link = await connect(Login(wire.url, "host"))
                near = NatsWorld(link, await open_ports(link))
                near.start()
                for n in range(COUNT):
                    await far.say("ab"[n % 2], Add(n=n))
                    if n % 80 == 40:
                        await asyncio.sleep(chance.random() / 50)
                        wire.cut()
                await far.settled("a", tuple(range(0, COUNT, 2)), 30)
                await far.settled("b", tuple(range(1, COUNT, 2)), 30)
                assert wire.cuts == 5
                assert await far.dead() == []
                await near.stop()
                await link.close()
            await outside.close()

    asyncio.run(run())


def test_what_comes_after_a_seat_was_lost_does_not_overtake_what_was_let_go(tmp_path):
    async def run():
        with Server(tmp_path) as server:
            link = await connect(Login(server.url, "test"))
            world = NatsWorld(link, (house := await open_house(link, new_lease("n", {}))).ports)
            world.start()
            await until(lambda: len(house.usher.held) == 65)
            shard = f"s{shard_of(Address('account', 'a'))}"
            pump = house.usher._held[shard]
            kept: list = []
            hear, pump.hear = pump.hear, kept.append  # as if the client had them in a queue
            for n in range(6):
                await world.say("a", Add(n=n))
            await until(lambda: len(kept) == 6)
            for msg in kept[:3]:
                hear(msg)
            pump.on_gone()
            for msg in kept[3:]:
                hear(msg)
            await world.settled("a", tuple(range(6)))
            await world.stop()
            await link.close()

    asyncio.run(run())
