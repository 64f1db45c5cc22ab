"""Dead letters on a real server: what is seen of them, and what it means to say one once more or to drop it."""

import asyncio
import base64
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

import pytest

from actors.runtime.actor import Cause
from actors.runtime.nats.ask import serve
from actors.runtime.nats.dead import LIMIT, OFFICE, Office, counts, instruct
from actors.runtime.nats.layout import MAIL, OUT, WORK
from actors.runtime.nats.link import Link, Login, connect
from actors.runtime.nats.ports import NatsPost, NatsStore
from actors.runtime.ports import MAILBOX
from actors.runtime.query import answer
from actors.runtime.supervisor import Supervisor
from protocol.address import Address, worker
from protocol.chat import Card
from protocol.dead import (
    DeadDropped,
    DeadList,
    DeadRetried,
    DeadView,
    DropDead,
    ListDead,
    Resting,
    RetryDead,
    ShowDead,
)
from protocol.envelope import Envelope, Mark, letter
from protocol.errors import CarError, Full, Refused, Unreachable
from protocol.message import Message
from protocol.node import Refusal
from protocol.work import Probe
from tests.runtime import cast
from tests.runtime.cast import Add, Boom, Sum, SumView, Wait
from tests.runtime.world import DOOR, NatsWorld, world

A = Address("account", "a")
CLI = Address("door", "cli")
PERSON = "cli:ann"


@dataclass
class Bug:
    """An account whose step fails until it is mended; what it hears is noted."""

    is_there: bool = True
    heard: list[Cause] = field(default_factory=list)

    def step(self, state, message, cause):
        if self.is_there and not isinstance(message, Wait):
            raise KeyError("a bug")
        self.heard.append(cause)
        return cast.step(state, message, cause)


@dataclass
class Scene:
    """A host with a bug, and the office."""

    world: NatsWorld
    bug: Bug
    office: Office
    link: Link
    post: NatsPost
    store: NatsStore

    async def do(self, asked: Message) -> Message:
        return await self.office.answer(OFFICE, Envelope(CLI, (letter(asked, "q"),), person=PERSON), 0)

    async def list(self, **how) -> DeadList:
        found = await self.do(ListDead(**how))
        assert isinstance(found, DeadList)
        return found

    async def say(self, to: str, message: Message, mark: Mark | None = None, sender: Address = DOOR) -> None:
        one = letter(message, secrets.token_hex(4))
        await self.post.send(Address("account", to), Envelope(sender, (one,), mark=mark))

    async def settled(self, to: str, numbers: tuple[int, ...]) -> None:
        """Wait until an account holds these numbers and no mail is left."""
        async with asyncio.timeout(15):
            while await self.numbers(to) != numbers or await counts(self.link, MAIL, "car.*.*.*.*"):
                await asyncio.sleep(0.02)

    async def numbers(self, to: str) -> tuple[int, ...]:
        asked = Envelope(DOOR, (letter(Sum(), "q"),))
        view = await answer(cast.CAST, self.store, Address("account", to), asked, 0)
        assert isinstance(view, SumView), view
        return view.numbers

    async def seqs(self) -> tuple[int, ...]:
        return tuple(one.seq for one in (await self.list()).letters)

    async def dies(self, *numbers: int, sender: Address = DOOR, person: str = "") -> tuple[int, ...]:
        """Say numbers to an account with a bug, and return the letters that are dead then."""
        before = len(await self.seqs())
        for n in numbers:
            said = Envelope(sender, (letter(Add(n=n), f"add{n}"),), cause="c", person=person)
            await self.post.send(A, said)
        await until_dead(self, before + len(numbers))
        return (await self.seqs())[before:]


async def until_dead(scene: Scene, count: int) -> None:
    async with asyncio.timeout(10):
        while len(await scene.seqs()) != count:
            await asyncio.sleep(0.01)


def story(tmp_path, tell: Callable[[Scene], Awaitable[None]], *, host: bool = True) -> None:
    async def run():
        async with world("nats", tmp_path) as one:
            bug = Bug()
            # Who looks on has a wire of their own: a host whose lease lapses for a moment writes nothing on its wire.
            link = await connect(Login(one.server.url, "operator"))
            post, store = NatsPost(link), NatsStore(link, one.ports.store.epochs)
            if host:
                one.supervisor = Supervisor({"account": replace(cast.ACTOR, step=bug.step)}, one.ports)
                one.host = asyncio.create_task(one.supervisor.run())
            await tell(Scene(one, bug, Office(link, post, store), link, post, store))
            await link.close()

    asyncio.run(run())


