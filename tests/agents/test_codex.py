import json

import pytest

from actors.workers.agents.codex import DRIVER
from protocol import agent
from protocol.agent import Usage
from tests.agents.recording import RECORDINGS, brief, fold, replay, story

CALL = Usage(input=1000, cached=100, output=50)
WALL = "bwrap: No permissions to create new namespace, likely because the kernel does not allow it"
OPENED = (
    ("in", {"id": "open:2", "method": "thread/start", "params": {"cwd": "/checkout", "sandbox": "workspace-write"}}),
    ("out", {"id": "open:2", "result": {"thread": {"id": "h"}, "model": "own"}}),
)
WORKING = (
    *OPENED,
    ("in", {"id": "turn:t1", "method": "turn/start", "params": {"threadId": "h"}}),
    ("out", {"id": "turn:t1", "result": {"turn": {"id": "u1", "status": "inProgress"}}}),
)


def note(method, **params):
    return "out", {"method": method, "params": {"threadId": "h", "turnId": "u1", **params}}


def item(way, **rest):
    return note(f"item/{way}", item={"id": "i1", **rest})


def ran(output, code, **rest):
    status = "failed" if code else "completed"
    done = {"type": "commandExecution", "command": "make", "status": status}
    return item("completed", **done, aggregatedOutput=output, exitCode=code, **rest)


def spent(tokens, turn="u1"):
    total = {"inputTokens": tokens, "cachedInputTokens": 0, "outputTokens": 0}
    return note("thread/tokenUsage/updated", turnId=turn, tokenUsage={"total": total, "last": total})


def over(status="completed", turn="u1", **rest):
    return note("turn/completed", turn={"id": turn, "status": status, "items": [], **rest})


def tell(machine, command, **rest):
    machine, lines = DRIVER.tell(machine, command(proc="proc", number=9, **rest))
    return machine, [json.loads(line) for line in lines]


def ends(name):
    return [fact for fact in fold(RECORDINGS[name])[1] if isinstance(fact, agent.TurnOver)]


def test_codex_edits_and_commits_inside_its_sandbox():
    commit = "echo more >> b.txt && git add b.txt && git commit -qm 'Add b' && git log --oneline | wc -l"
    assert story("codex_edit_and_commit") == [
        "Codex 0.169.0",
        "opened",
        "t1",
        ("b.txt", "began"),
        ("b.txt", "done"),
        (commit, "began"),
        (commit, "done"),
        ("t1", "done", "I have written b.txt and committed it."),
    ]
    assert ends("codex_edit_and_commit")[0].usage == Usage(input=3000, cached=300, output=150)


def test_every_turn_has_its_own_words_and_its_own_cost():
    turns = [(end.turn, end.text, end.usage.input) for end in ends("codex_several_turns")]
    assert turns == [("t1", "First.", 2000), ("t2", "Second.", 1000), ("t3", "Third.", 2000)]


def test_an_interrupted_command_is_ended_and_the_next_turn_goes_on():
    turns = [(end.turn, end.outcome, end.usage) for end in ends("codex_interrupt_command")]
    assert turns == [("t1", "interrupted", CALL), ("t2", "done", CALL)]
    assert ("sleep 77", "failed") in story("codex_interrupt_command")


def test_an_interrupted_answer_keeps_its_words():
    assert story("codex_interrupt_words")[-1] == ("t1", "interrupted", "w w w w")


def test_a_turn_can_be_cancelled_before_codex_has_named_it_and_once_more_when_it_is_over():
    assert story("codex_interrupt_at_once")[2:] == ["t1", ("t1", "interrupted", "")]


