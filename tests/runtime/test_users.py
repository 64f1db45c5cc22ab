"""Each key goes exactly as far as its owner needs, tried with a client that nobody of us has written."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from actors.runtime.nats import ask
from actors.runtime.nats.layout import DEAD, MAIL, OUT, WORK, consumer, hire
from actors.runtime.nats.link import Link, connect
from actors.runtime.nats.log import read_all
from actors.runtime.nats.ports import NatsPost, open_house
from actors.runtime.nats.proc import Writer, chunks
from actors.runtime.nats.pump import read
from actors.runtime.nats.roster import new_lease
from actors.runtime.nats.server import login
from actors.runtime.nats.users import BRIDGES, USERS, denied
from bridges.door import Door
from protocol.address import Address, worker
from protocol.chat import Card, Said
from protocol.envelope import Envelope, letter, pack
from protocol.hub import DescribeHub, HubView, Quiesce, Quiesced
from protocol.message import Message
from protocol.node import Exited, Heeded
from tests.runtime.gate import gate, links, stranger, sure
from tests.server import until

HUB = Address("hub", "main")
ROOM = Address("chat_telegram", "ann")
API = "$JS.API."
TARGETS = (
    "$KV.STATE.hub.main",
    "$KV.NODES.host.x",
    "car.mail.hub.main",
    "car.work.n1.git.shop",
    "car.proc.p9.in",
    "car.fired.run.r1",
    "car.event.hub.main.Lie",
    "car.out.web.ann",
    "car.dead.hub.main",
)
"""Where nobody but a host may ever have anything stored."""

SAYS_NOT = (
    *TARGETS,
    "car.mail.chat_telegram.ann",
    "car.mail.chat_cli.ann",
    "car.timer.run.r1.deadline-1",
    "car.work.n1.custody.p1",
    "car.live.session.s1",
    "_INBOX_host.a",
    "_INBOX.a",
    "_R_.abcdef.ghijkl",
    "$SYS.REQ.SERVER.PING",
    "$JS.ACK.MAIL.s0-h.1.1.1.1.0",
    f"{API}STREAM.CREATE.MINE",
    f"{API}STREAM.UPDATE.MAIL",
    f"{API}STREAM.DELETE.MAIL",
    f"{API}STREAM.PURGE.OUT",
    f"{API}STREAM.MSG.GET.KV_STATE",
    f"{API}STREAM.MSG.DELETE.KV_STATE",
    f"{API}STREAM.SNAPSHOT.MAIL",
    f"{API}STREAM.RESTORE.MINE",
    f"{API}CONSUMER.CREATE.MAIL",
    f"{API}CONSUMER.CREATE.MAIL.mine.car.mail.0.*.*",
    f"{API}CONSUMER.CREATE.OUT.telegram.car.out.telegram.ann",
    f"{API}CONSUMER.DURABLE.CREATE.MAIL.mine",
    f"{API}CONSUMER.DELETE.OUT.telegram",
    f"{API}CONSUMER.PAUSE.OUT.telegram",
    f"{API}CONSUMER.UNPIN.OUT.telegram",
    f"{API}CONSUMER.RESET.MAIL.s0-h",
    f"{API}CONSUMER.MSG.NEXT.MAIL.s0-h",
    f"{API}CONSUMER.MSG.NEXT.TIMER.fired-h",
    f"{API}DIRECT.GET.KV_STATE",
    f"{API}DIRECT.GET.KV_STATE.$KV.STATE.hub.main",
    f"{API}DIRECT.GET.MAIL",
    f"{API}DIRECT.GET.DEAD",
    f"{API}DIRECT.GET.SHOWN",
    "car.api.STREAM.DELETE.MAIL",
    "car.api.DIRECT.GET.KV_STATE",
)
"""What nobody but a host may say."""
HEARS_NOT = (
    ">",
    "*.>",
    "car.mail.>",
    "car.*.*.*",
    "car.out.>",
    "$KV.>",
    "_INBOX.>",
    "_INBOX_host.>",
    "_R_.>",
    "$SYS.>",
)
"""What nobody may hear but hosts, and whoever is there to hear all that is said."""

_WATCHING = (
    f"{API}INFO",
    f"{API}STREAM.LIST",
    f"{API}STREAM.INFO.MAIL",
    f"{API}CONSUMER.LIST.OUT",
    f"{API}CONSUMER.INFO.MAIL.s0-h",
    "$SRV.PING",
)


def _bridge(me: str, other: str) -> tuple[str, ...]:
    """Return what the bridge of one network may not say, be it to the other's."""
    return (
        *_WATCHING,
        f"car.said_{me}.hub.main",
        f"car.said_{me}.repo.shop",
        f"car.said_{me}.session.s1",
        f"car.said_{me}.chat_cli.ann",
        f"car.said_{me}.chat_{other}.ann",
        f"car.said_{other}.chat_{me}.ann",
        f"car.said_{other}.chat_{other}.ann",
        f"car.said_cli.chat_{me}.ann",
        "car.said_custodian.session.s1",
        "car.ask.hub.main",
        "car.ask.dead.main",
        "car.ask.runtime.main",
        f"car.ask.chat_{other}.ann",
        f"car.out.{me}.ann",
        f"car.shown.{other}.ann",
        f"{API}DIRECT.GET.SHOWN.car.shown.{other}.ann",
        f"{API}DIRECT.GET.EVENT",
        f"{API}DIRECT.GET.PROC",
        f"{API}CONSUMER.CREATE.OUT.{me}.car.out.{me}.*",
        f"{API}CONSUMER.CREATE.OUT.cli-ann.car.out.{me}.ann",
        f"{API}CONSUMER.MSG.NEXT.OUT.{other}",
        f"{API}CONSUMER.MSG.NEXT.OUT.cli-ann",
        f"{API}CONSUMER.RESET.OUT.{other}",
        f"{API}CONSUMER.INFO.OUT.cli-ann",
        f"$JS.ACK.OUT.{other}.1.1.1.1.0",
        f"_INBOX_{other}.a",
        f"_INBOX_{me}.a",
    )


