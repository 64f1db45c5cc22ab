"""pykka on an event loop: an actor without a thread, that has a task only while its inbox is not empty.

A subclass of ``pykka.Actor`` by its three documented extension points. What pykka does by blocking a thread is done by
awaiting here; to block on the loop's own thread is refused, before anything has an effect. An idle actor is small: it
has no task, no lock, no queue, and a name and a reference only when somebody asks for them. Names of pykka that this
file leans on, though they are private or undocumented, are held by a test: ``_handle_failure``, ``_handle_receive``,
``_actor_loop_setup``, ``_actor_loop_teardown``, ``_stop``, ``_ActorStop``, and the four fields of an actor.
"""

import asyncio
import itertools
import sys
from collections import deque
from collections.abc import Awaitable, Generator
from inspect import isawaitable
from typing import NoReturn, Self, TypeVar

import pykka
from pykka import ActorDeadError, ActorRef, ActorRegistry
from pykka._envelope import Envelope
from pykka.messages import ProxyCall, ProxyGetAttr, ProxySetAttr, _ActorStop

T = TypeVar("T")
A = TypeVar("A", bound=pykka.Actor)

BATCH = 64
"""Messages that one actor handles before the others get a turn."""

_NOTHING: deque[Envelope[object]] = deque(maxlen=0)
"""The queue of all who have none: 600 bytes less for each actor that is idle."""
_ORDERS = frozenset((_ActorStop, ProxyCall, ProxyGetAttr, ProxySetAttr))
"""What is said to every actor of pykka, whatever it does otherwise."""
_numbers = itertools.count(1)


class WouldBlockError(RuntimeError):
    """To wait here would hold up the loop that is to bring the answer."""


class CutShortError(RuntimeError):
    """What an actor was waiting for was cancelled, and not the actor: a failure as any other."""


class LoopFuture(pykka.Future[T]):
    """A pykka future to be awaited."""

    def __init__(self) -> None:
        """Belong to the loop that runs now."""
        super().__init__()
        self.pending: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    def get(self, *, timeout: float | None = None) -> T:
        """Return what is there already; nobody waits here."""
        if not self.pending.done():
            raise WouldBlockError(f"await this instead of waiting (timeout {timeout})")
        return self.pending.result()

    def set(self, value: T | None = None) -> None:
        """Give the value."""
        if not self.pending.done():
            self.pending.set_result(value)  # type: ignore[arg-type]  # pykka lets a future of nothing be set to None

    def set_exception(self, exc_info: object = None) -> None:
        """Give the exception that is handled now, or the one of ``exc_info``."""
        found = exc_info if isinstance(exc_info, tuple) else sys.exc_info()
        if not self.pending.done() and isinstance(found[1], BaseException):
            self.pending.set_exception(found[1])

    def set_get_hook(self, func: object) -> NoReturn:
        """Refuse what ``map``, ``filter``, ``join`` and ``reduce`` are made of: nobody calls a hook in an await."""
        raise WouldBlockError(f"await this and then do {func!r}: on a loop nothing is computed by waiting")

    def __await__(self) -> Generator[None, None, T]:
        """Wait for the value."""
        return (yield from self.pending.__await__())


class LoopInbox:
    """What waits for one actor. It wakes its actor when something comes, and has a queue only while something is in.

    Whether it is shut is what pykka keeps in a ``threading.Event``, with a lock, a condition and a queue for each.
    """

    __slots__ = ("actor", "shut", "waiting")

    def __init__(self) -> None:
        """Be empty and open, and wake nobody yet."""
        self.waiting = _NOTHING
        self.actor: LoopActor | None = None
        self.shut = False

    def is_set(self) -> bool:
        """Tell whether it is shut."""
        return self.shut

    def set(self) -> None:
        """Shut it, for ever."""
        self.shut = True

    def put(self, envelope: Envelope[object], /) -> None:
        """Take a message in."""
        if self.actor is not None and self.actor.task is None:
            # Before the message is in: a thread without a loop cannot wake anybody, and hears so without an effect.
            self.actor.wake()
        if self.waiting is _NOTHING:
            self.waiting = deque()
        self.waiting.append(envelope)

    def get(self) -> Envelope[object]:
        """Take the oldest message out."""
        oldest = self.waiting.popleft()
        if not self.waiting:
            self.waiting = _NOTHING
        return oldest

    def empty(self) -> bool:
        """Tell whether nothing waits."""
        return not self.waiting


class LoopRef(ActorRef[A]):
    """A reference to an actor on a loop: it answers by ``await``, and does not wait."""

    actor_inbox: LoopInbox

    def tell(self, message: object) -> None:
        """Send a message; raise ``ActorDeadError`` where nobody will handle it."""
        inbox = self.actor_inbox
        if inbox.shut:
            raise ActorDeadError(f"{self} has ended")
        inbox.put(Envelope(message))

    def ask(self, message: object, *, block: bool = False, timeout: float | None = None) -> LoopFuture[object]:
        """Send a message and return what is to be awaited; who gives up sooner wraps it in ``asyncio.timeout``."""
        _refuse(block=block, timeout=timeout)
        return super().ask(message, block=False)  # type: ignore[return-value]  # the actor's class makes this future

    def stop(  # type: ignore[override]  # what would return a bool is refused
        self, *, block: bool = False, timeout: float | None = None
    ) -> LoopFuture[bool]:
        """Let the actor end after what waits already; the answer is whether it was alive."""
        _refuse(block=block, timeout=timeout)
        stopped: LoopFuture[bool] = LoopFuture()

        def tell(asked: asyncio.Future[object]) -> None:
            stopped.set(asked.exception() is None)

        self.ask(_ActorStop()).pending.add_done_callback(tell)
        return stopped