@pytest.mark.parametrize(
    ("name", "trouble", "says", "mend"),
    [
        ("codex_model_401", "auth", "401 Unauthorized", "Sign the agent in, or give it its key."),
        (
            "codex_model_429",
            "quota",
            "429 Too Many Requests",
            "Wait until the limit is lifted, or choose another model.",
        ),
        ("codex_model_500", "network", "high demand", "Wait a little, or see whether this machine reaches the model."),
        (
            "codex_stream_cut",
            "network",
            "stream disconnected before completion",
            "whether this machine reaches the model.",
        ),
    ],
)
def test_a_model_that_fails_is_a_trouble_with_a_name_and_a_way_out(name, trouble, says, mend):
    (end,) = ends(name)
    assert (end.outcome, end.trouble) == ("failed", trouble)
    assert end.error.startswith("The agent failed: ")
    assert says in end.error
    assert end.error.endswith(mend)


def test_a_sandbox_that_cannot_be_set_up_fails_the_turn_and_names_the_setting():
    (end,) = ends("codex_sandbox_missing")
    assert (end.outcome, end.trouble, end.text) == ("failed", "sandbox", "I could not do it.")
    assert end.error == (
        "The agent could not set up its sandbox on this machine: bwrap: Creating new namespace failed: nesting depth "
        "or /proc/sys/user/max_*_namespaces exceeded (ENOSPC). Where the machine itself is a sandbox, set "
        "agents.codex.sandbox to danger-full-access in codex-autorunner.yml."
    )


def test_without_a_sandbox_codex_works_where_none_can_be_set_up():
    assert story("codex_full_access")[-2:] == [("echo hi", "done"), ("t1", "done", "Done.")]


@pytest.mark.parametrize(
    ("rows", "trouble"),
    [
        ([ran(WALL, 1)], "sandbox"),
        ([ran(f"{WALL}\nmore", 1), ran(WALL, 1)], "sandbox"),
        ([ran("ok", 0), ran(WALL, 1)], None),
        ([ran(WALL, 1), ran("tests failed", 2)], None),
        ([ran(f"a test of ours says\n{WALL}", 1)], None),
        ([ran(WALL, 0)], None),
        ([ran(WALL, None)], None),
    ],
)
def test_the_sandbox_is_blamed_only_while_nothing_has_run_in_it(rows, trouble):
    _, heard = replay(DRIVER, *WORKING, *rows, over())
    assert heard[-1].trouble == trouble


def test_the_sandbox_is_not_blamed_where_there_is_none():
    opened = {"id": "open:2", "method": "thread/start", "params": {"cwd": "/c", "sandbox": "danger-full-access"}}
    _, heard = replay(DRIVER, ("in", opened), *WORKING[1:], ran(WALL, 1), over())
    assert heard[-1].outcome == "done"


def test_a_conversation_opens_behind_walls_with_git_writable():
    _, lines = tell(DRIVER.born("proc"), agent.OpenThread, cwd="/checkout", writable=("/checkout/.git",), model="m")
    walls = {"writable_roots": ["/checkout/.git"], "network_access": False}
    assert lines[0] == {"method": "initialized"}
    assert lines[1]["params"] == {
        "cwd": "/checkout",
        "approvalPolicy": "never",
        "sandbox": "workspace-write",
        "config": {"sandbox_workspace_write": walls},
        "model": "m",
    }


@pytest.mark.parametrize(
    ("sandbox", "policy"),
    [
        ("", {"type": "workspaceWrite", "writableRoots": ["/checkout/.git"], "networkAccess": False}),
        ("danger-full-access", {"type": "dangerFullAccess"}),
        ("read-only", {"type": "readOnly"}),
    ],
)
def test_a_turn_has_the_walls_of_its_conversation(sandbox, policy):
    opened = {"cwd": "/checkout", "writable": ("/checkout/.git",), "sandbox": sandbox}
    machine, _ = tell(DRIVER.born("proc"), agent.OpenThread, **opened)
    machine, _ = replay(DRIVER, OPENED[1], machine=machine)
    _, (line,) = tell(machine, agent.StartTurn, turn="t1", text="Work.", model="m", effort="high")
    assert (line["id"], line["params"]["sandboxPolicy"]) == ("turn:t1", policy)
    assert (line["params"]["model"], line["params"]["effort"]) == ("m", "high")
    assert line["params"]["input"] == [{"type": "text", "text": "Work.", "text_elements": []}]


