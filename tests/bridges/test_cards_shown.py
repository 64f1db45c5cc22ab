"""The cards of a room: each is shown once, in order, however often and however late it comes, and replaces its own."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from actors.runtime.nats.layout import OUT, SHOWN, consumer, hire
from actors.runtime.nats.link import Login, connect
from bridges.bridge import Door
from bridges.cli.command import chat
from bridges.shown import KEPT, Place, Shown, after, is_new
from protocol.chat import Card
from protocol.envelope import Mark
from protocol.errors import CarError, Refused, Unreachable
from tests.bridges.world import card, street
from tests.server import until

ANN, BOB = "ann", "bob"


def mark(revision: int, epoch: str = "e") -> Mark:
    return Mark(epoch, revision)


class Network:
    """A network on which cards are shown; it names each message, and may be away or refuse."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, str, str]] = []
        self.away: set[str] = set()
        self.tried = 0
        self.refused: set[str] = set()
        self.stuck = asyncio.Event()
        self.stuck.set()

    async def show(self, where: str, one: Card, proof: str) -> str:
        self.tried += 1
        if where in self.away:
            raise Unreachable(f"{where} is away")
        if one.text in self.refused:
            raise Refused("no such chat")
        self.shown.append((where, one.text, proof))
        await self.stuck.wait()
        return proof or f"m{len(self.shown)}"

    @property
    def texts(self) -> list[str]:
        return [text for _, text, _ in self.shown]


@asynccontextmanager
async def reading(door: Door, network: Network, where: str = ANN):
    """Read a room until cut, as kill -9 would."""

    async def show(one: Card, proof: str) -> str:
        return await network.show(where, one, proof)

    task = asyncio.create_task(door.cards(where, show))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def settled(here) -> None:
    """Wait until every card is acknowledged."""
    loop = asyncio.get_running_loop()
    end = loop.time() + 10
    while await here.unshown():
        assert loop.time() < end
        await asyncio.sleep(0.01)


def story(tmp_path, tell, name: str = "cli"):
    async def run():
        async with street(tmp_path, name) as here:
            await tell(here, Network())

    asyncio.run(run())


# once


def test_a_card_that_comes_again_much_later_has_no_second_effect(tmp_path):
    async def tell(here, network):
        async with reading(here.door, network):
            await here.say(ANN, card("one"), mark=mark(5))
            await here.say(ANN, card("two", revision=2), mark=mark(6))
            await settled(here)
            await here.say(ANN, card("one"), mark=mark(5))
            await settled(here)
        await here.say(ANN, card("one"), mark=mark(5))
        await here.say(ANN, card("two", revision=2), mark=mark(6))
        await here.say(ANN, card("three", revision=3), mark=mark(9))
        async with reading(here.door, network):
            await settled(here)
        assert network.shown == [(ANN, "one", ""), (ANN, "two", "m1"), (ANN, "three", "m1")]

    story(tmp_path, tell)


def test_of_many_cards_the_first_is_still_known_when_its_proof_is_long_forgotten(tmp_path):
    async def tell(here, network):
        async with reading(here.door, network):
            for number in range(KEPT + 10):
                await here.say(ANN, card(str(number), f"c{number}", number + 1), mark=mark(number + 1))
                if number % 50 == 0:
                    await settled(here)
            await settled(here)
            await here.say(ANN, card("0", "c0", 1), mark=mark(1))
            await here.say(ANN, card("new", "c0", KEPT + 11), mark=mark(KEPT + 11))
            await settled(here)
        assert network.texts == [*map(str, range(KEPT + 10)), "new"]
        assert network.shown[-1] == (ANN, "new", "")

    story(tmp_path, tell)


def test_a_card_that_was_shown_when_we_were_cut_is_shown_once_more_and_then_never(tmp_path):
    async def tell(here, network):
        network.stuck.clear()
        await here.say(ANN, card("one"), mark=mark(5))
        async with reading(here.door, network):
            await until(lambda: network.shown)
        network.stuck.set()
        async with reading(here.door, network):
            await settled(here)
        await here.say(ANN, card("one"), mark=mark(5))
        async with reading(here.door, network):
            await settled(here)
        assert network.texts == ["one", "one"]

    story(tmp_path, tell)


