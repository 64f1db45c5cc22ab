"""The driver of Codex: ``codex app-server``, JSON-RPC without the ``jsonrpc`` member, one message in a line."""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Literal

from pydantic import JsonValue, TypeAdapter, ValidationError

from actors.workers.agents import line as wire
from actors.workers.agents.blame import blame, blame_named, is_wall, sentence
from actors.workers.agents.item import Approval, Delta, Item, Meter, Opened, Tokens, Turn, inner
from actors.workers.agents.line import Answer, Call, Fault, Note
from actors.workers.agents.machine import DONE, INTERRUPTED, Driver, Verdict, stumble
from actors.workers.agents.words import Words, title
from protocol import agent as told
from protocol.agent import Fact, Option, Tell, Usage
from protocol.errors import Unreadable, WorkFailed

_MISSING, _BROKEN = -32601, -32603
_KEPT = 64
"""Open requests, and changes of files, that are remembered at once."""
_PATHS = 200
"""Paths that are remembered of one change of files."""
_OPTIONS = (
    Option(id="accept", kind="allow_once", label="Allow"),
    Option(id="acceptForSession", kind="allow_always", label="Allow from now on"),
    Option(id="decline", kind="reject_once", label="Refuse"),
)
_STATES: dict[str, Literal["began", "done", "failed"]] = {"failed": "failed", "declined": "failed"}
_POLICIES = {"danger-full-access": "dangerFullAccess", "read-only": "readOnly", "workspace-write": "workspaceWrite"}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of Codex's that is open, and the code of an error that answers it."""

    request: str
    code: int = _BROKEN


@dataclass(frozen=True, slots=True)
class Change:
    """A change of files that has begun: what it is called by, and its paths."""

    id: str
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Codex:
    """One conversation as far as it is heard.

    ``turn`` is our name of the turn and ``theirs`` Codex's; ``spent`` is all that the conversation has cost and
    ``paid`` what it had cost before this turn. ``walled`` is what the sandbox said when it could not be set up, and
    ``free`` is true once anything has run in it.
    """

    proc: str
    cwd: str = ""
    sandbox: str = ""
    writable: tuple[str, ...] = ()
    model: str = ""
    strayed: bool = False
    thread: str = ""
    turn: str = ""
    theirs: str = ""
    cancelling: bool = False
    message: str = ""
    words: Words = field(default_factory=Words)
    spent: Usage = field(default_factory=Usage)
    paid: Usage = field(default_factory=Usage)
    changes: tuple[Change, ...] = ()
    asked: tuple[Asked, ...] = ()
    walled: str = ""
    free: bool = False


Heard = tuple[Codex, tuple[Fact, ...]]


def hear(codex: Codex, line: str, number: int) -> Heard:  # noqa: PLR0911 - one for each kind of line
    """Fold a line of Codex's."""
    if not line.strip():
        return codex, ()
    try:
        match wire.read(line):
            case Call() as call:
                return _call(codex, call, number)
            case Note(params={"threadId": codex.thread}) as note:
                with suppress(ValidationError):  # what is new in its form is passed over, as what is new altogether
                    return _note(codex, note.method, note.params, number)
            case Answer(kind=kind, of=of, result=result):
                return _answer(codex, kind, of, result, number)
            case Fault() as fault:
                return _fault(codex, fault, number)
    except (Unreadable, ValidationError) as error:
        why = "it has not the form of Codex's protocol" if isinstance(error, ValidationError) else str(error)
        return codex, (stumble(codex.proc, number, line, why),)
    return codex, ()


