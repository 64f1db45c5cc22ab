import pytest

from actors.runtime.settings import Settings
from actors.workers.agents.catalog import find, names
from protocol.agent import Find
from protocol.errors import WorkFailed
from tests.world import variables

INSTALL = "install it with: npm install -g @openai/codex"
SET = "or set agents.{}.command in codex-autorunner.yml"


def settings(**agents) -> Settings:
    return Settings.model_validate({"agents": agents})


def make_program(path, text="#!/bin/sh\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_codex_is_found_on_the_path_and_gets_the_variables_that_it_needs(tmp_path):
    codex = make_program(tmp_path / "codex")
    with variables({"PATH": str(tmp_path)}):
        found = find(settings(), Find(agent="codex"))
    assert (found.driver, found.argv) == ("codex", (str(codex), "app-server"))
    assert {"CODEX_HOME", "OPENAI_API_KEY"} <= set(found.inherit)


def test_behind_a_launcher_of_node_the_native_program_is_found(tmp_path):
    package = tmp_path / "lib" / "node_modules" / "@openai" / "codex"
    launcher = make_program(package / "bin" / "codex.js")
    native = make_program(package / "node_modules" / "@openai" / "codex-linux-x64" / "vendor" / "any" / "bin" / "codex")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "codex").symlink_to(launcher)
    with variables({"PATH": str(tmp_path / "bin")}):
        assert find(settings(), Find(agent="codex")).argv == (str(native), "app-server")


def test_settings_win_over_what_is_known(tmp_path):
    own = make_program(tmp_path / "mine")
    agent = {"command": [str(own), "serve"], "env": ["MY_KEY"], "sandbox": "read-only"}
    found = find(settings(codex=agent), Find(agent="codex"))
    assert (found.driver, found.argv, found.sandbox) == ("codex", (str(own), "serve"), "read-only")
    assert "MY_KEY" in found.inherit


def test_an_agent_of_the_users_own_speaks_acp_unless_it_is_said(tmp_path):
    own = make_program(tmp_path / "mine")
    both = settings(mine={"command": [str(own)]}, other={"command": [str(own)], "driver": "codex"})
    assert [find(both, Find(agent=name)).driver for name in ("mine", "other")] == ["acp", "codex"]
    assert {"mine", "other", "codex", "demo", "opencode"} <= names(both)


@pytest.mark.parametrize(
    ("agent", "command", "says"),
    [
        ("codex", (), f"no program 'codex' on the PATH on this machine; {INSTALL}, {SET}"),
        ("codex", ("/no/such/codex",), f"no program '/no/such/codex' on this machine; {INSTALL}, {SET}"),
        ("mine", ("my-agent",), f"no program 'my-agent' on the PATH on this machine; install it, {SET}"),
        ("mine", (), f"it has no command; {SET.removeprefix('or ')}"),
    ],
)
def test_an_agent_that_cannot_be_started_is_told_with_what_to_do(tmp_path, agent, command, says):
    with variables({"PATH": str(tmp_path)}), pytest.raises(WorkFailed) as error:
        find(settings(**{agent: {"command": command}}), Find(agent=agent))
    assert str(error.value) == says.format(agent)


def test_an_agent_that_nobody_knows_is_told_with_those_that_there_are():
    says = "no agent is called nobody; there are codex, demo, opencode, and codex-autorunner.yml may name others"
    with pytest.raises(WorkFailed, match=says):
        find(settings(), Find(agent="nobody"))
