"""What is waited for together: the end of one is the end of all, and no error is hidden by what ends after it."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import TypeVar

import structlog
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from actors.runtime.nats.link import Link
from protocol.errors import Unreachable

BEAT = 1.0
"""Seconds between two looks at whether we are shut out, for whoever was not told."""
LONGEST = 30.0
"""Seconds between two tries of what is away."""
_SECRET = re.compile(r"//[^/@]*@")

T = TypeVar("T")

log = structlog.get_logger()


def masked(text: str) -> str:
    """Return a text without what nobody else should know of a server's address."""
    return _SECRET.sub("//", text)


async def together(*deeds: Coroutine[None, None, None]) -> None:
    """Do things side by side until one of them ends; raise what it raises, and end the others."""
    tasks = [asyncio.get_running_loop().create_task(deed) for deed in deeds]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until_shut(link: Link) -> None:
    """Raise ``Unreachable`` when the server has shut us out."""
    # A client whose wire breaks while it closes is closed and forgets to say so.
    while not (link.gone.is_set() or link.client.is_closed):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BEAT):
                await link.gone.wait()
    raise Unreachable(masked(f"the NATS server at {link.login.url} has closed the connection: {link.trouble}"))


@contextlib.asynccontextmanager
async def unless_shut(link: Link) -> AsyncIterator[None]:
    """End what is done in here with ``Unreachable`` when the server shuts us out: nobody comes back from that."""
    me = asyncio.current_task()

    async def watch() -> None:
        with contextlib.suppress(Unreachable):
            await until_shut(link)
        if me:
            me.cancel()

    watching = asyncio.get_running_loop().create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        # Somebody else may have wanted an end as well; theirs is the one that counts, as with asyncio.timeout.
        if watching.done() and me and me.uncancel() == 0:
            await until_shut(link)
        raise
    except BaseException:
        if watching.done() and me:
            me.uncancel()
        raise
    finally:
        watching.cancel()


@contextlib.asynccontextmanager
async def listening(link: Link, subject: str, hear: Callable[[Msg], Awaitable[None]]) -> AsyncIterator[None]:
    """Hear a subject as long as the context lasts; its end hides no error of what is done in it."""
    try:
        subscription = await link.client.subscribe(subject, cb=hear)
    except NatsError as error:
        raise Unreachable(f"NATS does not answer: {error}") from error
    try:
        yield
    finally:
        # A connection that is closed has forgotten it already.
        with contextlib.suppress(NatsError, OSError):
            await subscription.unsubscribe()


async def patiently(deed: Callable[[], Awaitable[T]]) -> T:
    """Do it, however long the wire or a network is away."""
    pause = 0.1
    while True:
        try:
            return await deed()
        except Unreachable as error:
            log.warning("waiting", error=str(error))
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST)
