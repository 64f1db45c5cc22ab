"""What an operator types: dead letters, the view of the whole, a look at the server; on a hub with real processes."""

import asyncio
import json
import os
import pty
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from actors.runtime.nats.layout import SHARDS
from actors.runtime.nats.link import Link, connect
from actors.runtime.nats.ports import NatsPost, NatsStore
from actors.runtime.nats.server import login
from actors.runtime.place import Hub, init_hub
from protocol.address import Address
from protocol.envelope import Envelope, letter
from protocol.hub import AddRepo
from protocol.session import Place
from tests.live.checkout import checkout
from tests.live.shell import DONE, PATIENCE, REFUSED, UNREACHABLE, USAGE, Said, begin_car, car
from tests.world import HUB, beside, hub_at_work, record

INTERRUPTED = 130
NOBODY = Said(UNREACHABLE, "", "car: no host of CAR is alive here, type: car up")


@dataclass(frozen=True)
class Desk:
    """A hub at work, a checkout that it does not know, and the key of its host."""

    hub: Hub
    link: Link
    shop: Path

    @property
    def post(self) -> NatsPost:
        return NatsPost(self.link)

    async def car(self, *words: str, typed: str = "") -> Said:
        return await car(self.hub, *words, at=self.shop, typed=typed)

    async def read(self, *words: str) -> dict:
        """Type a command that prints JSON, and return what it printed."""
        said = await self.car(*words, "--json")
        assert said.code == DONE, said
        return json.loads(said.out)

    def wish(self, name: str) -> Envelope:
        """Return the wish to take the checkout into the hub by a name."""
        place = Place(node=self.hub.node, path=str(self.shop))
        one = letter(AddRepo(place=place, repo=name), f"wish-{name}")
        return Envelope(Address("door", "cli"), (one,), person="cli:ann")

    async def comes_to(self, true: Callable[[dict], bool], *words: str) -> dict:
        """Type a command that prints JSON until something holds."""
        async with asyncio.timeout(10):
            while not true(seen := await self.read(*words)):
                await asyncio.sleep(0.05)
        return seen


def at_desk(tmp_path: Path, tell: Callable[[Desk], Awaitable[None]]) -> None:
    async def run():
        shop = checkout(tmp_path / "shop", "")
        async with hub_at_work(tmp_path) as (hub, _):
            link = await connect(login(hub, "host"))
            try:
                await tell(Desk(hub, link, shop))
            finally:
                await link.close()

    asyncio.run(run())


# dead letters


def test_a_dead_letter_is_seen_and_said_once_more_and_then_it_is_done(tmp_path):
    async def tell(desk):
        assert await desk.car("dead", "list") == Said(DONE, "There is no dead letter.")
        await desk.post.bury(HUB, desk.wish("shop"), "KeyError: a bug that is mended")
        said = await desk.car("dead", "list")
        first, names, row, *_ = said.out.split("\n")
        assert (said.code, first) == (DONE, "1 dead letter")
        assert names.split() == ["seq", "age", "to", "from", "message", "why"]
        assert row.startswith("  1    ")
        assert row.endswith("  hub/main  door/cli  hub.AddRepo  KeyError: a bug that is mended")
        said = await desk.car("dead", "show", "1")
        assert "  person  cli:ann" in said.out
        assert f'    "path": "{desk.shop}"' in said.out
        assert await desk.car("dead", "retry", "1") == Said(DONE, "✓ retried 1: on the way to hub/main")
        await desk.comes_to(lambda seen: [one["repo"] for one in seen["repos"]] == ["shop"], "repo", "list")
        assert await desk.car("dead", "retry", "1") == Said(DONE, "1 is gone already")
        assert await desk.car("dead", "drop", "1", "--yes") == Said(DONE, "1 is gone already")
        gone = "car: the dead letter 1 is gone: it was said once more or dropped, or it had grown too old"
        assert await desk.car("dead", "show", "1") == Said(REFUSED, "", gone)
        never = "car: there has never been a dead letter 7, type: car dead list"
        assert await desk.car("dead", "retry", "7") == Said(REFUSED, "", never)

    at_desk(tmp_path, tell)


