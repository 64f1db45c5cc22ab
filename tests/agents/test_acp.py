import json

import pytest

from actors.workers.agents.acp import DRIVER
from protocol import agent
from protocol.agent import Usage
from tests.agents.recording import RECORDINGS, fold, replay, story

PROMPT = {"id": "turn:t1", "method": "session/prompt", "params": {"sessionId": "s", "prompt": []}}
OPENED = (
    ("in", {"id": "open:2", "method": "session/new", "params": {"cwd": "/checkout", "mcpServers": []}}),
    ("out", {"id": "open:2", "result": {"sessionId": "s"}}),
)
WORKING = (*OPENED, ("in", PROMPT))
OPTIONS = [
    {"optionId": "yes", "name": "Yes", "kind": "allow_once"},
    {"optionId": "no", "name": "No", "kind": "reject_once"},
]


def update(news, session="s", **rest):
    return "out", {
        "method": "session/update",
        "params": {"sessionId": session, "update": {"sessionUpdate": news, **rest}},
    }


def chunk(text, **rest):
    return update("agent_message_chunk", content={"type": "text", "text": text}, **rest)


def asks(tool, options=OPTIONS, id_=0):
    params = {"sessionId": "s", "toolCall": {"toolCallId": "c1", **tool}, "options": options}
    return "out", {"id": id_, "method": "session/request_permission", "params": params}


def over(**result):
    return "out", {"id": "turn:t1", "result": result}


def test_opencode_edits_and_commits_with_leave():
    commit = "git add b.txt && git commit -qm 'Add b'"
    assert story("acp_edit_and_permission") == [
        "OpenCode 1.18.33",
        "opened",
        "t1",
        ("write", "began"),
        ("may I", "/checkout/b.txt", ("/checkout/b.txt",)),
        ("write", "/checkout/b.txt", "hello\n"),
        ("b.txt", "done"),
        (commit, "began"),
        ("may I", commit, ()),
        (commit, "done"),
        ("t1", "done", "I have written b.txt and committed it."),
        "t2",
        ("t2", "done", "That was all."),
    ]


def test_what_was_read_from_a_cache_counts_as_input_too():
    _, heard = fold(RECORDINGS["acp_edit_and_permission"])
    ends = [fact.usage for fact in heard if isinstance(fact, agent.TurnOver)]
    assert ends == [Usage(input=1000, cached=100, output=50)] * 2


def test_opencode_stops_when_its_turn_is_cancelled():
    assert story("acp_cancel")[2:] == ["t1", ("t1", "interrupted", "w w w w w w")]


def test_a_refused_command_is_told_as_failed():
    assert story("acp_refused")[3:] == [
        ("touch c.txt", "began"),
        ("may I", "touch c.txt", ()),
        ("touch c.txt", "failed"),
        ("t1", "done", ""),
    ]


def test_a_model_that_refuses_the_key_is_a_trouble_of_signing_in():
    _, heard = fold(RECORDINGS["acp_model_401"])
    assert (heard[-1].outcome, heard[-1].trouble) == ("failed", "auth")
    assert heard[-1].error == (
        "The agent failed: Internal error: Incorrect API key provided. Sign the agent in, or give it its key."
    )


def test_the_words_of_a_turn_grow_while_it_runs_and_are_gone_after_it():
    during, heard = replay(DRIVER, *WORKING, chunk("Half "), chunk("done"))
    assert DRIVER.words(during) == "Half done"
    after, ended = replay(DRIVER, over(stopReason="end_turn"), machine=during)
    assert (DRIVER.words(after), ended[0].text) == ("", "Half done")
    assert [type(fact) for fact in heard[1:]] == [agent.TurnBegan]


def test_another_message_and_words_after_a_tool_are_new_paragraphs():
    tool = update("tool_call", toolCallId="c1", title="ls", status="completed")
    machine, _ = replay(
        DRIVER, *WORKING, chunk("One", messageId="1"), chunk("Two", messageId="2"), tool, chunk("Three", messageId="2")
    )
    assert DRIVER.words(machine) == "One\n\nTwo\n\nThree"


def test_a_character_that_was_cut_in_half_does_not_harm_the_words():
    half = json.dumps(chunk("x\ud83d")[1])
    machine, heard = replay(DRIVER, *WORKING, ("out", half))
    assert DRIVER.words(machine) == "x\ufffd"
    assert [type(fact) for fact in heard[1:]] == [agent.TurnBegan]


def test_words_of_another_conversation_or_outside_of_a_turn_are_passed_over():
    other, _ = replay(DRIVER, *WORKING, update("agent_message_chunk", "x", content={"type": "text", "text": "no"}))
    late, _ = replay(DRIVER, *WORKING, over(stopReason="end_turn"), chunk("late"))
    assert (DRIVER.words(other), DRIVER.words(late)) == ("", "")


def test_plans_usage_and_unknown_updates_tell_nothing():
    rows = (
        update("plan", entries=[]),
        update("usage_update", used=1, size=2),
        update("brand_new", x=1),
        update("agent_message_chunk", content={"type": "scent"}),
    )
    _, heard = replay(DRIVER, *WORKING, *rows)
    assert [type(fact) for fact in heard] == [agent.ThreadOpened, agent.TurnBegan]


@pytest.mark.parametrize(
    ("reason", "trouble"),
    [("refusal", "refused"), ("max_tokens", "context"), ("max_turn_requests", "quota"), ("brand_new", "nonsense")],
)
def test_a_turn_that_stopped_short_has_failed_and_says_why(reason, trouble):
    _, heard = replay(DRIVER, *WORKING, over(stopReason=reason))
    assert (heard[-1].turn, heard[-1].outcome, heard[-1].trouble) == ("t1", "failed", trouble)
    assert heard[-1].error


