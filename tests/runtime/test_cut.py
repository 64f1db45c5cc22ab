"""The host is cut between every two awaits of the cell, and begins again: nothing is lost and nothing is doubled."""

import asyncio

import pytest

from actors.runtime.ports import Ports
from protocol.address import Address
from protocol.node import Watch
from tests.runtime.cast import Add, Forget, Wait
from tests.runtime.cut import Plug, cut
from tests.runtime.world import World, world


async def story(one: World, name: str) -> None:
    """Say the same things each time, to actors of their own."""
    b = Address("account", f"{name}b")
    await one.say(f"{name}a", Watch(watcher=Address("account", f"{name}w")), id_=f"{name}0")
    await one.say(f"{name}a", Add(n=1, then=b), id_=f"{name}1")
    await one.say(f"{name}a", Wait(seconds=0.0, n=5, timer="soon"), id_=f"{name}2")
    await one.say(f"{name}a", Wait(seconds=3600, n=6, timer="never"), id_=f"{name}3")
    await one.say(f"{name}a", Forget(timer="never"), id_=f"{name}4")
    await one.say(f"{name}a", Add(n=2, then=b), id_=f"{name}5")


async def told(one: World, name: str) -> None:
    """Check that everything has happened once, in order (the timer at any moment after it was set)."""
    await one.settled(f"{name}b", (1, 2))
    loop = asyncio.get_running_loop()
    end = loop.time() + 10
    while sorted(await one.numbers(f"{name}a")) != [1, 2, 5] or len(await one.numbers(f"{name}w")) != 3:
        assert loop.time() < end, (name, await one.numbers(f"{name}a"), await one.numbers(f"{name}w"))
        await asyncio.sleep(0.01)
    assert [n for n in await one.numbers(f"{name}a") if n != 5] == [1, 2]
    assert sorted(await one.numbers(f"{name}w")) == [-5, -2, -1]


@pytest.mark.parametrize("kind", ["memory", "nats"])
def test_a_host_cut_at_any_await_loses_nothing_and_doubles_nothing(kind, tmp_path):
    async def run():
        async with world(kind, tmp_path) as one:
            calls = await clean(one)
            assert {
                "store.load",
                "store.save",
                "post.send",
                "post.publish",
                "timers.set",
                "timers.cancel",
                "settle",
            } <= set(calls)
            for at in range(1, len(calls) + 1):
                for after in (False, True):
                    await one_cut(one, at, after)

    asyncio.run(run())


async def clean(one: World) -> list[str]:
    plug = Plug(at=0, after=False)
    one.start(cut(one.ports, plug))
    await story(one, "clean")
    await told(one, "clean")
    await one.stop()
    return plug.names


async def one_cut(one: World, at: int, after: bool) -> None:
    name = f"cut{at}{'after' if after else 'before'}"
    plug = Plug(at, after)
    one.start(cut(one.ports, plug))
    await story(one, name)
    try:
        await asyncio.wait_for(plug.pulled.wait(), 2)
    except TimeoutError:
        assert plug.calls < at  # this time it took fewer calls; the story must have ended well
    await one.stop()
    one.start()
    await told(one, name)
    events = [row.letters[0] for row in await one.events() if str(row.sender).startswith(f"account/{name}a")]
    assert sorted(letter.open().n for letter in events) == [1, 2, 5]
    assert await one.dead() == []
    await one.stop()


def test_ports_are_the_whole_outside():
    """What is not counted is not cut: the plug must know every port."""
    assert set(Ports.__dataclass_fields__) == {"post", "store", "timers", "intake", "crew", "clock"}