# what is seen


def test_a_dead_letter_says_who_said_what_to_whom_and_why_it_died(tmp_path):
    async def tell(scene):
        await scene.dies(1, sender=Address("run", "r1"), person="telegram:7")
        found = await scene.list()
        (one,) = found.letters
        assert (one.to, one.sender, one.names, one.raw) == ("account/a", "run/r1", ("cast.Add",), False)
        assert one.why == "KeyError: 'a bug'"
        assert one.size == len(b'[{"n":1,"then":null}]')
        assert (found.total, found.next, found.resting) == (1, 0, ())
        seen = await scene.do(ShowDead(seq=one.seq))
        assert isinstance(seen, DeadView)
        assert (seen.letter, seen.person, seen.cause) == (one, "telegram:7", "c")
        assert [(body.id, body.text, body.cut) for body in seen.bodies] == [
            ("add1", '{\n  "n": 1,\n  "then": null\n}', 0)
        ]

    story(tmp_path, tell)


def test_letters_are_listed_page_by_page_and_by_their_receiver(tmp_path):
    async def tell(scene):
        post = scene.post
        for n in range(7):
            who = Address("account", "ab"[n % 2])
            await post.bury(who, Envelope(DOOR, (letter(Add(n=n), f"m{n}"),)), "why")
        first = await scene.list(limit=3)
        assert ([one.seq for one in first.letters], first.total, first.next) == ([1, 2, 3], 7, 4)
        rest = await scene.list(start=first.next)
        assert ([one.seq for one in rest.letters], rest.next) == ([4, 5, 6, 7], 0)
        mine = await scene.list(to="account/b", limit=2)
        assert ([one.seq for one in mine.letters], mine.total, mine.next) == ([2, 4], 3, 6)
        assert (await scene.list(kind="account")).total == 7
        assert await scene.list(kind="run") == DeadList()

    story(tmp_path, tell, host=False)


def test_an_answer_stays_small_however_many_and_however_large_letters_are(tmp_path):
    async def tell(scene):
        post = scene.post
        for n in range(LIMIT + 20):
            letters = tuple(letter(Add(n=n), f"m{n}-{one}") for one in range(30))
            await post.bury(A, Envelope(DOOR, letters), "why " * 400)
        large = Card(id="c", revision=1, text="x" * 300_000)
        await post.bury(
            A, Envelope(DOOR, (letter(Add(n=1), "small"), letter(large, "large"), letter(Add(n=2), "z"))), "w"
        )
        found = await scene.list(limit=10_000)
        assert len(found.letters) == LIMIT
        assert len(found.model_dump_json()) < 100_000
        seen = await scene.do(ShowDead(seq=LIMIT + 21))
        assert len(seen.model_dump_json()) < 100_000
        small, cut, last = seen.bodies
        assert (small.cut, small.text[:8]) == (0, '{\n  "n":')
        assert len(small.text) + len(cut.text) == 90_000
        assert cut.cut > 200_000
        assert (last.text, last.cut > 0) == ("", True)

    story(tmp_path, tell, host=False)


def test_a_letter_that_was_never_there_is_told_from_one_that_is_gone(tmp_path):
    async def tell(scene):
        (seq,) = await scene.dies(1)
        assert await scene.do(DropDead(seq=seq)) == DeadDropped(seq=seq, to="account/a")
        assert await scene.do(DropDead(seq=seq)) == DeadDropped(seq=seq, gone=True)
        assert await scene.do(RetryDead(seq=seq)) == DeadRetried(seq=seq, gone=True)
        with pytest.raises(Refused, match=f"the dead letter {seq} is gone"):
            await scene.do(ShowDead(seq=seq))
        for wish in (ShowDead(seq=9), DropDead(seq=9), RetryDead(seq=0), RetryDead(seq=-1)):
            with pytest.raises(Refused, match="there has never been a dead letter"):
                await scene.do(wish)
        assert await scene.list() == DeadList()

    story(tmp_path, tell)


