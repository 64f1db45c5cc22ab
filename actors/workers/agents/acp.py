"""The driver of every agent that speaks ACP, the Agent Client Protocol, version 1: JSON-RPC, one message in a line."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Literal

from acp.schema import (
    AgentMessageChunk,
    AllowedOutcome,
    CancelNotification,
    ClientCapabilities,
    DeniedOutcome,
    FileSystemCapabilities,
    Implementation,
    InitializeRequest,
    InitializeResponse,
    NewSessionRequest,
    NewSessionResponse,
    PromptRequest,
    PromptResponse,
    ReadTextFileRequest,
    ReadTextFileResponse,
    RequestPermissionRequest,
    RequestPermissionResponse,
    TextContentBlock,
    ToolCallStart,
    ToolCallUpdate,
    WriteTextFileRequest,
)
from acp.schema import Usage as Spent
from pydantic import BaseModel, JsonValue, TypeAdapter, ValidationError

from actors.workers.agents import line as wire
from actors.workers.agents.blame import blame, sentence
from actors.workers.agents.line import Answer, Call, Fault, Note
from actors.workers.agents.machine import DONE, INTERRUPTED, Driver, Verdict, stumble
from actors.workers.agents.place import places
from actors.workers.agents.words import Words, title
from protocol import agent as told
from protocol.agent import Fact, Option, Tell, Usage
from protocol.errors import Unreadable, WorkFailed

VERSION = 1
_AUTH, _MISSING, _INVALID, _BROKEN = -32000, -32601, -32602, -32603
_KEPT = 64
"""Open requests, and tools at work, that are remembered at once."""
_ID = 1000
"""Characters that an id may have that is remembered whole."""
_WORKING = {"agent_message_chunk", "agent_thought_chunk", "tool_call", "tool_call_update", "plan"}
_STATES: dict[str, Literal["began", "done", "failed"]] = {"completed": "done", "failed": "failed"}
_VERDICTS = {
    "end_turn": DONE,
    "cancelled": INTERRUPTED,
    "refusal": Verdict("failed", "refused", "The agent refused to go on with this. Ask for it in other words."),
    "max_tokens": Verdict(
        "failed", "context", "The agent has said as much as a turn may hold. Make the ticket smaller."
    ),
    "max_turn_requests": Verdict("failed", "quota", "The agent has asked its model as often as it may. Let it go on."),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of the agent's that is open: the option that refuses it, and the code of an error that answers it."""

    request: str
    refusal: str = ""
    code: int = _BROKEN


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool at work; ``told`` is true once its beginning is."""

    id: str
    title: str = ""
    kind: str = ""
    told: bool = False


@dataclass(frozen=True, slots=True)
class Acp:
    """One conversation as far as it is heard. ``message`` is the id of the message that is being written."""

    proc: str
    thread: str = ""
    turn: str = ""
    began: bool = False
    cancelling: bool = False
    message: str = ""
    apart: bool = False
    words: Words = field(default_factory=Words)
    tools: tuple[Tool, ...] = ()
    asked: tuple[Asked, ...] = ()


Heard = tuple[Acp, tuple[Fact, ...]]


def hear(acp: Acp, line: str, number: int) -> Heard:  # noqa: PLR0911 - one for each kind of line
    """Fold a line of the agent's."""
    if not line.strip():
        return acp, ()
    try:
        match wire.read(line):
            case Call() as call:
                return _call(acp, call, number)
            case Note(method="session/update", params=params):
                return _update(acp, params, number)
            case Answer(kind=kind, of=of, result=result):
                return _answer(acp, kind, of, result, number)
            case Fault() as fault:
                return _fault(acp, fault, number)
    except (Unreadable, ValidationError) as error:
        why = "it has not the form of ACP" if isinstance(error, ValidationError) else str(error)
        return acp, (stumble(acp.proc, number, line, why),)
    return acp, ()


