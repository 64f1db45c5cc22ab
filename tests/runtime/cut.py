"""Ports of a host that dies: from one chosen call on, nothing that it does has an effect, and nothing answers it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from actors.runtime.ports import Delivery, Ports


@dataclass
class Plug:
    """Counts the awaits of a host. At call ``at`` the plug is pulled: before its effect, or (``after``) after it."""

    at: int
    after: bool
    calls: int = 0
    names: list[str] = field(default_factory=list)
    pulled: asyncio.Event = field(default_factory=asyncio.Event)

    async def through(self, name: str, call: Callable[[], Awaitable[object]]) -> object:
        if self.pulled.is_set():
            await asyncio.Event().wait()
        self.calls += 1
        mine = self.calls == self.at
        self.names.append(name)
        if mine and not self.after:
            await self._die()
        found = await call()
        if mine:
            await self._die()
        return found

    async def _die(self) -> None:
        self.pulled.set()
        await asyncio.Event().wait()


class _Cut:
    """Passes every awaited call of one port through the plug."""

    def __init__(self, port: object, plug: Plug, label: str) -> None:
        self._port, self._plug, self._label = port, plug, label

    def __getattr__(self, name: str):
        found = getattr(self._port, name)
        if not callable(found):
            return found

        async def call(*args: object) -> object:
            return await self._plug.through(f"{self._label}.{name}", lambda: found(*args))

        return call


class _CutIntake:
    """Hands deliveries over whose settling passes through the plug."""

    def __init__(self, port: object, plug: Plug) -> None:
        self._port, self._plug = port, plug

    async def run(self, take, leave) -> None:
        def hand(delivery: Delivery) -> None:
            async def settle() -> None:
                await self._plug.through("settle", delivery.settle)

            take(Delivery(delivery.mail, settle))

        await self._port.run(hand, leave)


def cut(ports: Ports, plug: Plug) -> Ports:
    """Return ports that die with the plug."""
    return Ports(
        _Cut(ports.post, plug, "post"),
        _Cut(ports.store, plug, "store"),
        _Cut(ports.timers, plug, "timers"),
        _CutIntake(ports.intake, plug),
        ports.crew,
        ports.clock,
    )