# said once more


def test_a_letter_said_once_more_takes_effect_once_as_its_sender_said_it(tmp_path):
    async def tell(scene):
        sender = Address("account", "z")
        first, second = await scene.dies(1, 2, sender=sender, person="telegram:7")
        scene.bug.is_there = False
        for seq in (first, second, second):
            said = await scene.do(RetryDead(seq=seq))
            assert isinstance(said, DeadRetried)
        assert said.gone
        await scene.settled("a", (1, 2))
        assert await scene.seqs() == ()
        mine = [cause for cause in scene.bug.heard if cause.me == A]
        assert {(cause.sender, cause.person) for cause in mine} == {(sender, "telegram:7")}
        assert {cause.id for cause in mine} & {"add1", "add2"} == set()

    story(tmp_path, tell)


def test_a_letter_of_an_actor_is_heard_though_its_mark_is_old_by_now(tmp_path):
    async def tell(scene):
        sender = Address("account", "z")
        await scene.say("a", Add(n=1), mark=Mark("e", 7), sender=sender)
        await until_dead(scene, 1)
        scene.bug.is_there = False
        await scene.say("a", Add(n=2), mark=Mark("e", 8), sender=sender)
        await scene.settled("a", (2,))
        await scene.do(RetryDead(seq=1))
        await scene.settled("a", (2, 1))
        await scene.say("a", Add(n=3), mark=Mark("e", 8), sender=sender)
        await scene.settled("a", (2, 1))

    story(tmp_path, tell)


class CutOffice(Office):
    """An office whose host dies when the letter is sent and not yet deleted."""

    async def _delete(self, seq: int) -> bool:
        raise Unreachable(f"killed before {seq} was deleted")


def test_a_retry_that_is_cut_before_the_letter_is_deleted_is_one_with_the_next(tmp_path):
    async def tell(scene):
        (seq,) = await scene.dies(1, sender=Address("account", "z"))
        scene.bug.is_there = False
        whole, scene.office = scene.office, CutOffice(scene.link, scene.post, scene.store)
        with pytest.raises(Unreachable):
            await scene.do(RetryDead(seq=seq))
        await scene.settled("a", (1,))
        assert await scene.seqs() == (seq,)
        scene.office = whole
        assert await scene.do(RetryDead(seq=seq)) == DeadRetried(seq=seq, to="account/a")
        await scene.say("a", Add(n=2))
        await scene.settled("a", (1, 2))
        assert await scene.seqs() == ()

    story(tmp_path, tell)


def test_a_letter_that_fails_once_more_is_another_dead_letter(tmp_path):
    async def tell(scene):
        (seq,) = await scene.dies(1)
        await scene.do(RetryDead(seq=seq))
        async with asyncio.timeout(5):
            while await scene.seqs() != (seq + 1,):
                await asyncio.sleep(0.01)

    story(tmp_path, tell)


def test_a_mailbox_that_is_full_leaves_the_letter_where_it_is(tmp_path):
    async def tell(scene):
        for n in range(MAILBOX):
            await scene.say("a", Add(n=n))
        await scene.post.bury(A, Envelope(DOOR, (letter(Add(n=-1), "late"),)), "why")
        with pytest.raises(Full, match="account/a has more to do than it can hold, so the dead letter 1 stays"):
            await scene.do(RetryDead(seq=1))
        assert await scene.seqs() == (1,)

    story(tmp_path, tell, host=False)


def test_a_timer_whose_step_failed_is_fired_once_more(tmp_path):
    async def tell(scene):
        await scene.say("a", Wait(seconds=0.05, n=5))
        await until_dead(scene, 1)
        (one,) = (await scene.list()).letters
        assert (one.sender, one.names) == ("timer/nats", ("node.Fired",))
        scene.bug.is_there = False
        await scene.do(RetryDead(seq=one.seq))
        await scene.settled("a", (5,))

    story(tmp_path, tell)


# who rests


async def rest(scene: Scene) -> tuple[int, ...]:
    """Let an account fail until it rests, and be told one thing more."""
    seqs = await scene.dies(1, 2, 3, 4)
    assert (await scene.list()).resting == (Resting(who="account/a", why="KeyError: 'a bug'"),)
    return seqs


