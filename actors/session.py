"""One conversation with one agent: its process, its turns one after the other, and what it may touch.

What a worker says counts only as the answer to an errand that is open. What the agent says counts by the number of its
line: ``heard`` is the last line of which everything is handled, and it rises only with ``Caught``, which closes the
facts of a line. What is kept and said is bounded by weight, because records and outboxes are.
"""

from dataclasses import dataclass, replace
from itertools import pairwise
from posixpath import join, normpath
from signal import Signals
from typing import Literal

from actors.runtime.actor import Actor, Budget, Cause, Step
from actors.runtime.effects import After, Cancel, Effect, Publish, Reply, Send, Stop
from actors.runtime.weight import shorten, weigh
from protocol import agent, node, work
from protocol import session as said
from protocol.address import Address, worker
from protocol.message import Message, Part, Query

HANDSHAKE, INTERRUPT, CLOSE, WORDS, END = 60, 10, 3, 20, 60
"""Seconds: to be ready, to stop a turn, to stop it before the end, to hear last words, to be seen to end."""
QUEUE, TAKEN, ERRANDS, FILES, NONSENSE = 20, 64, 64, 16, 10
WAITING, FILE, TEXT, TOOL = 96_000, 80_000, 24_000, 1000
"""Weights: of prompts that wait, of a file in one piece, of a turn's text and of a tool, told to each who watches."""
NOWHERE = said.Place(node="", path="")
OURS = (".git", "hooks"), (".git", "config")
"""What git itself obeys: an agent that may write there may do anything."""


class Errand(Part):
    """A command that its worker has not answered. ``request`` is what the agent waits for, where it does."""

    id: str
    kind: Literal["find", "spawn", "attach", "tell", "read", "write", "end"]
    request: str = ""


@dataclass(frozen=True, slots=True)
class Session:
    """What a session remembers. ``interrupting`` is true from when its turn was asked to stop.

    ``burst`` weighs what was made of facts that came together, so that their step is never too much.
    """

    me: Address
    status: said.Status = "starting"
    agent: str = ""
    place: said.Place = NOWHERE
    since: str = ""
    proc: str = ""
    driver: Literal["acp", "codex", ""] = ""
    sandbox: str = ""
    custodian: str = ""
    pid: int = 0
    born: int = 0
    errands: tuple[Errand, ...] = ()
    told: int = 0
    heard: int = 0
    snapshot: str = ""
    position: int = 0
    queue: tuple[said.Prompt, ...] = ()
    taken: tuple[str, ...] = ()
    turn: str = ""
    interrupting: bool = False
    nonsense: int = 0
    burst: int = 0
    exit: node.Exited | None = None
    error: str = ""

    @property
    def who(self) -> str:
        """Name the agent in a sentence."""
        return f"the agent {self.agent}"


def step(session: Session, message: Message, cause: Cause) -> Step[Session]:  # noqa: PLR0911  # one for each message
    """Answer one message."""
    match message:
        case said.Open() if not session.agent:
            return _open(session, message, cause)
        case said.Prompt():
            return _queue(session, message, cause)
        case said.Interrupt():
            return _interrupt(session, cause)
        case said.Close() if session.status not in ("closing", "closed"):
            return _close(session, cause)
        case agent.Fact(proc=proc, line=line) if session.proc == proc and line > session.heard:
            return _hear(session, message, cause)
        case node.Exited(proc=proc) if session.proc == proc and session.exit is None:
            return _exit(session, message, cause)
        case node.Due(timer=timer):
            return _due(session, timer, cause)
        case node.Undelivered(to=to, id=id_, why=why) if to.kind == "work":
            session = replace(session, errands=tuple(one for one in session.errands if one.id != id_))
            return _ruin(session, "lost", f"{session.who} could not be reached: {why}", cause)
    errand = next((one for one in session.errands if one.id == cause.re), None)
    if errand is None:
        return Step(session)
    left = tuple(one for one in session.errands if one is not errand)
    return _answered(replace(session, errands=left), errand, message, cause)