def test_who_rests_is_shown_and_goes_on_when_its_letters_are_retried(tmp_path):
    async def tell(desk):
        await desk.car("repo", "add", ".")
        store = NatsStore(desk.link, "")
        stored = await store.load(HUB)
        resting = {**json.loads(stored.data), "quarantine": "KeyError: 'x'"}
        await store.save(HUB, json.dumps(resting).encode(), stored.revision)
        for name in ("one", "two"):
            await desk.post.send(HUB, desk.wish(name))
        seen = await desk.comes_to(lambda seen: len(seen["letters"]) == 2, "dead", "list")
        assert seen["resting"] == [{"who": "hub/main", "why": "KeyError: 'x'"}]
        assert "\n  hub/main  KeyError: 'x'\n" in (await desk.car("dead", "list")).out
        top = (await desk.car("top", "--once")).out
        assert "dead letters · 2, type: car dead list" in top
        assert "\n  hub/main  KeyError: 'x'\n" in top
        said = await desk.car("dead", "retry", "--all")
        assert said == Said(DONE, "✓ retried 1, 2: on the way to hub/main, which rested and goes on")
        assert await desk.comes_to(lambda seen: not seen["resting"], "dead", "list") == {
            "letters": [],
            "total": 0,
            "next": 0,
            "resting": [],
        }

    at_desk(tmp_path, tell)


def test_letters_are_dropped_only_by_whoever_means_it(tmp_path):
    async def tell(desk):
        to = Address("out", "cli.tty")
        for name in ("one", "two", "three"):
            await desk.post.bury(HUB, desk.wish(name), "why")
        await desk.post.bury(to, desk.wish("four"), "why")
        unsaid = "car: invalid value: nobody is here to be asked, so say --yes, type: car dead drop --help"
        assert await desk.car("dead", "drop", "--all") == Said(USAGE, "", unsaid)
        unnamed = "car: invalid value: name letters by their numbers, or by --to ADDRESS, or by --all"
        for words in (("drop",), ("drop", "1", "--all"), ("retry",), ("retry", "--all", "--to", "hub/main")):
            said = await desk.car("dead", *words)
            assert (said.code, said.err) == (USAGE, f"{unnamed}, type: car dead {words[0]} --help")
        bad = "car: invalid value for --to: 'hub' is no address; one looks like repo/shop, type: car dead list --help"
        assert await desk.car("dead", "list", "--to", "hub") == Said(USAGE, "", bad)
        assert (await desk.read("dead", "list"))["total"] == 4
        assert await desk.car("dead", "drop", "2", "--yes") == Said(DONE, "✓ dropped 2")
        assert await desk.car("dead", "drop", "--to", "out/cli.tty", "-y") == Said(DONE, "✓ dropped 4")
        assert await desk.car("dead", "drop", "--to", "run/x", "-y") == Said(DONE, "There is no such dead letter.")
        assert await desk.car("dead", "drop", "--all", "-y") == Said(DONE, "✓ dropped 1, 3")

    at_desk(tmp_path, tell)


# the view of the whole


def test_top_shows_the_host_that_lives_and_all_that_it_reads(tmp_path):
    async def tell(desk):
        seen = await desk.comes_to(lambda seen: not seen["unread"], "top")
        (host,) = seen["hosts"]
        assert host["says"]["pid"] == record(desk.hub, "host").who.pid
        assert host["says"]["shards"] == list(range(SHARDS))
        assert "fired" in host["says"]["seats"]
        assert host["node"] == desk.hub.node
        await desk.car("repo", "add", ".")
        awake = (await desk.read("top"))["hosts"][0]["says"]["awake"]
        assert awake == 2  # the hub and the repository
        lines = (await desk.car("top", "--once")).out.split("\n")
        (row,) = [line for line in lines if line.startswith(f"  {host['lease']}")]
        assert "  64      2      " in row
        assert "mail · 0 waiting" in lines

    at_desk(tmp_path, tell)


def test_without_a_host_nobody_answers_and_the_server_can_be_looked_at_still(tmp_path):
    async def tell(desk):
        keeper, host = record(desk.hub, "keeper").who.pid, record(desk.hub, "host").who.pid
        os.kill(keeper, signal.SIGSTOP)
        try:
            os.kill(host, signal.SIGKILL)
            for words in (("top", "--once"), ("dead", "list"), ("dead", "drop", "1", "-y")):
                assert await desk.car(*words) == NOBODY
            # Whoever only looks at the server needs no host.
            assert (await desk.read("nats", "ls"))["streams"]
        finally:
            os.kill(keeper, signal.SIGCONT)

    at_desk(tmp_path, tell)


def test_top_is_drawn_anew_until_it_is_told_to_end(tmp_path):
    async def tell(desk):
        code, drawn = await watch(desk, 3.0)
        assert code == INTERRUPTED
        assert drawn.count("hosts") >= 3
        assert "Traceback" not in drawn
        # It had a page of its own, which is gone.
        assert drawn.index("\x1b[?1049h") < drawn.index("hosts") < drawn.rindex("streams") < drawn.index("\x1b[?1049l")

    at_desk(tmp_path, tell)