def say(acp: Acp, command: Tell) -> tuple[str, ...]:  # noqa: PLR0911 - one for each command
    """Compute the lines of a command."""
    match command:
        case told.Initialize():
            return (_call_line("initialize", command.number, "initialize", _greeting(command.client)),)
        case told.OpenThread(cwd=cwd):
            return (_call_line("open", command.number, "session/new", NewSessionRequest(cwd=cwd, mcp_servers=[])),)
        case told.StartTurn(turn=turn, text=text):
            prompt = PromptRequest(session_id=_thread(acp), prompt=[TextContentBlock(type="text", text=text)])
            return (_call_line("turn", turn, "session/prompt", prompt),)
        case told.CancelTurn():
            cancel = CancelNotification(session_id=_thread(acp))
            return (_line({"method": "session/cancel", "params": _json(cancel)}),)
        case told.Permit(request=request, option=option):
            return (_line(wire.answer(request, _json(_permission(acp, request, option)))),)
        case told.GiveText(request=request, text=text):
            return (_line(wire.answer(request, _json(ReadTextFileResponse(content=text)))),)
        case told.Confirm(request=request):
            return (_line(wire.answer(request, {})),)
        case told.Deny(request=request, why=why):
            code = next((asked.code for asked in acp.asked if asked.request == request), _BROKEN)
            return (_line(wire.fault(request, code, why)),)
    raise WorkFailed(f"an agent that speaks ACP cannot be told {command.name}")


def wrote(acp: Acp, line: str) -> Acp:
    """Fold a line of ours."""
    try:
        message = wire.read(line)
    except Unreadable:
        return acp
    match message:
        case Call(method="session/prompt", id=id_):
            turn = str(json.loads(id_)).partition(":")[2]
            return Acp(acp.proc, acp.thread, turn, asked=acp.asked)
        case Note(method="session/cancel"):
            return replace(acp, cancelling=bool(acp.turn))
        case Answer(id=request) | Fault(id=request):
            return replace(acp, asked=tuple(asked for asked in acp.asked if asked.request != request))
    return acp


def words(acp: Acp) -> str:
    """Return what the agent has written in this turn so far."""
    return str(acp.words)


def _call(acp: Acp, call: Call, number: int) -> Heard:
    """Hear what the agent wants of us."""
    acp, began = _began(acp, number)
    try:
        asked, fact = _wish(acp, call, number)
    except ValidationError:  # the agent waits for an answer, so it must be heard
        asked = Asked(call.id, code=_INVALID)
        fact = told.Unsupported(proc=acp.proc, line=number, request=call.id, method=call.method)
    return replace(acp, asked=(*acp.asked, asked)[-_KEPT:]), (*began, fact)


def _wish(acp: Acp, call: Call, number: int) -> tuple[Asked, Fact]:
    asked, at = Asked(call.id), {"proc": acp.proc, "line": number, "request": call.id}
    match call.method:
        case "session/request_permission":
            return _ask(acp, call, number)
        case "fs/read_text_file":
            wanted = ReadTextFileRequest.model_validate(call.params)
            place = {"path": wanted.path, "at": max(wanted.line or 1, 1), "limit": wanted.limit or 0}
            return asked, told.FileWanted.model_validate({**at, **place})
        case "fs/write_text_file":
            offered = WriteTextFileRequest.model_validate(call.params)
            return asked, told.FileOffered.model_validate({**at, "path": offered.path, "text": offered.content})
        case method:
            return Asked(call.id, code=_MISSING), told.Unsupported.model_validate({**at, "method": title(method)})


def _ask(acp: Acp, call: Call, number: int) -> tuple[Asked, Fact]:
    wish = RequestPermissionRequest.model_validate(call.params)
    tool, known = wish.tool_call, _known(acp, wish.tool_call.tool_call_id)
    refusal = next(
        (one.option_id for one in wish.options if one.kind == "reject_once" and len(one.option_id) < _ID), ""
    )
    fact = told.PermissionAsked(
        proc=acp.proc,
        line=number,
        request=call.id,
        title=title(tool.title or known.title or tool.kind or "use a tool"),
        kind=tool.kind or known.kind,
        paths=places(tool),
        options=tuple(Option(id=one.option_id, kind=one.kind, label=title(one.name)) for one in wish.options),
    )
    return Asked(call.id, refusal), fact