def say(codex: Codex, command: Tell) -> tuple[str, ...]:  # noqa: PLR0911 - one for each command
    """Compute the lines of a command."""
    number = command.number
    match command:
        case told.Initialize(client=client):
            # Only experimental clients may end what a cancelled turn leaves running.
            hello: dict[str, JsonValue] = {
                "clientInfo": {"name": client, "version": "1"},
                "capabilities": {"experimentalApi": True},
            }
            return (_line(wire.call("initialize", number, "initialize", hello)),)
        case told.OpenThread():
            return _line({"method": "initialized"}), _line(wire.call("open", number, "thread/start", _opening(command)))
        case told.StartTurn(turn=turn):
            return (_line(wire.call("turn", turn, "turn/start", _starting(codex, command))),)
        case told.CancelTurn():
            # An empty turnId means whatever turn is at hand, also one that has been asked for and not yet begun.
            cancel = wire.call("cancel", number, "turn/interrupt", {**_at(codex), "turnId": codex.theirs})
            return _line(cancel), _line(wire.call("clean", number, "thread/backgroundTerminals/clean", _at(codex)))
        case told.Permit(request=request, option=option):
            decision = option or ("cancel" if codex.cancelling else "decline")
            return (_line(wire.answer(request, {"decision": decision})),)
        case told.Confirm(request=request):
            return (_line(wire.answer(request, {})),)
        case told.Deny(request=request, why=why):
            code = next((asked.code for asked in codex.asked if asked.request == request), _BROKEN)
            return (_line(wire.fault(request, code, why)),)
    raise WorkFailed(f"Codex cannot be told {command.name}")


def wrote(codex: Codex, line: str) -> Codex:
    """Fold a line of ours."""
    try:
        message = wire.read(line)
    except Unreadable:
        return codex
    match message:
        case Call(method="thread/start", params={"cwd": str(cwd), "sandbox": str(sandbox), **rest}):
            match rest.get("config"):
                case {"sandbox_workspace_write": {"writable_roots": list(roots)}}:
                    writable = tuple(str(root) for root in roots)
                case _:
                    writable = ()
            return replace(codex, cwd=cwd, sandbox=sandbox, writable=writable)
        case Call(method="turn/start", id=id_, params=params):
            turn = str(json.loads(id_)).partition(":")[2]
            fresh = replace(codex, turn=turn, theirs="", cancelling=False, message="", words=Words(), walled="")
            return replace(fresh, paid=codex.spent, strayed="model" in params)
        case Call(method="turn/interrupt"):
            return replace(codex, cancelling=bool(codex.turn))
        case Answer(id=request) | Fault(id=request):
            return replace(codex, asked=tuple(asked for asked in codex.asked if asked.request != request))
    return codex


def words(codex: Codex) -> str:
    """Return what the agent has written in this turn so far."""
    return str(codex.words)


def _opening(command: told.OpenThread) -> dict[str, JsonValue]:
    sandbox = command.sandbox or "workspace-write"
    opening: dict[str, JsonValue] = {"cwd": command.cwd, "approvalPolicy": "never", "sandbox": sandbox}
    if sandbox == "workspace-write":
        walls: JsonValue = {"writable_roots": list(command.writable), "network_access": False}
        opening["config"] = {"sandbox_workspace_write": walls}
    if command.model:
        opening["model"] = command.model
    return opening


def _starting(codex: Codex, command: told.StartTurn) -> dict[str, JsonValue]:
    text: JsonValue = {"type": "text", "text": command.text, "text_elements": []}
    starting: dict[str, JsonValue] = {**_at(codex), "input": [text], "approvalPolicy": "never"}
    if policy := _POLICIES.get(codex.sandbox):
        walls: dict[str, JsonValue] = {"type": policy}
        if codex.sandbox == "workspace-write":
            walls |= {"writableRoots": list(codex.writable), "networkAccess": False}
        starting["sandboxPolicy"] = walls
    # Codex goes on with the model of the turn before, so that the conversation's own must be said after another.
    if model := command.model or (codex.model if codex.strayed else ""):
        starting["model"] = model
    if command.effort:
        starting["effort"] = command.effort
    return starting


def _call(codex: Codex, call: Call, number: int) -> Heard:
    """Hear what Codex wants of us."""
    asked = Asked(call.id)
    paths: tuple[str | None, ...]
    try:
        wish = Approval.model_validate(call.params)
    except ValidationError:
        wish = Approval()
    match call.method:
        case "item/commandExecution/requestApproval":
            what, kind, paths = inner(wish.command or wish.reason or "run a command"), "execute", (wish.cwd,)
        case "item/fileChange/requestApproval":
            known = next((change.paths for change in codex.changes if change.id == wish.item_id[:_KEPT]), ())
            what, kind, paths = wish.reason or "change files", "edit", (*known, wish.grant_root)
        case method:
            strange = told.Unsupported(proc=codex.proc, line=number, request=call.id, method=title(method))
            return replace(codex, asked=(*codex.asked, Asked(call.id, _MISSING))[-_KEPT:]), (strange,)
    fact = told.PermissionAsked(
        proc=codex.proc,
        line=number,
        request=call.id,
        title=title(what),
        kind=kind,
        paths=tuple(path for path in paths if path),
        options=_OPTIONS,
    )
    return replace(codex, asked=(*codex.asked, asked)[-_KEPT:]), (fact,)