async def watch(desk: Desk, seconds: float) -> tuple[int, str]:
    """Look at ``car top`` in a terminal for some time, then interrupt it; return its end and all that it drew."""
    terminal, inside = pty.openpty()
    env = {**os.environ, "CAR_HUB": str(desk.hub.root), "TERM": "xterm", "COLUMNS": "100", "LINES": "40"}
    running = await asyncio.create_subprocess_exec(
        beside("car"), "top", "--every", "0.2", cwd=desk.shop, env=env, stdin=inside, stdout=inside, stderr=inside
    )
    os.close(inside)
    os.set_blocking(terminal, False)
    loop = asyncio.get_running_loop()
    end, drawn = loop.time() + seconds, b""
    while running.returncode is None:
        if loop.time() > end:
            running.send_signal(signal.SIGINT)
            end += PATIENCE
        with suppress(OSError):  # nothing new, or the end
            drawn += os.read(terminal, 1_000_000)
        await asyncio.sleep(0.02)
    with suppress(OSError):
        drawn += os.read(terminal, 1_000_000)
    os.close(terminal)
    return running.returncode, drawn.decode()


# a look at the server


def test_the_server_is_looked_at_with_a_key_that_only_reads(tmp_path):
    async def tell(desk):
        seen = await desk.read("nats", "ls")
        assert {"MAIL", "KV_STATE", "EVENT", "DEAD", "WORK"} <= {one["name"] for one in seen["streams"]}
        mail = await desk.read("nats", "ls", "MAIL")
        assert {one["subjects"][0] for one in mail["consumers"]} == {f"car.*.{n}.*.*" for n in range(SHARDS)}
        assert {one["asks"] > 0 for one in mail["consumers"]} == {True}
        said = await desk.car("nats", "ls", "POST")
        assert (said.code, said.err.split(";")[0]) == (REFUSED, "car: no stream is called POST")
        info = await desk.car("nats", "info")
        seeds = [(desk.hub.nats / f"{name}.seed").read_text().strip() for name in ("ops", "ear")]
        assert f"--nkey {desk.hub.nats}/ops.seed --inbox-prefix _INBOX_ops stream ls" in info.out
        assert f"--nkey {desk.hub.nats}/ear.seed --inbox-prefix _INBOX_ear sub 'car.>'" in info.out
        assert [seed for seed in seeds if seed in info.out] == []
        assert "nats-server 2." in info.out

    at_desk(tmp_path, tell)


def test_whoever_looks_finds_the_host_as_a_service(tmp_path):
    async def tell(desk):
        link = await connect(login(desk.hub, "ops"))
        (host,) = (await desk.comes_to(lambda seen: not seen["unread"], "top"))["hosts"]
        for verb in ("PING", "INFO", "STATS"):
            answer = json.loads((await link.ask(f"$SRV.{verb}", b"", {})).data)
            assert (answer["name"], answer["metadata"]["lease"]) == ("car-host", host["lease"])
            assert answer["metadata"]["pid"] == str(host["says"]["pid"])
        assert answer["endpoints"][0]["data"]["shards"] == list(range(SHARDS))
        await link.close()

    at_desk(tmp_path, tell)


def test_messages_are_shown_as_they_come(tmp_path):
    async def tell(desk):
        listening = await begin_car(desk.hub, "nats", "sub", "car.*.nobody.*", "--count", "2", at=desk.shop)
        while listening.returncode is None:
            await desk.link.say(
                "car.live.nobody.x", b'{"n":\n1}\x1b[31m' + b"x" * 500, {"Car-Name": "x.Y", "Car-Sender": "run/a"}
            )
            with suppress(TimeoutError):
                await asyncio.wait_for(listening.wait(), 0.1)
        lines = (await listening.stdout.read()).decode().splitlines()
        assert listening.returncode == DONE
        assert len(lines) == 2
        assert [line[13:70] for line in lines] == ['car.live.nobody.x x.Y from run/a {"n": 1}[31m' + "x" * 12] * 2
        assert [len(line) for line in lines] == [120, 120]
        bad = "is no subject; one looks like car.mail.>, with * for one token and > for all that follow"
        for subject in ("car..x", "car.>.x", "car.a*", "a b", ""):
            said = await desk.car("nats", "sub", subject)
            assert said == Said(USAGE, "", f"car: invalid value: {subject!r} {bad}, type: car nats sub --help")
        denied = Said(REFUSED, "", "car: the key ear may not hear $SYS.>")
        assert await desk.car("nats", "sub", "$SYS.>") == denied

    at_desk(tmp_path, tell)


@pytest.mark.parametrize("words", [("dead", "list"), ("dead", "retry", "1"), ("top",), ("nats", "ls"), ("nats", "sub")])
def test_where_nothing_runs_it_is_said_at_once(tmp_path, words):
    assert asyncio.run(car(init_hub(tmp_path), *words, at=tmp_path)) == NOBODY
