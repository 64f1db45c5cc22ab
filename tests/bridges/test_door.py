"""The door: who says something hears the truth about it and sees it done; who is shut out waits for nothing."""

import asyncio

import pytest

from actors.runtime.nats.ask import serve
from actors.runtime.nats.link import Login, connect
from actors.runtime.nats.ports import NatsPost, open_ports
from actors.runtime.query import answer
from bridges.bridge import Door, Doubtful, Heard, carry
from bridges.vigil import listening, together, unless_shut
from protocol.address import Address
from protocol.chat import Said
from protocol.envelope import Envelope, letter, pack
from protocol.errors import CarError, Refused, Unreachable
from tests.bridges.world import SHOP, door_over, street
from tests.runtime.cast import CAST, Add, Added, Sum, SumView
from tests.runtime.wire import Wire
from tests.runtime.world import NatsWorld
from tests.server import until


async def raised(deed) -> BaseException | None:
    """Do something that may fail; return how it has."""
    try:
        await deed
    except CarError as error:
        return error
    return None


# what is told


def test_what_is_told_has_the_voice_of_its_door_and_is_stored_when_it_is_accepted(tmp_path):
    async def run():
        async with street(tmp_path) as here:
            heard = []

            async def hear(msg) -> None:
                heard.append(msg.subject)

            await here.link.client.subscribe("car.*.account.shop", cb=hear)
            assert await here.door.tell(SHOP, Add(n=1), "a", "cli:ann") == 1
            assert await here.count() == 1
            await until(lambda: heard == ["car.said_cli.account.shop"])

    asyncio.run(run())


def test_what_is_stored_is_never_called_unsent_where_the_answer_is_lost_and_a_repeat_is_one(tmp_path):
    async def run():
        async with street(tmp_path) as here, Wire(here.server.port) as wire, door_over(wire, tries=1.0) as door:
            wire.stall("down")
            error = await raised(door.tell(SHOP, Add(n=1), "a", "cli:ann"))
            assert isinstance(error, Doubtful), error
            assert str(error).startswith("the server did not say whether it has this (")
            assert await here.count() == 1
            wire.cut()
            wire.flow()
            await until(lambda: door.link.client.stats["reconnects"] == 1)
            assert await door.tell(SHOP, Add(n=1), "a", "cli:ann") == 1
            assert await here.count() == 1

    asyncio.run(run())


def test_a_lost_answer_is_asked_for_again_and_nobody_hears_of_it(tmp_path):
    async def run():
        async with street(tmp_path) as here, Wire(here.server.port) as wire, door_over(wire) as door:
            wire.stall("down")
            telling = asyncio.create_task(door.tell(SHOP, Add(n=1), "a", "cli:ann"))
            while not await here.count():
                await asyncio.sleep(0.01)
            assert not telling.done(), "accepted before the server has said so"
            wire.cut()
            wire.flow()
            assert await telling == 1
            assert await here.count() == 1

    asyncio.run(run())


def test_what_never_left_is_called_unsent(tmp_path):
    async def run():
        async with street(tmp_path, tries=0.5) as here:
            here.server.kill()
            await until(lambda: not here.link.client.is_connected)
            error = await raised(here.door.tell(SHOP, Add(n=1), "a", "cli:ann"))
            assert isinstance(error, Unreachable), error
            assert not isinstance(error, Doubtful)
            assert str(error).endswith(" is away")
            here.server.start()
            assert await here.door.tell(SHOP, Add(n=2), "b", "cli:ann") == 1

    asyncio.run(run())


def test_a_server_that_is_away_for_a_moment_is_waited_for(tmp_path):
    async def run():
        async with street(tmp_path) as here:
            here.server.kill()
            telling = asyncio.create_task(here.door.tell(SHOP, Add(n=1), "a", "cli:ann"))
            await until(lambda: not here.link.client.is_connected)
            here.server.start()
            assert await telling == 1

    asyncio.run(run())


def test_a_full_mailbox_is_told_at_once(tmp_path):
    async def run():
        async with street(tmp_path) as here:
            await asyncio.gather(*(here.door.tell(SHOP, Add(n=n), f"m{n}", "cli:ann") for n in range(200)))
            begun = asyncio.get_running_loop().time()
            with pytest.raises(Refused, match="has more to do than it can hold"):
                await here.door.tell(SHOP, Add(n=1), "a", "cli:ann")
            assert asyncio.get_running_loop().time() - begun < 1
            assert await here.door.tell(SHOP, Add(n=7), "m7", "cli:ann") == 8, "what is there already is no refusal"

    asyncio.run(run())