def _note(  # noqa: PLR0911 - one for each method
    codex: Codex, method: str, params: Mapping[str, JsonValue], number: int
) -> Heard:
    """Hear how a turn goes on."""
    match method, params:
        case "turn/started", {"turn": turn}:
            theirs = Turn.model_validate(turn).id
            fact = told.TurnBegan(proc=codex.proc, line=number, turn=codex.turn)
            return (replace(codex, theirs=theirs), (fact,)) if codex.turn else (codex, ())
        case "item/agentMessage/delta", _:
            delta = Delta.model_validate(params)
            return _write(codex, delta.item_id, delta.delta), ()
        case "item/started" | "item/completed", {"item": item, "turnId": turn}:
            return _use(
                codex, Item.model_validate(item), number, over=method == "item/completed", now=turn == codex.theirs
            )
        case "thread/tokenUsage/updated", {"tokenUsage": usage, "turnId": turn}:
            return _count(codex, Meter.model_validate(usage).total, now=turn == codex.theirs), ()
        case "turn/completed", {"turn": turn}:
            return _ended(codex, turn, number)
        case "serverRequest/resolved", {"requestId": asked}:
            key = json.dumps(asked)
            return replace(codex, asked=tuple(one for one in codex.asked if one.request != key)), ()
    return codex, ()


def _write(codex: Codex, message: str, text: str) -> Codex:
    """Add to the words; another message is a new paragraph."""
    if not codex.turn:
        return codex
    words_ = codex.words if message[:_KEPT] == codex.message else codex.words.paragraph()
    return replace(codex, words=words_.add(text), message=message[:_KEPT])


def _use(codex: Codex, item: Item, number: int, *, over: bool, now: bool) -> Heard:
    """Hear of an item: the use of a tool, or a message that came without its pieces."""
    match item.type:
        case "agentMessage":
            fresh = over and now and item.id[:_KEPT] != codex.message
            return (_write(codex, item.id, item.text) if fresh else codex), ()
        case "commandExecution":
            what, kind = inner(item.command), "execute"
            codex = _wall(codex, item) if over and now else codex
        case "fileChange":
            what, kind = ", ".join(edit.path.removeprefix(f"{codex.cwd}/") for edit in item.changes), "edit"
            codex = _change(codex, item, over=over)
        case "mcpToolCall" | "dynamicToolCall" | "collabAgentToolCall":
            what, kind = f"{item.server} {item.tool}".strip(), "other"
        case "webSearch":
            what, kind = item.query, "fetch"
        case _:
            return codex, ()
    state = _STATES.get(item.status or "", "done") if over else "began"
    return codex, (told.Acted(proc=codex.proc, line=number, title=title(what or item.type), kind=kind, state=state),)


def _change(codex: Codex, item: Item, *, over: bool) -> Codex:
    """Remember the paths of a change until it is made, for Codex asks for permission without naming them."""
    others = tuple(change for change in codex.changes if change.id != item.id[:_KEPT])
    if over:
        return replace(codex, changes=others)
    paths = tuple(change.path for change in item.changes)
    if len(paths) > _PATHS or sum(map(len, paths)) > _PATHS * 100:
        paths = ("/",)  # too many to remember: a policy of places must take them for anywhere
    return replace(codex, changes=(*others, Change(item.id[:_KEPT], paths))[-_KEPT:])


def _wall(codex: Codex, item: Item) -> Codex:
    """Find out whether the sandbox can be set up: the words that it cannot count only until something has run in it."""
    said = (item.aggregated_output or "").partition("\n")[0]
    if codex.free or item.status == "declined" or item.exit_code is None:
        return codex
    if item.exit_code != 0 and codex.sandbox != "danger-full-access" and is_wall(said):
        return replace(codex, walled=title(said))
    return replace(codex, free=True, walled="")


