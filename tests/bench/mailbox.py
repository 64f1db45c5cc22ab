"""How fast actors handle durable mail, beside what the server itself can store."""

import asyncio
import time

from tests.runtime.cast import Add
from tests.runtime.world import world

MAILS, ACTORS, TASKS = 3000, 100, 64


async def measure(folder):
    """Return lines with the rate of both and their ratio."""
    async with world("nats", folder) as one:
        limit = await _rate(lambda n: one.link.store(f"car.event.bench.k{n}.X", b"x" * 300, {}))
        one.start()
        await one.say("a0", Add(n=0))
        await one.settled("a0", (0,))
        began = time.perf_counter()
        await _rate(lambda n: one.say(f"b{n % ACTORS}", Add(n=n)))
        while await one.waiting():
            await asyncio.sleep(0.02)
        rate = MAILS / (time.perf_counter() - began)
        return (
            f"stored messages, {TASKS} at a time (the limit):           {limit:8.0f} /s",
            f"mails handled (stored, decided, written, told):          {rate:8.0f} /s   {rate / limit:.2f} of it",
        )


async def _rate(deed) -> float:
    rest = iter(range(MAILS))

    async def work() -> None:
        for n in rest:
            await deed(n)

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(TASKS)))
    return MAILS / (time.perf_counter() - began)
