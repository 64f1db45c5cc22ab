import os
import subprocess
import sys
from pathlib import Path

import pytest

from actors.runtime.place import NoHub, find_hub, init_hub, program
from actors.runtime.process import Identity, read_identity
from protocol.errors import Refused
from tests.custody.scene import HOUSE


@pytest.fixture(autouse=True)
def plain(tmp_path, monkeypatch):
    monkeypatch.delenv("CAR_HUB", raising=False)
    monkeypatch.delenv("CAR_NODE", raising=False)
    monkeypatch.chdir(tmp_path)


def test_a_hub_is_private_and_out_of_the_sight_of_git(tmp_path):
    hub = init_hub(tmp_path)
    for folder in (hub.home, hub.nats, hub.run, hub.log):
        assert folder.stat().st_mode & 0o777 == 0o700
    assert (tmp_path / ".codex-autorunner" / ".gitignore").read_text() == "*\n"


def test_making_a_hub_again_changes_nothing(tmp_path):
    hub = init_hub(tmp_path)
    (tmp_path / ".codex-autorunner" / ".gitignore").write_text("mine\n")
    assert init_hub(tmp_path) == hub
    assert (tmp_path / ".codex-autorunner" / ".gitignore").read_text() == "mine\n"
    assert len(hub.node) == 8
    int(hub.node, 16)


def test_the_nearest_hub_above_is_found(tmp_path, monkeypatch):
    hub = init_hub(tmp_path)
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    assert find_hub() == hub


def test_a_path_goes_before_the_variable_and_the_variable_before_the_folder(tmp_path, monkeypatch):
    here, named, given = (init_hub(tmp_path / name) for name in ("here", "named", "given"))
    monkeypatch.chdir(here.root)
    assert find_hub() == here
    monkeypatch.setenv("CAR_HUB", str(named.root))
    assert find_hub() == named
    assert find_hub(given.root) == given


def test_where_there_is_no_hub_one_is_told_what_to_type(tmp_path, monkeypatch):
    (tmp_path / ".codex-autorunner" / "tickets").mkdir(parents=True)  # a checkout is no hub
    with pytest.raises(NoHub, match=r"^no hub here, type: car init$"):
        find_hub()
    monkeypatch.setenv("CAR_HUB", str(tmp_path))
    with pytest.raises(NoHub, match=f"^no hub in {tmp_path}, type: car init --hub {tmp_path}$"):
        find_hub()


def test_the_variable_names_the_machine(tmp_path, monkeypatch):
    init_hub(tmp_path)
    monkeypatch.setenv("CAR_NODE", "desk")
    assert find_hub().node == "desk"
    monkeypatch.setenv("CAR_NODE", "my desk")
    with pytest.raises(Refused, match="'my desk' is no name for a machine"):
        find_hub()


def test_where_no_hub_can_be_made_the_sentence_says_where(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match=f"^no hub can be made in {tmp_path}/file: Not a directory$"):
        init_hub(tmp_path / "file")


def test_hubs_have_different_tokens_and_a_mark_names_hub_custodian_and_process(tmp_path):
    one, other = init_hub(tmp_path / "one"), init_hub(tmp_path / "other")
    assert one.token != other.token
    custodian = one.custodian(Identity(12, 34))
    assert one.mark(custodian, "p1") == f"{one.token}.{one.node}-12-34.p1"
    assert read_identity(custodian) == Identity(12, 34)
    assert len(one.token) == 12


def test_a_program_is_found_beside_this_python_else_on_the_path(tmp_path, monkeypatch):
    tool = tmp_path / "car-tool"
    tool.write_text("#!/bin/sh\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Refused, match="no program 'car-tool'"):
        program("car-tool")
    tool.chmod(0o755)
    assert program("car-tool") == str(tool)
    python = Path(sys.executable).name
    assert program(python) == str(Path(sys.executable).parent / python)


def test_the_keeper_needs_the_standard_library_alone():
    asked = "import sys, actors.custody.keeper, actors.runtime.launch; print(*sorted(sys.modules))"
    env = {**os.environ, "PYTHONPATH": str(HOUSE)}
    said = subprocess.run((sys.executable, "-S", "-c", asked), env=env, capture_output=True, text=True, check=True)
    foreign = {name.partition(".")[0] for name in said.stdout.split()} - sys.stdlib_module_names
    assert foreign == {"__main__", "actors", "protocol"}
