"""How fast an actor is spoken to within a process.

Ours and the bare queue run on the loop that the host runs on, uvloop. pykka's ThreadingActor is spoken to as it wants
to be, from a plain thread; Thespian (of the extra ``bench``) in its fastest form, all in one process. Each actor
answers with what it was sent. Whoever floods on a loop lets it turn after every thousand messages.
"""

import asyncio
import importlib
import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pykka
import uvloop

from actors.runtime.loop import LoopActor
from tests.bench.row import Peer, Row, medians

TOLD, ASKED, TURN = 60_000, 6_000, 1_000
ROUNDS = 5
LEAST = {"tell": 300_000, "ask": 55_000}
TIMES = 3


class Echo(LoopActor):
    async def receive(self, message):
        return message


class Thread(pykka.ThreadingActor):
    use_daemon_thread = True

    def on_receive(self, message):
        return message


def measure(_: Path) -> Iterable[Row]:
    logging.disable(logging.CRITICAL)
    deeds: dict[str, dict[str, Callable[[], float]]] = {
        "tell": {
            "LoopActor": lambda: uvloop.run(_loop_tell()),
            "asyncio.Queue loop": lambda: uvloop.run(_queue_tell()),
            "ThreadingActor": _thread_tell,
        },
        "ask": {
            "LoopActor": lambda: uvloop.run(_loop_ask()),
            "asyncio.Queue loop": lambda: uvloop.run(_queue_ask()),
            "ThreadingActor": _thread_ask,
        },
    }
    thespian = _thespian()
    if thespian is not None:
        deeds["tell"]["Thespian"], deeds["ask"]["Thespian"] = thespian
    return [_row(what, of) for what, of in deeds.items()]


def _row(what: str, deeds: dict[str, Callable[[], float]]) -> Row:
    found = medians(ROUNDS, deeds)
    ours = found.pop("LoopActor")
    peers = (*(Peer(name, figure) for name, figure in found.items()),)
    if "Thespian" not in found:
        peers = (*peers, Peer("Thespian", None))
    return Row(
        f"{what}, in process",
        ours,
        "/s",
        f"{LEAST[what]:,}; {TIMES} x ThreadingActor",
        ours >= LEAST[what] and ours >= TIMES * found["ThreadingActor"],
        peers,
    )


async def _loop_tell() -> float:
    actor = Echo().begin()
    ref, began = actor.actor_ref, time.perf_counter()
    for number in range(TOLD):
        ref.tell(number)
        if number % TURN == 0:
            await asyncio.sleep(0)
    await ref.ask("last")
    rate = TOLD / (time.perf_counter() - began)
    actor.abort()
    return rate


async def _loop_ask() -> float:
    actor = Echo().begin()
    ref, began = actor.actor_ref, time.perf_counter()
    for number in range(ASKED):
        await ref.ask(number)
    rate = ASKED / (time.perf_counter() - began)
    actor.abort()
    return rate


async def _answer(queue: asyncio.Queue) -> None:
    while True:
        message, asker = await queue.get()
        if asker is not None:
            asker.set_result(message)


async def _queue_tell() -> float:
    queue: asyncio.Queue = asyncio.Queue()
    task, loop = asyncio.create_task(_answer(queue)), asyncio.get_running_loop()
    began = time.perf_counter()
    for number in range(TOLD):
        queue.put_nowait((number, None))
        if number % TURN == 0:
            await asyncio.sleep(0)
    last = loop.create_future()
    queue.put_nowait(("last", last))
    await last
    rate = TOLD / (time.perf_counter() - began)
    task.cancel()
    return rate


async def _queue_ask() -> float:
    queue: asyncio.Queue = asyncio.Queue()
    task, loop = asyncio.create_task(_answer(queue)), asyncio.get_running_loop()
    began = time.perf_counter()
    for number in range(ASKED):
        asked = loop.create_future()
        queue.put_nowait((number, asked))
        await asked
    rate = ASKED / (time.perf_counter() - began)
    task.cancel()
    return rate


def _thread_tell() -> float:
    ref, began = Thread.start(), time.perf_counter()
    for number in range(TOLD):
        ref.tell(number)
    ref.ask("last")
    rate = TOLD / (time.perf_counter() - began)
    ref.stop()
    return rate


def _thread_ask() -> float:
    ref, began = Thread.start(), time.perf_counter()
    for number in range(ASKED):
        ref.ask(number)
    rate = ASKED / (time.perf_counter() - began)
    ref.stop()
    return rate


def _thespian() -> tuple[Callable[[], float], Callable[[], float]] | None:
    """Return how Thespian tells and asks, where it is installed."""
    try:
        actors = importlib.import_module("thespian.actors")
    except ImportError:
        return None

    class Other(actors.Actor):
        def receiveMessage(self, message, sender):  # noqa: N802  # it is called so
            if isinstance(message, str):
                self.send(sender, message)

    def tell() -> float:
        system = actors.ActorSystem("simpleSystemBase")
        to, began = system.createActor(Other), time.perf_counter()
        for number in range(TOLD):
            system.tell(to, number)
        system.ask(to, "last")
        rate = TOLD / (time.perf_counter() - began)
        system.shutdown()
        return rate

    def ask() -> float:
        system = actors.ActorSystem("simpleSystemBase")
        to, began = system.createActor(Other), time.perf_counter()
        for _number in range(ASKED):
            system.ask(to, "question")
        rate = ASKED / (time.perf_counter() - began)
        system.shutdown()
        return rate

    return tell, ask
