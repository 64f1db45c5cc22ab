"""The cast list: which actors play and which workers work on one host. ``car-host`` starts here."""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import TypeVar, cast

import structlog
import uvloop

from actors import hub, repo, session
from actors.chat import room
from actors.flow import run
from actors.runtime.collector import spare_collector
from actors.runtime.journal import open_journal
from actors.runtime.nats import ask, micro
from actors.runtime.nats.dead import Office
from actors.runtime.nats.link import Link, connect
from actors.runtime.nats.ports import House, open_house
from actors.runtime.nats.roster import new_lease
from actors.runtime.nats.server import login
from actors.runtime.nats.top import Overview
from actors.runtime.nats.witness import Witness, check, remember
from actors.runtime.nats.work import Bench, seat
from actors.runtime.place import Hub, find_hub
from actors.runtime.query import answer
from actors.runtime.settings import Settings, read_settings
from actors.runtime.supervisor import Cast, Supervisor
from actors.workers import dispatches, files, git, tickets
from actors.workers.agents.catalog import names
from actors.workers.agents.desk import Desk
from protocol.address import Address, token
from protocol.envelope import Envelope, letter
from protocol.errors import CarError, Refused, Unreachable
from protocol.message import Message
from protocol.node import Custody, ListCustody, Refusal
from protocol.session import DescribeSession, SessionView
from protocol.top import HostView

ME = Address("door", "host")
DRAIN = 5.0
"""Seconds for which a host that leaves may finish what it has in hand."""
SIGHT = 2.0
"""Seconds between two looks at which processes are in custody here."""

T = TypeVar("T")

log = structlog.get_logger()

CAST: Cast = cast(
    "Cast",
    {
        "hub": hub.ACTOR,
        "repo": repo.ACTOR,
        "run": run.ACTOR,
        "session": session.ACTOR,
        "chat_*": room.ACTOR,
    },
)


class Host:
    """One host: actors, workers, drivers."""

    def __init__(self, place: Hub, link: Link, house: House, witness: Witness) -> None:
        """Play the cast in this house."""
        self._place = place
        self._link = link
        self._house = house
        self._witness = witness
        self._ports = house.ports
        self._supervisor = Supervisor(CAST, house.ports)
        self._desk = Desk(link, house.ports.post, place.node, self._describe)
        self._agents = f"{token(place.node)}-agents"

    async def run(self) -> None:
        """Work until cancelled."""

        def settings() -> Settings:
            return read_settings(self._place.root)

        workers = (
            git.WORKER,
            tickets.worker(lambda: names(settings()), self._place.nats),
            dispatches.WORKER,
            files.WORKER,
            self._desk.worker(settings),
        )
        node, post, store = self._place.node, self._ports.post, self._ports.store
        self._house.usher.add(*(seat(Bench(self._link, post, node, one, store)) for one in workers))
        async with asyncio.TaskGroup() as group:
            group.create_task(self._supervisor.run())
            group.create_task(self._look_after())
            group.create_task(ask.serve(self._link, "car.ask.dead.*", Office(self._link, post, store).answer))
            group.create_task(ask.serve(self._link, "car.ask.runtime.*", Overview(self._link, store).answer))
            group.create_task(micro.announce(self._link, self._fare))
            group.create_task(self._link.watch())
            group.create_task(remember(self._link, self._witness))
            for kind in CAST:
                if kind != "chat_*":
                    group.create_task(ask.serve(self._link, f"car.ask.{kind}.*", self._answer, self._house.epoch))

    def _fare(self) -> HostView:
        return micro.fare(self._house.roster.me, self._supervisor.awake, self._house.usher.held)

    async def drain(self) -> None:
        """Leave to other hosts what is not in hand, and finish what is."""
        await self._house.usher.drain()
        if not await self._supervisor.finish(DRAIN):
            log.warning("left with work in hand; it is done again by its mail")
        await self._house.usher.vacate()

    async def _answer(self, to: Address, asked: Envelope, seen: int) -> Message:
        return await answer(CAST, self._ports.store, to, asked, seen, self._ports.clock)

    async def _describe(self, whom: Address) -> SessionView:
        view = await self._answer(whom, Envelope(ME, (letter(DescribeSession(), "describe"),)), 0)
        if isinstance(view, Refusal) and view.unable:
            raise Unreachable(view.text)
        if not isinstance(view, SessionView):
            raise Refused(f"{whom} does not say how it stands with it: {view}")
        return view

    async def _look_after(self) -> None:
        """Listen to every process in custody, whoever had listened to it before."""
        custodian = Address("custodian", token(self._place.node))
        while True:
            try:
                if self._agents in self._house.usher.held:
                    held = await ask.ask(self._link, ME, custodian, ListCustody(), patience=SIGHT)
                    for ward in held.wards if isinstance(held, Custody) else ():
                        await self._desk.listen(ward.proc, ward.session)
                else:
                    # Another host of this machine listens.
                    self._desk.close()
            except CarError as error:
                log.debug("custody is not seen", error=str(error))
            await asyncio.sleep(SIGHT)


async def play(place: Hub) -> None:
    """Be a host until told to end by SIGTERM: then others take over, and what is in hand is finished."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    link = await _unless(told, connect(login(place, "host"), wait=60.0))
    if link is None:
        return
    try:
        reads = {kind: actor.version for kind, actor in CAST.items()}
        witness = Witness(place.nats)
        anew = await check(link, witness)
        host = Host(place, link, await open_house(link, new_lease(place.node, reads), anew), witness)
        await _unless(told, host.run(), host.drain)
    finally:
        await link.close()


async def _unless(
    told: asyncio.Event, deed: Coroutine[None, None, T], before: Callable[[], Awaitable[None]] | None = None
) -> T | None:
    """Do something unless we are told to end meanwhile; then do what is to be done ``before`` that."""
    loop = asyncio.get_running_loop()
    doing, waiting = loop.create_task(deed), loop.create_task(told.wait())
    try:
        await asyncio.wait((doing, waiting), return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            return doing.result()
        if before:
            await before()
        return None
    finally:
        doing.cancel()
        waiting.cancel()
        await asyncio.wait((doing, waiting))


def main() -> None:
    """Be a host of the hub that the environment names."""
    if "--help" in sys.argv[1:]:
        sys.stdout.write("usage: CAR_HUB=PATH car-host    (It is started by the keeper)\n")
        return
    open_journal()
    spare_collector()
    try:
        uvloop.run(play(find_hub()))
    except (Refused, Unreachable) as error:
        raise SystemExit(str(error)) from error