def test_of_several_cards_in_one_envelope_only_those_that_are_missing_are_shown_after_a_cut(tmp_path):
    async def tell(here, network):
        network.stuck.clear()
        await here.say(ANN, card("one", "a"), card("two", "b", 2), card("three", "c", 3), mark=mark(5))
        async with reading(here.door, network):
            await until(lambda: network.texts == ["one"])
            network.stuck.set()
            network.stuck = asyncio.Event()
            await until(lambda: network.texts == ["one", "two"])
        network.stuck.set()
        async with reading(here.door, network):
            await settled(here)
        assert network.texts == ["one", "two", "two", "three"]

    story(tmp_path, tell)


def test_what_was_shown_and_kept_but_not_acknowledged_is_not_shown_again(tmp_path):
    async def tell(here, network):
        async with reading(here.door, network):
            await here.say(ANN, card("one"), mark=mark(5))
            await settled(here)
        # Its acknowledgement was lost with its reader: for the server it is still to be shown.
        await here.say(ANN, card("one"), mark=mark(5))
        async with reading(here.door, network):
            await settled(here)
        assert network.texts == ["one"]

    story(tmp_path, tell)


def test_a_room_that_is_left_and_entered_again_numbers_its_cards_anew_and_is_shown_them(tmp_path):
    async def tell(here, network):
        async with reading(here.door, network):
            await here.say(ANN, card("shop works", "run-1", revision=57), mark=mark(90))
            await here.say(ANN, card("shop waits", "run-1", revision=1), mark=mark(95))
            await settled(here)
        assert network.shown == [(ANN, "shop works", ""), (ANN, "shop waits", "m1")]

    story(tmp_path, tell)


def test_a_store_that_has_begun_anew_is_heard():
    shown = after(Shown(), Place(mark(500), 1), card("old"), "m1")
    assert not is_new(shown, Place(mark(500), 1), card("old"))
    assert is_new(shown, Place(mark(3, "f"), 1), card("new"))


def test_a_card_without_a_mark_is_known_by_its_revision():
    shown = after(Shown(), Place(None, 1), card("one", revision=2), "m1")
    assert not is_new(shown, Place(None, 1), card("one", revision=2))
    assert is_new(shown, Place(None, 1), card("two", revision=3))
    assert is_new(shown, Place(None, 1), card("other", "d"))


def test_the_card_that_was_shown_longest_ago_is_forgotten_first():
    shown = Shown()
    for number in range(KEPT):
        shown = after(shown, Place(mark(number + 1), 1), card("", f"c{number}"), f"m{number}")
    shown = after(shown, Place(mark(KEPT + 1), 1), card("", "c0", 2), "m0")
    shown = after(shown, Place(mark(KEPT + 2), 1), card("", "new"), "m")
    assert len(shown.cards) == KEPT
    assert "c0" in shown.cards
    assert "c1" not in shown.cards


# who shows


def test_a_network_that_is_away_holds_up_its_room_and_no_other(tmp_path):
    async def tell(here, network):
        await hire(here.link, OUT, consumer("telegram", "car.out.telegram.*", unacked=4000))
        network.away = {ANN}
        task = asyncio.create_task(here.door.rooms(network.show))
        await here.say(ANN, card("one"), mark=mark(1))
        await here.say(BOB, card("one"), mark=mark(1))
        await here.say(ANN, card("two", revision=2), mark=mark(2))
        await here.say(BOB, card("two", revision=2), mark=mark(2))
        await until(lambda: network.tried >= 4)
        assert network.shown == [(BOB, "one", ""), (BOB, "two", "m1")]
        assert await here.unshown() == 2
        network.away = set()
        await settled(here)
        assert [one for one in network.shown if one[0] == ANN] == [(ANN, "one", ""), (ANN, "two", "m3")]
        task.cancel()
        await asyncio.wait([task])

    story(tmp_path, tell, "telegram")