def test_who_rests_is_seen_also_when_its_letters_are_dropped(tmp_path):
    async def tell(scene):
        for seq in await rest(scene):
            await scene.do(DropDead(seq=seq))
        found = await scene.list()
        assert (found.letters, [one.who for one in found.resting]) == ((), ["account/a"])

    story(tmp_path, tell)


def test_who_rests_goes_on_with_the_first_letter_and_hears_them_in_their_order(tmp_path):
    async def tell(scene):
        seqs = await rest(scene)
        assert "rests" in (await scene.list()).letters[3].why
        scene.bug.is_there = False
        released = [(await scene.do(RetryDead(seq=seq, release=seq == seqs[0]))).released for seq in seqs]
        assert released == [True, False, False, False]
        await scene.settled("a", (1, 2, 3, 4))
        assert await scene.list() == DeadList()

    story(tmp_path, tell)


def test_who_rests_goes_on_for_a_timer_that_failed(tmp_path):
    async def tell(scene):
        await scene.say("a", Wait(seconds=0.05, n=5))
        await until_dead(scene, 1)
        await scene.dies(1, 2)
        assert (await scene.list()).resting
        scene.bug.is_there = False
        assert (await scene.do(RetryDead(seq=1))).released
        await scene.settled("a", (5,))

    story(tmp_path, tell)


def test_who_failed_again_and_rests_is_not_woken_by_letters_that_come_after(tmp_path):
    async def tell(scene):
        seqs = await rest(scene)
        for seq in seqs:
            await scene.do(RetryDead(seq=seq, release=seq == seqs[0]))
        await until_dead(scene, 4)
        found = await scene.list()
        assert [one.who for one in found.resting] == ["account/a"]
        assert [one.why.startswith("account/a rests") for one in found.letters] == [False, False, False, True]

    story(tmp_path, tell)


# letters that were for nobody who decides


def test_a_card_goes_to_the_room_that_it_was_for(tmp_path):
    async def tell(scene):
        to = Address("out", "cli.tty-1")
        await scene.post.bury(to, Envelope(A, (letter(Card(id="c", revision=2, text="hi"), "m1"),)), "given up")
        assert [one.to for one in (await scene.list(to=str(to))).letters] == [str(to)]
        assert await scene.do(RetryDead(seq=1)) == DeadRetried(seq=1, to=str(to))
        (kept,) = await out(scene, "car.out.cli.tty-1")
        assert kept.headers["Car-Sender"] == "account/a"

    story(tmp_path, tell, host=False)


def test_a_command_goes_to_its_worker_by_the_id_that_its_asker_knows(tmp_path):
    async def tell(scene):
        to = worker("node1", "git", "shop")
        asked = Envelope(A, (letter(Probe(path="/x"), "m1"),))
        await scene.post.send(to, asked)
        (sent,) = await out(scene, f"car.work.{to.key}", WORK)
        await scene.post.bury(to, asked, "why")
        as_it_came = {**sent.headers, "Car-Voice": "work", "Car-To": str(to), "Car-Why": "why", "Nats-Msg-Id": "w:1"}
        await scene.link.store("car.dead.work.node1-git-shop", sent.data, as_it_came)
        for seq in (1, 2):
            assert (await scene.do(RetryDead(seq=seq))).to == str(to)
        assert [one.headers["Car-Id"] for one in await out(scene, f"car.work.{to.key}", WORK)] == ["m1"] * 3

    story(tmp_path, tell, host=False)


def test_what_has_no_way_back_is_said_to_have_none(tmp_path):
    async def tell(scene):
        link, post = scene.link, scene.post
        to = worker("node1", "git", "shop")
        await post.bury(to, Envelope(A, (letter(Add(n=1), "m1"),)), "why")
        await link.store("car.dead.out.cli-tty", b"[]", {"Car-Why": "why"})
        for seq, why in (
            (1, "it is no command that a worker could do"),
            (2, "where it was going was not kept with it"),
        ):
            with pytest.raises(Refused, match=f"{seq} cannot be said once more: {why}; type: car dead drop {seq}"):
                await scene.do(RetryDead(seq=seq))
        assert await scene.seqs() == (1, 2)

    story(tmp_path, tell, host=False)


