"""Who listens to an agent: one at a time, nobody after the end, and nothing is forgotten that a successor needs."""

import asyncio
import json
from dataclasses import dataclass, field

from actors.runtime.nats.layout import PROC
from actors.runtime.nats.log import read_all
from actors.runtime.nats.ports import NatsPost
from actors.runtime.nats.proc import Writer
from actors.runtime.settings import Settings
from actors.workers.agents.desk import Desk
from protocol import agent
from protocol.address import Address
from protocol.session import SessionView
from tests.runtime.world import world

SESSION = Address("session", "s1")
GREETED = {"protocolVersion": 1, "agentCapabilities": {}}


@dataclass
class Talk:
    """A desk, and an agent that says what the test wants."""

    link: object
    position: int = 0
    status: str = "idle"
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    asked: int = 0
    lines: int = 0

    def __post_init__(self) -> None:
        self.gate.set()
        self.desk = Desk(self.link, NatsPost(self.link), "n", self.describe)
        self.does = self.desk.worker(Settings).does
        self.agent = Writer(self.link, "p1", "out")

    async def describe(self, _: Address) -> SessionView:
        self.asked += 1
        await self.gate.wait()
        return SessionView(agent="demo", status=self.status, proc="p1", driver="acp", position=self.position)

    async def tell(self, command: agent.Tell) -> None:
        await self.does[type(command)](command, SESSION)

    async def answer(self, result: object) -> None:
        """Answer the newest request."""
        newest = (await read_all(self.link, PROC, "car.proc.p1.in"))[-1]
        self.lines += 1
        request = json.loads(newest.data)["id"]
        await self.agent.append(self.lines, (json.dumps({"jsonrpc": "2.0", "id": request, "result": result}),))

    async def kept(self) -> list[int]:
        return [one.seq for one in await read_all(self.link, PROC, "car.proc.p1.*")]


def story(tmp_path, tell):
    async def run():
        async with world("nats", tmp_path) as one:
            talk = Talk(one.link)
            await tell(talk)
            await talk.does[agent.Detach](agent.Detach(proc="p1"), SESSION)

    asyncio.run(run())


def test_two_who_want_to_listen_at_once_share_one_listener(tmp_path):
    async def tell(talk):
        talk.gate.clear()
        both = [asyncio.create_task(talk.desk.listen("p1", SESSION)) for _ in range(2)]
        while talk.asked < 2:
            await asyncio.sleep(0)
        talk.gate.set()
        first, second = await asyncio.gather(*both)
        assert first is second
        assert len([task for task in asyncio.all_tasks() if task.get_name() == "listener p1"]) == 1

    story(tmp_path, tell)


def test_nobody_listens_to_a_session_that_is_closed(tmp_path):
    async def tell(talk):
        talk.status = "closed"
        assert await talk.desk.listen("p1", SESSION) is None

    story(tmp_path, tell)


def test_only_what_the_session_itself_remembers_is_forgotten_when_a_turn_begins(tmp_path):
    async def tell(talk):
        await talk.tell(agent.Initialize(proc="p1", number=1))
        await talk.answer(GREETED)
        await talk.tell(agent.OpenThread(proc="p1", number=2, cwd="/"))
        await talk.answer({"sessionId": "t"})
        await talk.tell(agent.StartTurn(proc="p1", number=3, turn="1", text="go"))
        await talk.answer({"stopReason": "end_turn"})
        await talk.tell(agent.StartTurn(proc="p1", number=4, turn="2", text="go on"))
        assert await talk.kept() == [1, 2, 3, 4, 5, 6, 7]
        talk.position = 6
        await talk.answer({"stopReason": "end_turn"})
        await talk.tell(agent.StartTurn(proc="p1", number=5, turn="3", text="go on"))
        assert await talk.kept() == [6, 7, 8, 9]

    story(tmp_path, tell)
