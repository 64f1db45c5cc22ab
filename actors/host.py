"""The cast list: which actors play and which workers work on one host. ``car-host`` starts here."""

import asyncio
import signal
import sys
from typing import cast

import structlog
import uvloop

from actors import hub, repo, session
from actors.chat import room
from actors.flow import run
from actors.runtime.nats import ask
from actors.runtime.nats.link import Link, connect
from actors.runtime.nats.ports import open_ports
from actors.runtime.nats.server import login
from actors.runtime.nats.work import Bench, serve
from actors.runtime.place import Hub, find_hub
from actors.runtime.ports import Ports
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

ME = Address("door", "host")
SIGHT = 2.0
"""Seconds between two looks at which processes are in custody here."""

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

    def __init__(self, place: Hub, link: Link, ports: Ports) -> None:
        """Play the cast on these ports."""
        self._place = place
        self._link = link
        self._ports = ports
        self._desk = Desk(link, ports.post, place.node, self._describe)

    async def run(self) -> None:
        """Work until cancelled."""

        def settings() -> Settings:
            return read_settings(self._place.root)

        workers = (
            git.WORKER,
            tickets.worker(lambda: names(settings())),
            dispatches.WORKER,
            files.WORKER,
            self._desk.worker(settings),
        )
        benches = tuple(Bench(self._link, self._ports.post, self._place.node, one) for one in workers)
        async with asyncio.TaskGroup() as group:
            group.create_task(Supervisor(CAST, self._ports).run())
            group.create_task(serve(benches))
            group.create_task(self._look_after())
            group.create_task(self._link.watch())
            for kind in CAST:
                if kind != "chat_*":
                    group.create_task(ask.serve(self._link, f"car.ask.{kind}.*", self._answer))

    async def _answer(self, to: Address, asked: Envelope, seen: int) -> Message:
        return await answer(CAST, self._ports.store, to, asked, seen)

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
                held = await ask.ask(self._link, ME, custodian, ListCustody(), patience=SIGHT)
                for ward in held.wards if isinstance(held, Custody) else ():
                    await self._desk.listen(ward.proc, ward.session)
            except CarError as error:
                log.debug("custody is not seen", error=str(error))
            await asyncio.sleep(SIGHT)


async def play(place: Hub) -> None:
    """Be a host until told to end by SIGTERM. What is in hand then comes again by its mail."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    working = loop.create_task(_work(place))
    waiting = loop.create_task(told.wait())
    await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
    working.cancel()
    waiting.cancel()
    await asyncio.wait((working, waiting))
    if not working.cancelled() and (error := working.exception()):
        raise error


async def _work(place: Hub) -> None:
    link = await connect(login(place, "host"), wait=60.0)
    try:
        await Host(place, link, await open_ports(link)).run()
    finally:
        await link.close()


def main() -> None:
    """Be a host of the hub that the environment names."""
    if "--help" in sys.argv[1:]:
        sys.stdout.write("usage: CAR_HUB=PATH car-host    (It is started by the keeper)\n")
        return
    try:
        uvloop.run(play(find_hub()))
    except (Refused, Unreachable) as error:
        raise SystemExit(str(error)) from error
