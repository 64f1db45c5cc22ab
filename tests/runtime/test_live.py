"""What an agent is just writing is told seldom enough and soon enough, and nobody wakes up where it writes nothing."""

import asyncio
import json

from actors.workers.agents.acp import DRIVER
from actors.workers.agents.live import LARGEST, MUCH, OVERLAP, SHOWN, SPACING, Live, hear, tell, wait
from protocol import agent
from tests.runtime.test_desk import GREETED, SESSION, Talk
from tests.runtime.world import world
from tests.server import until


def written(text: str, live: Live = Live(), now: float = 0.0) -> tuple[Live, str]:  # noqa: B008  # it never changes
    """Let a text be heard and told at once."""
    return tell(hear(live, text), now)


def test_where_nothing_is_written_there_is_nothing_to_wait_for():
    assert wait(Live(), 0) is None
    assert tell(Live(), 0) == (Live(), "")


def test_the_first_words_wait_for_nothing_and_the_next_for_their_time():
    live = hear(Live(), "One")
    assert wait(live, 7.0) == 0
    live, words = tell(live, 7.0)
    assert words == "One"
    assert wait(live, 7.0) is None
    live = hear(live, "One two")
    assert abs(wait(live, 7.01) - (SPACING - 0.01)) < 1e-9
    assert wait(live, 7.0 + SPACING) == 0
    assert wait(live, 9.0) == 0


def test_a_word_a_millisecond_is_told_twenty_times_a_second():
    live, told = Live(), []
    for number in range(1, 1001):
        now = number / 1000
        live = hear(live, "x" * number)
        if wait(live, now) == 0:
            live, words = tell(live, now)
            told.append(len(words))
    assert 19 <= len(told) <= 20
    assert told[0] == 1
    assert told[-1] > 900


def test_much_that_is_new_does_not_wait():
    live, _ = written("a")
    live = hear(live, "a" + "b" * (MUCH - 1))
    assert wait(live, 0) > 0
    live = hear(live, "a" + "b" * MUCH)
    assert wait(live, 0) == 0


def test_bytes_are_counted_and_not_characters():
    live, _ = written("a")
    assert wait(hear(live, "a" + "ä" * (MUCH // 2)), 0) == 0


def test_the_same_text_is_told_once():
    live, _ = written("One")
    assert wait(hear(live, "One"), 1) is None


def test_only_the_end_of_a_long_text_is_told_but_never_less_than_is_new():
    assert len(written("x" * 3 * SHOWN)[1]) == min(3 * SHOWN + OVERLAP, 3 * SHOWN)
    live, _ = written("x" * 3 * SHOWN)
    assert written("x" * (3 * SHOWN + 1), live)[1] == "x" * SHOWN
    live, _ = written("x" * 50_000)
    assert len(written("x" * 60_000, live)[1]) == 10_000 + OVERLAP
    assert len(written("x" * 500_000)[1]) == LARGEST


def test_what_is_left_out_in_the_middle_of_a_very_long_text_is_not_new():
    end = "".join(f" {number}" for number in range(1000))
    live, _ = written(f"begin [1 left out]{end}")
    live = hear(live, f"begin [6 left out]{end[5:]} more")
    assert live.fresh == len(" more")


def test_the_last_words_of_a_turn_are_told_after_its_end_and_the_next_turn_begins_anew():
    live, _ = written("Half")
    live = hear(hear(live, "Half done"), "")
    live, words = tell(live, 1)
    assert words == "Half done"
    assert wait(hear(live, ""), 2) is None
    live = hear(live, "Half done")
    assert tell(live, 2)[1] == "Half done"


class Ticking(asyncio.SelectorEventLoop):
    """A loop that counts who sets an alarm for less than a second."""

    alarms = 0

    def call_at(self, when, callback, *args, context=None):
        self.alarms += when - self.time() < 0.9
        return super().call_at(when, callback, *args, context=context)


def chunk(text: str) -> str:
    update = {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}
    return json.dumps({"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": "t", "update": update}})


def test_an_agent_that_writes_is_heard_soon_and_seldom_and_one_that_is_silent_wakes_nobody(tmp_path):
    async def run():
        loop = asyncio.get_running_loop()
        async with world("nats", tmp_path) as one:
            talk = Talk(one.link)
            assert (await talk.describe(SESSION)).driver == DRIVER.name
            heard: list[tuple[float, str]] = []

            async def hear_live(msg) -> None:
                heard.append((loop.time(), msg.data.decode()))

            await one.link.client.subscribe(SESSION.subject("live"), cb=hear_live)
            await talk.tell(agent.Initialize(proc="p1", number=1))
            await talk.answer(GREETED)
            await talk.tell(agent.OpenThread(proc="p1", number=2, cwd="/"))
            await talk.answer({"sessionId": "t"})
            await talk.tell(agent.StartTurn(proc="p1", number=3, turn="1", text="go"))
            begun = loop.time()
            for number in range(100):
                talk.lines += 1
                await talk.agent.append(talk.lines, (chunk(f"{number} "),))
            all_ = "".join(f"{number} " for number in range(100))
            await until(lambda: heard and heard[-1][1] == all_)
            # The first is told at once; then one each 50 ms, and one for what came last.
            assert len(heard) <= (loop.time() - begun) / SPACING + 2
            assert len(heard) < 100
            talk.lines += 1
            await talk.agent.append(talk.lines, (chunk("x" * SHOWN),))
            await until(lambda: heard[-1][1] == (all_ + "x" * SHOWN)[-SHOWN - OVERLAP :])
            told = len(heard)
            await asyncio.sleep(1.2)  # whoever follows a log looks once a second whether it was called in vain
            before = loop.alarms
            await asyncio.sleep(0.6)
            assert loop.alarms - before <= 1, "only this sleep itself"
            assert len(heard) == told
            await talk.does[agent.Detach](agent.Detach(proc="p1"), SESSION)

    with asyncio.Runner(loop_factory=Ticking) as runner:
        runner.run(run())