class OneLine:
    """A bridge whose only person says one line and waits for what is shown."""

    name = "cli"

    def __init__(self) -> None:
        self.shown: asyncio.Queue[str] = asyncio.Queue()

    async def hear(self):
        yield Heard("ann", "ann", Said(text="/status"), "line-1")
        self.last = await self.shown.get()

    async def show(self, room_, card_, proof) -> str:
        assert (room_, card_.id, proof, card_.final) == ("ann", "line-1", "", True)
        self.shown.put_nowait(card_.text)
        return ""

    async def live(self, room_, card_, words) -> None:
        raise AssertionError("nobody writes")


def test_a_person_hears_whether_their_line_is_unsent_or_in_doubt(tmp_path):
    async def doubt():
        async with street(tmp_path) as here, Wire(here.server.port) as wire, door_over(wire, tries=0.5) as door:
            person = OneLine()
            wire.stall("down")
            carrying = asyncio.create_task(carry(person, door, "ann"))
            await asyncio.wait_for(carrying, 10)
            assert person.last.startswith(
                "This may or may not have arrived: the server did not say whether it has this"
            )
            assert await here.count() == 1

    async def unsent():
        async with street(tmp_path, tries=0.3) as here:
            here.server.kill()
            await until(lambda: not here.link.client.is_connected)
            person = OneLine()
            await raised(asyncio.wait_for(carry(person, here.door, "ann"), 10))
            assert person.last.startswith("This was not sent: the NATS server at nats://")

    asyncio.run(doubt())
    asyncio.run(unsent())


# what is asked


def test_whoever_has_told_something_sees_it_in_the_answer(tmp_path):
    async def run():
        async with street(tmp_path) as here:
            ports = await open_ports(here.link)
            host = NatsWorld(here.link, ports)
            host.start()

            async def look(to, asked, seen):
                return await answer(CAST, ports.store, to, asked, seen)

            serving = asyncio.create_task(serve(here.link, "car.ask.account.*", look))
            await asyncio.sleep(0)
            for n in range(40):
                await here.door.tell(SHOP, Add(n=n), f"m{n}", "cli:ann")
                assert await here.door.ask(SHOP, Sum()) == SumView(numbers=tuple(range(n + 1)))
            serving.cancel()
            await asyncio.wait([serving])
            await host.stop()

    asyncio.run(run())


class Asked:
    """Somebody who answers anything, and notes which mail they were to have seen."""

    def __init__(self, here) -> None:
        self.link = here.link
        self.seen: list[int] = []

    async def look(self, to, asked, seen):
        self.seen.append(seen)
        return SumView(numbers=())

    async def serve(self, epoch: str):
        task = asyncio.create_task(serve(self.link, "car.ask.account.*", self.look, epoch))
        await asyncio.sleep(0)
        await self.link.client.flush()
        return task

    async def end(self, task) -> None:
        task.cancel()
        await asyncio.wait([task])


def test_a_mail_is_named_with_its_epoch_and_one_of_an_older_epoch_is_waited_for_no_more(tmp_path):
    async def run():
        async with street(tmp_path) as here:
            asked = Asked(here)
            task = await asked.serve("e1")
            await here.door.ask(SHOP, Sum())
            await here.door.tell(SHOP, Add(n=1), "a", "cli:ann")
            assert here.door.memory.mails[SHOP] == "e1:1"
            await here.door.ask(SHOP, Sum())
            await here.door.ask(Address("account", "other"), Sum())
            assert asked.seen == [0, 1, 0]
            await asked.end(task)
            task = await asked.serve("e2")
            await here.door.ask(SHOP, Sum())
            assert asked.seen[3:] == [0]
            await here.door.tell(SHOP, Add(n=2), "b", "cli:ann")
            await here.door.ask(SHOP, Sum())
            assert asked.seen[4:] == [2]
            await asked.end(task)

    asyncio.run(run())


def test_a_mail_is_named_by_its_number_alone_where_its_epoch_is_not_known(tmp_path):
    async def run():
        async with street(tmp_path) as here, Wire(here.server.port) as wire, door_over(wire) as door:
            asked = Asked(here)
            task = await asked.serve("e1")
            await door.tell(SHOP, Add(n=1), "a", "cli:ann")
            await door.ask(SHOP, Sum())
            assert (door.memory.mails[SHOP], asked.seen) == (":1", [1])
            wire.cut()
            await until(lambda: door.link.client.stats["reconnects"] == 1)
            # Behind the new connection there may be a store that has begun anew.
            await door.tell(SHOP, Add(n=2), "b", "cli:ann")
            assert door.memory.mails[SHOP] == ":2"
            await door.ask(SHOP, Sum())
            await door.tell(SHOP, Add(n=3), "c", "cli:ann")
            assert door.memory.mails[SHOP] == "e1:3"
            headers, body = pack(Envelope(SHOP, (letter(Sum(), "q"),)))
            for named, seen in (("7", 7), ("e0:7", 0), ("e1:7", 7)):
                await here.link.ask("car.ask.account.shop", body, headers | {"Car-Seen": named})
                assert asked.seen[-1] == seen
            await asked.end(task)

    asyncio.run(run())


