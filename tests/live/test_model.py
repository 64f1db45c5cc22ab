import http.client
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.live.model import Model

STEPS = [{"shell": "make"}, {"write": ["a.txt", "one\ntwo\n"]}, {"text": "All  done.\n"}]
TICKET = """---
title: Make it
agent: codex
done: false
---
Make it so.

```sh
make
```

```script
[{"text": "Made."}]
```

The end.
"""
BASH = {"type": "function", "function": {"name": "bash"}}
WRITE = {"type": "function", "function": {"name": "write"}}


def prompt(steps):
    return f"Please:\n```script\n{json.dumps(steps)}\n```\n"


def post(server, path, body):
    """Return the status and what was streamed (or the one answer)."""
    line = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    line.request("POST", f"/v1{path}", json.dumps(body))
    answer = line.getresponse()
    text = answer.read().decode()
    line.close()
    if answer.getheader("content-type") == "application/json":
        return answer.status, json.loads(text)
    data = [row.removeprefix("data: ") for row in text.splitlines() if row.startswith("data: ")]
    return answer.status, [json.loads(row) for row in data if row != "[DONE]"]


def respond(server, text, done=0, tools=("exec_command",), custom=()):
    items = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}]
    items += [{"type": "function_call_output", "output": "ok"}] * done
    offered = [{"type": "function", "name": name} for name in tools] + [
        {"type": "custom", "name": name} for name in custom
    ]
    return post(server, "/responses", {"model": "m", "input": items, "tools": offered})


def complete(server, text, done=0, tools=(BASH, WRITE)):
    said = [{"role": "user", "content": text}] + [{"role": "tool", "content": "ok"}] * done
    return post(server, "/chat/completions", {"model": "m", "stream": True, "messages": said, "tools": list(tools)})


def answered(events):
    """Return the item with which Responses ends."""
    assert events[-1]["type"] == "response.completed"
    return events[-1]["response"]["output"][0]


def test_responses_plays_the_step_whose_time_has_come():
    with Model() as server:
        first, second, third = (
            answered(respond(server, prompt(STEPS), done, custom=("apply_patch",))[1]) for done in range(3)
        )
    assert (first["name"], json.loads(first["arguments"])["cmd"]) == ("exec_command", "make")
    patch = "*** Begin Patch\n*** Add File: a.txt\n+one\n+two\n*** End Patch"
    assert (second["type"], second["name"], second["input"]) == ("custom_tool_call", "apply_patch", patch)
    assert third["content"][0]["text"] == "All  done.\n"


def test_completions_plays_the_step_whose_time_has_come():
    with Model() as server:
        first, second, third = (complete(server, prompt(STEPS), done)[1] for done in range(3))
    calls = [events[1]["choices"][0]["delta"]["tool_calls"][0]["function"] for events in (first, second)]
    assert [call["name"] for call in calls] == ["bash", "write"]
    assert json.loads(calls[1]["arguments"]) == {"filePath": "a.txt", "content": "one\ntwo\n"}
    pieces = [event["choices"][0]["delta"].get("content", "") for event in third if event["choices"]]
    assert "".join(pieces) == "All  done.\n"
    assert third[-1]["usage"]["prompt_tokens"] == 1000


def test_an_agent_without_a_tool_for_files_writes_through_its_shell():
    with Model() as server:
        item = answered(respond(server, prompt(STEPS), 1)[1])
    assert json.loads(item["arguments"])["cmd"] == "cat > 'a.txt' <<'END'\none\ntwo\nEND"


def test_the_script_is_found_in_a_whole_ticket():
    with Model() as server:
        assert answered(respond(server, f"Work on this ticket.\n\n{TICKET}")[1])["content"][0]["text"] == "Made."


def test_the_last_script_counts_and_the_end_of_it_is_told():
    both = prompt([{"text": "old"}]) + prompt([{"text": "new"}])
    with Model() as server:
        told = [answered(respond(server, both, done)[1])["content"][0]["text"] for done in range(2)]
    assert told == ["new", "The script is over."]


def test_a_call_for_a_title_does_not_disturb_the_script():
    with Model() as server:
        events = complete(server, prompt([{"status": 500}]), tools=())[1]
    assert [event["choices"][0]["delta"].get("content") for event in events if event["choices"]][1:3] == ["A", " title"]


@pytest.mark.parametrize("ask", [respond, complete])
def test_a_refusal_has_the_status_and_the_words_of_the_script(ask):
    with Model() as server:
        status, answer = ask(server, prompt([{"status": 429, "message": "too much"}]))
    assert (status, answer["error"]["message"]) == (429, "too much")


@pytest.mark.parametrize("ask", [respond, complete])
def test_a_stream_that_is_cut_says_its_words_and_never_ends(ask):
    with Model() as server:
        _, events = ask(server, prompt([{"cut": "two words"}]))
    shown = json.dumps(events)
    assert "two" in shown
    assert " words" in shown
    assert "completed" not in shown
    assert '"stop"' not in shown


def test_silence_ends_when_the_model_does():
    with Model() as server:
        assert respond(server, prompt([{"hang": 0.01}])) == (200, [])


def test_a_script_that_is_no_json_is_told():
    with Model() as server:
        item = answered(respond(server, "```script\n[oops\n```")[1])
    assert item["content"][0]["text"].startswith("This script is no JSON")


def test_what_was_asked_is_seen():
    with Model() as server:
        respond(server, "nothing")
        assert [asked["model"] for asked in server.seen] == ["m"]


def test_the_model_runs_by_itself_and_prints_its_port():
    command = [sys.executable, "-m", "tests.live.model", "--port", "0"]
    top = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=top) as process:
        port = int(process.stdout.readline())
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        line.request("GET", "/v1/models")
        assert line.getresponse().status == 200
        line.close()
        process.terminate()