DENIED = {
    "telegram": (
        _bridge("telegram", "web"),
        (
            "car.>",
            "car.event.>",
            "car.proc.>",
            "car.said_telegram.>",
            "_INBOX_web.>",
            "_INBOX_cli.>",
            "$JS.>",
            "$SRV.>",
        ),
    ),
    "web": (
        _bridge("web", "telegram"),
        (
            "car.>",
            "car.event.>",
            "car.proc.>",
            "car.said_web.>",
            "_INBOX_telegram.>",
            "_INBOX_cli.>",
            "$JS.>",
            "$SRV.>",
        ),
    ),
    "cli": (
        (
            *_WATCHING,
            "car.said_cli.session.s1",
            "car.said_cli.chat_telegram.ann",
            "car.said_telegram.chat_telegram.ann",
            "car.said_custodian.session.s1",
            "car.shown.telegram.ann",
            f"{API}DIRECT.GET.SHOWN.car.shown.telegram.ann",
            f"{API}DIRECT.GET.PROC",
            f"{API}CONSUMER.CREATE.OUT.telegram.car.out.cli.ann",
            f"{API}CONSUMER.CREATE.OUT.cli-ann.car.out.telegram.ann",
            f"{API}CONSUMER.CREATE.OUT.cli-ann",
            f"{API}CONSUMER.MSG.NEXT.OUT.telegram",
            f"{API}CONSUMER.RESET.OUT.telegram",
            f"{API}CONSUMER.INFO.OUT.web",
            f"{API}CONSUMER.DELETE.OUT.cli-ann",
            "$JS.ACK.OUT.telegram.1.1.1.1.0",
            "_INBOX_telegram.a",
        ),
        ("car.>", "car.proc.>", "car.said_cli.>", "car.ask.>", "_INBOX_telegram.>", "$JS.>", "$SRV.>"),
    ),
    "custodian": (
        (
            *_WATCHING,
            "car.said_custodian.hub.main",
            "car.said_custodian.run.r1",
            "car.said_cli.hub.main",
            "car.said_telegram.chat_telegram.ann",
            "car.ask.hub.main",
            "car.ask.dead.main",
            "car.ask.custodian.n1",
            "car.shown.telegram.ann",
            "car.proc.p1.in",
            f"{API}DIRECT.GET.EVENT",
            f"{API}STREAM.PURGE.PROC",
            f"{API}CONSUMER.CREATE.OUT.mine.car.out.telegram.ann",
            f"{API}CONSUMER.MSG.NEXT.OUT.telegram",
            f"{API}CONSUMER.DELETE.WORK.n1-git",
            "_INBOX_cli.a",
        ),
        ("car.>", "car.proc.*.out", "car.event.>", "car.live.>", "car.ask.>", "_INBOX_cli.>", "$JS.>", "$SRV.>"),
    ),
    "ops": (
        (
            "car.said_cli.hub.main",
            "car.said_telegram.chat_telegram.ann",
            "car.ask.hub.main",
            "car.ask.dead.main",
            "car.shown.cli.ann",
            f"{API}DIRECT.GET.EVENT",
            f"{API}DIRECT.GET.PROC",
            f"{API}CONSUMER.MSG.NEXT.OUT.telegram",
            f"{API}CONSUMER.RESET.OUT.telegram",
            f"{API}CONSUMER.CREATE.OUT.mine.car.out.cli.ann",
            "$JS.ACK.OUT.telegram.1.1.1.1.0",
        ),
        ("car.>", "car.event.>", "_INBOX_cli.>", "$JS.API.>"),
    ),
    "ear": (
        (*_WATCHING, "car.said_cli.hub.main", "car.ask.hub.main", "_INBOX_ear.a", "anything"),
        ("$JS.API.>", "$SRV.>", "_INBOX_cli.>"),
    ),
}
LAST = {
    "telegram": f"{API}DIRECT.GET.SHOWN.car.shown.telegram.ann",
    "web": f"{API}DIRECT.GET.SHOWN.car.shown.web.ann",
    "cli": f"{API}DIRECT.GET.SHOWN.car.shown.cli.ann",
    "custodian": f"{API}DIRECT.GET.PROC.car.proc.main.out",
    "ops": f"{API}INFO",
    "host": "car.ask.hub.main",
}
"""What each may ask and is answered by the server (the host: by itself)."""
HEARD_BY_EAR = ("car.mail.>", "car.*.*.*", "car.out.>")


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with gate(tmp_path_factory.mktemp("users")) as (found, _):
        yield found