def _open(session: Session, wish: said.Open, cause: Cause) -> Step[Session]:
    session = replace(session, agent=wish.agent, place=wish.place, since=cause.at.isoformat())
    session, effects = _send(session, agent.Find(agent=wish.agent), Errand(id=cause.derive("find"), kind="find"))
    return Step(session, (*effects, After(HANDSHAKE, node.Due(timer="handshake"), "handshake")))


def _answered(session: Session, errand: Errand, message: Message, cause: Cause) -> Step[Session]:  # noqa: PLR0911  # as above
    match errand.kind, message:
        case "find", agent.Found() if session.status == "starting":
            proc, cwd = cause.derive("proc"), session.place.path
            session = replace(session, proc=proc, driver=message.driver, sandbox=message.sandbox)
            spawn = node.Spawn(proc=proc, argv=message.argv, cwd=cwd, env=message.env, inherit=message.inherit)
            return _send(session, spawn, Errand(id=cause.derive("spawn"), kind="spawn"))
        case "spawn", node.Spawned(custodian=custodian, pid=pid, born=born):
            session = replace(session, custodian=custodian, pid=pid, born=born)
            if session.status == "closing":
                return _leave(session, cause)
            session, listening = _listen(session, cause)
            session, spoken = _tell(session, agent.Initialize(proc=session.proc, number=session.told + 1), cause)
            return Step(session, (*listening, *spoken))
        case (("find" | "spawn"), (node.SpawnFailed(why=why) | work.Failed(what=why))):
            return _ruin(session, "missing", f"{session.who} cannot be started: {why}", cause)
        case (("attach" | "tell"), work.Failed(what=why)):
            return _ruin(session, "lost", f"{session.who} could not be spoken to: {why}", cause)
        case "read", work.FileText(text=text) if weigh(text) <= FILE:
            give = agent.GiveText(proc=session.proc, number=session.told + 1, request=errand.request, text=text)
            return _tell(session, give, cause)
        case "read", work.FileText(text=text):
            why = f"this part of the file has {len(text)} characters, too many at once; ask for fewer lines"
            return _deny(session, errand.request, why, cause)
        case "write", work.FileWritten():
            confirm = agent.Confirm(proc=session.proc, number=session.told + 1, request=errand.request)
            return _tell(session, confirm, cause)
        case (("read" | "write"), work.Failed(what=why)):
            return _deny(session, errand.request, why, cause)
    return Step(session)


def _listen(session: Session, cause: Cause) -> Step[Session]:
    left_off = {"heard": session.heard, "position": session.position}
    attach = agent.Attach(proc=session.proc, driver=session.driver or "acp", snapshot=session.snapshot, **left_off)
    return _send(session, attach, Errand(id=cause.derive("attach"), kind="attach"))


def _queue(session: Session, prompt: said.Prompt, cause: Cause) -> Step[Session]:
    """Take a prompt, at once where the agent is free."""
    if prompt.turn in session.taken:
        return Step(session)
    shut = not session.agent or session.status in ("closing", "closed")
    full = len(session.queue) >= QUEUE or sum(weigh(one.text) for one in (*session.queue, prompt)) > WAITING
    if shut or full:
        much = f"{session.who} has too much to read already; say it in fewer words, or wait until it is through"
        why = "this session is not open; open a new one for this" if shut else much
        return Step(session, (Reply(node.Refusal(text=why)),))
    session = replace(session, queue=(*session.queue, prompt), taken=(*session.taken, prompt.turn)[-TAKEN:])
    return _next(session, cause) if session.status == "idle" else Step(session)


def _next(session: Session, cause: Cause) -> Step[Session]:
    """Let the agent work on the first prompt that waits."""
    session = replace(session, status="idle", since=cause.at.isoformat(), interrupting=False, nonsense=0)
    if not session.queue or session.exit:
        return Step(session)
    first, *rest = session.queue
    session = replace(session, status="working", turn=first.turn, queue=tuple(rest))
    wish = {"turn": first.turn, "text": first.text, "model": first.model, "effort": first.effort}
    session, effects = _tell(session, agent.StartTurn(proc=session.proc, number=session.told + 1, **wish), cause)
    return Step(session, (Publish(said.TurnStarted(turn=first.turn, agent=session.agent)), *effects))


