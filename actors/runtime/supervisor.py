"""Who owns the cells of one host: wakes them for their mail, and lets them go when they are idle."""

import asyncio
from collections.abc import Callable, Mapping

import structlog

from actors.runtime.actor import Actor
from actors.runtime.cell import Cell, Trade
from actors.runtime.ports import Delivery, Ports
from actors.runtime.shelf import Shelf
from protocol.address import Address

IDLE = 60.0
"""Seconds after which a cell that nobody needs is let go; its record wakes it again."""

log = structlog.get_logger()

Cast = Mapping[str, Actor[object]]
"""Every kind of actor by its name. The kind of a chat room is ``chat_<bridge>``; ``chat_*`` stands for all of them."""


def actor_of(cast: Cast, kind: str) -> Actor[object] | None:
    """Return who plays a kind."""
    return cast.get(kind) or (cast.get("chat_*") if kind.startswith("chat_") else None)


class Supervisor:
    """Keeps at most one cell for each address."""

    def __init__(self, cast: Cast, ports: Ports, idle: float = IDLE) -> None:
        """Wake nobody yet."""
        self._idle = idle
        self._cast = cast
        self._ports = ports
        self._shelf = Shelf()
        self._cells: dict[Address, Cell[object]] = {}
        self._is_over = False
        self._leaving: set[Cell[object]] = set()
        self._buried: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Bring the mail to the cells until cancelled; then let go of what is in hand."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._ports.intake.run(self.deliver, self.leave))
                group.create_task(self._passivate())
        finally:
            self.abort()

    def deliver(self, delivery: Delivery) -> None:
        """Hand one mail to its cell; none any more once the cells were let go, or it would overtake what they had."""
        if self._is_over:
            return
        me = delivery.mail.to
        cell = self._cells.get(me)
        if cell is None:
            actor = actor_of(self._cast, me.kind)
            if actor is None and self._ports.crew.newer():
                self._ports.crew.decline(me)
                return
            if actor is None:
                task = asyncio.get_running_loop().create_task(self._bury(delivery))
                self._buried.add(task)
                task.add_done_callback(self._buried.discard)
                return
            cell = self._wake(actor, me)
        cell.offer(delivery)

    def leave(self, covers: Callable[[Address], bool]) -> None:
        """Let go of the cells whose mail another host reads now; what they have in hand they finish."""
        for me in [me for me in self._cells if covers(me)]:
            cell = self._cells.pop(me)
            cell.let_go()
            if cell.busy:
                self._leaving.add(cell)
            else:
                cell.abort()
        self._leaving = {cell for cell in self._leaving if cell.busy}

    async def finish(self, seconds: float) -> bool:
        """Let everybody finish what is in hand, at most so long; tell whether they have."""
        self.leave(lambda _: True)
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while any(cell.busy for cell in (*self._cells.values(), *self._leaving)):
            if loop.time() > until:
                return False
            await asyncio.sleep(0.01)
        return True

    def abort(self) -> None:
        """Let every cell go at its next await, for good. What was in hand comes again by its mail."""
        self._is_over = True
        for cell in (*self._cells.values(), *self._leaving):
            cell.abort()
        self._cells.clear()
        self._leaving.clear()

    @property
    def awake(self) -> int:
        """Count the cells."""
        return len(self._cells)

    def _wake(self, actor: Actor[object], me: Address) -> Cell[object]:
        cell = self._cells[me] = Cell(Trade(actor, me, self._ports, self._shelf)).begin()
        return cell

    async def _bury(self, delivery: Delivery) -> None:
        await self._ports.post.bury(delivery.mail.to, delivery.mail.envelope, f"nobody plays {delivery.mail.to.kind}")
        await delivery.settle()

    async def _passivate(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._idle / 4)
            for me in [me for me, cell in self._cells.items() if cell.stale(loop.time(), self._idle)]:
                self._cells.pop(me).abort()