def test_a_turn_without_a_model_has_the_conversations_own_also_after_one_of_another():
    machine, _ = replay(DRIVER, *OPENED)
    models = []
    for number, model in enumerate(("", "other", "", "")):
        machine, (line,) = tell(machine, agent.StartTurn, turn=f"t{number}", text="Work.", model=model)
        models.append(line["params"].get("model"))
    assert models == [None, "other", "own", "own"]


def test_cancelling_interrupts_the_turn_and_ends_what_it_left_running():
    machine, _ = replay(DRIVER, *WORKING)
    machine, lines = tell(machine, agent.CancelTurn)
    assert [(line["method"], line["params"]) for line in lines] == [
        ("turn/interrupt", {"threadId": "h", "turnId": "u1"}),
        ("thread/backgroundTerminals/clean", {"threadId": "h"}),
    ]
    assert machine.cancelling


def test_that_there_was_nothing_to_cancel_troubles_nobody():
    faults = [("out", {"id": f"{kind}:9", "error": {"code": -32600, "message": "no"}}) for kind in ("cancel", "clean")]
    _, heard = replay(DRIVER, *WORKING, *faults)
    assert [type(fact) for fact in heard] == [agent.ThreadOpened]


@pytest.mark.parametrize(
    ("info", "trouble"),
    [
        ("unauthorized", "auth"),
        ("usageLimitExceeded", "quota"),
        ("contextWindowExceeded", "context"),
        ("serverOverloaded", "network"),
        ("cyberPolicy", "refused"),
        ("sandboxError", "sandbox"),
        ("badRequest", "bug"),
        ("brandNew", "bug"),
        ({"httpConnectionFailed": {"httpStatusCode": 403}}, "auth"),
        ({"httpConnectionFailed": {"httpStatusCode": None}}, "network"),
        ({"responseStreamDisconnected": {"httpStatusCode": 503}}, "network"),
        ({"responseTooManyFailedAttempts": {"httpStatusCode": 429}}, "quota"),
        (None, "bug"),
    ],
)
def test_each_error_of_codex_has_a_trouble(info, trouble):
    _, heard = replay(DRIVER, *WORKING, over("failed", error={"message": "it broke", "codexErrorInfo": info}))
    assert (heard[-1].outcome, heard[-1].trouble) == ("failed", trouble)
    assert "it broke" in heard[-1].error


def test_an_error_in_answer_to_a_prompt_ends_the_turn():
    fault = ("out", {"id": "turn:t1", "error": {"code": -32600, "message": "thread not found"}})
    _, heard = replay(DRIVER, *WORKING[:3], fault)
    assert (heard[-1].turn, heard[-1].outcome, heard[-1].error) == (
        "t1",
        "failed",
        "The agent failed: thread not found.",
    )


def test_a_conversation_that_cannot_be_opened_is_told():
    _, (fact,) = replay(DRIVER, OPENED[0], ("out", {"id": "open:2", "error": {"code": -32600, "message": "bad model"}}))
    assert (type(fact), fact.error) == (agent.Stumbled, "The agent failed: bad model.")


def test_an_end_in_a_form_that_nobody_knows_still_ends_the_turn():
    _, heard = replay(DRIVER, *WORKING, note("turn/completed", turn={"status": 7}))
    assert (heard[-1].outcome, heard[-1].trouble) == ("failed", "nonsense")


def test_the_end_of_another_turn_or_of_another_conversation_is_passed_over():
    other = (
        "out",
        {"method": "turn/completed", "params": {"threadId": "x", "turn": {"id": "u1", "status": "completed"}}},
    )
    machine, heard = replay(DRIVER, *WORKING, over(turn="u0"), other)
    assert (machine.turn, [type(fact) for fact in heard]) == ("t1", [agent.ThreadOpened])


