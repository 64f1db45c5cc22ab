"""What the runtime promises, on memory and on a real server: the same tests for both."""

import asyncio

import pytest

from actors.runtime.ports import MAILBOX
from protocol.address import Address
from protocol.envelope import Envelope, Mark, letter
from protocol.errors import Full
from protocol.node import Watch
from tests.runtime.cast import Add, Begin, Boom, Chatter, Forget, Grow, Leave, Sum, SumView, Wait
from tests.runtime.world import until, world

B = Address("account", "b")


@pytest.fixture(params=["memory", "nats"])
def kind(request):
    return request.param


def on(kind, tmp_path, story):
    async def run():
        async with world(kind, tmp_path) as one:
            await story(one)

    asyncio.run(run())


# promise 1: an accepted message is never lost


def test_mail_that_came_while_no_host_lived_is_handled_in_order(kind, tmp_path):
    async def story(one):
        for n in range(20):
            await one.say("a", Add(n=n))
        one.start()
        await one.settled("a", tuple(range(20)))

    on(kind, tmp_path, story)


def test_mail_outlives_the_host_that_had_it_in_hand(kind, tmp_path):
    async def story(one):
        one.start()
        for n in range(30):
            await one.say("a", Add(n=n))
            if n % 10 == 5:
                await one.stop()
                one.start()
        await one.settled("a", tuple(range(30)))

    on(kind, tmp_path, story)


# promise 2: it takes effect at most once


def test_the_same_message_said_twice_counts_once(kind, tmp_path):
    async def story(one):
        one.start()
        for _ in range(3):
            await one.say("a", Add(n=1), id_="same")
        await one.settled("a", (1,))

    on(kind, tmp_path, story)


def test_a_mail_with_an_old_mark_of_its_sender_does_nothing(kind, tmp_path):
    async def story(one):
        one.start()
        sender = Address("account", "z")
        await one.say("a", Add(n=1), mark=Mark("e", 7), sender=sender)
        await one.say("a", Add(n=2), mark=Mark("e", 7), sender=sender)
        await one.say("a", Add(n=3), mark=Mark("e", 6), sender=sender)
        await one.say("a", Add(n=4), mark=Mark("e", 8), sender=sender)
        await one.settled("a", (1, 4))

    on(kind, tmp_path, story)


def test_what_one_actor_sends_another_arrives_once(kind, tmp_path):
    async def story(one):
        one.start()
        for n in range(10):
            await one.say("a", Add(n=n, then=B))
        await one.settled("a", tuple(range(10)))
        await one.settled("b", tuple(range(10)))

    on(kind, tmp_path, story)


def test_one_who_asks_again_gets_the_answer_again_and_nothing_happens_twice(kind, tmp_path):
    async def story(one):
        inbox = "_INBOX_test.one"
        if kind == "nats":
            inbox = one.link.client.new_inbox()
            await one.listen(inbox)
        one.start()
        await one.say("a", Add(n=1), id_="first", inbox=inbox)
        await one.settled("a", (1,))
        # Outside of the server's window the same id is stored again: here under another envelope.
        await one.say("a", Sum(), id_="between")
        await one.ports.post.send(Address("account", "a"), _again(inbox))
        await one.settled("a", (1,))
        replies = [env.letters[0] for env in await one.replies(inbox)]
        await until(lambda: True)
        found = [letter.open() for letter in replies if letter.re == "first"]
        assert found == [SumView(numbers=(1,))] * 2

    on(kind, tmp_path, story)


def _again(inbox):
    # The server knows envelopes by their first letter: a new first one hides the repeat from it.
    return Envelope(Address("door", "test"), (letter(Sum(), "other"), letter(Add(n=1), "first")), inbox=inbox)


# promise 4: first in, first out for each actor; a bug does not stop the actor, a poisoned one does not stop others


def test_each_mailbox_is_in_order_and_no_mailbox_waits_for_another(kind, tmp_path):
    async def story(one):
        one.start()
        for n in range(25):
            for to in "abcd":
                await one.say(to, Add(n=n))
        for to in "abcd":
            await one.settled(to, tuple(range(25)))

    on(kind, tmp_path, story)


def test_a_message_on_which_step_fails_goes_to_the_dead_letters_and_the_actor_goes_on(kind, tmp_path):
    async def story(one):
        one.start()
        await one.say("a", Add(n=1))
        await one.say("a", Boom())
        await one.say("a", Add(n=2))
        await one.settled("a", (1, 2))
        assert await one.dead() == [("account/a", "cast.Boom")]

    on(kind, tmp_path, story)


def test_an_actor_that_keeps_failing_rests_its_mail_is_kept_and_others_go_on(kind, tmp_path):
    async def story(one):
        one.start()
        for _ in range(3):
            await one.say("a", Boom())
        await one.say("a", Add(n=1))
        await one.say("b", Add(n=2))
        await one.settled("b", (2,))
        await one.settled("a", ())
        assert [name for _, name in await one.dead()] == ["cast.Boom"] * 3 + ["cast.Add"]
        assert "node.Quarantined" in [row.letters[0].name for row in await one.events()]

    on(kind, tmp_path, story)