def _interrupt(session: Session, cause: Cause) -> Step[Session]:
    if not session.turn or session.interrupting or session.exit:
        return Step(session)
    session, effects = _tell(session, agent.CancelTurn(proc=session.proc, number=session.told + 1), cause)
    timer = After(INTERRUPT, node.Due(timer="interrupt"), "interrupt")
    return Step(replace(session, interrupting=True), (*effects, timer))


def _close(session: Session, cause: Cause) -> Step[Session]:
    """End the agent; a turn that runs is interrupted first."""
    why = f"the session was closed before {session.who} had begun this turn"
    dropped = _report(replace(session, turn="", interrupting=True), None, why)
    session, cancelled = _interrupt(replace(session, queue=()), cause)
    session = replace(session, status="closing", interrupting=True)
    if session.turn and session.exit is None:
        return Step(session, (*dropped, *cancelled, After(CLOSE, node.Due(timer="close"), "close")))
    session, effects = _leave(session, cause)
    return Step(session, (*dropped, *effects))


def _hear(session: Session, fact: agent.Fact, cause: Cause) -> Step[Session]:  # noqa: PLR0911  # one for each fact
    """Take something that the agent was heard to say."""
    match fact:
        case agent.Greeted() if session.status == "starting" and session.told == 1:
            where = {"cwd": session.place.path, "sandbox": session.sandbox}
            git = (join(session.place.path, ".git"),)
            return _tell(session, agent.OpenThread(proc=session.proc, number=2, writable=git, **where), cause)
        case agent.ThreadOpened() if session.status == "starting" and session.told > 1:
            session, effects = _next(session, cause)
            return Step(session, (Cancel("handshake"), *effects))
        case agent.Acted(title=title, state=state) if session.turn and session.burst < FILE // 2:
            session = replace(session, burst=session.burst + TOOL)
            return Step(session, (Publish(said.ToolUsed(turn=session.turn, title=title[:200], state=state)),))
        case agent.PermissionAsked():
            return _permit(session, fact, cause)
        case agent.FileWanted() | agent.FileOffered():
            return _lend(session, fact, cause)
        case agent.Unsupported(request=request, method=method):
            return _deny(session, request, f"CAR offers no {method}", cause)
        case agent.TurnOver(turn=turn) if session.turn and turn == session.turn:
            return _over(session, fact, cause)
        case agent.Stumbled(trouble=trouble, error=error):
            return _stumble(session, trouble, error, cause)
        case agent.Caught(line=line):
            session = replace(session, heard=line, burst=0)
            return _judge(session) if session.exit and line >= session.exit.lines else Step(session)
    return Step(session)


def _permit(session: Session, asked: agent.PermissionAsked, cause: Cause) -> Step[Session]:
    """Decide by policy: what stays inside the checkout is allowed, once."""
    offered = {one.kind: one.id for one in reversed(asked.options)}
    fits = all(_inside(session.place.path, path) is not None for path in asked.paths)
    allowed = fits and "allow_once" in offered and session.status != "closing"
    option = offered.get("allow_once" if allowed else "reject_once", "")
    permit = agent.Permit(proc=session.proc, number=session.told + 1, request=asked.request, option=option)
    session, effects = _tell(session, permit, cause)
    return Step(session, (*effects, Publish(said.PermissionGiven(title=asked.title[:200], allowed=allowed))))


def _inside(checkout: str, path: str) -> str | None:
    """Return a path relative to the checkout, or None where an agent has no business there."""
    root = normpath(checkout)
    whole = normpath(join(root, path.removeprefix("file://")))
    inner = whole.removeprefix(root).strip("/")
    if path.startswith("~") or join(root, inner).rstrip("/") != whole.rstrip("/"):
        return None
    return None if any(pair in OURS for pair in pairwise(inner.lower().split("/"))) else inner