def test_a_report_of_tokens_that_comes_twice_or_late_counts_once():
    again = ("in", {"id": "turn:t2", "method": "turn/start", "params": {"threadId": "h"}})
    named = ("out", {"id": "turn:t2", "result": {"turn": {"id": "u2", "status": "inProgress"}}})
    rows = (spent(10), spent(10), over(), again, named, spent(15), spent(40, "u2"), over(turn="u2"))
    _, heard = replay(DRIVER, *WORKING, *rows)
    assert [fact.usage.input for fact in heard if isinstance(fact, agent.TurnOver)] == [10, 25]


def test_news_in_a_form_that_nobody_knows_is_passed_over():
    strange = (item("started", type=7), note("thread/tokenUsage/updated", tokenUsage={}), note("turn/started", turn=1))
    before, _ = replay(DRIVER, *WORKING)
    assert replay(DRIVER, *strange, machine=before) == (before, [])


def test_a_message_that_comes_in_one_piece_is_heard_once():
    whole = item("completed", type="agentMessage", text="Whole.")
    pieces = (
        note("item/agentMessage/delta", itemId="i2", delta="In "),
        note("item/agentMessage/delta", itemId="i2", delta="two."),
    )
    same = note("item/completed", item={"id": "i2", "type": "agentMessage", "text": "In two."})
    machine, _ = replay(DRIVER, *WORKING, whole, *pieces, same)
    assert DRIVER.words(machine) == "Whole.\n\nIn two."


@pytest.mark.parametrize(
    ("option", "cancelled", "decision"),
    [("acceptForSession", False, "acceptForSession"), ("", False, "decline"), ("", True, "cancel")],
)
def test_a_question_names_the_paths_of_its_change_and_is_answered_by_a_decision(option, cancelled, decision):
    change = item(
        "started", type="fileChange", status="inProgress", changes=[{"path": "/checkout/a"}, {"path": "/etc/b"}]
    )
    params = {"threadId": "h", "turnId": "u1", "itemId": "i1", "reason": "must", "grantRoot": "/etc"}
    asked = ("out", {"id": 0, "method": "item/fileChange/requestApproval", "params": params})
    machine, heard = replay(DRIVER, *WORKING, change, asked)
    assert (heard[-1].title, heard[-1].kind, heard[-1].paths) == ("must", "edit", ("/checkout/a", "/etc/b", "/etc"))
    if cancelled:
        machine, _ = tell(machine, agent.CancelTurn)
    machine, (line,) = tell(machine, agent.Permit, request=heard[-1].request, option=option)
    assert (line, machine.asked) == ({"id": 0, "result": {"decision": decision}}, ())


def test_a_change_of_more_files_than_are_remembered_counts_as_one_of_anywhere():
    many = [{"path": f"/checkout/{number}"} for number in range(300)]
    params = {"threadId": "h", "turnId": "u1", "itemId": "i1"}
    asked = ("out", {"id": 0, "method": "item/fileChange/requestApproval", "params": params})
    machine, heard = replay(DRIVER, *WORKING, item("started", type="fileChange", changes=many), asked)
    assert heard[-1].paths == ("/",)
    assert len(DRIVER.dump(machine)) < 2000


def test_a_question_about_a_command_shows_the_command_without_its_shell():
    params = {
        "threadId": "h",
        "turnId": "u1",
        "itemId": "i1",
        "command": "/bin/bash -lc 'make test'",
        "cwd": "/checkout",
    }
    _, heard = replay(
        DRIVER, *WORKING, ("out", {"id": 0, "method": "item/commandExecution/requestApproval", "params": params})
    )
    assert brief(heard[-1]) == ("may I", "make test", ("/checkout",))


def test_a_question_that_is_resolved_elsewhere_is_forgotten():
    asked = ("out", {"id": 0, "method": "item/tool/requestUserInput", "params": {}})
    machine, heard = replay(DRIVER, *WORKING, asked, note("serverRequest/resolved", requestId=0))
    assert (type(heard[-1]), machine.asked) == (agent.Unsupported, ())
