"""The real OpenCode works on a ticket over ACP: what it asks for inside the checkout it may do, and outside nothing."""

import asyncio

from actors.runtime import process
from tests.live.agents import done, opencode_at_home, script
from tests.live.checkout import checkout, git, subjects
from tests.live.model import Model
from tests.live.scene import Log, begin, ended, told
from tests.server import until


def test_opencode_works_a_ticket_to_done_and_may_write_in_the_checkout_alone(tmp_path):
    outside = tmp_path / "outside.txt"
    commit = "git add -A && git commit -qm 'Add a'"
    body = script(
        {"write": ["a.txt", "one\n"]},
        {"shell": commit},
        done(),
        # A refusal ends its turn.
        {"write": [str(outside), "two\n"]},
    )

    async def run():
        path = checkout(tmp_path / "shop", body, agent="opencode")
        with Model() as model, opencode_at_home(model.url) as home:
            async with home.hub(tmp_path) as (hub, door), Log(hub) as log:
                view = await ended(door, await begin(hub, door, path))
                assert (view.status, view.done, view.turns) == ("completed", 1, 1), view
                assert subjects(path) == ["first", "Add a"]
                assert git(path, "show", "HEAD:a.txt") == "one"
                assert git(path, "status", "--porcelain") == ""
                assert not outside.exists()
                asked = [(one.title, one.allowed) for one in await told(door, "session.PermissionGiven")]
                wishes = (str(path / "a.txt"), commit, done()["shell"])
                assert asked == [*((wish, True) for wish in wishes), (str(tmp_path), False)]
                assert view.usage.input >= 1000
                assert log.faults == []
                assert (len(log.out), log.prompts()) == (1, 1)
                await until(lambda: not process.marked(f"{hub.token}."), 10)

    asyncio.run(run())