def _update(acp: Acp, params: Mapping[str, JsonValue], number: int) -> Heard:
    """Hear how a turn goes on."""
    update = params.get("update")
    if not isinstance(update, dict) or params.get("sessionId") != acp.thread:
        return acp, ()
    kind = update.get("sessionUpdate")
    began: tuple[Fact, ...] = ()
    if kind in _WORKING:
        acp, began = _began(acp, number)
    facts: tuple[Fact, ...] = ()
    with suppress(ValidationError):  # what is new in its form is passed over, as what is new altogether
        match kind:
            case "agent_message_chunk":
                acp = _write(acp, AgentMessageChunk.model_validate(update))
            case "tool_call":
                acp, facts = _use(acp, ToolCallStart.model_validate(update), number)
            case "tool_call_update":
                acp, facts = _use(acp, ToolCallUpdate.model_validate(update), number)
    return acp, began + facts


def _began(acp: Acp, number: int) -> Heard:
    """Take the first sign of work in a turn for its beginning: the protocol has no other."""
    if acp.began or not acp.turn:
        return acp, ()
    return replace(acp, began=True), (told.TurnBegan(proc=acp.proc, line=number, turn=acp.turn),)


def _write(acp: Acp, chunk: AgentMessageChunk) -> Acp:
    """Add to the words. A message after a tool, or of another id, is a new paragraph."""
    if not acp.turn or not isinstance(chunk.content, TextContentBlock):
        return acp
    message = (chunk.message_id or "")[:_KEPT]
    fresh = acp.apart or message != acp.message
    words_ = (acp.words.paragraph() if fresh else acp.words).add(chunk.content.text)
    return replace(acp, words=words_, message=message, apart=False)


def _use(acp: Acp, tool: ToolCallStart | ToolCallUpdate, number: int) -> Heard:
    """Hear of a tool. Told are its beginning (not while it is pending: few know then what it will do) and its end."""
    known = _known(acp, tool.tool_call_id)
    state = _STATES.get(tool.status or "", "began")
    begun = known.told or tool.status != "pending"
    now = Tool(known.id, title(tool.title or "") or known.title or "a tool", tool.kind or known.kind, begun)
    others = tuple(one for one in acp.tools if one.id != now.id)
    acp = replace(acp, apart=True, tools=(*others, now)[-_KEPT:] if state == "began" else others)
    if state == "began" and begun == known.told:
        return acp, ()
    return acp, (told.Acted(proc=acp.proc, line=number, title=now.title, kind=now.kind, state=state),)


def _known(acp: Acp, id_: str) -> Tool:
    key = id_[:_KEPT]
    return next((tool for tool in acp.tools if tool.id == key), Tool(key))


def _answer(acp: Acp, kind: str, of: str, result: JsonValue, number: int) -> Heard:
    """Hear the answer to a request of ours."""
    match kind:
        case "initialize":
            return acp, (_greeted(acp, InitializeResponse.model_validate(result), number),)
        case "open":
            thread = NewSessionResponse.model_validate(result).session_id
            if len(thread) > _ID:
                raise Unreadable("its id of a conversation is none")
            return replace(acp, thread=thread), (told.ThreadOpened(proc=acp.proc, line=number, thread=thread),)
        case "turn" if of == acp.turn:
            return _ended(acp, result, number)
    return acp, ()