def test_what_was_refused_is_found_in_what_the_library_says(hub):
    async def run():
        async with stranger(hub, "telegram") as one:
            await one.may_say("car.mail.hub.Main")
            await one.may_say(f"{API}STREAM.INFO.MAIL")
            await one.may_hear("car.event.>")
            assert [denied(text) for text in one.errors] == [
                ("publish", "car.mail.hub.main"),
                ("publish", "$js.api.stream.info.mail"),
                ("subscription", "car.event.>"),
            ]

    asyncio.run(run())
    assert denied("nats: 'Authorization Violation'") is None


def test_the_table_leaves_nobody_out():
    assert {user.name for user in USERS} == {*DENIED, "host"}


@pytest.mark.parametrize("name", DENIED)
def test_nobody_says_what_is_not_theirs_to_say(hub, name):
    async def run():
        async with stranger(hub, name) as one:
            for subject in (*SAYS_NOT, *DENIED[name][0]):
                assert not await one.may_say(subject), subject

    asyncio.run(run())


@pytest.mark.parametrize("name", DENIED)
def test_nobody_hears_what_is_not_theirs_to_hear(hub, name):
    async def run():
        async with stranger(hub, name) as one:
            for subject in (*HEARS_NOT, *DENIED[name][1]):
                expected = name == "ear" and subject in HEARD_BY_EAR
                assert await one.may_hear(subject) == expected, subject

    asyncio.run(run())


@pytest.mark.parametrize("user", USERS, ids=lambda user: user.name)
def test_everybody_may_say_and_hear_what_is_theirs(hub, user):
    async def run():
        async with stranger(hub, user.name) as one:
            for subject in (*user.says, *user.pulls):
                assert await one.may_say(subject.replace("*", "x").replace(">", "x.y")), subject
            for subject in (*user.hears, *user.serves, user.inbox):
                assert await one.may_hear(subject), subject

    asyncio.run(run())


