"""The real Codex works on tickets: its own tools edit and commit, and what stands in its way is told in a sentence."""

import asyncio
import shutil
from contextlib import suppress
from functools import partial

import psutil
import pytest

from actors.runtime import launch, process
from protocol.address import Address
from protocol.agent import Usage
from protocol.repo import ResumeFlow, StopFlow
from tests.live.agents import codex_at_home, done, script, wall_says, walls
from tests.live.checkout import add_tickets, checkout, git, subjects
from tests.live.model import Model
from tests.live.scene import Log, begin, ended, session_of, texts, told
from tests.server import until
from tests.world import hub_at_work, kill, ready, record

SHOP = Address("repo", "shop")
AGAIN = "type /flow resume to try again"
COMMIT = "git add -A && git commit -qm '{}'"
ADD_A = ({"write": ["a.txt", "a\n"]}, {"shell": COMMIT.format("Add a")}, done())
NO_WALLS = (
    "unshare",
    "--user",
    "--map-root-user",
    "sh",
    "-c",
    'echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"',
    "-",
)
"""Runs a program where no more namespaces can be made, as in many containers."""


def story(tmp_path, tell, *bodies, prefix=(), sandbox=""):
    """Have a checkout with tickets of these bodies, a hub that knows Codex, and a log of all that is said."""

    async def run():
        with Model() as model, codex_at_home(model.url, *prefix, sandbox=sandbox) as home:
            path = checkout(home.folder / "shop", *bodies, agent="codex")
            async with home.hub(tmp_path) as (hub, door), Log(hub) as log:
                await tell(hub, door, log, path)

    asyncio.run(run())


async def all_gone(hub) -> None:
    await until(lambda: not process.marked(f"{hub.token}."), 10)


def test_codex_works_two_tickets_to_done_with_its_own_tools(tmp_path):
    bodies = (
        script(
            {"write": ["greet.py", 'print("hello")\n']},
            {"shell": "python3 greet.py > greeting.txt"},
            {"shell": COMMIT.format("Greet")},
            done(1),
            {"text": "It greets now."},
        ),
        script(
            {"shell": "cat greet.py greeting.txt > both.txt"},
            {"shell": "touch ~/escaped && echo free > walls.txt || echo walled > walls.txt"},
            {"shell": COMMIT.format("Keep both")},
            done(2),
            {"text": "Both are kept."},
        ),
    )

    async def tell(hub, door, log, path):
        run = await begin(hub, door, path)
        view = await ended(door, run)
        assert (view.status, view.done, view.total, view.turns) == ("completed", 2, 2, 2)
        assert subjects(path) == ["first", "Greet", "Keep both"]
        assert git(path, "show", "HEAD:both.txt") == 'print("hello")\nhello'
        assert git(path, "show", "HEAD:walls.txt") == ("walled" if walls() else "free")
        assert git(path, "status", "--porcelain") == ""
        assert [one.subject for one in view.commits] == ["Greet", "Keep both"]
        # Ten calls of the model, five for each ticket.
        assert view.usage == Usage(input=10_000, cached=1000, output=500)
        assert await texts(door) == ["It greets now.", "Both are kept."]
        tools = [one.title for one in await told(door, "session.ToolUsed") if one.state == "done"]
        assert tools[:3] == ["greet.py", "python3 greet.py > greeting.txt", COMMIT.format("Greet")]
        assert log.faults == []
        assert (len(log.out), log.prompts()) == (2, 2)
        await all_gone(hub)

    story(tmp_path, tell, *bodies)


def test_codex_commits_in_a_worktree_too(tmp_path):
    async def tell(hub, door, log, path):
        worktree = path.with_name("stall")
        git(path, "worktree", "add", "-q", str(worktree))
        add_tickets(worktree, script(*ADD_A, {"text": "Added."}), agent="codex")
        view = await ended(door, await begin(hub, door, worktree))
        assert (view.status, view.turns) == ("completed", 1), view
        assert subjects(worktree) == ["first", "Add a"]

    story(tmp_path, tell)


def test_a_model_that_refuses_pauses_the_run_with_the_way_out(tmp_path):
    async def run():
        paths = {
            status: checkout(tmp_path / name, script({"status": status, "message": why}), agent="codex")
            for status, name, why in ((401, "shop", "this key is not known"), (429, "bakery", "slow down"))
        }
        with Model() as model, codex_at_home(model.url) as home:
            async with home.hub(tmp_path) as (hub, door):
                runs = {status: await begin(hub, door, path) for status, path in paths.items()}
                views = {status: await ended(door, run) for status, run in runs.items()}
                assert {(view.status, view.code) for view in views.values()} == {("paused", "agent")}
                reasons = {status: view.reason.replace(model.url, "MODEL") for status, view in views.items()}
                assert reasons == {
                    401: "the agent codex failed: unexpected status 401 Unauthorized: this key is not known, "
                    f"url: MODEL/responses. Sign the agent in, or give it its key; {AGAIN}",
                    429: "the agent codex failed: exceeded retry limit, last status: 429 Too Many Requests. "
                    f"Wait until the limit is lifted, or choose another model; {AGAIN}",
                }
                assert {view.usage for view in views.values()} == {Usage()}
                await all_gone(hub)

    asyncio.run(run())