def _lend(session: Session, fact: agent.FileWanted | agent.FileOffered, cause: Cause) -> Step[Session]:
    checkout, inner, request = session.place.path, _inside(session.place.path, fact.path), fact.request
    if inner is None:
        why = f"{fact.path} is not for agents: only files inside {checkout} are, without git's hooks and configuration"
        return _deny(session, request, why, cause)
    burst = session.burst + (weigh(fact.text) if isinstance(fact, agent.FileOffered) else 0)
    if burst > FILE or sum(one.request != "" for one in session.errands) >= FILES:
        why = f"{fact.path} is too much to go through CAR at once; use your own tools for it, or do it in pieces"
        return _deny(session, request, why, cause)
    if isinstance(fact, agent.FileWanted):
        read = work.ReadFile(checkout=checkout, path=inner, line=fact.at, limit=fact.limit)
        return _send(session, read, Errand(id=cause.derive("file"), kind="read", request=request))
    write = work.WriteFile(checkout=checkout, path=inner, text=fact.text)
    return _send(replace(session, burst=burst), write, Errand(id=cause.derive("file"), kind="write", request=request))


def _over(session: Session, over: agent.TurnOver, cause: Cause) -> Step[Session]:
    """Tell how a turn ended. The next begins in a step of its own: both together could be too much for one."""
    error = over.error and _named(session, over.error)
    kept = over.model_dump(include={"turn", "outcome", "trouble"})
    ended = said.TurnEnded(**kept, usage=over.usage, text=shorten(over.text, TEXT, tail=0.5), error=error)
    session = replace(session, turn="", snapshot=over.snapshot, position=over.position, since=cause.at.isoformat())
    effects = Publish(ended), Cancel("interrupt")
    if session.status == "closing":
        session, later = _leave(session, cause)
        return Step(session, (*effects, *later))
    later = (After(0, node.Due(timer="next"), "next"),) if session.queue else ()
    return Step(replace(session, status="idle", interrupting=False), (*effects, *later))


def _stumble(session: Session, trouble: agent.Trouble, error: str, cause: Cause) -> Step[Session]:
    """Bear some nonsense; an error ends what it stands in the way of."""
    ruinous, why = session.status == "starting" or (session.turn and not session.interrupting), _named(session, error)
    if trouble == "nonsense":
        session = replace(session, nonsense=session.nonsense + 1)
        hint = f"see that agents.{session.agent}.command in codex-autorunner.yml speaks {session.driver}"
        ruinous, why = session.nonsense >= NONSENSE, f"{why}; {NONSENSE} lines were like that: {hint}"
    return _ruin(session, trouble, why, cause) if ruinous else Step(session)


def _named(session: Session, error: str) -> str:
    """Name the agent in what its driver says of it."""
    told = error[:1000].rstrip(". ")
    other = told.removeprefix("The agent ")
    return f"{session.who}{': ' if other == told else ' '}{other}"


def _due(session: Session, timer: str, cause: Cause) -> Step[Session]:  # noqa: PLR0911  # one for each timer
    """Wait no longer."""
    match timer:
        case "next" if session.status == "idle" and session.queue:
            return _next(session, cause)
        case "handshake" if session.status == "starting":
            done = "answer" if session.custodian else "start"
            return _ruin(session, None, f"{session.who} did not {done} within {HANDSHAKE} s", cause)
        case "interrupt" if session.turn and session.exit is None:
            why = f"{session.who} did not stop its turn within {INTERRUPT} s and was ended"
            return _ruin(session, None, why, cause)
        case "close" if session.status == "closing" and session.exit is None:
            return _leave(session, cause)
        case "words" if session.exit:
            return _judge(session)
        case "end" if session.status == "closing":
            return _judge(replace(session, error=session.error or f"nobody saw {session.who} end"))
    return Step(session)


def _ruin(session: Session, trouble: agent.Trouble | None, why: str, cause: Cause) -> Step[Session]:
    """Give up: the turn and whatever waits are over, and the agent is ended."""
    if session.status in ("closing", "closed"):
        return Step(session) if session.custodian else _leave(session, cause)
    told = _report(session, trouble, why)
    session = replace(session, status="closing", turn="", queue=(), error=why)
    session, effects = _leave(session, cause)
    return Step(session, (*told, *effects))