@pytest.mark.parametrize("name", [*DENIED, "host"])
def test_no_answer_of_the_server_or_of_a_host_can_be_had_stored_as_something_else(hub, name):
    """The asker names where the answer goes, and streams keep what comes there; only hosts can do this."""

    async def run():
        async with links(hub) as (host,), stranger(hub, name) as one, _answering(host):
            await host.api("STREAM.PURGE.KV_STATE")
            await _furnish(host, hub)
            before = await _kept(host)
            user = next(user for user in USERS if user.name == name)
            questions = ("car.ask.hub.main",) if name == "host" else (*user.says, *user.pulls)
            for target in TARGETS:
                for question in questions:
                    subject = question.replace("cli.*", "cli.ann").replace("*", "ann").replace(">", "main")
                    body = json.dumps({"batch": 1, "seq": 1, "expires": 200_000_000, "no_wait": True}).encode()
                    await one.client.publish(subject, body, reply=target)
                    # The server tells what becomes of a message, too, where it is asked to.
                    await one.client.publish(subject, body, headers={"Nats-Trace-Dest": target})
            # What is answered last has come: so has all that was asked before it.
            if last := LAST.get(name):
                await one.client.request(last, b"", timeout=5)
            await sure(one)
            after = await _kept(host)
            for stream in (OUT, WORK):
                await host.api(f"CONSUMER.DELETE.{stream}.ann")
            if name == "host":
                assert after > before
            else:
                assert after == before

    asyncio.run(run())


def test_nobody_can_lie_about_who_speaks(hub):
    async def run():
        async with links(hub) as (host,), stranger(hub, "telegram") as liar:
            heard = []
            house = await open_house(host, new_lease("n1", {}))
            working = asyncio.create_task(house.ports.intake.run(heard.append, lambda _: None))

            async def say(**claims: str) -> None:
                headers, body = pack(Envelope(HUB, (letter(Said(text="hello"), f"m{len(claims)}"),)))
                await liar.client.publish(f"car.said_telegram.{ROOM.kind}.lies", body, headers={**headers, **claims})

            await say(**{"Car-Mark": "e:7", "Car-Fire": "t:1", "Car-Cause": "c", "Car-Person": "telegram:42"})
            await say(**{"Car-Person": "cli:root"})
            await say(**{"Car-Inbox": "_INBOX_cli.x", "Car-Person": "telegram:42"})
            await say(**{"Car-Name": "node.Exited", "Car-Sender": "work/n1.custody.p1", "Car-Re": "w1"})
            rows = []
            while len(rows) < 3:
                rows = await read_all(host, DEAD, "car.dead.chat_telegram.lies")
            whys = [row.headers["Car-Why"] for row in rows]
            assert [why.split("may not ")[1].split()[0] for why in whys] == ["speak", "have", "say"], whys
            await until(lambda: [one for one in heard if one.mail.to.key == "lies"])
            (one,) = (one for one in heard if one.mail.to.key == "lies")
            envelope = one.mail.envelope
            assert envelope.sender == Address("door", "telegram")
            assert (envelope.person, envelope.mark, envelope.fire, envelope.cause) == ("telegram:42", None, None, "")
            working.cancel()
            await asyncio.wait([working])

    asyncio.run(run())


def test_the_terminal_can_do_all_that_it_does(hub):
    async def run():
        async with links(hub, "cli") as (host, cli), _answering(host):
            door = Door(cli, "cli", hub)
            assert await door.ask(HUB, DescribeHub()) == HubView()
            for to in (HUB, Address("repo", "shop"), Address("run", "r1"), Address("chat_cli", "ann")):
                assert await door.tell(to, Said(text="x"), f"id-{to}", "cli:ann")
            await _show(host, Door(cli, "cli", hub), "cli", lambda door, show: door.cards("ann", show))
            await NatsPost(host).publish(HUB, Envelope(HUB, (letter(Quiesced(), "row"),)))
            async for seen in door.events():
                assert seen.event == Quiesced()
                break
            assert await door.last_event() >= 1
            assert cli.trouble == ""

    asyncio.run(run())


