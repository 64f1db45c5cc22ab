"""The sample repository before, while and after the demo agent has worked on it."""

import subprocess
from pathlib import Path

import pytest

from actors.demo.sample import check, make
from actors.demo.script import find_block, parse
from protocol.errors import Refused
from tests.demo.client import CLEAN, Client

HOME = ".codex-autorunner"


def git(path: Path, *arguments: str) -> str:
    """Run git in the sample and return what it prints."""
    return subprocess.run(("git", *arguments), cwd=path, env=CLEAN, check=True, capture_output=True, text=True).stdout


def test_the_fresh_sample_has_one_commit_a_clean_tree_and_a_failing_test(tmp_path: Path):
    make(tmp_path / "sample")
    ok, output = check(tmp_path / "sample")
    assert not ok
    assert "test_every_piece_is_counted" in output
    assert "FAILED (failures=1)" in output
    assert git(tmp_path / "sample", "log", "--format=%an <%ae> %D") == "CAR demo <demo@example.invalid> HEAD -> main\n"
    assert git(tmp_path / "sample", "status", "--porcelain") == ""


def test_the_demo_agent_makes_of_three_tickets_three_commits_and_passing_tests(tmp_path: Path):
    path = tmp_path / "sample"
    make(path, pace=0)
    for ticket in sorted((path / HOME / "tickets").iterdir()):
        with Client(path) as client:
            section = f"<CAR_CURRENT_TICKET_FILE>\npath: {HOME}/tickets/{ticket.name}\n</CAR_CURRENT_TICKET_FILE>\n"
            assert client.prompt(section).stop == "end_turn"
        assert "\ndone: true\n" in ticket.read_text()
    ok, output = check(path)
    assert ok, output
    assert "Ran 4 tests" in output
    assert git(path, "log", "--reverse", "--format=%s").splitlines() == [
        "A basket that adds up prices",
        "Count every piece in the basket",
        "Give a discount",
        "Say how to use the basket",
    ]
    assert git(path, "status", "--porcelain") == ""
    assert "## Usage" in (path / "README.md").read_text()


@pytest.mark.parametrize("agent", ["demo", "codex"])
def test_every_ticket_is_for_the_agent_and_says_what_to_do_before_its_block(tmp_path: Path, agent: str):
    make(tmp_path / "sample", agent)
    tickets = sorted((tmp_path / "sample" / HOME / "tickets").iterdir())
    assert [ticket.name[:10] for ticket in tickets] == ["TICKET-001", "TICKET-002", "TICKET-003"]
    for ticket in tickets:
        text = ticket.read_text()
        assert f"\nagent: {agent}\ndone: false\n---\n" in text
        assert "## Tasks" in text.partition("```demo")[0]
        assert parse(find_block(text) or "")


def test_the_documents_of_the_workspace_are_there(tmp_path: Path):
    make(tmp_path / "sample")
    documents = (tmp_path / "sample" / HOME / "workspace").iterdir()
    assert sorted(one.name for one in documents) == ["active_context.md", "decisions.md", "spec.md"]


def test_the_words_of_the_three_tickets_take_a_watcher_two_to_seven_seconds(tmp_path: Path):
    make(tmp_path / "sample")
    words = 0
    for ticket in (tmp_path / "sample" / HOME / "tickets").iterdir():
        steps = parse(find_block(ticket.read_text()) or "")
        words += sum(len(step.text.split()) for step in steps if type(step).__name__ == "Say")
    # Beside the words there are three starts of the agent and five commands, about three seconds together.
    assert 2 < words * 0.05 < 7


def test_nothing_that_is_there_already_is_touched(tmp_path: Path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(Refused, match="is there already"):
        make(tmp_path)
    with pytest.raises(Refused, match="is there already"):
        make(tmp_path / "mine.txt")
    assert [one.name for one in tmp_path.iterdir()] == ["mine.txt"]
