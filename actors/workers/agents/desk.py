"""The worker ``agents``: finds agents, listens to those that run, and says to them what their sessions want said."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import chain

import structlog

from actors.runtime.nats.link import Link
from actors.runtime.nats.proc import purge
from actors.runtime.ports import Post
from actors.runtime.settings import Settings
from actors.runtime.worker import Worker, does, serves
from actors.workers.agents.catalog import find
from actors.workers.agents.gitdir import find_gitdirs
from actors.workers.agents.listener import Ears, Listener
from protocol import agent
from protocol.address import Address, worker
from protocol.errors import CarError, WorkFailed
from protocol.session import SessionView

TELLS = (
    agent.Initialize,
    agent.OpenThread,
    agent.StartTurn,
    agent.CancelTurn,
    agent.Permit,
    agent.GiveText,
    agent.Confirm,
    agent.Deny,
)

log = structlog.get_logger()

Describe = Callable[[Address], Awaitable[SessionView]]


class Desk:
    """Keeps one listener for each process that is listened to."""

    def __init__(self, link: Link, post: Post, node: str, describe: Describe) -> None:
        """Listen to nobody yet; ``describe`` says how it stands with a session."""
        self._link = link
        self._post = post
        self._node = node
        self._describe = describe
        self._listeners: dict[str, tuple[Listener, asyncio.Task[None]]] = {}

    def worker(self, read: Callable[[], Settings]) -> Worker:
        """Return what this desk does; ``read`` returns the settings as they are now."""

        async def look_up(asked: agent.Find) -> agent.Found:
            return find(read(), asked)

        tells = (serves(tell, self._tell) for tell in TELLS)
        others = (does(agent.Find, look_up), serves(agent.Attach, self._attach), does(agent.Detach, self._detach))
        return Worker("agents", dict((*tells, *others)))

    async def listen(self, proc: str, session: Address) -> Listener | None:
        """Listen to a process for a session; there is nothing to listen to where that session knows no such process."""
        found = self._listeners.get(proc)
        if found and not found[1].done():
            return found[0]
        view = await self._describe(session)
        if view.proc != proc or not view.driver or view.status == "closed":
            return None
        found = self._listeners.get(proc)
        if found and not found[1].done():  # somebody else has begun meanwhile
            return found[0]
        listener = Listener(Ears(self._link, self._post, worker(self._node, "agents", proc), session), view)
        task = asyncio.get_running_loop().create_task(listener.run(), name=f"listener {proc}")
        task.add_done_callback(_say_why)
        self._listeners[proc] = (listener, task)
        return listener

    def close(self) -> None:
        """Listen to nobody: another host of this machine does."""
        for _, task in self._listeners.values():
            task.cancel()
        self._listeners.clear()

    async def _attach(self, command: agent.Attach, session: Address) -> agent.Attached:
        if listener := await self.listen(command.proc, session):
            await listener.report()
        return agent.Attached(proc=command.proc)

    async def _detach(self, command: agent.Detach) -> agent.Detached:
        if found := self._listeners.pop(command.proc, None):
            found[1].cancel()
        await purge(self._link, command.proc)
        return agent.Detached(proc=command.proc)

    async def _tell(self, command: agent.Tell, session: Address) -> agent.Told:
        listener = await self.listen(command.proc, session)
        if listener is None:
            raise WorkFailed(f"the process {command.proc} is not of {session}")
        await listener.tell(await asyncio.to_thread(_locate, command))
        if isinstance(command, agent.StartTurn) and (kept := (await self._describe(session)).position):
            # Below what the session itself remembers, and not what this listener has seen: a successor needs the rest.
            await purge(self._link, command.proc, kept)
        return agent.Told(proc=command.proc, number=command.number)


def _locate(command: agent.Tell) -> agent.Tell:
    """Name the folders that git writes to: only who sees the disk knows where these are."""
    match command:
        case agent.OpenThread(writable=writable):
            return command.model_copy(update={"writable": tuple(chain.from_iterable(map(find_gitdirs, writable)))})
    return command


def _say_why(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()):
        level = log.warning if isinstance(error, CarError) else log.error
        level("a listener stopped", listener=task.get_name(), error=repr(error))