def test_the_terminal_hears_the_answer_to_a_command_and_live_words(hub):
    async def run():
        async with links(hub, "cli") as (host, cli):
            door, words = Door(cli, "cli", hub), []

            async def answer(msg):
                inbox = msg.headers["Car-Inbox"]
                await NatsPost(host).reply(inbox, Envelope(HUB, (letter(Quiesced(repos=("shop",)), "r", "1"),)))

            await host.client.subscribe("car.said_cli.hub.*", cb=answer)
            await sure(host)
            assert await door.command(HUB, Quiesce(reason="x"), "cli:ann", 5) == Quiesced(repos=("shop",))

            async def hear(text):
                words.append(text)

            async with door.words(Address("session", "s1"), hear):
                await sure(cli)
                await host.say("car.live.session.s1", b"so it goes")
                await until(lambda: words == ["so it goes"])

    asyncio.run(run())


@pytest.mark.parametrize("name", BRIDGES)
def test_a_bridge_can_speak_and_show_and_hear_live_words(hub, name):
    async def run():
        async with links(hub, name) as (host, link):
            door, words = Door(link, name, hub), []
            assert await door.tell(Address(f"chat_{name}", "ann"), Said(text="x"), "id", f"{name}:42")

            async def show_all(door, show):
                await door.rooms(lambda _, card, proof: show(card, proof))

            await _show(host, door, name, show_all)

            async def hear(text):
                words.append(text)

            async with door.words(Address("session", "s1"), hear):
                await sure(link)
                await host.say("car.live.session.s1", b"so it goes")
                await until(lambda: words == ["so it goes"])
            assert link.trouble == ""

    asyncio.run(run())


def test_a_bridge_shows_no_card_of_the_other(hub):
    async def run():
        async with links(hub, *BRIDGES) as (host, *both):
            seen = {name: [] for name in BRIDGES}

            async def show_all(name, link):
                async def show(room, card, proof):
                    seen[name].append(card.id)
                    return ""

                await Door(link, name, hub).rooms(show)

            tasks = [asyncio.create_task(show_all(name, link)) for name, link in zip(BRIDGES, both, strict=True)]
            for number in range(6):
                name = BRIDGES[number % 2]
                await _send_card(host, name, f"room{number}", f"{name}-{number}")
            await until(lambda: all(len(found) >= 3 for found in seen.values()))
            for name, found in seen.items():
                assert all(card.startswith(name) for card in found if "-" in card), seen
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    asyncio.run(run())


def test_a_custodian_can_do_all_that_it_does(hub):
    async def run():
        async with links(hub, "custodian") as (host, link):
            await Writer(link, "p1", "out").append(1, ("a", "b"))
            await Writer(link, "p1", "err").append(1, ("c",))
            assert await Writer(link, "p1", "out").last() == 2
            await Writer(host, "p1", "in").tell(1, ("hello",))
            async for chunk in chunks(link, "p1", 1, "in"):
                assert chunk.lines == ("hello",)
                break
            taken = []
            config = consumer("n1-custody", "car.work.n1.custody.*")
            reading = asyncio.create_task(read(link, WORK, config, taken.append))
            work, session = worker("n1", "custody", "p1"), Address("session", "s1")
            await NatsPost(host).send(work, Envelope(session, (letter(Heeded(proc="p1"), "w1"),)))
            await until(lambda: taken)
            post = NatsPost(link, "said_custodian")
            exited = Envelope(work, (letter(Exited(proc="p1", code=0, lines=2), "p1.exited"),))
            assert await post.send(session, exited)
            await post.bury(work, exited, "why")
            async with asyncio.timeout(5):
                asked = {"subjects_filter": "car.work.n1.custody.*"}
                while (await host.api(f"STREAM.INFO.{WORK}", asked)).section("state", "subjects"):
                    while taken:
                        await link.say(taken.pop().msg.reply, b"+ACK")

            async def answer(*_) -> Message:
                return HubView()

            serving = asyncio.create_task(ask.serve(link, "car.ask.custodian.n1", answer))
            await sure(link)
            assert await ask.ask(host, HUB, Address("custodian", "n1"), DescribeHub(), patience=5) == HubView()
            assert link.trouble == ""
            for task in (reading, serving):
                task.cancel()
            await asyncio.wait([reading, serving])

    asyncio.run(run())


