"""A model that plays a script instead of thinking: OpenAI Responses (Codex) and Chat Completions (OpenCode), streamed.

The script stands in the prompt, as a fenced block; a whole ticket may stand around it, and the last block counts:

    ```script
    [{"shell": "make test"}, {"write": ["a.txt", "one\n"]}, {"text": "All done.", "delay": 0.1}]
    ```

Step n is played when n tools have answered since that prompt, so the model remembers nothing and may serve many agents
at once. The steps:

    {"shell": COMMAND}                  use the agent's own shell
    {"write": [PATH, TEXT]}             use the agent's own tool for files
    {"text": TEXT, "delay": SECONDS}    say it word by word, and end the turn
    {"status": CODE, "message": TEXT}   refuse the call
    {"cut": TEXT}                       say it, then drop the connection
    {"hang": SECONDS}                   say nothing for a while, then drop the connection
"""

import argparse
import json
import re
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BLOCK = re.compile(r"^[ \t]*```script[ \t]*\n(.*?)^[ \t]*```[ \t]*$", re.MULTILINE | re.DOTALL)
SHELLS = ("exec_command", "bash")
USAGE = (1000, 100, 50)
"""Tokens that every call is said to cost: input, cached of these, output."""


def read(prompt):
    """Return the steps of the last script in a text, or None."""
    blocks = BLOCK.findall(prompt)
    if not blocks:
        return None
    try:
        return json.loads(blocks[-1])
    except ValueError as error:
        return [{"text": f"This script is no JSON: {error}"}]


def choose(turns):
    """Return the step whose time has come; ``turns`` are pairs of role (``user`` or ``tool``) and text."""
    steps, done = None, 0
    for role, text in turns:
        if role == "user" and (found := read(text)) is not None:
            steps, done = found, 0
        elif role == "tool":
            done += 1
    if steps is None:
        return {"text": "There is no script."}
    return steps[done] if done < len(steps) else {"text": "The script is over."}


def call(step, tools):
    """Return the tool that a step uses, and with what."""
    shell = next((name for name in SHELLS if name in tools), SHELLS[0])
    if "shell" in step:
        command = step["shell"]
    else:
        path, text = step["write"]
        if "apply_patch" in tools:
            body = "".join(f"+{line}\n" for line in text.splitlines())
            return "apply_patch", f"*** Begin Patch\n*** Add File: {path}\n{body}*** End Patch"
        if "write" in tools:
            return "write", {"filePath": path, "content": text}
        command = f"cat > '{path}' <<'END'\n{text.removesuffix(chr(10))}\nEND"
    if shell == "bash":
        return shell, {"command": command, "description": command[:60]}
    return shell, {"cmd": command, "yield_time_ms": 30000}


def plain(content):
    """Return the text of a message, whatever it is wrapped in."""
    if isinstance(content, str):
        return content
    return "\n".join(part if isinstance(part, str) else part.get("text") or "" for part in content or ())


def words(text):
    """Split a text into what is streamed piece by piece."""
    return re.findall(r"\s*\S+\s*?(?=\s|$)|\s+", text)