def _greeted(acp: Acp, hello: InitializeResponse, number: int) -> Fact:
    info = hello.agent_info
    name = title(f"{info.title or info.name} {info.version}") if info else ""
    if hello.protocol_version != VERSION:
        error = (
            f"{name or 'The agent'} speaks version {hello.protocol_version} of ACP, CAR speaks version {VERSION}. "
            f"Install a version of the agent that speaks version {VERSION}."
        )
        return told.Stumbled(proc=acp.proc, line=number, trouble="refused", error=error)
    return told.Greeted(proc=acp.proc, line=number, agent=name)


def _ended(acp: Acp, result: JsonValue, number: int) -> Heard:
    try:
        over = PromptResponse.model_validate(result)
    except ValidationError:
        error = f"The agent ended its turn in a way that ACP does not know: {title(json.dumps(result))}"
        return _over(acp, number, Verdict("failed", "nonsense", error))
    return _over(acp, number, _VERDICTS[over.stop_reason], over.usage)


def _over(acp: Acp, number: int, verdict: Verdict, spent: Spent | None = None) -> Heard:
    """Put the tools down; what was written goes with the fact."""
    over = told.TurnOver(
        proc=acp.proc,
        line=number,
        turn=acp.turn,
        outcome=verdict.outcome,
        text=words(acp),
        usage=_usage(spent) if spent else Usage(),
        trouble=verdict.trouble,
        error=verdict.error,
    )
    return Acp(acp.proc, acp.thread, asked=acp.asked), (over,)


def _usage(spent: Spent) -> Usage:
    """Count what was read from a cache as input too: ACP counts it apart."""
    cached = spent.cached_read_tokens or 0
    given = spent.input_tokens + cached + (spent.cached_write_tokens or 0)
    return Usage(input=given, cached=cached, output=spent.output_tokens + (spent.thought_tokens or 0))


def _fault(acp: Acp, fault: Fault, number: int) -> Heard:
    """Hear that a request of ours is not done."""
    detail = fault.data.get("message", fault.data.get("details")) if isinstance(fault.data, dict) else fault.data
    known = not isinstance(detail, str) or detail in fault.message
    said = fault.message if known else f"{fault.message} ({detail})"
    trouble = "auth" if fault.code == _AUTH else blame(said)
    error = sentence(said, trouble)
    if fault.kind == "turn":
        return _over(acp, number, Verdict("failed", trouble, error)) if fault.of == acp.turn else (acp, ())
    return acp, (told.Stumbled(proc=acp.proc, line=number, trouble=trouble, error=error),)


def _greeting(client: str) -> InitializeRequest:
    files = FileSystemCapabilities(read_text_file=True, write_text_file=True)
    return InitializeRequest(
        protocol_version=VERSION,
        client_capabilities=ClientCapabilities(fs=files, terminal=False),
        client_info=Implementation(name=client, version="1"),
    )


def _permission(acp: Acp, request: str, option: str) -> RequestPermissionResponse:
    """Choose an option. Where none is named the request is refused, and while a turn is cancelled it is cancelled."""
    refusal = next((asked.refusal for asked in acp.asked if asked.request == request), "")
    chosen = option or ("" if acp.cancelling else refusal)
    if not chosen:
        return RequestPermissionResponse(outcome=DeniedOutcome(outcome="cancelled"))
    return RequestPermissionResponse(outcome=AllowedOutcome(outcome="selected", option_id=chosen))


def _thread(acp: Acp) -> str:
    if not acp.thread:
        raise WorkFailed("the agent has no conversation yet: wait until it is opened")
    return acp.thread


def _call_line(kind: str, of: object, method: str, params: BaseModel) -> str:
    return _line(wire.call(kind, of, method, _json(params)))


def _json(model: BaseModel) -> dict[str, JsonValue]:
    dumped: dict[str, JsonValue] = model.model_dump(mode="json", by_alias=True, exclude_none=True)
    return dumped


def _line(message: Mapping[str, JsonValue]) -> str:
    return json.dumps({"jsonrpc": "2.0", **message}, separators=(",", ":"))


DRIVER = Driver("acp", TypeAdapter(Acp), Acp, hear, say, wrote, words)
