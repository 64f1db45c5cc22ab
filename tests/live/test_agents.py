import pytest

from tests.live.agents import program
from tests.world import variables


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_an_agent_that_is_not_installed_skips_its_tests_at_home_and_fails_them_in_ci(ci, outcome):
    with variables({"CI": ci}), pytest.raises(outcome, match="not installed, type: make test"):
        program("no-such-agent/bin/*")