def test_a_receiver_is_believed_only_where_the_subject_says_the_same(tmp_path):
    async def tell(scene):
        headers = {
            "Car-Why": "w",
            "Car-To": "account/a",
            "Car-Id": "m",
            "Car-Name": "cast.Boom",
            "Car-Sender": "hub/main",
        }
        await scene.link.store("car.dead.work.n1-git-shop", b"[{}]", headers)
        assert [one.to for one in (await scene.list()).letters] == ["work/n1-git-shop"]
        with pytest.raises(Refused):
            await scene.do(RetryDead(seq=1))

    story(tmp_path, tell, host=False)


# bytes that nobody can read


def test_bytes_that_nobody_could_read_go_out_as_they_came_and_in_their_own_voice(tmp_path):
    async def tell(scene):
        forged = {"Car-Id": "m", "Car-Name": "cast.Add", "Car-Sender": "hub/main", "Car-Person": "telegram:1"}
        kept = {**forged, "Car-Voice": "said_cli", "Car-To": "account/a", "Car-Why": "forged", "Nats-Msg-Id": "e:1"}
        await scene.link.store("car.dead.account.a", b'[{"n":1}]', kept)
        (one,) = (await scene.list()).letters
        assert (one.raw, one.sender, one.names) == (True, "said_cli", ())
        seen = await scene.do(ShowDead(seq=1))
        assert seen.raw == '[{"n":1}]'
        assert sorted(seen.headers) == sorted(f"{name}: {value}" for name, value in forged.items())
        assert await scene.do(RetryDead(seq=1)) == DeadRetried(seq=1, to="account/a")
        (mail,) = await out(scene, "car.*.*.account.a", MAIL)
        assert mail.subject.startswith("car.said_cli.")
        assert mail.data == b'[{"n":1}]'
        assert {name: value for name, value in mail.headers.items() if name.startswith("Car-")} == forged

    story(tmp_path, tell, host=False)


def test_bytes_with_a_voice_that_is_none_of_ours_do_not_leave_the_mailboxes(tmp_path):
    async def tell(scene):
        await scene.link.store("car.dead.account.a", b"\xff\x00", {"Car-Voice": "work", "Car-Why": "w"})
        seen = await scene.do(ShowDead(seq=1))
        assert seen.raw == "\\xff\x00"
        await scene.do(RetryDead(seq=1))
        (mail,) = await out(scene, "car.*.*.account.a", MAIL)
        assert (mail.subject.split(".")[1], mail.data) == ("mail", b"\xff\x00")

    story(tmp_path, tell, host=False)


# over the wire


def test_the_office_is_asked_over_the_wire_and_refuses_what_it_does_not_know(tmp_path):
    async def tell(scene):
        (seq,) = await scene.dies(1)
        link = scene.link
        with pytest.raises(CarError):
            await instruct(link, CLI, DropDead(seq=seq), PERSON)
        serving = asyncio.create_task(serve(link, "car.ask.dead.*", scene.office.answer))
        await link.client.flush()
        assert await instruct(link, CLI, DropDead(seq=seq), PERSON) == DeadDropped(seq=seq, to="account/a")
        assert await instruct(link, CLI, Boom(), PERSON) == Refusal(text="dead/main cannot be asked cast.Boom")
        serving.cancel()
        await asyncio.wait([serving])

    story(tmp_path, tell)


async def out(scene: Scene, subject: str, stream: str = OUT) -> list:
    """Return what waits in a stream that is no log."""
    found, seq = [], 1
    while kept := await scene.link.find(f"STREAM.MSG.GET.{stream}", {"seq": seq, "next_by_subj": subject}):
        found.append(Kept(kept))
        seq = found[-1].seq + 1
    return found


class Kept:
    """A message as the server keeps it."""

    def __init__(self, found) -> None:
        self.seq = found.number("message", "seq")
        self.subject = found.text("message", "subject")
        self.data = base64.b64decode(found.text("message", "data"))
        lines = base64.b64decode(found.text("message", "hdrs")).decode().split("\r\n")[1:]
        self.headers = dict(line.split(": ", 1) for line in lines if ": " in line)
