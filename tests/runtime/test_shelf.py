"""Cells that are at rest hold their record as bytes, and nobody notices."""

import asyncio

from actors.runtime.cell import Cell, Trade
from actors.runtime.memory import Memory
from actors.runtime.ports import Delivery, Mail
from actors.runtime.query import answer
from actors.runtime.shelf import Shelf
from protocol.address import Address
from protocol.envelope import Envelope, letter
from tests.runtime.cast import ACTOR, CAST, Add, Sum

DOOR = Address("door", "test")


class Slim:
    def __init__(self) -> None:
        self.folded = 0

    def fold(self) -> None:
        self.folded += 1


def test_who_was_not_used_for_longest_is_folded():
    shelf, first, second, third = Shelf(2), Slim(), Slim(), Slim()
    for one in (first, second, first, third):
        shelf.put(one)
    assert [one.folded for one in (first, second, third)] == [0, 1, 0]
    shelf.drop(first)
    assert len(shelf) == 1


def test_a_folded_cell_goes_on_without_reading_its_record_again():
    class Counting(Memory):
        loads = 0

        async def load(self, me):
            Counting.loads += 1
            return await super().load(me)

    async def run() -> None:
        memory, shelf = Counting(), Shelf(1)
        a, b = (Cell(Trade(ACTOR, Address("account", key), memory.ports, shelf)).begin() for key in "ab")
        for number in range(3):
            for cell, key in ((a, "a"), (b, "b")):
                envelope = Envelope(DOOR, (letter(Add(n=number), f"{key}{number}"),))
                mail = Mail(Address("account", key), envelope, memory.epoch, number + 1, memory.ports.clock())
                settled = asyncio.Event()

                async def settle(settled=settled) -> None:
                    settled.set()

                cell.offer(Delivery(mail, settle))
                async with asyncio.timeout(5):
                    await settled.wait()
                    while cell.busy:
                        await asyncio.sleep(0)
        assert (a._known.record, b._known.record.state.numbers) == (None, (0, 1, 2))
        assert Counting.loads == 2
        for key in "ab":
            asked = Envelope(DOOR, (letter(Sum(), f"q{key}"),))
            assert (await answer(CAST, memory, Address("account", key), asked, 0)).numbers == (0, 1, 2)
        a.abort()
        b.abort()
        assert len(shelf) == 0

    asyncio.run(run())