def test_a_record_that_would_grow_too_large_is_not_written(kind, tmp_path):
    async def story(one):
        one.start()
        await one.say("a", Grow(size=1000))
        await one.say("a", Grow(size=300_000))
        await one.say("a", Add(n=1))
        await one.settled("a", (1,))
        assert (await one.ask("a")).text == 1000
        assert await one.dead() == [("account/a", "cast.Grow")]

    on(kind, tmp_path, story)


def test_an_actor_that_talks_to_itself_without_end_is_stopped(kind, tmp_path):
    async def story(one):
        one.start()
        await one.say("a", Chatter())
        await one.say("a", Add(n=1))
        await one.settled("a", (1,))
        assert await one.dead() == [("account/a", "cast.Chatter")]

    on(kind, tmp_path, story)


def test_one_that_has_left_hears_only_what_brings_it_to_life(kind, tmp_path):
    async def story(one):
        one.start()
        for message in (Add(n=1), Leave(), Add(n=2), Begin(), Add(n=3)):
            await one.say("a", message)
        await one.settled("a", (3,))

    on(kind, tmp_path, story)


# promise 5: timers


def test_a_timer_fires_once_not_early_and_within_a_second(kind, tmp_path):
    async def story(one):
        one.start()
        loop = asyncio.get_running_loop()
        began = loop.time()
        await one.say("a", Wait(seconds=0.5, n=7))
        await one.settled("a", (7,))
        assert 0.45 <= loop.time() - began < 1.5
        assert await one.waiting() == 0

    on(kind, tmp_path, story)


def test_a_timer_fires_after_a_restart(kind, tmp_path):
    async def story(one):
        one.start()
        await one.say("a", Wait(seconds=0.6, n=7))
        await one.say("a", Add(n=1))
        await one.settled("a", (1,))
        await one.stop()
        await asyncio.sleep(0.7)  # the timer is due while nobody lives
        one.start()
        await one.settled("a", (1, 7))

    on(kind, tmp_path, story)


def test_a_timer_that_was_cancelled_or_replaced_never_fires(kind, tmp_path):
    async def story(one):
        one.start()
        await one.say("a", Wait(seconds=0.2, n=1, timer="gone"))
        await one.say("a", Forget(timer="gone"))
        await one.say("a", Wait(seconds=0.2, n=2, timer="new"))
        await one.say("a", Wait(seconds=0.5, n=3, timer="new"))
        await one.settled("a", (3,))
        assert (await one.numbers("a")) == (3,)

    on(kind, tmp_path, story)


# promise 6: queries


def test_a_query_sees_the_mail_that_it_names(kind, tmp_path):
    async def story(one):
        one.start()
        for n in range(20):
            seq = await one.say("a", Add(n=n))
            assert (await one.ask("a", seen=seq)).numbers[-1] == n

    on(kind, tmp_path, story)


def test_a_query_about_nobody_wakes_nobody(kind, tmp_path):
    async def story(one):
        one.start()
        assert await one.ask("nobody") == SumView(numbers=())
        assert one.supervisor.awake == 0

    on(kind, tmp_path, story)


# promise 7: back-pressure


def test_a_full_mailbox_refuses_at_once(kind, tmp_path):
    async def story(one):
        for n in range(MAILBOX):
            await one.say("a", Add(n=n))
        with pytest.raises(Full):
            await one.say("a", Add(n=-1))
        one.start()
        await one.settled("a", tuple(range(MAILBOX)))

    on(kind, tmp_path, story)


def test_an_actor_hears_of_what_could_not_be_delivered_and_nothing_overtakes(kind, tmp_path):
    async def story(one):
        far = Address("out", "test.room")  # nobody reads there
        filler = [one.ports.post.send(far, _filler(n)) for n in range(MAILBOX)]
        await asyncio.gather(*filler)
        one.start()
        await one.say("a", Add(n=1, then=far))
        await one.say("a", Add(n=2))
        await one.settled_ignoring("a", (1, 2), far)
        assert (await one.ask("a")).lost == 1

    on(kind, tmp_path, story)


def _filler(n):
    return Envelope(Address("door", "test"), (letter(Add(n=n), f"f{n}"),))


# watchers and events


def test_watchers_hear_every_event_once_and_the_log_keeps_it(kind, tmp_path):
    async def story(one):
        one.start()
        await one.say("a", Watch(watcher=B))
        for n in (1, 2, 3):
            await one.say("a", Add(n=n))
        await one.settled("b", (-1, -2, -3))
        rows = [row.letters[0].open().n for row in await one.events() if row.letters[0].name == "cast.Added"]
        assert rows == [1, 2, 3]

    on(kind, tmp_path, story)
