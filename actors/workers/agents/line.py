"""What one line between an agent and us holds: a JSON-RPC message, with or without its ``jsonrpc`` member.

The id of a request of the agent's is handed on as its JSON text (``0``, ``"0"``), so that it finds its way back.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

from protocol.errors import Unreadable

Params = dict[str, JsonValue]
_ID = 1000
"""Characters that the id of a request may have, since open requests are remembered."""
_HALF = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")
"""Half of a character of two: an agent that streams may cut there, and no store takes it."""


@dataclass(frozen=True, slots=True)
class Call:
    """Somebody wants an answer."""

    id: str
    method: str
    params: Params


@dataclass(frozen=True, slots=True)
class Note:
    """Somebody only tells."""

    method: str
    params: Params


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request. ``kind`` and ``of`` are the two parts of an id that we have given."""

    id: str
    kind: str
    of: str
    result: JsonValue


@dataclass(frozen=True, slots=True)
class Fault:
    """A request was not done."""

    id: str
    kind: str
    of: str
    message: str
    code: int = 0
    data: JsonValue = field(default=None)


Line = Call | Note | Answer | Fault


def read(line: str) -> Line:
    """Return what a line holds; raise ``Unreadable`` where it holds no message."""
    message = parse(line)
    if not isinstance(message, dict):
        raise Unreadable("it is no message")
    asked, method, error = message.get("id"), message.get("method"), message.get("error")
    if isinstance(method, str):
        params = message.get("params")
        known = params if isinstance(params, dict) else {}
        return Note(method, known) if asked is None else Call(_key(asked), method, known)
    if isinstance(error, dict):
        return _fault(asked, error)
    if asked is not None and "result" in message:
        return Answer(_key(asked), *_ours(asked), message["result"])
    raise Unreadable("it is no message")


def parse(line: str) -> JsonValue:
    """Return the value of a JSON text, free of half characters; raise ``Unreadable`` where it is none."""
    try:
        value: JsonValue = json.loads(line)
        if _HALF.search(line):
            whole = json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            value = json.loads(whole)
    except (ValueError, RecursionError) as error:
        raise Unreadable("it is no JSON") from error
    return value


def call(kind: str, of: object, method: str, params: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return a request of ours; its answer comes back with the same ``kind`` and ``of``."""
    return {"id": f"{kind}:{of}", "method": method, "params": dict(params)}


def answer(request: str, result: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return the answer to a request of the agent's."""
    return {"id": json.loads(request), "result": dict(result)}


def fault(request: str, code: int, why: str) -> dict[str, JsonValue]:
    """Return the refusal of a request of the agent's."""
    return {"id": json.loads(request), "error": {"code": code, "message": why}}


def _key(asked: JsonValue) -> str:
    key = json.dumps(asked)
    if isinstance(asked, bool | list | dict) or key.endswith(("NaN", "Infinity")) or len(key) > _ID:
        raise Unreadable("its id is none")
    return key


def _ours(asked: JsonValue) -> tuple[str, str]:
    kind, _, of = asked.partition(":") if isinstance(asked, str) else ("", "", "")
    return kind, of


def _fault(asked: JsonValue, error: Mapping[str, JsonValue]) -> Fault:
    code, message = error.get("code"), error.get("message")
    said = message if isinstance(message, str) else json.dumps(error)
    return Fault(json.dumps(asked)[:_ID], *_ours(asked), said, code if isinstance(code, int) else 0, error.get("data"))
