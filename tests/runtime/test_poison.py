"""What a hostile door may put into the stream stops nobody: neither its shard, nor its host, nor its actor."""

import asyncio
from dataclasses import replace

import pytest
from pydantic import ValidationError

from actors.runtime.actor import Step
from actors.runtime.memory import Memory
from actors.runtime.nats.layout import MAIL
from actors.runtime.nats.link import Login, connect
from actors.runtime.nats.ports import open_ports
from actors.runtime.shape import StepFailed, decode
from actors.runtime.supervisor import Supervisor
from actors.runtime.transition import transition
from protocol.address import Address
from protocol.envelope import Envelope, letter, pack, unpack
from protocol.errors import Refused, Unreadable
from tests.runtime.cast import ACTOR, Add, Wait, step
from tests.runtime.test_transition import mail
from tests.runtime.world import NatsWorld
from tests.server import Server, until

DOOR = Address("door", "cli")


def story(folder, tell):
    async def run():
        with Server(folder) as server:
            link = await connect(Login(server.url, "test"))
            world = NatsWorld(link, await open_ports(link))
            world.server = server
            world.start()
            try:
                await tell(world)
            finally:
                await world.stop()
                await link.close()

    asyncio.run(run())


@pytest.mark.parametrize("status", ["503", "408", "409 Consumer Deleted"])
def test_a_mail_that_looks_like_a_word_of_the_server_is_a_mail(tmp_path, status):
    async def tell(world):
        headers, body = pack(Envelope(DOOR, (letter(Add(n=1), "m1"),)))
        code, _, what = status.partition(" ")
        await world.link.store("car.said_cli.account.a", body, {**headers, "Status": code, "Description": what})
        await world.say("a", Add(n=2))
        await world.settled("a", (1, 2))

    story(tmp_path, tell)


PUBLISHED = {
    "a subject": b"PUB car.said_cli.account.\xff 2\r\n[]\r\n",
    "a header": b"HPUB car.said_cli.account.a 23 25\r\nNATS/1.0\r\nCar-Id: \xff\r\n\r\n[]\r\n",
    "a line of headers": b"HPUB car.said_cli.account.a 16 18\r\nNATS/1.0\r\n\xff\xfe\r\n\r\n[]\r\n",
}


@pytest.mark.parametrize("said", PUBLISHED.values(), ids=PUBLISHED)
def test_what_is_no_text_makes_nobody_deaf(tmp_path, said):
    async def tell(world):
        await world.say("a", Add(n=1))
        await world.settled("a", (1,))
        reader, writer = await asyncio.open_connection("127.0.0.1", world.server.port)
        await reader.readline()
        writer.write(b'CONNECT {"verbose":false,"headers":true}\r\n' + said + b"PING\r\n")
        while await reader.readline() != b"PONG\r\n":
            pass
        writer.close()
        await world.say("a", Add(n=2))
        await world.settled("a", (1, 2))
        assert not world.link.client._reading_task.done()

    story(tmp_path, tell)


@pytest.mark.parametrize("body", [b'[{"n":"\\ud800"}]', b"[" * 100_000, b"[1", b"{}", b"\xff"])
def test_a_body_that_nobody_can_read_is_put_aside_and_its_actor_goes_on(tmp_path, body):
    async def tell(world):
        headers, _ = pack(Envelope(DOOR, (letter(Add(n=1), "m1"),)))
        await world.link.store("car.said_cli.account.a", body, headers)
        await world.say("a", Add(n=2))
        await world.settled("a", (2,))
        assert await world.dead() == [("account/a", "cast.Add")]
        assert (await world.link.api(f"STREAM.INFO.{MAIL}")).number("state", "messages") == 0

    story(tmp_path, tell)


def test_half_a_pair_of_surrogates_is_refused_where_it_comes_in():
    headers, _ = pack(Envelope(DOOR, (letter(Add(n=1), "m1"),)))
    with pytest.raises(Unreadable):
        unpack(headers, b'[{"n":"\\ud800"}]').letters[0].open()
    twice = {**headers, "Car-Id": "m1,m2", "Car-Name": "cast.Add,cast.Add"}
    with pytest.raises(Unreadable):
        unpack(twice, b'[{"n":1},{"n":"\\ud800"}]')


@pytest.mark.parametrize("to", ["account/x.y", "out/cli", "work/n.git", "proc/x"])
def test_an_address_that_no_stream_has_fails_the_step_and_not_its_actor_for_ever(to):
    kind, _, key = to.partition("/")
    with pytest.raises(StepFailed, match="nobody's address"):
        transition(ACTOR, None, mail(1, Add(n=1, then=Address(kind, key))))


def test_a_mail_to_one_that_cannot_be_born_is_put_aside(tmp_path):
    def born(address):
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, f"no name: {address.key}")

    async def run():
        memory = Memory()
        supervisor = Supervisor({"account": replace(ACTOR, born=born)}, memory.ports)
        host = asyncio.create_task(supervisor.run())
        await memory.send(Address("account", "_ff"), Envelope(DOOR, (letter(Add(n=1), "m1"),)))
        await until(lambda: memory.dead and not memory.boxes[Address("account", "_ff")])
        assert "UnicodeDecodeError" in memory.dead[0].why
        host.cancel()
        await asyncio.wait([host])

    asyncio.run(run())


def test_a_state_of_a_wrong_type_fails_its_step_and_leaves_the_record_readable(tmp_path):
    def wrong(account, message, cause):
        return Step(replace(account, numbers=("one",))) if message.n == 1 else step(account, message, cause)

    async def run():
        memory = Memory()
        supervisor = Supervisor({"account": replace(ACTOR, step=wrong)}, memory.ports)
        host = asyncio.create_task(supervisor.run())
        for n in (1, 2):
            await memory.send(Address("account", "a"), Envelope(DOOR, (letter(Add(n=n), f"m{n}"),)))
        await until(lambda: not memory.boxes[Address("account", "a")])
        assert [one.envelope.id for one in memory.dead] == ["m1"]
        stored = await memory.load(Address("account", "a"))
        assert decode(ACTOR, stored.data).state.numbers == (2,)
        host.cancel()
        await asyncio.wait([host])

    asyncio.run(run())


def test_what_is_no_number_is_not_said():
    with pytest.raises(ValidationError):
        Wait(seconds=float("nan"), n=1)


def test_a_mail_that_would_not_fit_into_the_dead_letters_is_refused_where_it_is_said(tmp_path):
    async def tell(world):
        with pytest.raises(Refused, match="larger than it may be"):
            await world.link.store("car.mail.account.a", b"x" * 5_000_000, {})

    story(tmp_path, tell)