def test_the_newest_mail_is_remembered_and_a_late_repeat_of_an_old_one_is_not_newer(tmp_path):
    async def run():
        async with street(tmp_path) as here:
            await here.door.tell(SHOP, Add(n=1), "a", "cli:ann")
            await here.door.tell(SHOP, Add(n=2), "b", "cli:ann")
            await here.door.tell(SHOP, Add(n=1), "a", "cli:ann")
            assert here.door.memory.mails[SHOP] == ":2"

    asyncio.run(run())


# what ends


async def shut_out(link) -> None:
    """Say more at once than the server bears: it closes the connection, and the client does not come back."""
    await link.client.publish("car.live.a.b", b"x" * link.client.max_payload, headers={"Car-Part": "1/1"})


def test_whoever_waits_is_told_when_the_server_shuts_them_out(tmp_path):
    async def run():
        async with street(tmp_path) as here:
            url = f"nats://ann:secret@127.0.0.1:{here.server.port}"
            link = await connect(Login(url, "cli"))
            door = Door(link, "cli")
            tidied = asyncio.Event()

            async def wait() -> None:
                async with unless_shut(link):
                    try:
                        await asyncio.Event().wait()
                    finally:
                        tidied.set()

            async def show(*_) -> str:
                return ""

            waits = (wait(), door.rooms(show), door.cards("ann", show), carry(Silent(), door, "bob"))
            tasks = [asyncio.create_task(raised(one)) for one in waits]
            while not await here.link.find("CONSUMER.INFO.OUT.cli-bob"):
                await asyncio.sleep(0.01)
            await shut_out(link)
            for task in tasks:
                error = await asyncio.wait_for(task, 5)
                assert isinstance(error, Unreachable), error
                assert str(error).startswith("the NATS server at nats://127.0.0.1:")
                assert "has closed the connection: " in str(error)
            assert tidied.is_set()

    asyncio.run(run())


class Silent:
    """A bridge whose people say nothing."""

    name = "cli"

    async def hear(self):
        await asyncio.Event().wait()
        yield

    async def show(self, room_, card_, proof) -> str:
        return ""

    async def live(self, room_, card_, words) -> None:
        pass


def test_an_end_that_somebody_else_wants_stays_theirs(tmp_path):
    async def run():
        async with street(tmp_path) as here:

            async def wait() -> None:
                async with unless_shut(here.link):
                    await asyncio.Event().wait()

            waiting = asyncio.create_task(wait())
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])
            assert waiting.cancelled()

    asyncio.run(run())


def test_what_is_shut_after_an_error_does_not_hide_it(tmp_path):
    async def run():
        async with street(tmp_path) as here, Wire(here.server.port) as wire, door_over(wire) as door:

            async def nothing(_) -> None:
                pass

            async def fail() -> None:
                async with listening(door.link, "car.live.a.b", nothing):
                    await door.link.close()
                    raise Refused("no")

            with pytest.raises(Refused, match="no"):
                await fail()

    asyncio.run(run())


def test_of_things_done_together_the_first_end_ends_all():
    ended = []

    async def stay() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("stay")

    async def fail() -> None:
        raise Refused("enough")

    with pytest.raises(Refused, match="enough"):
        asyncio.run(together(stay(), fail()))
    assert ended == ["stay"]


# what is kept


def test_a_reader_of_events_that_is_cut_goes_on_and_misses_nothing_and_has_nothing_twice(tmp_path):
    async def run():
        async with street(tmp_path) as here, Wire(here.server.port) as wire, door_over(wire) as door:
            post = NatsPost(here.link)

            async def happen() -> None:
                for n in range(400):
                    fact = letter(Added(n=n), f"e{n}")
                    await post.publish(Address("account", "ab"[n % 2]), Envelope(SHOP, (fact,)))

            happening = asyncio.create_task(happen())
            seen, start, cuts = [], 1, 0
            while len(seen) < 400:
                events = door.events("car.event.account.*.*", start)
                async with asyncio.timeout(20):
                    async for one in events:
                        seen.append(one.event.n)
                        start = one.seq + 1
                        if len(seen) % 37 == 0:
                            wire.cut()
                            cuts += 1
                            if cuts > 1:  # the first time it reads on without knowing, and that costs it seconds
                                await until(lambda: door.link.client.stats["reconnects"] == cuts)  # noqa: B023
                        if len(seen) % 90 == 0 or len(seen) == 400:
                            break
                await events.aclose()
            await happening
            assert seen == list(range(400))
            assert cuts == 10

    asyncio.run(run())