def test_people_with_the_nats_tool_see_how_it_stands_and_hear_all_that_is_said(hub):
    async def run():
        async with links(hub, "ops", "ear", "telegram") as (host, ops, ear, telegram):
            assert (await ops.api("INFO")).number("streams") == 10
            assert (await ops.api("STREAM.LIST")).number("total") == 10
            assert (await ops.api("STREAM.INFO.MAIL")).text("config", "name") == MAIL
            names = [one.text("name") for one in (await ops.api("CONSUMER.LIST.OUT")).sections("consumers")]
            assert set(BRIDGES) <= set(names)
            heard = []

            async def hear(msg):
                heard.append(msg.subject)

            await ear.client.subscribe("car.>", cb=hear)
            await sure(ear)
            await NatsPost(host).publish(HUB, Envelope(HUB, (letter(Quiesced(), "row2"),)))
            await Door(telegram, "telegram", hub).tell(ROOM, Said(text="x"), "heard", "telegram:42")
            await until(lambda: len(heard) == 2)
            assert heard == ["car.event.hub.main.Quiesced", "car.said_telegram.chat_telegram.ann"]

            async def here(msg):
                await host.client.publish(msg.reply, b"here")

            await host.client.subscribe("$SRV.PING", cb=here)
            await sure(host)
            assert (await ops.client.request("$SRV.PING", b"", timeout=5)).data == b"here"
            assert ops.trouble == ear.trouble == ""

    asyncio.run(run())


@asynccontextmanager
async def _answering(host: Link):
    """Be a host that answers questions to the hub."""

    async def answer(*_) -> Message:
        return HubView()

    serving = asyncio.create_task(ask.serve(host, "car.ask.*.*", answer))
    await asyncio.sleep(0)
    await sure(host)
    try:
        yield
    finally:
        serving.cancel()
        await asyncio.wait([serving])


async def _furnish(host: Link, hub) -> None:
    """See that there is something to be answered with: cards, what was shown, facts, lines and commands."""
    for bridge in (*BRIDGES, "cli"):
        await _send_card(host, bridge, "ann", "c1")
        one = await connect(login(hub, bridge))
        forged, _ = pack(Envelope(HUB, (letter(Quiesce(reason="forged"), "f1"),)))
        await one.store(f"car.shown.{bridge}.ann", b'[{"reason":"forged"}]', forged)
        await one.close()
    await hire(host, OUT, consumer("ann", "car.out.cli.ann"))
    await hire(host, WORK, consumer("ann", "car.work.n1.custody.*"))
    await NatsPost(host).send(worker("n1", "custody", "p1"), Envelope(HUB, (letter(Heeded(proc="p"), "w9"),)))
    await NatsPost(host).publish(HUB, Envelope(HUB, (letter(Quiesced(), "row9"),)))
    await Writer(host, "main", "out").append(1, ("line",))


async def _kept(host: Link) -> int:
    """Return how much the streams hold on the targets."""
    count = 0
    for stream in ("KV_STATE", "KV_NODES", "MAIL", "WORK", "PROC", "TIMER", "EVENT", "OUT", "DEAD"):
        found = await host.api(f"STREAM.INFO.{stream}", {"subjects_filter": ">"})
        for subject, held in found.section("state", "subjects").items():
            plain = [part for part in subject.split(".") if not (subject.startswith("car.mail.") and part.isdigit())]
            count += held if ".".join(plain) in TARGETS else 0
    return count


async def _send_card(host: Link, bridge: str, room: str, id_: str) -> None:
    card = letter(Card(id=id_, revision=1, text="x"), f"{bridge}.{room}.{id_}")
    await NatsPost(host).send(Address("out", f"{bridge}.{room}"), Envelope(Address(f"chat_{bridge}", room), (card,)))


async def _show(host: Link, door: Door, bridge: str, work) -> None:
    """Send cards to a room and see that the bridge shows and acknowledges them."""
    shown = []

    async def show(card: Card, proof: str) -> str:
        shown.append(card.id)
        return f"proof of {card.id}"

    showing = asyncio.create_task(work(door, show))
    for number in range(3):
        await _send_card(host, bridge, "ann", f"new{number}")
    try:
        await until(lambda: showing.done() or {"new0", "new1", "new2"} <= set(shown))
        assert not showing.done(), showing.exception()
    finally:
        showing.cancel()
        await asyncio.wait([showing])
