"""How the demo agent behaves when it is stopped, when it misbehaves as told, and when it cannot do what it shall."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.demo.checkout import TICKET, Checkout, ends, lives, make_checkout, wait_for_numbers
from tests.demo.client import PATIENCE, Client

BUSY = "sleep 300 & echo $! $$ > .git/pids; wait"
STUBBORN = f"trap '' TERM; {BUSY}"


def begin_busy(checkout: Checkout, client: Client, command: str = BUSY) -> tuple[int, list[int]]:
    """Begin a turn whose command has a child, and return the request and the two processes."""
    number = client.begin(checkout.plan(f"- run: {command}\n- say: never\n"))
    return number, wait_for_numbers(checkout.path / ".git/pids", 2)


def add_hook(checkout: Checkout, script: str) -> None:
    """Let a script look at each commit before it is made."""
    checkout.write(".git/hooks/pre-commit", f"#!/bin/sh\n{script}\n")
    (checkout.path / ".git/hooks/pre-commit").chmod(0o700)


def test_two_thousand_numbers_come_each_by_itself_and_in_order(tmp_path: Path):
    checkout = make_checkout(tmp_path)
    with Client(checkout.path) as client:
        begun = time.monotonic()
        heard = client.prompt(checkout.plan("- stream: 2000\n"))
        seconds = time.monotonic() - begun
    assert [int(chunk) for chunk in heard.chunks] == list(range(1, 2001))
    assert heard.text.startswith("1 2 3 4")
    assert seconds < PATIENCE / 2


def test_a_cancelled_stream_stops_at_once(tmp_path: Path):
    checkout = make_checkout(tmp_path)
    with Client(checkout.path) as client:
        number = client.begin(checkout.plan("- stream: {count: 2000, pace: 0.01}\n"))
        client.until(number, lambda heard: len(heard.chunks) == 5)
        client.cancel()
        heard = client.until(number)
        assert heard.stop == "cancelled"
        assert len(heard.chunks) < 1000
        assert not checkout.done
        assert client.prompt(checkout.plan("- say: still here\n")).text == "still here"


@pytest.mark.parametrize("command", [BUSY, STUBBORN])
def test_a_cancelled_command_leaves_no_process(tmp_path: Path, command: str):
    checkout = make_checkout(tmp_path)
    with Client(checkout.path) as client:
        number, processes = begin_busy(checkout, client, command)
        client.cancel()
        heard = client.until(number)
        assert heard.stop == "cancelled"
        assert heard.text == ""
        assert [tool[1:] for tool in heard.tools()] == [("failed", "cancelled")]
        assert all(map(ends, processes))


def test_a_cancel_right_behind_the_prompt_is_heard(tmp_path: Path):
    checkout = make_checkout(tmp_path)
    with Client(checkout.path) as client:
        number = client.begin(checkout.plan("- wait: 60\n"))
        client.cancel()
        assert client.until(number).stop == "cancelled"


def test_a_cancel_between_turns_does_nothing(tmp_path: Path):
    checkout = make_checkout(tmp_path)
    with Client(checkout.path) as client:
        client.cancel()
        assert client.prompt(checkout.plan("- say: hello\n")).text == "hello"
        client.cancel()
        assert client.prompt(checkout.plan("- say: again\n")).stop == "end_turn"


def test_an_agent_whose_stdin_is_closed_ends_with_its_command(tmp_path: Path):
    checkout = make_checkout(tmp_path)
    client = Client(checkout.path)
    _, processes = begin_busy(checkout, client)
    assert client.close() == 0
    assert all(map(ends, processes))


def test_an_agent_that_is_terminated_ends_with_its_command(tmp_path: Path):
    checkout = make_checkout(tmp_path)
    with Client(checkout.path) as client:
        _, processes = begin_busy(checkout, client)
        client.process.terminate()
        assert client.process.wait(PATIENCE) == 128 + signal.SIGTERM
    assert all(map(ends, processes))


def test_what_was_spawned_outlives_the_agent_in_a_session_of_its_own(tmp_path: Path):
    checkout = make_checkout(tmp_path)
    with Client(checkout.path) as client:
        client.prompt(checkout.plan("- spawn: echo $$ > .git/pids; exec sleep 300\n"))
        (pid,) = wait_for_numbers(checkout.path / ".git/pids", 1)
    try:
        assert lives(pid)
        assert os.getsid(pid) == pid
        assert checkout.done
    finally:
        os.kill(pid, signal.SIGKILL)


def test_what_a_command_leaves_in_the_background_does_not_hold_up_the_turn(tmp_path: Path):
    checkout = make_checkout(tmp_path)
    with Client(checkout.path) as client:
        heard = client.prompt(checkout.plan("- run: sleep 300 & echo $! > .git/pids\n"))
        (pid,) = wait_for_numbers(checkout.path / ".git/pids", 1)
        os.kill(pid, signal.SIGKILL)
    assert heard.stop == "end_turn"
    assert checkout.done


def test_a_failing_prompt_is_an_error_and_the_next_one_goes_on(tmp_path: Path):
    checkout = make_checkout(tmp_path)
    prompt = checkout.plan("- fail: the model is overloaded\n- say: better now\n")
    with Client(checkout.path) as client:
        heard = client.prompt(prompt)
        assert heard.answer["error"]["message"] == "the model is overloaded"
        assert client.prompt(prompt).text == "better now"


@pytest.mark.parametrize("code", [0, 7, -9, -15])
def test_an_agent_that_dies_is_gone_at_once_with_its_code(tmp_path: Path, code: int):
    checkout = make_checkout(tmp_path)
    with Client(checkout.path) as client:
        number = client.begin(checkout.plan(f"- say: farewell\n- die: {code}\n"))
        heard = client.until(number, lambda heard: heard.text == "farewell")
        assert heard.text == "farewell"
        assert client.process.wait(PATIENCE) == code
    assert not checkout.done


def test_nonsense_is_a_line_between_the_messages(tmp_path: Path):
    checkout = make_checkout(tmp_path)
    with Client(checkout.path) as client:
        heard = client.prompt(checkout.plan("- say: before\n- nonsense: 'this is {no JSON'\n- say: after\n"))
    assert heard.noise == ["this is {no JSON\n"]
    assert heard.text == "before\nafter"


def test_a_malformed_block_is_told_in_a_sentence(tmp_path: Path):
    checkout = make_checkout(tmp_path)
    with Client(checkout.path) as client:
        heard = client.prompt(checkout.plan("- say: hello\n- run: {command: ls}\n"))
    wrong = "cmd: Field required; command: Extra inputs are not permitted."
    assert heard.text == f"Step 2 of the demo block (run) cannot be read: {wrong}"
    assert heard.answer["error"]["message"] == heard.text
    assert not checkout.done


def test_a_ticket_without_a_block_is_told_in_a_sentence(tmp_path: Path):
    checkout = make_checkout(tmp_path)
    checkout.write(TICKET, "---\nagent: demo\ndone: false\n---\nThink hard.\n")
    with Client(checkout.path) as client:
        heard = client.prompt(checkout.hand_over())
    assert heard.text.startswith(f"{TICKET} has no demo block. I am the demo agent and have no model")
    assert heard.answer["error"]["message"] == heard.text
    assert not checkout.done


def test_a_ticket_that_is_gone_is_told_in_a_sentence(tmp_path: Path):
    checkout = make_checkout(tmp_path)
    with Client(checkout.path) as client:
        heard = client.prompt(checkout.hand_over())
    assert heard.text.startswith(f"The ticket {TICKET} cannot be read:")


def test_a_ticket_whose_head_is_broken_is_committed_under_its_name_and_told(tmp_path: Path):
    checkout = make_checkout(tmp_path)
    with Client(checkout.path) as client:
        heard = client.prompt(checkout.plan("- write: {path: a, text: b}\n", "---\ndone: [\n---\n"))
    assert heard.text.startswith(f"I cannot write into {TICKET} whether it is done: line ")
    assert checkout.subjects == ["TICKET-001-try", "first"]
    assert not checkout.done


def test_a_commit_that_a_hook_refuses_is_told_and_the_ticket_is_not_done(tmp_path: Path):
    checkout = make_checkout(tmp_path)
    add_hook(checkout, "echo too long; exit 1")
    with Client(checkout.path) as client:
        heard = client.prompt(checkout.plan("- write: {path: a, text: b}\n"))
    assert heard.text == f"git commit failed in {checkout.path} with exit code 1."
    assert heard.tools()[-1] == ("git commit: Try it", "failed", "too long")
    assert not checkout.done


def test_a_cancelled_commit_leaves_no_process_and_no_lock(tmp_path: Path):
    checkout = make_checkout(tmp_path)
    checkout.write(".gitattributes", "a filter=slow\n")
    checkout.git("config", "filter.slow.clean", BUSY)
    with Client(checkout.path) as client:
        number = client.begin(checkout.plan("- write: {path: a, text: b}\n"))
        processes = wait_for_numbers(checkout.path / ".git/pids", 2)
        client.cancel()
        assert client.until(number).stop == "cancelled"
        assert all(map(ends, processes))
        checkout.git("config", "filter.slow.clean", "cat")
        client.prompt(checkout.hand_over())
    assert checkout.done
    assert checkout.subjects == ["Try it", "first"]


def test_a_folder_without_git_is_told_and_nothing_is_marked_done(tmp_path: Path):
    checkout = Checkout(tmp_path)
    with Client(tmp_path) as client:
        heard = client.prompt(checkout.plan("- write: {path: a, text: b}\n"))
    assert heard.text == f"git add failed in {tmp_path} with exit code 128."
    assert not checkout.done


def test_somebody_who_chats_is_told_what_this_agent_is(tmp_path: Path):
    with Client(tmp_path) as client:
        heard = client.prompt("How is the\nweather?")
    assert 'You said: "How is the weather?".' in heard.text
    assert "I am the demo agent and have no model" in heard.text


def test_a_block_in_a_chat_is_performed_each_time_and_commits_nothing(tmp_path: Path):
    checkout = make_checkout(tmp_path)
    prompt = f"Please:\n```demo\n- run: echo once >> log.txt\n```\nand leave {TICKET} alone."
    with Client(checkout.path) as client:
        client.prompt(prompt)
        client.prompt(prompt)
    assert checkout.read("log.txt") == "once\nonce\n"
    assert checkout.subjects == ["first"]


def test_a_ticket_that_is_mentioned_in_a_chat_is_performed(tmp_path: Path):
    checkout = make_checkout(tmp_path)
    checkout.plan("- say: at once\n")
    with Client(checkout.path) as client:
        assert client.prompt(f"Work on {TICKET}, please.").text == "at once"
    assert checkout.done


def test_what_is_not_offered_is_refused(tmp_path: Path):
    with Client(tmp_path) as client:
        assert client.greeting["protocolVersion"] == 1
        assert client.greeting["agentInfo"]["name"] == "car-demo-agent"
        assert (
            client.request("session/load", sessionId="x", cwd=str(tmp_path), mcpServers=[])["error"]["code"] == -32601
        )
        prompt = [{"type": "text", "text": "hello"}]
        refusal = client.request("session/prompt", sessionId="x", prompt=prompt)["error"]["message"]
        assert refusal == "There is no session x."
        refusal = client.request("session/new", cwd=str(tmp_path / "x"), mcpServers=[])["error"]["message"]
        assert refusal == f"{tmp_path / 'x'} is no folder; a session needs one to work in."


def test_a_second_prompt_has_to_wait_for_the_first(tmp_path: Path):
    checkout = make_checkout(tmp_path)
    with Client(checkout.path) as client:
        first = client.begin(checkout.plan("- say: busy\n- wait: 60\n"))
        client.until(first, lambda heard: heard.text == "busy")
        second = client.prompt("hello")
        assert second.answer["error"]["message"] == f"The session {client.session} works already; wait or cancel."
        client.cancel()
        assert client.until(first).stop == "cancelled"