class LoopActor(pykka.Actor):
    """An actor whose ``receive`` may await. One message at a time, in order."""

    actor_inbox: LoopInbox

    def __init__(self) -> None:
        """Be idle. The fields are those of ``pykka.Actor``, without an event; name and reference are made on demand."""
        self._number = 0
        self._actor_ref: LoopRef[Self] | None = None  # type: ignore[assignment]  # see actor_ref
        self.actor_inbox = self._create_actor_inbox()
        self.task: asyncio.Task[None] | None = None

    @property
    def actor_urn(self) -> str:  # type: ignore[override]  # pykka only reads it
        """Return a name that no other actor of this process has."""
        self._number = self._number or next(_numbers)
        return f"urn:loop:{self._number}"

    @property
    def actor_stopped(self) -> LoopInbox:  # type: ignore[override]  # all that pykka calls of an event is there
        """Return what tells whether this actor has ended."""
        return self.actor_inbox

    @property
    def actor_ref(self) -> "LoopRef[Self]":
        """Return the reference, always the same."""
        if self._actor_ref is None:
            self._actor_ref = LoopRef(self)
        return self._actor_ref

    @staticmethod
    def _create_actor_inbox() -> LoopInbox:
        return LoopInbox()

    @staticmethod
    def _create_future() -> LoopFuture[object]:
        return LoopFuture()

    def begin(self) -> Self:
        """Start this very actor and return it: for its owner, who needs more of it than a reference, and ends it.

        It is not on pykka's list of all actors: that is for those whom nobody owns, and is slow where it is long.
        """
        self._start_actor_loop()
        return self

    def tell(self, message: object) -> None:
        """Do as ``actor_ref.tell`` does, for its owner."""
        if self.actor_stopped.is_set():
            raise ActorDeadError(f"{self} has ended")
        self.actor_inbox.put(Envelope(message))

    def _start_actor_loop(self) -> None:
        self.actor_inbox.actor = self
        self._actor_loop_setup()
        if self.actor_stopped.is_set():
            self._end()
        elif not self.actor_inbox.empty():
            self.wake()

    @property
    def busy(self) -> bool:
        """Tell whether a message is in hand or waits."""
        return self.task is not None or not self.actor_inbox.empty()

    @property
    def cancelled(self) -> bool:
        """Tell whether it is this actor that was cancelled, and not only what it waits for."""
        return self.task is not None and self.task.cancelling() > 0

    def wake(self) -> None:
        """See that what waits is handled."""
        if self.task is None:
            self.task = asyncio.get_running_loop().create_task(self._run())

    def abort(self) -> None:
        """Let go of the message in hand at its next await, and of all that waits. For tests and for a lost host."""
        self._end()
        if self.task is not None:
            self.task.cancel()

    def _end(self) -> None:
        """Be dead: who waits for an answer hears so, and the inbox holds this actor no longer."""
        if self._actor_ref is not None:
            ActorRegistry.unregister(self._actor_ref)
        self.actor_stopped.set()
        self._actor_loop_teardown()
        self.actor_inbox.actor = None

    async def _run(self) -> None:
        try:
            while await self._handle_some():  # noqa: ASYNC110  # nothing is waited for: the others get their turn
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            # Whoever cancels the task ends the actor: pykka would take this for the end of all actors.
            self._end()
            raise
        finally:
            self.task = None
        if self.actor_inbox.shut:
            self._end()
        elif not self.actor_inbox.empty():
            self.wake()

    async def _handle_some(self) -> bool:
        """Handle what waits, at most a batch of it; tell whether there is more."""
        inbox = self.actor_inbox
        for _ in range(BATCH):
            if inbox.shut or not inbox.waiting:
                return False
            envelope = inbox.get()
            message, asker = envelope.message, envelope.reply_to
            try:
                answer = await (self._obey(message) if type(message) in _ORDERS else self.receive(message))
            except asyncio.CancelledError:
                if self.cancelled:
                    if asker is not None:
                        asker.set_exception((ActorDeadError, ActorDeadError(f"{self} was ended in this message"), None))
                    raise
                self._blame(asker, CutShortError(f"{self} waited for something that was cancelled"))
            except Exception as error:  # noqa: BLE001  # the wall of the actor: its failure is the asker's, or is logged
                self._blame(asker, error)
            else:
                if asker is not None:
                    asker.set(answer)
        return True

    async def _obey(self, order: object) -> object:
        """Do what pykka itself asks of an actor: to stop, and what comes by a proxy."""
        answer = self._handle_receive(order)
        return await answer if isawaitable(answer) else answer

    def _blame(self, asker: pykka.Future[object] | None, error: Exception) -> None:
        """Let the asker have the failure; where nobody has asked, the actor has failed."""
        if asker is not None:
            asker.set_exception((type(error), error, error.__traceback__))
        else:
            self._handle_failure(type(error), error, error.__traceback__)
            try:
                self.on_failure(type(error), error, error.__traceback__)
            except Exception:  # noqa: BLE001  # the same wall: a hook that fails is logged, as pykka does
                self._handle_failure(*sys.exc_info())

    def receive(self, message: object) -> Awaitable[object]:
        """Handle one message."""
        raise NotImplementedError(f"{self} does not say what it does with {message!r}")


def _refuse(*, block: bool, timeout: float | None) -> None:
    if block:
        raise WouldBlockError(f"await this instead of waiting (timeout {timeout})")