def test_the_rooms_of_a_bridge_wait_for_the_host_and_outlive_the_server(tmp_path):
    async def tell(here, network):
        made = consumer("telegram", "car.out.telegram.*", unacked=4000)
        task = asyncio.create_task(here.door.rooms(network.show))
        await here.say("-100 1", card("one"), mark=mark(1))
        await asyncio.sleep(0)
        await hire(here.link, OUT, made)
        await settled(here)
        here.server.kill()
        await until(lambda: not here.link.client.is_connected)
        here.server.start()
        await until(lambda: here.link.client.is_connected)
        await hire(here.link, OUT, made)
        await here.say("-100 1", card("one"), mark=mark(1))
        await here.say("-100 1", card("two", revision=2), mark=mark(2))
        await settled(here)
        assert network.shown == [("-100 1", "one", ""), ("-100 1", "two", "m1")]
        task.cancel()
        await asyncio.wait([task])

    story(tmp_path, tell, "telegram")


def test_a_card_that_can_never_be_shown_holds_up_no_other(tmp_path):
    async def tell(here, network):
        network.refused = {"two"}
        async with reading(here.door, network):
            for number, text in enumerate(("one", "two", "three"), 1):
                await here.say(ANN, card(text, revision=number), mark=mark(number))
            await settled(here)
        assert network.shown == [(ANN, "one", ""), (ANN, "three", "m1")]

    story(tmp_path, tell)


def test_whoever_fails_at_showing_is_known_to_the_reader_at_once(tmp_path):
    async def tell(here, network):
        async def show(_, __) -> str:
            raise ZeroDivisionError("a bug of the bridge")

        await here.say(ANN, card("one"), mark=mark(1))
        with pytest.raises(ZeroDivisionError):
            await asyncio.wait_for(here.door.cards(ANN, show), 5)

    story(tmp_path, tell)


def test_a_room_that_somebody_else_reads_is_refused_at_once(tmp_path):
    async def tell(here, network):
        await hire(here.link, OUT, consumer("other", "car.out.cli.ann"))

        async def show(one: Card, proof: str) -> str:
            return await network.show(ANN, one, proof)

        with pytest.raises(CarError, match="filtered consumer not unique"):
            await asyncio.wait_for(here.door.cards(ANN, show), 5)

    story(tmp_path, tell)


def test_of_two_who_show_one_room_the_later_wins_and_the_other_hears_of_it(tmp_path):
    async def tell(here, network):
        link = await connect(Login(here.server.url, "cli"))
        await here.say(ANN, card("one"), mark=mark(1))
        async with reading(here.door, network) as first:
            await settled(here)
            other = '{"epoch": "e", "revision": 7, "number": 1, "cards": {}}'
            await link.store("car.shown.cli.ann", other.encode(), {})
            await here.say(ANN, card("two", revision=2), mark=mark(8))
            await asyncio.wait([first], timeout=5)
            assert "somebody else shows the cards of out/cli.ann now" in str(first.exception())
        await link.close()

    story(tmp_path, tell)


def test_what_a_room_was_shown_may_be_too_old_to_be_kept_while_its_reader_lives(tmp_path):
    async def tell(here, network):
        async with reading(here.door, network):
            await here.say(ANN, card("one"), mark=mark(1))
            await settled(here)
            await here.link.api(f"STREAM.PURGE.{SHOWN}")
            await here.say(ANN, card("two", revision=2), mark=mark(2))
            await settled(here)
            assert network.shown == [(ANN, "one", ""), (ANN, "two", "m1")]
            assert await here.count(SHOWN) == 1

    story(tmp_path, tell)


def test_a_note_that_nobody_can_read_is_written_anew(tmp_path):
    async def tell(here, network):
        await here.link.store("car.shown.cli.ann", b"{", {})
        await here.say(ANN, card("one"), mark=mark(1))
        async with reading(here.door, network):
            await settled(here)
        await here.say(ANN, card("one"), mark=mark(1))
        async with reading(here.door, network):
            await settled(here)
        assert network.texts == ["one"]

    story(tmp_path, tell)


def test_a_reader_of_one_room_leaves_nothing_behind_on_the_server(tmp_path):
    async def tell(here, network):
        async with reading(here.door, network):
            await here.say(ANN, card("one"), mark=mark(1))
            await settled(here)
            found = await here.link.api("CONSUMER.INFO.OUT.cli-ann")
            assert 0 < found.number("config", "inactive_threshold") <= 600 * 10**9

    story(tmp_path, tell)


def test_two_who_chat_in_one_terminal_are_in_two_rooms():
    assert chat._room("pts0") != chat._room("pts0")
