"""The way through the code, seen from the wire: a word in a chat becomes work, and the work becomes cards."""

import asyncio

from actors.runtime.nats.link import connect
from actors.runtime.nats.server import login
from protocol.address import room
from protocol.chat import Card, Said
from protocol.envelope import unpack
from protocol.hub import AddRepo
from protocol.session import Place
from tests.live.checkout import checkout, demo, subjects
from tests.world import HUB, hub_at_work

PATH = (
    ("car.said_cli.chat_cli.", "chat.Said"),
    ("car.mail.repo.shop", "repo.StartFlow"),
    ("car.mail.run.", "flow.Start"),
    ("car.work.", "work.Look"),
    ("car.mail.run.", "work.Seen"),
    ("car.mail.session.", "session.Prompt"),
    ("car.work.", "node.Spawn"),
    ("car.said_custodian.session.", "node.Spawned"),
    ("car.work.", "agent.StartTurn"),
    ("car.proc.", ".in"),
    ("car.proc.", ".out"),
    ("car.mail.session.", "agent.TurnOver"),
    ("car.mail.run.", "session.TurnEnded"),
    ("car.work.", "work.Collect"),
    ("car.mail.run.", "work.Collected"),
    ("car.mail.chat_cli.", "flow.RunCompleted"),
    ("car.out.cli.", "chat.Card"),
)

FACTS = (
    ("car.event.run.", "flow.RunStarted"),
    ("car.event.session.", "session.TurnEnded"),
    ("car.event.run.", "flow.TicketDone"),
    ("car.event.run.", "flow.RunCompleted"),
)
"""Facts go out beside the mail of the same step, so between these two there is no order."""


def test_a_word_in_a_chat_takes_the_path_of_the_house(tmp_path):
    async def run():
        path = checkout(
            tmp_path / "shop", demo("- write: {path: a.txt, text: a}"), demo("- write: {path: b.txt, text: b}")
        )
        async with hub_at_work(tmp_path) as (hub, door):
            ops = await connect(login(hub, "ear"))
            seen: list[tuple[str, str]] = []

            async def hear(msg) -> None:
                names = (msg.headers or {}).get("Car-Name", msg.subject[msg.subject.rfind(".") :])
                seen.extend((msg.subject, name) for name in names.split(","))

            await ops.client.subscribe("car.>", cb=hear)
            await ops.client.flush()
            await door.command(HUB, AddRepo(place=Place(node=hub.node, path=str(path))), "cli:ann")
            cards: list[Card] = []
            finished = asyncio.Event()

            async def show(card: Card, _: str) -> str:
                cards.append(card)
                if card.final:
                    finished.set()
                return ""

            showing = asyncio.create_task(door.cards("ann", show))
            said = Said(text="/flow start", place=Place(node=hub.node, path=str(path)))
            await door.tell(room("cli", "ann"), said, "said-1", "cli:ann")
            await asyncio.wait_for(finished.wait(), 60)
            showing.cancel()
            await ops.close()
            assert_in_order(seen)
            assert subjects(path) == ["first", "Ticket 1", "Ticket 2"]
            assert cards[-1].tone == "good", cards[-1]
            assert any(card.live for card in cards)

    asyncio.run(run())


def assert_in_order(seen: list[tuple[str, str]]) -> None:
    """Check that the steps of the path come one after the other, whatever comes between."""
    rest = iter(seen)
    for subject, name in PATH:
        assert any(one.startswith(subject) and said.endswith(name) for one, said in rest), (subject, name)
    rest = iter(seen)
    for subject, name in FACTS:
        assert any(one.startswith(subject) and said.endswith(name) for one, said in rest), (subject, name)


def test_bodies_are_never_needed_to_know_who_said_what():
    """A router reads headers alone."""
    headers = {"Car-Sender": "repo/shop", "Car-Id": "1", "Car-Name": "flow.Stop", "Car-Wire": "1"}
    assert unpack(headers, b"[{}]").sender.kind == "repo"
