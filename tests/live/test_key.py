"""Keys are changed while everything runs, by the program itself: nobody is cut off who has begun anew."""

import asyncio
import json
import subprocess

from actors.runtime.nats.server import login
from bridges.bridge import open_door
from protocol.hub import DescribeHub, HubView
from tests.runtime.gate import knock
from tests.world import HUB, beside, hub_at_work, ready


async def car(hub, *words: str) -> str:
    """Type a command of ``car``; it has to succeed."""
    argv = (beside("car"), *words, "--hub", str(hub.root))
    done = await asyncio.to_thread(subprocess.run, argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_keys_of_the_host_and_of_the_terminal_are_changed_while_all_runs(tmp_path):
    async def run():
        async with hub_at_work(tmp_path) as (hub, _):
            before = {name: login(hub, name) for name in ("host", "cli")}
            for name in before:
                told = json.loads(await car(hub, "key", "rotate", name, "--json"))
                assert told["told"], told
                assert len(told["old"]) == 1
                assert told["old"][0] != told["key"]
            # Old and new are both let in, and the host has not noticed.
            for old in before.values():
                assert await knock(old.url, old.seed) == ""
            async with open_door(hub, "cli") as door:
                assert isinstance(await door.ask(HUB, DescribeHub()), HubView)

            await car(hub, "restart")
            said = await car(hub, "key", "retire", "host") + await car(hub, "key", "retire", "cli")
            for name, old in before.items():
                assert "violation" in (await knock(old.url, old.seed)).lower(), name
            listed = await car(hub, "key", "list")
            assert "before it" not in listed
            for old in before.values():
                assert old.seed not in said + listed
            async with open_door(hub, "cli") as door:
                await ready(door)

    asyncio.run(run())


def test_the_accounts_are_printed_for_a_server_of_ones_own(tmp_path):
    async def run():
        async with hub_at_work(tmp_path) as (hub, _):
            shown = await car(hub, "key", "show-config")
            listed = json.loads(await car(hub, "key", "list", "--json"))["keys"]
            assert all(one["key"] in shown for one in listed)
            assert not any(login(hub, one["name"]).seed in shown for one in listed)

    asyncio.run(run())
