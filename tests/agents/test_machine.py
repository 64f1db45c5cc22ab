import json
from functools import reduce

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.workers.agents.machine import find
from protocol import agent
from protocol.errors import Unreadable, WorkFailed
from tests.agents.recording import RECORDINGS, fold, replay

DRIVERS = ("acp", "codex")
COMMANDS = (
    agent.Initialize(proc="proc", number=1),
    agent.OpenThread(proc="proc", number=2, cwd="/checkout", writable=("/checkout/.git",), model="m"),
    agent.StartTurn(proc="proc", number=3, turn="a1b2", text="Work.\u2028Well.", model="m", effort="low"),
    agent.CancelTurn(proc="proc", number=4),
    agent.Permit(proc="proc", number=5, request="0", option="once"),
    agent.Permit(proc="proc", number=6, request='"0"', option=""),
    agent.Confirm(proc="proc", number=7, request="1"),
    agent.Deny(proc="proc", number=8, request="2", why="no"),
)
OPENED = {"cwd": "/checkout", "writable": ("/checkout/.git",)}
recordings = st.sampled_from(sorted(RECORDINGS)).map(RECORDINGS.get)
atoms = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
values = st.recursive(atoms, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner))


@given(recordings, st.data())
@settings(deadline=None)
def test_a_machine_that_was_put_away_and_taken_up_again_hears_the_same(recording, data):
    cut = data.draw(st.integers(0, len(recording.lines)))
    whole, heard = fold(recording)
    before, early = fold(recording, end=cut)
    after, late = fold(recording, machine=recording.driver.load(recording.driver.dump(before)), start=cut)
    assert (after, early + late) == (whole, heard)


@given(recordings, st.data(), st.sampled_from(COMMANDS))
@settings(deadline=None)
def test_telling_is_nothing_but_writing_lines(recording, data, command):
    machine, _ = fold(recording, end=data.draw(st.integers(0, len(recording.lines))))
    try:
        told, lines = recording.driver.tell(machine, command)
    except WorkFailed:
        return
    assert lines
    assert all(line.isascii() and len(line.splitlines()) == 1 for line in lines)
    assert told == reduce(recording.driver.wrote, lines, machine)


@pytest.mark.parametrize("name", sorted(RECORDINGS))
def test_the_lines_of_ours_in_a_recording_are_those_that_the_driver_says(name):
    recording = RECORDINGS[name]
    due, checked = [], 0
    for at, (way, line) in enumerate(recording.lines):
        if way == "in" and not due:
            machine, _ = fold(recording, end=at)
            wanted = command(json.loads(line))
            if name == "codex_full_access" and isinstance(wanted, agent.OpenThread):
                wanted = wanted.model_copy(update={"sandbox": "danger-full-access"})
            due = list(recording.driver.say(machine, wanted))
        if way == "in":
            assert line == due.pop(0)
            checked += 1
    assert checked >= 3
    assert not due


def command(line):
    """Return the command that led to a line; the first line of a command tells enough."""
    of = str(line.get("id") if "method" in line else "").partition(":")[2]
    given = {"proc": "proc", "number": int(of) if of.isdigit() else 0}
    match line:
        case {"method": "initialize"}:
            return agent.Initialize(**given)
        case {"method": "initialized"}:
            return agent.OpenThread(**{**given, "number": 2}, **OPENED)
        case {"method": "session/new"}:
            return agent.OpenThread(**given, cwd=line["params"]["cwd"])
        case {"method": "session/prompt", "params": {"prompt": [{"text": text}]}}:
            return agent.StartTurn(**given, turn=of, text=text)
        case {"method": "turn/start", "params": {"input": [{"text": text}]}}:
            return agent.StartTurn(**given, turn=of, text=text, effort=line["params"].get("effort", ""))
        case {"method": "turn/interrupt" | "session/cancel"}:
            return agent.CancelTurn(**given)
        case {"id": request, "result": {"outcome": outcome}}:
            return agent.Permit(**given, request=json.dumps(request), option=outcome["optionId"])
        case {"id": request, "result": {}}:
            return agent.Confirm(**given, request=json.dumps(request))


