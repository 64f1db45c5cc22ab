"""Brings commands to the workers of one machine and mails what comes of them to whoever asked.

Commands of one key are done in order, those of different keys side by side. A command is acknowledged when its answer
is in the mailbox of its asker, so it may be done twice and is never lost.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

import structlog

from actors.runtime.nats.layout import WORK, consumer
from actors.runtime.nats.link import Link
from actors.runtime.nats.ports import put_aside
from actors.runtime.nats.pump import Item, read
from actors.runtime.nats.seat import Seat
from actors.runtime.ports import Post, Store, Stored
from actors.runtime.shape import awaited
from actors.runtime.worker import Worker
from protocol.address import Address, token
from protocol.envelope import Envelope, Letter, letter, unpack
from protocol.errors import CarError, Refused, Unreachable, WorkFailed
from protocol.message import Message
from protocol.work import Failed, Work

REMEMBERED = 1000
"""Keys whose last command is remembered, so that one that comes again while it is in hand is not done twice."""
AGAIN = 0.5
"""Seconds after which a command is tried again for which the wire or the store did not answer."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Bench:
    """Where a worker works: its machine, what it does, and how it answers."""

    link: Link
    post: Post
    node: str
    worker: Worker
    store: Store | None = None
    """Where it stands whether somebody still waits for a command: one that comes again late is not done again."""

    @property
    def name(self) -> str:
        """Name the bench by its machine and its worker."""
        return f"{token(self.node)}-{token(self.worker.name)}"

    @property
    def subject(self) -> str:
        """Return where its commands are."""
        return f"car.work.{token(self.node)}.{token(self.worker.name)}.*"


@dataclass
class _Shop:
    """The commands in hand."""

    bench: Bench
    queues: dict[str, list[Item]] = field(default_factory=dict)
    done: OrderedDict[str, int] = field(default_factory=OrderedDict)
    tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    def take(self, item: Item) -> None:
        key = item.msg.subject.rpartition(".")[2]
        queue = self.queues.get(key)
        if queue is None:
            self.queues[key] = [item]
            task = asyncio.get_running_loop().create_task(self._work(key))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
            return
        # What takes long is delivered again meanwhile: the newest delivery is acknowledged, in its turn.
        at = next((at for at, known in enumerate(queue) if known.seq == item.seq), len(queue))
        queue[at : at + 1] = [item]

    def leave(self) -> None:
        """Finish what is in hand; what waits is done by whoever reads this now."""
        for queue in self.queues.values():
            del queue[1:]

    async def _work(self, key: str) -> None:
        queue = self.queues[key]
        while queue:
            item = queue[0]
            if item.seq > self.done.get(key, 0):
                await self._one(item)
                self.done[key] = item.seq
                self.done.move_to_end(key)
                while len(self.done) > REMEMBERED:
                    self.done.popitem(last=False)
            await _patiently(lambda: self.bench.link.say(queue[0].msg.reply, b"+ACK"))
            queue.pop(0)
        del self.queues[key]

    async def _one(self, item: Item) -> None:
        me = Address("work", item.msg.subject.removeprefix("car.work."))
        try:
            asked = unpack(item.msg.headers or {}, item.msg.data)
            if answers := [await self._answer(one, asked.sender) for one in await self._awaited(asked)]:
                await _patiently(lambda: self._say(Envelope(me, tuple(answers), cause=asked.id), asked))
        except Exception as error:  # the wall around one command: the next of its key is done all the same
            log.exception("a command is put aside", worker=self.bench.worker.name, subject=item.msg.subject)
            why = f"{type(error).__name__}: {error}"
            await _patiently(lambda: put_aside(self.bench.link, item, me, why))

    async def _awaited(self, asked: Envelope) -> tuple[Letter, ...]:
        """Return the commands that somebody waits for; a host that was frozen for long may send one that is over."""
        if self.bench.store is None or asked.inbox:
            return asked.letters
        store, found = self.bench.store, Stored(b"{}", 0)

        async def look() -> None:
            nonlocal found
            found = await store.load(asked.sender) or found

        await _patiently(look)
        ids = awaited(found.data or b"{}")
        return tuple(one for one in asked.letters if one.id in ids)

    async def _say(self, answers: Envelope, asked: Envelope) -> None:
        try:
            await self._send(answers, asked)
        except Refused as error:
            why = tuple(letter(Failed(what=str(error)), one.id, one.re) for one in answers.letters)
            await self._send(replace(answers, letters=why), asked)

    async def _send(self, answers: Envelope, asked: Envelope) -> None:
        if asked.inbox:
            await self.bench.post.reply(asked.inbox, answers)
        else:
            await self.bench.post.send(asked.sender, answers)

    async def _answer(self, one: Letter, asker: Address) -> Letter:
        try:
            return letter(await self._do(one, asker), f"{one.id}.r", one.id)
        except WorkFailed as error:
            failed = Failed(what=str(error), output=error.output)
        except TimeoutError:
            failed = Failed(what=f"{one.name} took longer than its worker may")
        except CarError as error:
            failed = Failed(what=str(error))
        except Exception as error:  # the wall around a worker: its asker is told, the others go on
            log.exception("worker failed", worker=self.bench.worker.name, command=one.name)
            failed = Failed(what=f"the worker {self.bench.worker.name} failed: {type(error).__name__}: {error}")
        return letter(failed, f"{one.id}.r", one.id)

    async def _do(self, one: Letter, asker: Address) -> Message:
        command = one.open()
        do = self.bench.worker.does.get(type(command)) if isinstance(command, Work) else None
        if do is None or not isinstance(command, Work):
            return Failed(what=f"the worker {self.bench.worker.name} does not know {one.name}; upgrade this host")
        while True:
            try:
                async with asyncio.timeout(command.deadline):
                    return await do(command, asker)
            except Unreachable as error:
                # The wire is nobody's failure, and a command is harmless when it comes twice.
                log.info("waiting to do", command=one.name, error=str(error))
                await asyncio.sleep(AGAIN)


async def serve(benches: tuple[Bench, ...]) -> None:
    """Let workers work until cancelled that nobody else on their machine is."""
    async with asyncio.TaskGroup() as group:
        for bench in benches:
            config = consumer(bench.name, bench.subject)
            group.create_task(read(bench.link, WORK, config, _Shop(bench).take))


def seat(bench: Bench) -> Seat:
    """Return what a host reads whose worker this is; of the hosts of one machine one does."""
    shop = _Shop(bench)
    return Seat(bench.name, WORK, bench.subject, shop.take, shop.leave, node=bench.node)


async def _patiently(deed: Callable[[], Awaitable[object]]) -> None:
    """Do it, however long the wire or a full mailbox takes."""
    pause = 0.05
    while True:
        try:
            await deed()
        except Unreachable as error:
            log.info("waiting to answer", error=str(error))
            await asyncio.sleep(pause)
            pause = min(pause * 2, 2.0)
        else:
            return
