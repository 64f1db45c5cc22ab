"""The custodian: what stands in PROC for an agent reaches it, and what it held is told of by its successor."""

import asyncio
from base64 import b64decode
from dataclasses import dataclass, field

from actors.custody.custodian import Custodian, _Held
from actors.custody.ledger import Entry, Ledger
from actors.runtime.nats.answer import Kept
from actors.runtime.nats.ask import ask
from actors.runtime.nats.layout import MAIL, furnish
from actors.runtime.nats.link import Link, Login, connect
from actors.runtime.nats.proc import Writer, purge
from actors.runtime.place import init_hub
from actors.runtime.ports import MAILBOX
from protocol.address import Address, token
from protocol.envelope import unpack
from protocol.errors import Unreachable
from protocol.node import Custody, Exited, ListCustody
from tests.server import Server, until

ENTRY = Entry("p1", "session/s1", "c")


@dataclass
class Ear:
    """An agent that reads when it is let."""

    heard: list[bytes] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def write(self, chunk: bytes) -> None:
        self.heard.append(chunk)
        await self.gate.wait()


def story(tmp_path, tell):
    async def run():
        with Server(tmp_path) as server:
            link = await connect(Login(server.url, "test"))
            await furnish(link)
            await tell(Custodian(init_hub(tmp_path / "hub"), link), link)
            await link.close()

    asyncio.run(run())


def test_an_agent_is_fed_on_after_a_word_that_was_purged_before_it_was_read(tmp_path):
    async def tell(custodian, link: Link):
        ear, writer = Ear(), Writer(link, "p1", "in")
        await writer.tell(1, ("one",))
        feeding = asyncio.create_task(custodian._feed(_Held(ENTRY, ear, None)))
        await until(lambda: ear.heard == [b"one\n"])
        await writer.tell(2, ("stop",))  # the agent has ended its turn by itself before this reached it
        await purge(link, "p1", 3)
        await writer.tell(3, ("three",))
        ear.gate.set()
        await until(lambda: ear.heard == [b"one\n", b"three\n"])
        feeding.cancel()
        await asyncio.wait([feeding])

    story(tmp_path, tell)


def test_a_successor_works_though_somebody_who_is_to_be_told_of_an_end_takes_nothing_more(tmp_path):
    async def tell(custodian, link: Link):
        hub = custodian._hub
        Ledger(hub.run / "proc").write(Entry("p1", "session/full", "1-1", 2**22, 1))
        full = [link.store("car.said_custodian.session.full", b"[]", {"Nats-Msg-Id": str(n)}) for n in range(MAILBOX)]
        await asyncio.gather(*full)
        working = asyncio.create_task(custodian.run())
        try:
            held = await answered(link, Address("custodian", token(hub.node)))
            assert (held.custodian, held.wards) == (custodian.id, ())
            assert [one.proc for one in Ledger(hub.run / "proc").living()] == ["p1"]
            await link.api(f"STREAM.PURGE.{MAIL}")
            await until(lambda: not Ledger(hub.run / "proc").living())
            (told,) = (unpack(kept.headers, kept.data) for kept in [await newest(link)])
            assert isinstance(told.letters[0].open(), Exited)
        finally:
            working.cancel()
            await asyncio.wait([working])

    story(tmp_path, tell)


async def answered(link: Link, whom: Address) -> Custody:
    while True:
        try:
            return await ask(link, Address("door", "test"), whom, ListCustody(), patience=2)
        except Unreachable:
            await asyncio.sleep(0.05)


async def newest(link: Link) -> Kept:
    asked = {"last_by_subj": "car.said_custodian.*.session.full"}
    found = (await link.api(f"STREAM.MSG.GET.{MAIL}", asked)).part("message")
    headers = dict(line.split(": ", 1) for line in b64decode(found["hdrs"]).decode().splitlines()[1:] if line)
    return Kept(found["seq"], headers, b64decode(found["data"]))