class Conversation(BaseHTTPRequestHandler):
    """Answers one call of an agent."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def log_message(self, *_):
        """Keep quiet."""

    def do_GET(self):
        """List the models, for agents that ask."""
        self.refuse(200, {"object": "list", "data": [{"id": "scripted", "object": "model"}]})

    def do_POST(self):
        """Play the step whose time has come."""
        asked = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))))
        self.server.seen.append(asked)
        path = self.path.partition("?")[0]
        try:
            if path.endswith("/responses"):
                self.play(Responses(asked))
            elif path.endswith("/chat/completions"):
                self.play(Completions(asked))
            else:
                self.refuse(404, {"error": {"message": f"{path} is not spoken here"}})
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def play(self, dialect):
        """Send what the step says, in the dialect of the agent."""
        step = dialect.step
        if "status" in step:
            message = step.get("message", "so the script says")
            self.refuse(step["status"], {"error": {"type": "scripted", "message": message}})
            return
        self.close_connection = True
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        if "hang" in step:
            self.server.closing.wait(step["hang"])
            return
        for name, event in dialect.events():
            head = f"event: {name}\n" if name else ""
            self.wfile.write(f"{head}data: {event if isinstance(event, str) else json.dumps(event)}\n\n".encode())
            self.wfile.flush()
            if step.get("delay"):
                time.sleep(step["delay"])

    def refuse(self, status, answer):
        """Send one JSON object."""
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@dataclass
class Responses:
    """OpenAI Responses."""

    asked: dict
    step: dict = field(init=False)

    def __post_init__(self):
        """Find the step in what was asked."""
        turns = []
        for item in self.asked.get("input", ()):
            kind = item.get("type", "message")
            if kind == "message" and item.get("role") == "user":
                turns.append(("user", plain(item.get("content"))))
            elif kind.endswith("_call_output"):
                turns.append(("tool", ""))
        self.step = choose(turns)

    def events(self) -> Iterator[tuple[str, object]]:
        """Say the step."""
        answer = {"id": "resp_scripted", "object": "response", "model": self.asked.get("model")}
        yield self.event("response.created", response={**answer, "status": "in_progress", "output": []})
        text = self.step.get("text", self.step.get("cut"))
        item = (
            self.item()
            if text is None
            else {"type": "message", "id": f"msg_{time.monotonic_ns()}", "role": "assistant"}
        )
        yield self.event("response.output_item.added", output_index=0, item={"content": [], **item})
        if text is not None:
            at = {"item_id": item["id"], "output_index": 0, "content_index": 0}
            for word in words(text):
                yield self.event("response.output_text.delta", **at, delta=word)
            if "cut" in self.step:
                return
            item["content"] = [{"type": "output_text", "text": text, "annotations": []}]
        yield self.event("response.output_item.done", output_index=0, item={**item, "status": "completed"})
        done = {"status": "completed", "output": [item], "usage": self.usage()}
        yield self.event("response.completed", response={**answer, **done})

    @staticmethod
    def event(kind, **rest):
        """Pair an event with its name."""
        return kind, {"type": kind, **rest}

    def item(self):
        """Return the use of a tool."""
        tools = {tool.get("name", tool.get("type")): tool.get("type") for tool in self.asked.get("tools", ())}
        name, given = call(self.step, tools)
        made = {"id": f"item_{time.monotonic_ns()}", "call_id": f"call_{time.monotonic_ns()}", "name": name}
        if tools.get(name) == "custom":
            return {**made, "type": "custom_tool_call", "input": given}
        arguments = given if isinstance(given, dict) else {"input": given}
        return {**made, "type": "function_call", "arguments": json.dumps(arguments)}

    @staticmethod
    def usage():
        """Return what the call is said to cost."""
        given, cached, made = USAGE
        return {
            "input_tokens": given,
            "input_tokens_details": {"cached_tokens": cached},
            "output_tokens": made,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": given + made,
        }


@dataclass
class Completions:
    """OpenAI Chat Completions."""

    asked: dict
    step: dict = field(init=False)

    def __post_init__(self):
        """Find the step in what was asked; a call without tools is one for a title."""
        turns = [(said["role"], plain(said.get("content"))) for said in self.asked.get("messages", ())]
        self.step = choose(turns) if self.asked.get("tools") else {"text": "A title"}

    def events(self) -> Iterator[tuple[str, object]]:
        """Say the step."""
        yield "", self.chunk({"role": "assistant", "content": ""})
        text = self.step.get("text", self.step.get("cut"))
        if text is None:
            name, given = call(self.step, {tool["function"]["name"] for tool in self.asked["tools"]})
            function = {"name": name, "arguments": json.dumps(given)}
            use = {"index": 0, "id": f"call_{time.monotonic_ns()}", "type": "function", "function": function}
            yield "", self.chunk({"tool_calls": [use]})
        for word in words(text or ""):
            yield "", self.chunk({"content": word})
        if "cut" in self.step:
            return
        yield "", self.chunk({}, "tool_calls" if text is None else "stop")
        given, cached, made = USAGE
        spent = {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}
        yield (
            "",
            {**self.chunk({}), "choices": [], "usage": {**spent, "prompt_tokens_details": {"cached_tokens": cached}}},
        )
        yield "", "[DONE]"

    def chunk(self, delta, finish=None):
        """Wrap a piece of the answer."""
        answer = {
            "id": "cc-scripted",
            "object": "chat.completion.chunk",
            "created": 0,
            "model": self.asked.get("model"),
        }
        return {**answer, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


class Server(ThreadingHTTPServer):
    """Waits for agents on loopback. ``seen`` is every call so far."""

    daemon_threads = True

    def __init__(self, port=0):
        """Take a port; 0 takes any."""
        super().__init__(("127.0.0.1", port), Conversation)
        self.seen = []
        self.closing = threading.Event()

    @property
    def url(self):
        """Say where the model is found, as agents want it in their settings."""
        return f"http://127.0.0.1:{self.server_port}/v1"


class Model:
    """The model as a context: ``with Model() as model: ...`` serves until the end of the block."""

    def __init__(self, port=0):
        """Take a port; 0 takes any."""
        self.server = Server(port)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self):
        """Begin to serve."""
        self.thread.start()
        return self.server

    def __exit__(self, *_):
        """End, and let go of the port."""
        self.server.closing.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def main():
    """Serve until killed."""
    parser = argparse.ArgumentParser(description="A model that plays the script in its prompt.")
    parser.add_argument("--port", type=int, default=0)
    server = Server(parser.parse_args().port)
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
