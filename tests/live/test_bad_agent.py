"""Agents that are missing, die or talk nonsense: the run says so and waits, and when that is mended it goes on."""

import json
import shutil
import sys

import pytest

from tests.live.checkout import demo, git, subjects
from tests.live.scene import Log, texts
from tests.live.shell import BUTTONS, DONE, FAILED, at_desk, picture
from tests.world import beside

WRITE = demo("- write: {path: a.txt, text: a}")
BABBLE = "import time\nfor n in range(100):\n    print('lorem ipsum', n)\n    time.sleep(0.01)\ntime.sleep(100)\n"


def agent(name: str, *command: str) -> str:
    """Return settings that name the command of an agent (as JSON, which is YAML)."""
    return json.dumps({"agents": {name: {"driver": "acp", "command": command}}})


async def paused(desk, why: str) -> None:
    """Start the run, and be told why it waits: on stderr and on the card."""
    said = await desk.car("flow", "start")
    assert (said.code, said.err) == (FAILED, f"car: the run is paused: {why}; type car flow resume to try again")
    card = f"shop · ticket 1/1 · turn 1 · paused\n→ Ticket 1\n{why}; type /flow resume to try again\n{BUTTONS}"
    assert await desk.card() == card
    await desk.agents_gone()


async def resumed(desk) -> None:
    said = await desk.say("/flow resume")
    assert said.code == DONE, said
    assert "shop · all tickets are done" in said.out.split("\n")
    assert await desk.stands() == "shop · completed, 1 of 1 ticket done"
    assert subjects(desk.shop) == ["first", "Ticket 1"]
    assert git(desk.shop, "show", "HEAD:a.txt") == "a"
    await desk.agents_gone()


def test_an_agent_whose_program_is_missing_is_named_with_how_to_install_it(tmp_path):
    gone = tmp_path / "nowhere" / "codex"
    why = (
        f"the agent codex cannot be started: no program '{gone}' on this machine; install it with: npm install -g "
        "@openai/codex, or set agents.codex.command in codex-autorunner.yml"
    )

    async def tell(desk):
        desk.change("agent: demo", "agent: codex")
        before = picture(desk.shop)
        await paused(desk, why)
        assert picture(desk.shop) == before
        (desk.hub.root / "codex-autorunner.yml").write_text(agent("codex", beside("car-demo-agent")))
        await resumed(desk)

    at_desk(tmp_path, tell, WRITE, settings=agent("codex", str(gone), "app-server"))


def test_an_agent_that_is_not_on_the_path_is_named_with_how_to_install_it(tmp_path):
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "git").symlink_to(shutil.which("git"))
    why = (
        "the agent codex cannot be started: no program 'codex' on the PATH on this machine; install it with: npm "
        "install -g @openai/codex, or set agents.codex.command in codex-autorunner.yml"
    )

    async def tell(desk):
        desk.change("agent: demo", "agent: codex")
        await paused(desk, why)
        (folder / "codex").symlink_to(beside("car-demo-agent"))
        (desk.hub.root / "codex-autorunner.yml").write_text(agent("codex", "codex"))
        await resumed(desk)

    at_desk(tmp_path, tell, WRITE, env={"PATH": str(folder)})


@pytest.mark.parametrize(
    ("code", "how"), [(3, "ended with exit code 3"), (-9, "was killed by signal 9 (SIGKILL)")], ids=["exit", "kill"]
)
def test_an_agent_that_dies_in_the_middle_leaves_its_work_for_the_next(tmp_path, code, how):
    async def tell(desk):
        await paused(desk, f"the agent demo {how} in the middle of its turn")
        assert (desk.shop / "a.txt").read_text() == "a"
        assert git(desk.shop, "status", "--porcelain") == "?? a.txt"
        assert "done: false" in desk.ticket.read_text()
        desk.change(f"die: {code}", "say: alive")
        await resumed(desk)

    at_desk(tmp_path, tell, demo("- write: {path: a.txt, text: a}", f"- die: {code}"))


def test_a_line_of_nonsense_is_borne(tmp_path):
    body = demo("- say: one", "- nonsense: Oops", "- say: two", "- write: {path: a.txt, text: a}")

    async def tell(desk):
        async with Log(desk.hub) as log:
            said = await desk.car("flow", "start")
            assert (said.code, said.err) == (DONE, "")
            assert await texts(desk.door) == ["one\ntwo"]
            (lines,) = log.out.values()
            assert lines.count("Oops") == 1
        assert subjects(desk.shop) == ["first", "Ticket 1"]

    at_desk(tmp_path, tell, body)


def test_an_agent_that_talks_nothing_but_nonsense_is_ended_and_its_command_named(tmp_path):
    why = (
        "the agent babbler said what CAR cannot read, for it is no JSON: lorem ipsum 9; 10 lines were like that: see "
        "that agents.babbler.command in codex-autorunner.yml speaks acp"
    )

    async def tell(desk):
        desk.change("agent: demo", "agent: babbler")
        before = picture(desk.shop)
        await paused(desk, why)
        assert picture(desk.shop) == before
        (desk.hub.root / "codex-autorunner.yml").write_text(agent("babbler", beside("car-demo-agent")))
        await resumed(desk)

    at_desk(tmp_path, tell, WRITE, settings=agent("babbler", sys.executable, "-u", "-c", BABBLE))
