"""A small ACP client: it drives the real demo agent over its stdin and stdout, by lines of JSON."""

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-c", "from actors.demo.agent import main; main()")
PATIENCE = 20
FILES = {"fs": {"readTextFile": True, "writeTextFile": True}}
CLEAN = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "PATH": os.environ["PATH"],
    "PYTHONPATH": str(ROOT),
}

Message = dict[str, Any]
Answer = Callable[[str, Message], Message]


def no(method: str, params: Message) -> Message:
    """Answer every request of the agent's with an error."""
    return {"error": {"code": -32601, "message": f"no {method} here"}}


@dataclass
class Heard:
    """What came until a prompt was answered."""

    answer: Message = field(default_factory=dict)
    updates: list[Message] = field(default_factory=list)
    noise: list[str] = field(default_factory=list)

    @property
    def chunks(self) -> list[str]:
        """The pieces of text, as they came."""
        return [one["content"]["text"] for one in self.updates if one["sessionUpdate"] == "agent_message_chunk"]

    @property
    def text(self) -> str:
        """What the agent said."""
        return "".join(self.chunks)

    @property
    def stop(self) -> str:
        """Why the turn ended."""
        return self.answer["result"]["stopReason"]

    def tools(self) -> list[tuple[str, str, str]]:
        """Title, last state and text of each tool call."""
        calls: dict[str, tuple[str, str, str]] = {}
        for one in self.updates:
            if one["sessionUpdate"] not in {"tool_call", "tool_call_update"}:
                continue
            title = one.get("title") or calls[one["toolCallId"]][0]
            text = "".join(part.get("content", {}).get("text", "") for part in one.get("content", []))
            calls[one["toolCallId"]] = (title, one["status"], text)
        return list(calls.values())


class Client:
    """The other end of one demo agent, which has one session in a folder."""

    def __init__(self, cwd: Path, able: Mapping[str, Any] | None = None, answer: Answer = no) -> None:
        self._answer = answer
        self._last = 0
        self.process = subprocess.Popen(COMMAND, cwd=cwd, env=CLEAN, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.greeting = self.request("initialize", protocolVersion=1, clientCapabilities=dict(able or {}))["result"]
        self.session = self.request("session/new", cwd=str(cwd), mcpServers=[])["result"]["sessionId"]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> int:
        """Close the agent's stdin and return its exit code."""
        self.process.stdin.close()
        try:
            return self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self._reader.join()
            self.process.stdout.close()

    def request(self, method: str, **params: Any) -> Message:
        """Ask the agent for something and wait for its answer."""
        return self.until(self.send(method, **params)).answer

    def send(self, method: str, **params: Any) -> int:
        """Ask the agent for something."""
        self._last += 1
        self._write({"id": self._last, "method": method, "params": params})
        return self._last

    def notify(self, method: str, **params: Any) -> None:
        """Tell the agent something."""
        self._write({"method": method, "params": params})

    def prompt(self, text: str) -> Heard:
        """Let the agent work for a turn."""
        return self.until(self.begin(text))

    def begin(self, text: str) -> int:
        """Let the agent begin a turn."""
        return self.send("session/prompt", sessionId=self.session, prompt=[{"type": "text", "text": text}])

    def cancel(self) -> None:
        """Let the agent stop."""
        self.notify("session/cancel", sessionId=self.session)

    def until(self, number: int, seen: Callable[[Heard], bool] = lambda _: False) -> Heard:
        """Listen until a request is answered, or until what was heard is what was waited for."""
        heard = Heard()
        while not seen(heard):
            line = self._lines.get(timeout=PATIENCE)
            assert line, "the agent is gone"
            try:
                message = json.loads(line)
            except ValueError:
                heard.noise.append(line)
                continue
            if message.get("id") == number and "method" not in message:
                heard.answer = message
                break
            if "id" in message:
                self._write({"id": message["id"], **self._answer(message["method"], message["params"])})
            else:
                heard.updates.append(message["params"]["update"])
        return heard

    def _write(self, message: Message) -> None:
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        self.process.stdin.flush()

    def _read(self) -> None:
        for line in self.process.stdout:
            self._lines.put(line.decode())
        self._lines.put("")
