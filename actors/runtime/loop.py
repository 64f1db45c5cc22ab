"""pykka on an event loop: an actor without a thread, that has a task only while its inbox is not empty.

A subclass of ``pykka.Actor`` by its three documented extension points. What pykka does by blocking a thread is done by
awaiting here; to block on the loop's own thread is refused. Private names of pykka that this file leans on are held by
a test: ``_handle_failure``, ``_handle_receive``, ``_actor_loop_teardown``, ``_actor_ref``, ``_ActorStop``.
"""

import asyncio
import sys
from collections import deque
from collections.abc import Awaitable, Generator
from typing import Self, TypeVar

import pykka
from pykka import ActorRegistry
from pykka._envelope import Envelope
from pykka.messages import _ActorStop

T = TypeVar("T")

BATCH = 64
"""Messages that one actor handles before the others get a turn."""


class WouldBlockError(RuntimeError):
    """To wait here would hold up the loop that is to bring the answer."""


class LoopFuture(pykka.Future[T]):
    """A pykka future to be awaited."""

    def __init__(self) -> None:
        """Belong to the loop that runs now."""
        super().__init__()
        self._future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    def get(self, *, timeout: float | None = None) -> T:
        """Return what is there already; nobody waits here."""
        if not self._future.done():
            raise WouldBlockError(f"await this instead of waiting (timeout {timeout})")
        return self._future.result()

    def set(self, value: T | None = None) -> None:
        """Give the value."""
        if not self._future.done():
            self._future.set_result(value)  # type: ignore[arg-type]  # pykka lets a future of nothing be set to None

    def set_exception(self, exc_info: object = None) -> None:
        """Give the exception that is handled now, or the one of ``exc_info``."""
        found = exc_info if isinstance(exc_info, tuple) else sys.exc_info()
        if not self._future.done() and isinstance(found[1], BaseException):
            self._future.set_exception(found[1])

    def __await__(self) -> Generator[None, None, T]:
        """Wait for the value."""
        return (yield from self._future.__await__())


class LoopInbox:
    """What waits for one actor. It wakes its actor when something comes."""

    def __init__(self) -> None:
        """Be empty, and wake nobody yet."""
        self.waiting: deque[Envelope[object]] = deque()
        self.actor: LoopActor | None = None

    def put(self, envelope: Envelope[object], /) -> None:
        """Take a message in."""
        self.waiting.append(envelope)
        if self.actor is not None:
            self.actor.wake()

    def get(self) -> Envelope[object]:
        """Take the oldest message out."""
        return self.waiting.popleft()

    def empty(self) -> bool:
        """Tell whether nothing waits."""
        return not self.waiting


class LoopActor(pykka.Actor):
    """An actor whose ``on_receive`` may await. One message at a time, in order."""

    actor_inbox: LoopInbox

    def __init__(self) -> None:
        """Be idle."""
        super().__init__()
        self._task: asyncio.Task[None] | None = None

    @staticmethod
    def _create_actor_inbox() -> LoopInbox:
        return LoopInbox()

    @staticmethod
    def _create_future() -> LoopFuture[object]:
        return LoopFuture()

    def begin(self) -> Self:
        """Start this very actor and return it: for its owner, who needs more of it than a reference."""
        ActorRegistry.register(self.actor_ref)
        self._start_actor_loop()
        return self

    def _start_actor_loop(self) -> None:
        self.actor_inbox.actor = self

    @property
    def busy(self) -> bool:
        """Tell whether a message is in hand or waits."""
        return self._task is not None or not self.actor_inbox.empty()

    def wake(self) -> None:
        """See that what waits is handled."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name=str(self))

    def abort(self) -> None:
        """Let go of the message in hand at its next await, and of all that waits. For tests and for a lost host."""
        self.actor_inbox.waiting.clear()
        self.actor_stopped.set()
        ActorRegistry.unregister(self.actor_ref)
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        handled = 0
        try:
            while not self.actor_inbox.empty() and not self.actor_stopped.is_set():
                await self._handle(self.actor_inbox.get())
                handled += 1
                if handled % BATCH == 0:
                    await asyncio.sleep(0)
            if self.actor_stopped.is_set():
                self._actor_loop_teardown()
        finally:
            self._task = None
            if not self.actor_inbox.empty() and not self.actor_stopped.is_set():
                self.wake()

    async def _handle(self, envelope: Envelope[object]) -> None:
        if isinstance(envelope.message, _ActorStop):
            ActorRegistry.unregister(self.actor_ref)
            self.actor_stopped.set()
            answer: object = None
        else:
            try:
                answer = await self.receive(envelope.message)
            except Exception:  # noqa: BLE001  # the wall of the actor: its failure goes to the asker or to pykka's log
                if envelope.reply_to is None:
                    self._handle_failure(*sys.exc_info())
                    return
                envelope.reply_to.set_exception()
                return
        if envelope.reply_to is not None:
            envelope.reply_to.set(answer)

    def receive(self, message: object) -> Awaitable[object]:
        """Handle one message."""
        raise NotImplementedError(f"{self} does not say what it does with {message!r}")