def _count(codex: Codex, total: Tokens, *, now: bool) -> Codex:
    """Keep what the conversation has cost; what comes late belongs to no turn of now."""
    spent = Usage(input=total.input_tokens, cached=total.cached_input_tokens, output=total.output_tokens)
    return replace(codex, spent=spent, paid=codex.paid if now else spent)


def _answer(codex: Codex, kind: str, of: str, result: JsonValue, number: int) -> Heard:
    """Hear the answer to a request of ours."""
    match kind, result:
        case "initialize", dict():
            agent = result.get("userAgent")
            found = re.match(r"[^/]*/(\S+)", agent) if isinstance(agent, str) else None
            name = title(f"Codex {found[1]}") if found else "Codex"
            return codex, (told.Greeted(proc=codex.proc, line=number, agent=name),)
        case "open", _:
            opened = Opened.model_validate(result)
            fact = told.ThreadOpened(proc=codex.proc, line=number, thread=opened.thread.id)
            return replace(codex, thread=opened.thread.id, model=opened.model[:_PATHS]), (fact,)
        case "turn", {"turn": turn} if of == codex.turn:
            return replace(codex, theirs=Turn.model_validate(turn).id), ()
    return codex, ()


def _ended(codex: Codex, said: JsonValue, number: int) -> Heard:
    """Hear the end of a turn, if it is ours and of now."""
    if not codex.turn:
        return codex, ()
    try:
        turn = Turn.model_validate(said)
    except ValidationError:
        error = f"The agent ended its turn in a way that CAR does not know: {title(json.dumps(said))}"
        return _over(codex, number, Verdict("failed", "nonsense", error))
    return (codex, ()) if codex.theirs not in ("", turn.id) else _over(codex, number, _judge(codex, turn))


def _judge(codex: Codex, turn: Turn) -> Verdict:
    if turn.status == "interrupted":
        return INTERRUPTED
    trouble = blame_named(turn.error.codex_error_info, turn.error.message) if turn.error else None
    if codex.walled or trouble == "sandbox":
        said = codex.walled or title(turn.error.message if turn.error else "")
        error = (
            f"The agent could not set up its sandbox on this machine: {said.rstrip('.')}. Where the machine itself is "
            "a sandbox, set agents.codex.sandbox to danger-full-access in codex-autorunner.yml."
        )
        return Verdict("failed", "sandbox", error)
    if turn.status == "completed":
        return DONE
    said = turn.error.message if turn.error else f"its turn is {turn.status}"
    return Verdict("failed", trouble or "bug", sentence(said, trouble or "bug"))


def _over(codex: Codex, number: int, verdict: Verdict) -> Heard:
    """Put the tools down; what was written goes with the fact."""
    spent, paid = codex.spent, codex.paid
    over = told.TurnOver(
        proc=codex.proc,
        line=number,
        turn=codex.turn,
        outcome=verdict.outcome,
        text=words(codex),
        usage=Usage(
            input=max(spent.input - paid.input, 0),
            cached=max(spent.cached - paid.cached, 0),
            output=max(spent.output - paid.output, 0),
        ),
        trouble=verdict.trouble,
        error=verdict.error,
    )
    idle = replace(codex, turn="", theirs="", cancelling=False, message="", words=Words(), changes=(), walled="")
    return replace(idle, paid=spent), (over,)


def _fault(codex: Codex, fault: Fault, number: int) -> Heard:
    """Hear that a request of ours is not done. That there was nothing left to cancel troubles nobody."""
    if fault.kind in ("cancel", "clean"):
        return codex, ()
    trouble = blame(fault.message)
    error = sentence(fault.message, trouble)
    if fault.kind == "turn":
        return _over(codex, number, Verdict("failed", trouble, error)) if fault.of == codex.turn else (codex, ())
    return codex, (told.Stumbled(proc=codex.proc, line=number, trouble=trouble, error=error),)


def _at(codex: Codex) -> dict[str, JsonValue]:
    if not codex.thread:
        raise WorkFailed("Codex has no conversation yet: wait until it is opened")
    return {"threadId": codex.thread}


def _line(message: Mapping[str, JsonValue]) -> str:
    return json.dumps(message, separators=(",", ":"))


DRIVER = Driver("codex", TypeAdapter(Codex), Codex, hear, say, wrote, words)
