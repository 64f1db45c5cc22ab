"""A question while the store is away is answered late, or with a refusal that says whose fault it is not."""

import asyncio

from actors.runtime.query import answer
from protocol.address import Address
from protocol.envelope import Envelope, letter
from protocol.errors import Unreachable
from protocol.node import Refusal
from tests.runtime.cast import CAST, Sum, SumView

WHOM = Address("account", "a")
ASKED = Envelope(Address("door", "cli"), (letter(Sum(), "q"),))


class Store:
    """A store that is away for some times that it is asked."""

    epoch = "e"

    def __init__(self, times: int) -> None:
        self.times = times

    async def load(self, me):
        self.times -= 1
        if self.times >= 0:
            raise Unreachable(f"the store of {me} is away")

    async def save(self, me, data, revision):
        raise AssertionError("whoever answers a question remembers nothing")


def test_a_store_that_is_away_for_a_moment_is_waited_for():
    assert asyncio.run(answer(CAST, Store(2), WHOM, ASKED, 0)) == SumView(numbers=())


def test_a_store_that_stays_away_is_nobodys_fault():
    said = asyncio.run(answer(CAST, Store(10_000), WHOM, ASKED, 0))
    assert said == Refusal(text="the store of account/a is away", unable=True)


def test_a_question_that_cannot_be_asked_is_the_askers_fault():
    said = asyncio.run(answer(CAST, Store(0), Address("nobody", "a"), ASKED, 0))
    assert said == Refusal(text="nobody/a cannot be asked cast.Sum")