@given(recordings, st.data())
@settings(deadline=None)
def test_no_line_however_damaged_raises_or_outgrows_the_store(recording, data):
    at = data.draw(st.integers(0, len(recording.lines) - 1))
    machine, _ = fold(recording, end=at)
    line = recording.lines[at][1]
    damaged = damage(json.loads(line), data.draw)
    for bad in (json.dumps(damaged), line[: data.draw(st.integers(0, len(line)))], data.draw(st.text())):
        after, facts = recording.driver.hear(machine, bad, 7)
        assert all((fact.line, fact.proc) == (7, "proc") and fact.model_dump_json() for fact in facts)
        assert recording.driver.load(recording.driver.dump(after)) == after
        assert recording.driver.load(recording.driver.dump(recording.driver.wrote(machine, bad)))


def damage(value, draw):
    """Put something else in one place of a value."""
    if isinstance(value, dict) and value and draw(st.integers(0, 3)):
        key = draw(st.sampled_from(sorted(value)))
        return {**value, key: damage(value[key], draw)}
    if isinstance(value, list) and value and draw(st.booleans()):
        return [damage(value[0], draw), *value[1:]]
    return draw(values)


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize(
    "line",
    [
        "npm warn deprecated something",
        "half a character: \ud800",
        "null",
        "[]",
        "{}",
        '{"level": "info", "msg": "ready"}',
        '{"id": true, "method": "x"}',
        '{"id": [0], "method": "x"}',
        "[" * 100_000,
        '{"id": 1' + "0" * 5000 + ', "result": {}}',
        '{"id": NaN, "method": "x"}',
    ],
)
def test_a_line_that_is_no_message_is_told_as_nonsense(driver, line):
    machine, heard = replay(find(driver), ("out", line))
    (fact,) = heard
    assert (fact.trouble, machine) == ("nonsense", find(driver).born("proc"))
    assert line[:15] in fact.error
    assert fact.model_dump_json()
    assert len(fact.error) < 300


@pytest.mark.parametrize("driver", DRIVERS)
def test_blank_lines_and_news_of_unknown_kind_are_passed_over(driver):
    news = {"method": "future/news", "params": {"threadId": "", "sessionId": ""}}
    machine, heard = replay(find(driver), ("out", ""), ("out", "  "), ("out", news))
    assert (machine, heard) == (find(driver).born("proc"), [])


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("request_id", [0, 7, "0", "a b", -1, 10**30])
def test_the_id_of_a_request_finds_its_way_back_exactly(driver, request_id):
    asked = {"id": request_id, "method": "terminal/create", "params": {}}
    machine, (fact,) = replay(find(driver), ("out", asked))
    after, (line,) = find(driver).tell(machine, agent.Deny(proc="proc", number=1, request=fact.request, why="not here"))
    assert type(json.loads(line)["id"]) is type(request_id)
    assert (json.loads(line)["id"], json.loads(line)["error"]) == (request_id, {"code": -32601, "message": "not here"})
    assert (len(machine.asked), len(after.asked)) == (1, 0)


@pytest.mark.parametrize("driver", DRIVERS)
def test_open_requests_are_remembered_within_bounds(driver):
    asked = [("out", {"id": f"{number}" * 100, "method": "x", "params": {}}) for number in range(1000)]
    machine, heard = replay(find(driver), *asked)
    assert len(heard) == 1000
    assert len(find(driver).dump(machine)) < 50_000


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_turn_cannot_start_before_there_is_a_conversation(driver):
    start = agent.StartTurn(proc="proc", number=1, turn="t1", text="Work.")
    with pytest.raises(WorkFailed, match="no conversation yet"):
        find(driver).tell(find(driver).born("proc"), start)


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"proc": 7}', "\ud800"])
def test_a_broken_snapshot_is_unreadable(driver, text):
    with pytest.raises(Unreadable, match="no snapshot"):
        find(driver).load(text)


def test_a_snapshot_of_an_older_version_is_read_with_the_defaults_of_this_one():
    assert find("codex").load('{"proc": "proc", "gone": 1}') == find("codex").born("proc")
