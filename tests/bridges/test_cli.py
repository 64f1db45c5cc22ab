"""The program ``car`` where little runs: its help, its exit codes, its one sentence for every error, files alone."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from actors.runtime.place import init_hub
from actors.workers.agents.catalog import KNOWN
from bridges.cli.app import TABLE
from bridges.cli.command import ticket

HOUSE = Path(__file__).parents[2]
CAR = (sys.executable, "-c", "from bridges.cli.app import main; main()")
HOME = ".codex-autorunner"
NOBODY = "car: no host of CAR is alive here, type: car up\n"


def car(folder: Path, *words: str, said: str = "", **env: str) -> "subprocess.CompletedProcess[str]":
    """Run ``car`` in a folder, with no hub named by the surroundings."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("CAR_", "GIT_"))}
    return subprocess.run(
        (*CAR, *words),
        cwd=folder,
        env={**clean, "PYTHONPATH": str(HOUSE), **env},
        input=said,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Make a git checkout."""
    subprocess.run(("git", "init", "-q", "--template=", str(tmp_path / "shop")), check=True)
    return tmp_path / "shop"


def write(checkout: Path, name: str, text: str) -> None:
    folder = checkout / HOME / "tickets"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def test_help_names_every_command_and_loads_none(tmp_path: Path):
    asked = "import sys; from bridges.cli.app import run; run(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        (sys.executable, "-c", asked), cwd=HOUSE, capture_output=True, text=True, timeout=60, check=True
    )
    assert [name for name in TABLE if f"\n  {name} " not in done.stdout] == []
    loaded = set(done.stderr.split())
    assert "typer" in loaded
    assert loaded & {"rich", "pydantic", "nats", "yaml", "structlog", "bridges.cli.command.start"} == set()


def test_help_comes_within_two_fifths_of_a_second(tmp_path: Path):
    took = []
    for _ in range(5):
        begun = time.perf_counter()
        assert car(tmp_path, "--help").returncode == 0
        took.append(time.perf_counter() - begun)
    assert min(took) < 0.4


@pytest.mark.parametrize("name", TABLE)
def test_every_command_has_a_help_of_its_own(tmp_path: Path, name: str):
    done = car(tmp_path, name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: car {name}")


def test_the_version_is_told(tmp_path: Path):
    done = car(tmp_path, "--version")
    assert (done.returncode, done.stdout) == (0, "car 0.1.0\n")


def test_no_command_at_all_is_wrong_usage_and_shows_the_help(tmp_path: Path):
    done = car(tmp_path)
    assert done.returncode == 2
    assert "Commands:" in done.stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("fly",), "car: no such command 'fly', type: car --help\n"),
        (("flow", "fly"), "car: no such command 'fly', type: car flow --help\n"),
        (("up", "--fast"), "car: no such option: --fast, type: car up --help\n"),
        (
            ("demo", "--agent", "nobody"),
            "car: invalid value for --agent: nobody is none of demo, codex, type: car demo --help\n",
        ),
    ],
)
def test_wrong_usage_is_one_sentence_and_ends_with_2(tmp_path: Path, words: tuple[str, ...], sentence: str):
    done = car(tmp_path, *words)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", sentence)


NEEDS_A_HUB = (
    ("up",),
    ("down",),
    ("restart",),
    ("status",),
    ("chat",),
    ("say", "hello"),
    ("repo", "list"),
    ("repo", "add", "."),
    ("flow", "start"),
    ("flow", "status"),
    ("dead", "list"),
    ("top", "--once"),
    ("key", "list"),
    ("nats", "ls"),
)


@pytest.mark.parametrize("words", NEEDS_A_HUB, ids=" ".join)
def test_without_a_hub_every_command_says_so_and_ends_with_2(tmp_path: Path, words: tuple[str, ...]):
    done = car(tmp_path, *words)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "car: no hub here, type: car init\n")


def test_a_hub_that_is_named_but_is_none_is_named_in_the_sentence(tmp_path: Path):
    done = car(tmp_path, "status", "--hub", str(tmp_path / "x"))
    assert done.returncode == 2
    assert done.stderr == f"car: no hub in {tmp_path}/x, type: car init --hub {tmp_path}/x\n"


NEEDS_A_HOST = tuple(words for words in NEEDS_A_HUB if words[0] not in ("up", "down", "restart", "key"))


@pytest.mark.parametrize("words", NEEDS_A_HOST, ids=" ".join)
def test_without_a_host_every_command_says_so_and_ends_with_4(tmp_path: Path, words: tuple[str, ...]):
    assert car(tmp_path, "init").returncode == 0
    done = car(tmp_path, *words)
    assert (done.returncode, done.stdout, done.stderr) == (4, "", NOBODY)


def test_a_hub_that_was_never_up_is_told_from_a_broken_one(tmp_path: Path):
    init_hub(tmp_path)
    done = car(tmp_path, "repo", "list")
    assert (done.returncode, done.stderr) == (4, NOBODY)


def test_the_status_of_what_does_not_run_is_json_too(tmp_path: Path):
    car(tmp_path, "init")
    done = car(tmp_path, "status", "--json")
    view = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (4, NOBODY)
    assert (view["alive"], view["processes"], view["repos"]) == (False, [], [])


def test_down_where_nothing_runs_is_no_error(tmp_path: Path):
    car(tmp_path, "init")
    done = car(tmp_path, "down")
    assert (done.returncode, done.stdout, done.stderr) == (0, "Nothing was running here.\n", "")


def test_a_server_elsewhere_that_is_away_is_told_without_its_password(tmp_path: Path):
    car(tmp_path, "init")
    done = car(tmp_path, "repo", "list", CAR_NATS_URL="nats://ann:secret@127.0.0.1:1")
    assert done.returncode == 4
    assert done.stderr.startswith("car: the NATS server at nats://127.0.0.1:1 does not answer")
    assert "secret" not in done.stderr


def test_nothing_is_started_for_a_server_elsewhere_that_is_away(tmp_path: Path):
    car(tmp_path, "init")
    done = car(tmp_path, "up", CAR_NATS_URL="nats://127.0.0.1:1")
    assert done.returncode == 4
    assert done.stderr.startswith("car: the NATS server at nats://127.0.0.1:1 does not answer")
    assert done.stderr.endswith("; start that server, or mend nats.url in the settings\n")
    assert list((tmp_path / HOME / "hub" / "run").glob("*.json")) == []


def test_a_broken_setting_is_refused_with_the_file_and_the_place(tmp_path: Path):
    car(tmp_path, "init")
    (tmp_path / "codex-autorunner.yml").write_text("nats: {port: 1}\n")
    done = car(tmp_path, "up")
    assert done.returncode == 3
    assert done.stderr.startswith(f"car: {tmp_path}/codex-autorunner.yml: nats.port: ")
    assert done.stderr.count("\n") == 1


def test_init_makes_a_hub_and_the_folders_of_a_checkout_and_changes_nothing_when_repeated(checkout: Path):
    first = car(checkout, "init", "--json")
    made = json.loads(first.stdout)
    assert first.returncode == 0
    assert (made["hub"], made["checkout"]) == (str(checkout), str(checkout))
    names = {path.relative_to(checkout / HOME) for path in (checkout / HOME).glob("workspace/*")}
    assert names == {Path("workspace") / name for name in ("active_context.md", "decisions.md", "spec.md")}
    assert (checkout / HOME / ".gitignore").read_text() == "*\n"
    (checkout / HOME / "workspace" / "spec.md").write_text("ours")
    before = {path: path.read_bytes() for path in (checkout / HOME).rglob("*") if path.is_file()}
    again = json.loads(car(checkout, "init", "--json").stdout)
    assert again["made"] == []
    after = {path: path.read_bytes() for path in (checkout / HOME).rglob("*") if path.is_file()}
    assert after == before


def test_init_says_what_to_type_next(checkout: Path):
    done = car(checkout, "init")
    assert done.stdout.splitlines() == [
        f"✓ hub in {checkout}",
        f"✓ folders for tickets and notes in {checkout}/{HOME}",
        "",
        "Next:",
        "  car up                start CAR",
        "  car repo add .        let it know the checkout",
        '  car ticket new "..."  say what is to be done',
        "  car flow start        let agents do it, and watch",
    ]


def test_nobody_else_can_read_the_seeds_of_a_hub(tmp_path: Path):
    car(tmp_path, "init")
    seeds = tuple((tmp_path / HOME / "hub" / "nats").glob("*.seed"))
    assert {path.stem for path in seeds} == {"host", "custodian", "cli", "telegram", "web", "ops", "ear"}
    assert {path.stat().st_mode & 0o777 for path in seeds} == {0o600}


def test_tickets_are_made_listed_and_linted_with_nothing_running(checkout: Path):
    made = car(checkout, "ticket", "new", "Count every piece", "--agent", "demo", "--body", "-", said="Do it.\n")
    assert (made.returncode, made.stdout.splitlines()[0]) == (0, f"{HOME}/tickets/TICKET-001-count-every-piece.md")
    text = (checkout / HOME / "tickets" / "TICKET-001-count-every-piece.md").read_text()
    assert "title: Count every piece\nagent: demo\ndone: false\n" in text
    assert text.endswith("\nDo it.\n")
    second = car(checkout, "ticket", "new", "Say so", "--json")
    assert json.loads(second.stdout) == {"path": f"{HOME}/tickets/TICKET-002-say-so.md"}
    listed = car(checkout, "ticket", "list")
    assert listed.stdout.splitlines() == ["·  001  demo  Count every piece", "·  002  demo  Say so"]
    linted = car(checkout, "ticket", "lint")
    assert (linted.returncode, linted.stdout) == (0, "✓ 2 tickets, nothing is wrong\n")


def test_lint_says_what_is_wrong_and_ends_with_1(checkout: Path):
    write(checkout, "TICKET-001-a.md", "---\nagent: nobody\ndone: false\n---\n")
    write(checkout, "notes.txt", "")
    (checkout / HOME / "tickets" / "TICKET-002.md").write_bytes(b"\xff\xfe")
    done = car(checkout, "ticket", "lint", "--json")
    view = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (1, "car: 3 problems in 2 tickets\n")
    assert view["tickets"] == 2
    assert view["problems"] == [
        "notes.txt is no ticket; name it like TICKET-001-short-title.md, or move it to another folder",
        "TICKET-001-a.md, line 2: no agent is called nobody; choose one of codex, demo, opencode, user",
        "TICKET-002.md: it is no UTF-8 text; write it anew as one",
    ]


def test_tickets_may_name_the_agents_of_the_settings(checkout: Path):
    car(checkout, "init")
    (checkout / "codex-autorunner.yml").write_text("agents: {mine: {command: [mine]}}\n")
    assert car(checkout, "ticket", "new", "T", "--agent", "mine").returncode == 0
    assert json.loads(car(checkout, "ticket", "list", "--json").stdout)["tickets"][0]["agent"] == "mine"


def test_a_new_ticket_for_an_unknown_agent_is_refused_and_not_written(checkout: Path):
    done = car(checkout, "ticket", "new", "T", "--agent", "nobody")
    assert done.returncode == 3
    assert done.stderr == "car: no agent is called nobody; choose one of codex, demo, opencode, user\n"
    assert not (checkout / HOME).exists()


def test_tickets_outside_of_a_checkout_are_refused(tmp_path: Path):
    done = car(tmp_path, "ticket", "list")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == f"car: {tmp_path} lies in no git checkout; go to one, or type: git init\n"


def test_the_terminal_knows_the_agents_that_the_workers_know():
    assert frozenset(KNOWN) == ticket.KNOWN


def test_whoever_stops_reading_gets_no_traceback(checkout: Path):
    for number in range(1, 40):
        write(checkout, f"TICKET-{number:03d}.md", "---\nagent: demo\ndone: false\n---\n")
    clean = {key: value for key, value in os.environ.items() if not key.startswith("CAR_")}
    running = subprocess.Popen(
        (*CAR, "ticket", "list"),
        cwd=checkout,
        env={**clean, "PYTHONPATH": str(HOUSE)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert running.stdout
    assert running.stderr
    running.stdout.close()
    assert running.stderr.read() == b""
    running.stderr.close()
    assert running.wait() == 1


@pytest.mark.parametrize("words", [("demo", "--agent", "codex")])
def test_an_agent_that_is_not_installed_is_refused(tmp_path: Path, words: tuple[str, ...]):
    done = car(tmp_path, *words, PATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "car: codex is not installed (npm install -g @openai/codex brings it), or type: car demo\n"