@pytest.mark.parametrize("sandbox", ["", "danger-full-access"])
def test_stopping_in_the_middle_of_a_command_ends_it_and_whatever_it_has_started(tmp_path, sandbox):
    async def tell(hub, door, log, path):
        run = await begin(hub, door, path)
        sleepers = await until(lambda: found if len(found := asleep(hub)) == 2 else None, 30)
        await door.command(SHOP, StopFlow(), "cli:ann")
        assert (await ended(door, run)).status == "stopped"
        assert [one.outcome for one in await told(door, "session.TurnEnded")] == ["interrupted"]
        await until(lambda: not any(map(process.alive, sleepers)), 5)
        await all_gone(hub)

    body = script({"shell": "(setsid sleep 600 &) ; sleep 601"}, {"text": "Slept."})
    story(tmp_path, tell, body, sandbox=sandbox)


def test_stopping_in_the_middle_of_a_sentence_keeps_what_was_said(tmp_path):
    async def tell(hub, door, log, path):
        run = await begin(hub, door, path)
        await until(partial(heard, log, "word30"), 30)
        await door.command(SHOP, StopFlow(), "cli:ann")
        view = await ended(door, run)
        assert view.status == "stopped"
        (turn,) = await told(door, "session.TurnEnded")
        words = turn.text.split()
        assert turn.outcome == "interrupted"
        assert 30 <= len(words) < 2000
        assert words == [f"word{number}" for number in range(len(words))]
        await all_gone(hub)

    text = " ".join(f"word{number}" for number in range(2000))
    story(tmp_path, tell, script({"text": text, "delay": 0.02}))


def test_a_sandbox_that_cannot_be_set_up_pauses_the_run_until_the_setting_is_there(tmp_path):
    prefix = NO_WALLS if walls() else ()

    async def tell(hub, door, log, path):
        run = await begin(hub, door, path)
        view = await ended(door, run)
        assert (view.status, view.code) == ("paused", "sandbox")
        assert view.reason == (
            f"the agent codex could not set up its sandbox on this machine: {wall_says(*prefix).rstrip('.')}. "
            "Where the machine itself is a sandbox, set agents.codex.sandbox to danger-full-access in "
            f"codex-autorunner.yml; {AGAIN}"
        )
        assert subjects(path) == ["first"]
        await all_gone(hub)
        settings = hub.root / "codex-autorunner.yml"
        settings.write_text(settings.read_text().replace("workspace-write", "danger-full-access"))
        launch.renew_host(hub)
        await ready(door)
        await door.command(SHOP, ResumeFlow(), "cli:ann")
        await resumed(door)
        assert (await ended(door, run)).status == "completed"
        assert subjects(path) == ["first", "Say hi"]

    body = script({"shell": "echo hi > a.txt"}, {"shell": COMMIT.format("Say hi")}, done(), {"text": "Done."})
    story(tmp_path, tell, body, prefix=prefix, sandbox="workspace-write")


def test_a_host_killed_in_the_middle_of_a_turn_of_codex_loses_and_doubles_nothing(tmp_path):
    text = " ".join(f"word{number}" for number in range(300))

    async def tell(hub, door, log, path):
        run = await begin(hub, door, path)
        before = await session_of(door, run)
        for word in ("word50", "word120", "word200"):
            await until(partial(heard, log, word), 30)
            host = record(hub, "host").who
            kill(host)
            process.wait(host, 5)
            launch.renew_host(hub)
            await ready(door)
            now = await session_of(door, run)
            assert (now.proc, now.pid, now.born) == (before.proc, before.pid, before.born)
        assert (await ended(door, run)).status == "completed"
        assert log.faults == []
        assert (list(log.out), log.prompts()) == ([before.proc], 1)
        assert await texts(door) == [text]
        assert subjects(path) == ["first", "Add a"]
        await all_gone(hub)

    story(tmp_path, tell, script(*ADD_A, {"text": text, "delay": 0.03}))


def test_a_codex_that_is_not_installed_is_told_with_how_to_install_it(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git").symlink_to(shutil.which("git"))

    async def run():
        path = checkout(tmp_path / "shop", "Do something.", agent="codex")
        async with hub_at_work(tmp_path, env={"PATH": str(tmp_path / "bin")}) as (hub, door):
            view = await ended(door, await begin(hub, door, path))
            assert (view.status, view.code) == ("paused", "agent")
            assert view.reason == (
                "the agent codex cannot be started: no program 'codex' on the PATH on this machine; install it with: "
                f"npm install -g @openai/codex, or set agents.codex.command in codex-autorunner.yml; {AGAIN}"
            )

    asyncio.run(run())


def heard(log: Log, word: str) -> bool:
    """Tell whether an agent has streamed a word."""
    return any("delta" in line and word in line for lines in log.out.values() for line in lines)


async def resumed(door) -> None:
    """Wait until a run has gone on after a pause."""
    while not await told(door, "flow.RunResumed"):  # what is waited for stands in a log
        await asyncio.sleep(0.05)


def asleep(hub) -> list[process.Identity]:
    """Return the processes of the hub's agents that sleep."""
    found = []
    for who in process.marked(f"{hub.token}."):
        with suppress(psutil.Error):
            found += [who] if psutil.Process(who.pid).cmdline()[:1] == ["sleep"] else []
    return found
