"""The actors on a loop: order, answers, failures, ends, and what of pykka they lean on."""

import asyncio
import inspect
import logging
import threading

import pykka
import pytest
from pykka import ActorDeadError, ActorRegistry, messages
from pykka._envelope import Envelope

from actors.runtime.loop import _ORDERS, BATCH, CutShortError, LoopActor, LoopFuture, LoopInbox, WouldBlockError


class Scribe(LoopActor):
    """Writes down what it is told; obeys some words."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[object] = []
        self.hooks: list[str] = []
        self.hold = asyncio.Event()

    def on_start(self) -> None:
        self.hooks.append("start")

    def on_stop(self) -> None:
        self.hooks.append("stop")

    def on_failure(self, exception_type, exception_value, traceback) -> None:
        self.hooks.append(f"failure: {exception_value}")

    def count(self) -> int:
        return len(self.heard)

    async def receive(self, message: object) -> object:
        self.heard.append(message)
        match message:
            case "fail":
                raise ZeroDivisionError("fail")
            case "hold":
                await self.hold.wait()
            case "await what is cancelled":
                gone = asyncio.get_running_loop().create_future()
                gone.cancel()
                await gone
            case "yield":
                await asyncio.sleep(0)
        return ("heard", message)


def on_loop(story) -> None:
    """Run a story with an actor of its own; whatever is left at its end is ended."""

    async def run() -> None:
        scribe = Scribe().begin()
        try:
            async with asyncio.timeout(10):
                await story(scribe)
        finally:
            scribe.abort()

    asyncio.run(run())


async def calm(actor: LoopActor) -> None:
    async with asyncio.timeout(5):
        while actor.busy:
            await asyncio.sleep(0)


# order and answers


def test_messages_are_handled_one_at_a_time_in_the_order_of_their_coming():
    async def story(scribe):
        told = [word for n in range(BATCH) for word in (n, "yield")]
        for word in told:
            scribe.actor_ref.tell(word)
        await calm(scribe)
        assert scribe.heard == told

    on_loop(story)


def test_what_is_asked_is_answered_after_what_was_told_before():
    async def story(scribe):
        scribe.actor_ref.tell("first")
        assert await scribe.actor_ref.ask("second") == ("heard", "second")
        assert scribe.heard == ["first", "second"]

    on_loop(story)


def test_what_is_told_before_the_beginning_is_handled_after_it():
    async def run() -> None:
        scribe = Scribe()
        scribe.actor_ref.tell("early")
        await asyncio.sleep(0)
        assert scribe.heard == []
        await calm(scribe.begin())
        assert scribe.heard == ["early"]
        scribe.abort()

    asyncio.run(run())


def test_a_busy_actor_lets_the_others_have_a_turn():
    async def story(scribe):
        other = Scribe().begin()
        for n in range(3 * BATCH):
            scribe.actor_ref.tell(n)
        await other.actor_ref.ask("me too")
        assert 0 < len(scribe.heard) <= 2 * BATCH
        other.abort()

    on_loop(story)


def test_an_actor_has_a_task_and_a_queue_only_while_something_waits():
    async def story(scribe):
        before = len(asyncio.all_tasks())
        scribe.actor_ref.tell("something")
        assert scribe.busy
        assert len(asyncio.all_tasks()) == before + 1
        await calm(scribe)
        assert len(asyncio.all_tasks()) == before
        assert scribe.actor_inbox.waiting is LoopInbox().waiting

    on_loop(story)


def test_methods_and_fields_are_reached_by_a_proxy_that_is_awaited():
    async def story(scribe):
        scribe.actor_ref.tell("one")
        assert await scribe.actor_ref.proxy().count() == 1
        assert await scribe.actor_ref.proxy().heard == ["one"]

    on_loop(story)


# nobody waits


def test_to_wait_for_an_answer_is_refused_before_the_question_has_an_effect():
    async def story(scribe):
        with pytest.raises(WouldBlockError):
            scribe.actor_ref.ask("question", block=True)
        with pytest.raises(WouldBlockError):
            scribe.actor_ref.stop(block=True)
        assert not scribe.busy
        assert scribe.actor_ref.is_alive()
        assert scribe.heard == []

    on_loop(story)


def test_to_get_what_has_not_come_is_refused_and_to_get_what_has_is_not():
    async def story(scribe):
        asked = scribe.actor_ref.ask("question")
        with pytest.raises(WouldBlockError):
            asked.get()
        await asked
        assert asked.get() == ("heard", "question")

    on_loop(story)


def test_what_would_be_computed_by_waiting_is_refused():
    async def story(scribe):
        with pytest.raises(WouldBlockError):
            scribe.actor_ref.ask("question").map(str)

    on_loop(story)


def test_who_has_no_loop_is_refused_without_an_effect():
    async def story(scribe):
        errors: list[str] = []

        def tell() -> None:
            try:
                scribe.actor_ref.tell("from a thread")
            except RuntimeError as error:
                errors.append(str(error))

        thread = threading.Thread(target=tell)
        thread.start()
        await asyncio.to_thread(thread.join)
        assert errors == ["no running event loop"]
        assert not scribe.busy

    on_loop(story)


# failure


def test_the_failure_of_a_question_goes_to_the_asker_and_the_actor_lives():
    async def story(scribe):
        with pytest.raises(ZeroDivisionError):
            await scribe.actor_ref.ask("fail")
        assert await scribe.actor_ref.ask("still here?") == ("heard", "still here?")
        assert scribe.hooks == ["start"]

    on_loop(story)


def test_the_failure_of_what_was_told_ends_the_actor_and_is_logged(caplog):
    async def story(scribe):
        scribe.actor_ref.tell("fail")
        left = scribe.actor_ref.ask("left over")
        with pytest.raises(ActorDeadError):
            await left
        assert not scribe.actor_ref.is_alive()
        assert scribe.actor_ref not in ActorRegistry.get_all()
        assert scribe.hooks == ["start", "failure: fail"]
        assert scribe.heard == ["fail"]

    with caplog.at_level(logging.ERROR, "pykka"):
        on_loop(story)
    assert "Unhandled exception in Scribe" in caplog.text


def test_an_actor_that_cannot_start_is_dead_from_the_beginning(caplog):
    class Stillborn(Scribe):
        def on_start(self) -> None:
            raise ZeroDivisionError("no start")

    async def run() -> None:
        born = Stillborn()
        asked = born.actor_ref.ask("anybody?")
        born.begin()
        with pytest.raises(ActorDeadError):
            await asked
        with pytest.raises(ActorDeadError):
            born.actor_ref.tell("anybody?")

    with caplog.at_level(logging.ERROR, "pykka"):
        asyncio.run(run())
    assert "no start" in caplog.text


# ends


def test_a_stopped_actor_has_handled_what_came_before_and_nothing_that_came_after():
    async def story(scribe):
        scribe.actor_ref.tell("before")
        stopped = scribe.actor_ref.stop()
        scribe.actor_ref.tell("after")
        left = scribe.actor_ref.ask("after")
        assert await stopped is True
        with pytest.raises(ActorDeadError):
            await left
        assert scribe.heard == ["before"]
        assert scribe.hooks == ["start", "stop"]
        assert await scribe.actor_ref.stop() is False

    on_loop(story)


def test_two_who_stop_an_actor_at_once_both_hear_that_it_has_stopped():
    async def story(scribe):
        assert await asyncio.gather(*(awaited(scribe.actor_ref.stop()) for _ in range(2))) == [True, True]

    on_loop(story)


async def awaited(future: LoopFuture[bool]) -> bool:
    return await future


def test_the_dead_are_not_spoken_to():
    async def story(scribe):
        await scribe.actor_ref.stop()
        with pytest.raises(ActorDeadError):
            scribe.actor_ref.tell("hello?")
        with pytest.raises(ActorDeadError):
            await scribe.actor_ref.ask("hello?")

    on_loop(story)


def test_an_aborted_actor_drops_what_is_in_hand_and_everybody_who_waits_hears_so():
    async def story(scribe):
        in_hand, waiting = scribe.actor_ref.ask("hold"), scribe.actor_ref.ask("later")
        while not scribe.heard:
            await asyncio.sleep(0)
        scribe.abort()
        for asked in (in_hand, waiting):
            with pytest.raises(ActorDeadError):
                await asked
        assert scribe.heard == ["hold"]
        assert not scribe.busy
        assert scribe.actor_ref not in ActorRegistry.get_all()

    on_loop(story)


def test_an_actor_that_is_let_go_is_held_by_nobody():
    async def run() -> None:
        gone = Scribe().begin()
        ref = gone.actor_ref
        await ref.ask("hello")
        gone.abort()
        assert ref.actor_inbox.actor is None

    asyncio.run(run())


# cancellation


def test_a_cancelled_actor_ends_alone():
    """pykka takes everything that is no Exception for the end of all actors."""

    async def story(scribe):
        other = Scribe().begin()
        asked = scribe.actor_ref.ask("hold")
        while not scribe.heard:
            await asyncio.sleep(0)
        scribe.task.cancel()
        with pytest.raises(ActorDeadError):
            await asked
        assert not scribe.actor_ref.is_alive()
        assert await other.actor_ref.ask("you too?") == ("heard", "you too?")
        other.abort()

    on_loop(story)


def test_what_an_actor_waits_for_may_be_cancelled_without_the_actor():
    async def story(scribe):
        with pytest.raises(CutShortError):
            await scribe.actor_ref.ask("await what is cancelled")
        assert await scribe.actor_ref.ask("still here?") == ("heard", "still here?")

    on_loop(story)


def test_nothing_is_left_running_when_a_loop_ends_with_busy_actors():
    actors: list[Scribe] = []

    async def run() -> None:
        actors.extend(Scribe().begin() for _ in range(3))
        for one in actors:
            one.actor_ref.tell("hold")
            one.actor_ref.tell("never handled")
        while not all(one.heard for one in actors):
            await asyncio.sleep(0)

    asyncio.run(run())
    assert [one.heard for one in actors] == [["hold"]] * 3
    assert not any(one.actor_ref.is_alive() for one in actors)
    assert not set(ActorRegistry.get_all()) & {one.actor_ref for one in actors}


# the list of all actors


def test_those_who_have_an_owner_are_on_no_list_that_is_gone_through():
    class Counting(list):
        looks = 0

        def __contains__(self, one: object) -> bool:
            Counting.looks += len(self)
            return super().__contains__(one)

    async def run() -> None:
        crowd = [Scribe().begin() for _ in range(1000)]
        for one in crowd:
            await one.actor_ref.ask("hello")
        for one in crowd[:500]:
            one.abort()
        for one in crowd[500:]:
            await one.actor_ref.stop()

    before, ActorRegistry._actor_refs = ActorRegistry._actor_refs, Counting()
    try:
        asyncio.run(run())
    finally:
        ActorRegistry._actor_refs = before
    assert Counting.looks == 0


def test_those_who_are_started_as_pykka_does_it_are_found_and_ended_as_pykka_does_it():
    async def story(owned):
        ref = Scribe.start()
        assert ActorRegistry.get_by_urn(ref.actor_urn) is ref
        ActorRegistry.broadcast("to all", Scribe)
        assert await ref.proxy().heard == ["to all"]
        with pytest.raises(WouldBlockError):
            ActorRegistry.stop_all()
        assert ref.is_alive()
        assert [await one for one in ActorRegistry.stop_all(block=False)] == [True]
        assert not ref.is_alive()
        assert ref not in ActorRegistry.get_all()
        assert owned.actor_ref.is_alive()
        assert owned.heard == []

    on_loop(story)


def test_no_two_actors_have_the_same_name_and_each_keeps_its_own():
    async def story(scribe):
        other = Scribe().begin()
        assert len({scribe.actor_urn, other.actor_urn, scribe.actor_urn, scribe.actor_ref.actor_urn}) == 2
        assert scribe.actor_ref is scribe.actor_ref
        other.abort()

    on_loop(story)


def test_an_owner_tells_its_actor_without_a_reference_and_hears_when_it_is_dead():
    async def story(scribe):
        scribe.tell("hello")
        await calm(scribe)
        assert scribe.heard == ["hello"]
        assert scribe._actor_ref is None
        scribe.abort()
        with pytest.raises(ActorDeadError):
            scribe.tell("hello?")

    on_loop(story)


# what of pykka is leant on


def test_the_private_names_of_pykka_are_there_and_take_what_they_are_given():
    def parameters(function) -> list[str]:
        return list(inspect.signature(function).parameters)

    assert parameters(pykka.Actor._handle_failure) == ["self", "exception_type", "exception_value", "traceback"]
    assert parameters(pykka.Actor._handle_receive) == ["self", "message"]
    for name in ("_actor_loop_setup", "_actor_loop_teardown", "_stop", "_start_actor_loop"):
        assert parameters(getattr(pykka.Actor, name)) == ["self"]
    for name in ("_create_actor_inbox", "_create_future"):
        assert parameters(getattr(pykka.Actor, name)) == []
    assert parameters(Envelope) == ["message", "reply_to"]
    assert {
        kind for kind in vars(messages).values() if isinstance(kind, type) and kind.__module__ == "pykka.messages"
    } == (_ORDERS)


def test_an_actor_of_ours_has_the_fields_of_an_actor_of_pykka():
    class Plain(pykka.ThreadingActor):
        pass

    async def story(scribe):
        plain = Plain()
        assert set(vars(plain)) == {"actor_urn", "actor_inbox", "actor_stopped", "_actor_ref"}
        assert all(hasattr(scribe, name) for name in vars(plain))
        assert set(vars(plain.actor_ref)) == set(vars(scribe.actor_ref))

    on_loop(story)


def test_what_pykka_calls_of_a_stopped_flag_is_there():
    """Read from its source: a new call on the event would be an attribute error in the middle of a failure."""
    used = {
        word.partition("(")[0]
        for module in (pykka._actor, pykka._ref)
        for word in inspect.getsource(module).split("actor_stopped.")[1:]
    }
    assert used <= {"is_set", "set"}
