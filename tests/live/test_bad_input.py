"""What people get wrong: one clear sentence says it, nothing is lost, and when it is mended the work goes on."""

import asyncio
import json

from protocol.address import Address
from tests.live.checkout import demo, subjects
from tests.live.scene import Log, look, told
from tests.live.shell import BUTTONS, DONE, FAILED, REFUSED, USAGE, Said, at_desk, car, picture

WRITE = demo("- write: {path: a.txt, text: a}")
LONG = demo("- stream: {count: 2000, pace: 0.05}")


def test_without_a_hub_every_command_says_how_to_make_one(tmp_path):
    commands = (("status",), ("up",), ("flow", "start"), ("repo", "list"), ("say", "hello"))

    async def run():
        said = await asyncio.gather(*(car(None, *words, at=tmp_path) for words in commands))
        assert said == [Said(USAGE, "", "car: no hub here, type: car init")] * len(commands)
        elsewhere = await car(None, "flow", "status", "--hub", "shop", at=tmp_path)
        assert elsewhere == Said(USAGE, "", f"car: no hub in {tmp_path}/shop, type: car init --hub {tmp_path}/shop")
        assert list(tmp_path.iterdir()) == []

    asyncio.run(run())


def test_a_folder_that_is_no_checkout_is_not_taken(tmp_path):
    async def tell(desk):
        plain = tmp_path / "plain"
        plain.mkdir()
        (plain / "notes.txt").write_text("mine")
        refused = await desk.car("repo", "add", str(plain))
        assert refused == Said(REFUSED, "", f"car: {plain} is no git checkout; make it one with: git init {plain}")
        missing = await desk.car("repo", "add", "nowhere")
        assert missing == Said(REFUSED, "", f"car: {desk.shop}/nowhere is no folder; name the folder of a git checkout")
        assert await desk.car("repo", "list") == Said(DONE, f"shop  {desk.shop}")
        assert [path.name for path in plain.iterdir()] == ["notes.txt"]

    at_desk(tmp_path, tell, WRITE)


def test_a_checkout_with_changes_is_refused_by_their_paths_and_left_as_it_is(tmp_path):
    async def tell(desk):
        (desk.shop / "README.md").write_text("# shop\n\nchanged\n")
        (desk.shop / "new.txt").write_text("new")
        before = picture(desk.shop)
        why = "the checkout has changes that are not committed: README.md, new.txt; commit or stash them, then type"
        async with Log(desk.hub) as log:
            assert await desk.car("flow", "start") == Said(REFUSED, "", f"car: {why} car flow start")
            assert await desk.say("/flow start") == Said(REFUSED, f"{why} /flow start")
            assert picture(desk.shop) == before
            assert (await desk.turns(), log.out, log.told) == (0, {}, {})
        assert await desk.stands() == "shop · refused, 0 of 1 ticket done"
        (desk.shop / "README.md").write_text("# shop\n")
        (desk.shop / "new.txt").unlink()
        assert (await desk.car("flow", "start")).code == DONE
        assert subjects(desk.shop) == ["first", "Ticket 1"]

    at_desk(tmp_path, tell, WRITE)


async def paused_by_the_ticket(desk, good: str, bad: str, why: str) -> None:
    """Spoil the ticket, be told why the run waits, mend it and let it go on."""
    desk.change(good, bad)
    before = picture(desk.shop)
    started = await desk.car("flow", "start")
    assert (started.code, started.err) == (FAILED, f"car: the run is paused: {why} car flow resume")
    assert await desk.card() == f"shop · ticket 1/1 · paused\n{why} /flow resume\n{BUTTONS}"
    again = await desk.car("flow", "resume")
    assert (again.code, again.err) == (FAILED, f"car: the run is paused: {why} car flow resume")
    assert picture(desk.shop) == before
    assert await desk.turns() == 0
    desk.change(bad, good)
    resumed = await desk.say("/flow resume")
    assert resumed.code == DONE
    assert "shop · all tickets are done" in resumed.out.split("\n")
    assert await desk.stands() == "shop · completed, 1 of 1 ticket done"
    assert subjects(desk.shop) == ["first", "Ticket 1"]


