"""A store that was saved and put back, with mail in hand: all of it takes effect once, and ids are not made twice."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

from actors.runtime.nats.backup import restore, save
from actors.runtime.nats.layout import EVENT
from actors.runtime.nats.link import Login, connect
from actors.runtime.nats.log import read_all
from actors.runtime.nats.ports import open_house
from actors.runtime.nats.roster import new_lease
from actors.runtime.nats.witness import Witness, check, survey
from actors.runtime.place import init_hub
from actors.runtime.ports import Delivery
from protocol.address import Address
from protocol.envelope import Mark, unpack
from tests.runtime.cast import Add
from tests.runtime.world import NatsWorld, until
from tests.server import Server

B = Address("account", "b")


class Deaf:
    """An intake whose acknowledgements never reach the server, as when it dies before they come."""

    def __init__(self, intake) -> None:
        self.intake = intake
        self.settled = 0

    async def run(self, take, *leave) -> None:
        async def settle() -> None:
            self.settled += 1

        await self.intake.run(lambda delivery: take(Delivery(delivery.mail, settle)), *leave)


@asynccontextmanager
async def at_work(hub, *, deaf=False):
    """Start the server of a hub, and a host on it as a host starts; both are killed at the end."""
    folder = hub.nats / "store"
    folder.mkdir(exist_ok=True)
    with Server(folder) as server:
        link = await connect(Login(server.url, "test"))
        witness = Witness(hub.nats)
        house = await open_house(link, new_lease("n", {}), await check(link, witness))
        witness.testify(await survey(link))
        world = NatsWorld(link, house.ports)
        world.deaf = Deaf(house.ports.intake)
        world.start(replace(house.ports, intake=world.deaf) if deaf else house.ports)
        try:
            yield world
        finally:
            await world.stop()
            witness.testify(await survey(link))
            await link.close()


async def ids(world):
    """Return the ids of all facts that are kept, with their sequences."""
    rows = await read_all(world.link, EVENT, "car.event.>")
    return {row.seq: unpack(row.headers, row.data).id for row in rows}


async def go_on(world):
    """Say two things more, one after the other; return the sequences of their mail."""
    said = []
    for n in (5, 6):
        said.append(await world.say("a", Add(n=n, then=B), f"m{n}"))
        await world.settled("b", tuple(range(1, n + 1)))
    return said


def test_what_was_in_hand_when_a_store_was_saved_takes_effect_once_when_it_is_put_back(tmp_path):
    async def run():
        hub = init_hub(tmp_path / "hub")
        async with at_work(hub, deaf=True) as world:
            for n in (1, 2, 3):
                await world.say("a", Add(n=n, then=B), f"m{n}")
            await until(lambda: world.deaf.settled == 9)  # with what b answers: all is done, nothing is acknowledged
            await world.stop()
            await world.say("a", Add(n=4, then=B), "m4")  # accepted, and nobody has seen it
            assert await world.waiting() == 10
        save(hub, tmp_path / "saved")

        async with at_work(hub) as world:
            await world.settled("b", (1, 2, 3, 4))
            lost = await go_on(world)
            before = await ids(world)
        restore(hub, tmp_path / "saved", replace=True)

        async with at_work(hub) as world:
            await world.settled("b", (1, 2, 3, 4))
            assert await world.numbers("a") == (1, 2, 3, 4)
            assert await go_on(world) == lost  # the same words under the same sequences, and yet they are others
            assert await world.numbers("a") == (1, 2, 3, 4, 5, 6)
            after = await ids(world)
            assert len(after) == len(before) == 12
            # What came of the first four says the same again, but for what was said to b after the restore.
            assert len(set(after.values()) - set(before.values())) == 5
            assert await world.dead() == []

    asyncio.run(run())


def test_mail_of_before_that_comes_again_after_mail_of_the_new_epoch_does_nothing(tmp_path):
    async def run():
        hub = init_hub(tmp_path / "hub")
        async with at_work(hub, deaf=True) as world:
            for n in (1, 2):
                await world.say("a", Add(n=n), f"m{n}", Mark("old", n), B)
            await until(lambda: world.deaf.settled == 4)
        save(hub, tmp_path / "saved")
        restore(hub, tmp_path / "saved", replace=True)
        async with at_work(hub, deaf=True) as world:
            await until(lambda: world.deaf.settled == 4)
            await world.say("a", Add(n=3), "m3", Mark("new", 3), B)
            await until(lambda: world.deaf.settled == 6)
        async with at_work(hub) as world:
            await world.settled("a", (1, 2, 3))

    asyncio.run(run())