def _leave(session: Session, cause: Cause) -> Step[Session]:
    """End the process, as soon as there is one; without any, this is the end."""
    dead = session.exit is not None or not session.custodian
    if dead and not any(one.kind == "spawn" for one in session.errands):
        return _judge(session)
    timers = (After(END, node.Due(timer="end"), "end"), Cancel("handshake"), Cancel("interrupt"), Cancel("close"))
    if dead:
        return Step(session, timers)
    session, effects = _send(session, node.End(proc=session.proc), Errand(id=cause.derive("end"), kind="end"))
    return Step(session, (*timers, *effects))


def _exit(session: Session, exited: node.Exited, cause: Cause) -> Step[Session]:
    """Take the end of the process, but hear its last words first: they may hold the end of the turn."""
    last = next((line.strip() for line in reversed(exited.err.splitlines()) if line.strip()), "")
    session = replace(session, exit=exited.model_copy(update={"err": last[:300]}))
    if session.heard >= exited.lines or (session.status == "closing" and not session.turn):
        return _judge(session)
    session, effects = _listen(session, cause)
    return Step(session, (*effects, After(WORDS, node.Due(timer="words"), "words")))


def _judge(session: Session) -> Step[Session]:
    """Close, and tell how every turn that was still wanted has ended."""
    if session.status == "closed":
        return Step(session)
    why = session.error if session.status == "closing" else _death(session)
    told = _report(session, "lost" if session.exit and session.exit.lost else "died", why)
    closed = replace(session, status="closed", turn="", queue=(), error=why)
    detach = Send(worker(session.place.node, "agents", session.proc), agent.Detach(proc=session.proc))
    return Step(closed, (*told, *([detach] if session.proc else ()), Publish(said.Closed(error=why)), Stop()))


def _death(session: Session) -> str:
    """Say in a sentence how the process ended."""
    when = "in the middle of its turn" if session.turn else "before its turn began" if session.queue else "unasked"
    if session.exit is None or session.exit.lost:
        return f"{session.who} was lost {when}: nobody saw its process end"
    code, words = session.exit.code, session.exit.err and f"; its last words on stderr: {session.exit.err}"
    name = next((f" ({one.name})" for one in Signals if one == -code), "")
    how = f"was killed by signal {-code}{name}" if code < 0 else f"ended with exit code {code}"
    return f"{session.who} {how} {when}{words}"


def _report(session: Session, trouble: agent.Trouble | None, why: str) -> tuple[Effect, ...]:
    """Tell that the turn and whatever waits are over."""
    turns = filter(None, (session.turn, *(one.turn for one in session.queue)))
    if session.interrupting:
        return tuple(Publish(said.TurnEnded(turn=turn, outcome="interrupted", error=why)) for turn in turns)
    return tuple(Publish(said.TurnEnded(turn=turn, outcome="failed", trouble=trouble, error=why)) for turn in turns)


def _deny(session: Session, request: str, why: str, cause: Cause) -> Step[Session]:
    return _tell(session, agent.Deny(proc=session.proc, number=session.told + 1, request=request, why=why), cause)


def _tell(session: Session, tell: agent.Tell, cause: Cause) -> Step[Session]:
    """Speak to the agent, unless it is dead."""
    if session.exit:
        return Step(session)
    errand = Errand(id=cause.derive(f"tell:{tell.number}"), kind="tell")
    return _send(replace(session, told=tell.number), tell, errand)


def _send(session: Session, command: work.Work, errand: Errand) -> Step[Session]:
    """Send a command and remember that it is open."""
    name = {"spawn": "custody", "end": session.custodian, "read": "files", "write": "files"}.get(errand.kind, "agents")
    key = session.me.key if errand.kind in ("find", "read", "write") else session.proc
    session = replace(session, errands=(*session.errands, errand)[-ERRANDS:])
    return Step(session, (Send(worker(session.place.node, name, key), command, errand.id),))


def answer(session: Session, _query: Query, _cause: Cause) -> said.SessionView:
    """Say how it stands with the session."""
    view = {name: getattr(session, name) for name in said.SessionView.model_fields}
    return said.SessionView(**view)


ACTOR = Actor(kind="session", state=Session, born=Session, step=step, answer=answer, budget=Budget(5, 60))