def test_a_ticket_whose_head_cannot_be_read_pauses_the_run_until_it_is_mended(tmp_path):
    why = (
        "TICKET-001.md, line 3: the YAML cannot be read (expected ',' or ']', but got ':'); quote values that hold a "
        "colon or #; mend that, then type"
    )

    async def tell(desk):
        await paused_by_the_ticket(desk, "agent: demo", "agent: [demo", why)

    at_desk(tmp_path, tell, WRITE)


def test_a_ticket_for_an_agent_that_nobody_knows_pauses_the_run_until_it_is_mended(tmp_path):
    why = (
        "TICKET-001.md, line 2: no agent is called demmo; choose one of codex, demo, opencode, user; mend that, then "
        "type"
    )

    async def tell(desk):
        await paused_by_the_ticket(desk, "agent: demo", "agent: demmo", why)

    at_desk(tmp_path, tell, WRITE)


def test_two_starts_at_once_make_one_run(tmp_path):
    async def tell(desk):
        both = await asyncio.gather(*(desk.car("flow", "start", "--no-follow", "--json") for _ in range(2)))
        assert [(said.code, said.err) for said in both] == [(DONE, "")] * 2
        first, second = (json.loads(said.out)["repo"]["run"] for said in both)
        assert first == second
        assert len(await told(desk.door, "flow.RunStarted")) == 1
        await until_working(desk, first)
        assert await desk.turns() == 1

    at_desk(tmp_path, tell, LONG)


def test_plain_text_while_a_run_works_is_refused_with_what_to_type(tmp_path):
    why = "a run works in shop now; type /flow stop to end it, or /flow status to see it"

    async def tell(desk):
        run = await started(desk)
        assert await desk.say("how are you") == Said(REFUSED, why)
        assert await desk.car("chat", typed="how are you\n") == Said(DONE, why)
        assert (await look(desk.door, run)).status == "running"
        assert await desk.turns() == 1

    at_desk(tmp_path, tell, LONG)


def test_a_question_is_shown_and_plain_text_is_its_answer(tmp_path):
    ask = demo(
        "- write: {path: a.txt, text: a}",
        "- ask: {title: 'Which colour?', body: 'Red or blue?'}",
        "- write: {path: colour.txt, text: '{reply}'}",
    )
    card = f"shop asks: Which colour?\nRed or blue?\nAnswer by writing here.\n{BUTTONS}"

    async def tell(desk):
        said = await desk.car("flow", "start")
        assert (said.code, said.err) == (
            FAILED,
            "car: the agent asks: Which colour? (answer with: car flow resume --reply TEXT)",
        )
        assert await desk.say("/flow status") == Said(DONE, card)
        assert await desk.car("chat", typed="/flow status\n") == Said(DONE, card)
        assert (desk.shop / "a.txt").read_text() == "a"
        assert await desk.stands() == "shop · paused, 0 of 1 ticket done"
        answered = await desk.say("blue, please")
        assert answered.code == DONE
        assert "shop · all tickets are done" in answered.out.split("\n")
        assert (desk.shop / "colour.txt").read_text() == "blue, please"
        assert subjects(desk.shop) == ["first", "Ticket 1"]

    at_desk(tmp_path, tell, ask)


async def started(desk) -> Address:
    """Start a run and return its address once an agent works."""
    said = await desk.car("flow", "start", "--no-follow", "--json")
    run = json.loads(said.out)["repo"]["run"]
    await until_working(desk, run)
    return Address("run", run)


async def until_working(desk, run: str) -> None:
    while not await desk.turns():
        assert (await look(desk.door, Address("run", run))).status in ("starting", "running")
        await asyncio.sleep(0.05)
