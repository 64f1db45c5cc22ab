"""The walls of the house, checked: who may import whom, whose names are ours, and that everything starts."""

import subprocess
import sys
import tomllib
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
OURS = ("actors", "bridges", "protocol")
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]


def run(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(args, cwd=ROOT, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize(
    "check",
    [("ruff", "format", "--check", "."), ("ruff", "check", "."), ("mypy",), ("lint-imports",)],
    ids=lambda check: " ".join(check[:2]),
)
def test_style_types_and_imports_are_as_the_house_wants_them(check):
    done = run(str(BIN / check[0]), *check[1:])
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_broken_wall_would_be_seen(tmp_path):
    """The contracts must be able to fail: a decider that sleeps is found."""
    for name in OURS:
        for path in (ROOT / name).rglob("*.py"):
            copy = tmp_path / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(path.read_text())
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    repo = tmp_path / "actors" / "repo.py"
    repo.write_text(repo.read_text().replace('"""\n', '"""\n\nimport asyncio\n', 1))
    done = subprocess.run(
        [str(BIN / "lint-imports"), "--no-cache"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PATH": str(BIN)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stdout
    assert "actors.repo -> asyncio" in done.stdout


def test_no_dependency_installs_a_package_named_like_ours():
    owners = packages_distributions()
    assert {name: set(owners.get(name, ())) - {"car"} for name in OURS} == {name: set() for name in OURS}


def test_the_tree_holds_the_five_folders_and_no_others():
    listed = run("git", "ls-files").stdout.splitlines()
    folders = {path.split("/")[0] for path in listed if "/" in path}
    assert folders == {"actors", "bridges", "protocol", "tests", "deploy", ".ci"}


@pytest.mark.parametrize("script", sorted(SCRIPTS))
def test_every_console_script_starts(script):
    assert script in {entry.name for entry in distribution("car").entry_points}
    done = run(str(BIN / script), "--help")
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr


def test_help_loads_typer_and_nothing_of_the_heavy_libraries():
    program = (
        "import sys\n"
        "from bridges.cli.app import main\n"
        "sys.argv = ['car', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'nats', 'pydantic', 'rich', 'yaml', 'anyio', 'psutil', 'structlog', 'acp', 'asyncio'}\n"
        "print('LOADED', sorted(heavy & set(sys.modules)))\n"
    )
    done = run(sys.executable, "-c", program)
    assert done.stdout.rstrip().endswith("LOADED []"), done.stdout[-500:] + done.stderr


def test_no_file_names_a_registry_or_a_path_of_a_machine():
    words = ("registry.npm" + "js", "python" + "hosted", "pypi." + "org", "/wo" + "rk/", "deb.deb" + "ian")
    found = run("git", "grep", "-nIFi", *(part for word in words for part in ("-e", word)))
    assert found.stdout == ""


def test_nobody_waits_in_the_way_that_loses_a_cancel():
    """``asyncio.wait_for`` of Python 3.11 returns instead of ending, where what it waits for comes with the cancel."""
    for package in ("actors", "bridges", "protocol"):
        for path in (ROOT / package).rglob("*.py"):
            assert "asyncio.wait_for(" not in path.read_text(), path