def test_an_error_in_answer_to_a_prompt_ends_the_turn():
    machine, heard = replay(DRIVER, *WORKING, ("out", {"id": "turn:t1", "error": {"code": -32603, "message": "boom"}}))
    assert (machine.turn, heard[-1].outcome, heard[-1].trouble) == ("", "failed", "bug")
    assert heard[-1].error == "The agent failed: boom."


@pytest.mark.parametrize("id_", ["initialize:1", "open:2"])
def test_an_agent_that_is_not_signed_in_says_so_before_any_turn(id_):
    _, heard = replay(DRIVER, ("out", {"id": id_, "error": {"code": -32000, "message": "Authentication required"}}))
    assert [(type(fact), fact.trouble) for fact in heard] == [(agent.Stumbled, "auth")]


def test_the_answer_to_a_turn_that_is_over_is_passed_over():
    late = ("out", {"id": "turn:t0", "result": {"stopReason": "end_turn"}})
    fault = ("out", {"id": "turn:t0", "error": {"code": 1, "message": "x"}})
    _, heard = replay(DRIVER, *WORKING, late, fault)
    assert [type(fact) for fact in heard] == [agent.ThreadOpened]


def test_an_agent_of_another_version_is_named():
    hello = {"protocolVersion": 2, "agentInfo": {"name": "Zed", "version": "9"}}
    _, (fact,) = replay(DRIVER, ("out", {"id": "initialize:1", "result": hello}))
    assert fact.error == (
        "Zed 9 speaks version 2 of ACP, CAR speaks version 1. Install a version of the agent that speaks version 1."
    )


@pytest.mark.parametrize(
    ("tool", "paths"),
    [
        ({}, ()),
        ({"rawInput": {"command": "rm -rf x"}}, ()),
        ({"locations": [{"path": "/a"}], "rawInput": {"filePath": "/a"}}, ("/a",)),
        ({"content": [{"type": "diff", "path": "/b", "newText": "x"}]}, ("/b",)),
        ({"rawInput": {"file_path": "/c", "edits": [{"path": "/d"}], "cwd": "/e"}}, ("/c", "/d", "/e")),
        ({"rawInput": {"paths": ["/f", "/g"], "changes": {"/h": {"type": "add"}}}}, ("/f", "/g", "/h")),
    ],
)
def test_a_question_for_permission_names_every_path_of_the_tool(tool, paths):
    _, heard = replay(DRIVER, *WORKING, asks(tool))
    assert heard[-1].paths == paths
    assert [(option.id, option.kind) for option in heard[-1].options] == [("yes", "allow_once"), ("no", "reject_once")]


def test_a_question_without_a_title_is_called_by_its_tool():
    tool = update("tool_call", toolCallId="c1", title="make test", kind="execute")
    _, heard = replay(DRIVER, *WORKING, tool, asks({}))
    assert (heard[-1].title, heard[-1].kind) == ("make test", "execute")


@pytest.mark.parametrize(
    ("option", "options", "cancelled", "outcome"),
    [
        ("yes", OPTIONS, False, {"outcome": "selected", "optionId": "yes"}),
        ("", OPTIONS, False, {"outcome": "selected", "optionId": "no"}),
        ("", OPTIONS[:1], False, {"outcome": "cancelled"}),
        ("", OPTIONS, True, {"outcome": "cancelled"}),
    ],
)
def test_a_question_is_answered_by_an_option_or_refused_and_while_cancelling_cancelled(
    option, options, cancelled, outcome
):
    machine, heard = replay(DRIVER, *WORKING, asks({}, options))
    if cancelled:
        machine, _ = DRIVER.tell(machine, agent.CancelTurn(proc="proc", number=4))
    permit = agent.Permit(proc="proc", number=5, request=heard[-1].request, option=option)
    machine, (line,) = DRIVER.tell(machine, permit)
    assert json.loads(line) == {"jsonrpc": "2.0", "id": 0, "result": {"outcome": outcome}}
    assert machine.asked == ()


def test_a_wish_in_a_form_that_nobody_knows_can_still_be_denied():
    machine, heard = replay(DRIVER, *WORKING, ("out", {"id": 3, "method": "fs/read_text_file", "params": {"path": 1}}))
    assert (type(heard[-1]), heard[-1].method) == (agent.Unsupported, "fs/read_text_file")
    _, (line,) = DRIVER.tell(machine, agent.Deny(proc="proc", number=5, request="3", why="no"))
    assert json.loads(line)["error"] == {"code": -32602, "message": "no"}


def test_a_file_that_the_agent_wants_is_handed_over():
    params = {"sessionId": "s", "path": "/checkout/a", "line": 0, "limit": 3}
    machine, heard = replay(DRIVER, *WORKING, ("out", {"id": "r", "method": "fs/read_text_file", "params": params}))
    assert (heard[-1].path, heard[-1].at, heard[-1].limit) == ("/checkout/a", 1, 3)
    _, (line,) = DRIVER.tell(machine, agent.GiveText(proc="proc", number=5, request=heard[-1].request, text="text\n"))
    assert json.loads(line) == {"jsonrpc": "2.0", "id": "r", "result": {"content": "text\n"}}


def test_tools_that_never_end_are_remembered_within_bounds():
    rows = [update("tool_call", toolCallId=f"{number}" * 50, title="x" * 5000) for number in range(500)]
    machine, heard = replay(DRIVER, *WORKING, *rows)
    assert len([fact for fact in heard if isinstance(fact, agent.Acted)]) == 500
    assert len(DRIVER.dump(machine)) < 50_000
