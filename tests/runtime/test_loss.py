"""Ways in which something could be lost, doubled or overtaken inside a host: each was possible once."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from actors.runtime.actor import Actor, Step
from actors.runtime.cell import Cell, Trade
from actors.runtime.effects import After, Cancel, Reply, Send
from actors.runtime.memory import Memory
from actors.runtime.ports import MAILBOX, Delivery, Mail, Ports
from actors.runtime.record import Heard, SetTimer
from actors.runtime.shape import StepFailed, decode, encode
from actors.runtime.supervisor import Supervisor
from actors.runtime.transition import transition
from protocol.address import Address
from protocol.envelope import Envelope, Mark, letter
from protocol.errors import Refused, Unreachable
from protocol.node import Undelivered, Watch
from tests.runtime.cast import ACTOR, Account, Add, Grow, SumView, Wait, born, step
from tests.runtime.world import MemoryWorld, until

A, B, C = (Address("account", key) for key in "abc")
DOOR = Address("door", "test")


def mail(*messages, sender=DOOR, seq=1, at=None):
    letters = tuple(letter(one, f"{seq}.{number}") for number, one in enumerate(messages))
    return Mail(A, Envelope(sender, letters), "memory", seq, at or datetime.now(UTC))


def like(decides) -> Actor[Account]:
    return replace(ACTOR, step=decides)


def playing(memory: Memory, ports: Ports | None = None, actor: Actor[Account] = ACTOR) -> asyncio.Task[None]:
    return asyncio.create_task(Supervisor({"account": actor}, ports or memory.ports).run())


async def end(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def recorded(memory: Memory, who: Address) -> Account:
    stored = memory._records.get(who)
    return decode(ACTOR, stored.data).state if stored else born(who)


def empty(memory: Memory, *who: Address) -> Callable[[], bool]:
    return lambda: not any(memory.boxes.get(one) for one in who)


def test_a_record_of_any_size_is_written_or_its_mail_is_put_aside():
    async def run():
        one = MemoryWorld()
        one.start()
        sizes = {f"n{size}": size for size in range(255_300, 255_800, 8)}
        for key, size in sizes.items():
            await one.say(key, Grow(size=size))
        for key in sizes:
            await until(empty(one.memory, Address("account", key)))
        dead = {to for to, _ in await one.dead()}
        kept = {key for key in sizes if f"account/{key}" not in dead}
        assert 0 < len(kept) < len(sizes)
        for key in kept:
            assert (await one.ask(key)).text == sizes[key]
        await one.stop()

    asyncio.run(run())


def test_an_actor_that_fails_at_hearing_what_was_given_up_goes_on_and_its_mail_is_settled():
    def fragile(account, message, cause):
        if isinstance(message, Undelivered):
            raise ZeroDivisionError("boom")
        return step(account, message, cause)

    async def run():
        memory = Memory()
        far = Address("out", "test.room")  # nobody reads there
        for n in range(MAILBOX):
            await memory.send(far, Envelope(DOOR, (letter(Add(n=n), f"f{n}"),)))
        host = playing(memory, actor=like(fragile))
        for n in (1, 2):
            await memory.send(A, Envelope(DOOR, (letter(Add(n=n, then=far if n == 1 else None), f"m{n}"),)))
        await until(empty(memory, A), 15)
        assert recorded(memory, A).numbers == (1, 2)
        assert [(one.to, one.envelope.letters[0].name) for one in memory.dead] == [(far, "cast.Add")]
        await end(host)

    asyncio.run(run())


@dataclass
class Slow:
    """A post that holds up what goes to ``B``, and does not answer the first time for ``C``."""

    memory: Memory
    gate: asyncio.Event
    log: list[str]

    async def send(self, to, envelope):
        if to in {B, C}:
            self.log.append(f"to {to.key}")
        if to == C and self.log.count("to c") == 1:
            raise Unreachable("no answer")
        if to == B:
            await self.gate.wait()
            self.log.append("b has it")
        return await self.memory.send(to, envelope)

    def __getattr__(self, name):
        return getattr(self.memory, name)


def test_what_is_said_again_waits_for_what_is_still_on_its_way():
    def both(account, message, cause):
        if cause.me == A:
            return Step(account, (Send(B, Add(n=1)), Send(C, Add(n=2))) if isinstance(message, Add) else ())
        return step(account, message, cause)

    async def run():
        memory, gate, log = Memory(), asyncio.Event(), []
        ports = replace(memory.ports, post=Slow(memory, gate, log))
        host = playing(memory, ports, like(both))
        await memory.send(A, Envelope(DOOR, (letter(Add(n=0), "m"),)))
        await until(lambda: len(log) == 2)
        await asyncio.sleep(0.3)  # longer than the pause before it is said again
        assert log == ["to b", "to c"]
        gate.set()
        await until(empty(memory, A, B, C))
        assert log == ["to b", "to c", "b has it", "to b", "b has it", "to c"]
        assert (recorded(memory, B).numbers, recorded(memory, C).numbers) == ((1,), (2,))
        await end(host)

    asyncio.run(run())


def test_what_a_host_does_not_foresee_holds_up_its_actor_and_loses_nothing():
    @dataclass
    class Timers:
        memory: Memory
        refusals: int = 2

        async def set(self, *args):
            self.refusals -= 1
            if self.refusals >= 0:
                raise Refused("the server says no")
            await self.memory.set(*args)

    async def run():
        memory = Memory()
        host = playing(memory, replace(memory.ports, timers=Timers(memory)))
        for number, one in enumerate((Wait(seconds=0.05, n=1), Add(n=2))):
            await memory.send(A, Envelope(DOOR, (letter(one, f"m{number}"),)))
        await until(lambda: sorted(recorded(memory, A).numbers) == [1, 2] and empty(memory, A)())
        await end(host)

    asyncio.run(run())


def test_mail_that_waited_for_longer_than_marks_are_kept_is_handled_like_any_other():
    async def run():
        memory = Memory()
        old = mail(Add(n=1, then=B), Wait(seconds=0.0, n=3), at=datetime.now(UTC) - timedelta(days=8))
        memory.boxes[A] = [replace(old, seq=next(memory._sequence))]
        host = playing(memory)
        await until(lambda: recorded(memory, B).numbers == (1,) and recorded(memory, A).numbers == (1, 3))
        assert memory.dead == []
        await end(host)

    asyncio.run(run())


def test_mail_that_is_delivered_again_and_again_waits_once_and_its_newest_delivery_is_settled():
    async def run():
        memory, settled = Memory(), []
        gate, log = asyncio.Event(), []
        cell = Cell(Trade(ACTOR, A, replace(memory.ports, post=Slow(memory, gate, log)))).begin()

        def deliver(seq, number, one):
            async def settle():
                settled.append((seq, number))

            cell.offer(Delivery(mail(one, seq=seq), settle))

        for number in range(50):
            deliver(1, number, Add(n=1, then=B))
            deliver(2, number, Add(n=2))
            await asyncio.sleep(0)
        assert len(cell.actor_inbox.waiting) <= 1
        gate.set()
        await until(lambda: not cell.busy)
        assert settled == [(1, 49), (2, 49)]
        deliver(1, 50, Add(n=1, then=B))
        await until(lambda: not cell.busy)
        assert settled[-1] == (1, 50)
        assert recorded(memory, A).numbers == (1, 2)
        cell.abort()

    asyncio.run(run())


def test_two_answers_to_one_who_asked_are_two_mails():
    def twice(account, message, cause):
        return Step(account, (Reply(SumView(numbers=())), Send(C, Add(n=1))))

    first = transition(like(twice), None, mail(Add(n=1), sender=B, seq=1))
    again = transition(like(twice), None, replace(mail(Add(n=1), sender=B, seq=1), seq=2))
    ids = [out.letters[0].id for record in (first, again) for out in record.outbox if out.to == B]
    assert len(set(ids)) == 2
    assert {out.letters[0].re for out in first.outbox if out.to == B} == {"1.0"}


def test_only_the_last_word_on_a_timer_leaves_a_step():
    def decide(*effects):
        return transition(like(lambda account, *_: Step(account, effects)), None, mail(Add(n=1))).outbox

    set_, drop = After(1, Add(n=1), "t"), Cancel("t")
    (last,) = decide(set_, set_)
    assert isinstance(last, SetTimer)
    assert last.generation == 2
    assert decide(set_, drop) == ()
    assert [type(out) for out in decide(set_, drop, set_, After(1, Add(n=1), "u"))] == [SetTimer, SetTimer]


@pytest.mark.parametrize("key", ["", "a b", "*", "a.>", "a\r\nPUB x 0"])
def test_an_address_that_nothing_can_be_sent_to_fails_the_step_and_not_its_sender_for_ever(key):
    for one in (Add(n=1, then=Address("account", key)), Watch(watcher=Address("account", key))):
        with pytest.raises(StepFailed, match="is no address"):
            transition(ACTOR, None, mail(one))


def test_whom_an_actor_has_heard_does_not_count_as_what_it_keeps():
    record = transition(ACTOR, None, mail(Add(n=1)))
    heard = Heard(mark=Mark("a1b2c3d4", 123_456_789), at=record.at)
    crowded = record.model_copy(update={"marks": {f"session/{n:032x}": heard for n in range(5000)}})
    assert decode(ACTOR, encode(ACTOR, crowded, ACTOR.version)) == crowded
