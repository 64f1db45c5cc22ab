"""A repository: one checkout, its tickets, its one active run, and the free session beside it.

A run is known to be active from the moment in which it is sent its start, so two starts at once make one run. A turn
of the free session bears the id of the message that asked for it: who asked knows it before any answer comes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from actors.runtime.actor import Actor, Budget, Cause, Step
from actors.runtime.effects import Asker, Effect, Reply, Send
from protocol.address import Address, untoken, worker
from protocol.flow import (
    Pause,
    Resume,
    RunCompleted,
    RunPaused,
    RunRefused,
    RunResumed,
    RunStarted,
    RunStopped,
    Start,
    Status,
    Stop,
    TicketChosen,
)
from protocol.message import Command, Event, Message, Query
from protocol.node import Refusal, Undelivered, Watch
from protocol.repo import (
    AddTicket,
    Adopt,
    FlowAccepted,
    ListTickets,
    PauseFlow,
    RepoView,
    ResumeFlow,
    StartFlow,
    StopFlow,
    Talk,
    TalkAccepted,
    TicketAdded,
    Tickets,
)
from protocol.session import Close, Closed, Interrupt, Open, Place, Prompt, TurnEnded
from protocol.work import Failed, Look, Seen, Work, Write, Written

ASKERS = 20
"""How many may wait at the same time, for each kind of thing that is waited for."""
NOWHERE = Place(node="", path="")
OVER = ("", "stopped", "completed", "refused")
TURNS: Mapping[type[Event], Status] = {
    RunStarted: "running",
    RunPaused: "paused",
    RunResumed: "running",
    RunStopped: "stopped",
    RunCompleted: "completed",
}
"""How it stands with the run after each of these."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Somebody waits for what bears this id: an answer of a worker, the end of a turn, a word of the run."""

    id: str
    asker: Asker


@dataclass(frozen=True, slots=True)
class Repo:
    """What a repository remembers. ``run`` is its newest run; ``turns`` are those of the free session."""

    repo: str
    place: Place = NOWHERE
    agent: str = "codex"
    run: str = ""
    status: Status | Literal[""] = ""
    starting: tuple[Asker, ...] = ()
    resuming: Waiting | None = None
    session: str = ""
    speaks: str = ""
    turns: tuple[Waiting, ...] = ()
    errands: tuple[Waiting, ...] = ()

    @property
    def active(self) -> bool:
        """Tell whether there is a run that has not come to its end."""
        return self.status not in OVER


def step(repo: Repo, message: Message, cause: Cause) -> Step[Repo]:  # noqa: PLR0911  # one for each kind of message
    """Answer one message."""
    match message:
        case Adopt(place=place):
            return Step(replace(repo, place=place))
        case Command():
            return _obey(repo, message, cause)
        case Seen() | Written() | Failed():
            return _done(repo, message, cause)
        case Undelivered(id=id_, why=why):
            if repo.resuming and repo.resuming.id == id_ and repo.status == "running":
                repo = replace(repo, status="paused")
            return _lost(repo, id_, f"it was not delivered ({why})")
        case Refusal(text=text):
            return _lost(repo, cause.re, text)
        case Event():
            return _hear(repo, message, cause)
    return Step(repo)


def _obey(repo: Repo, command: Command, cause: Cause) -> Step[Repo]:  # noqa: PLR0911  # one for each command
    """Do what somebody wants, where there is a checkout to do it in."""
    if not repo.place.path:
        return _refuse(repo, f"no repository is called {repo.repo}; car repo list shows those that are there")
    match command:
        case StartFlow():
            return _start(repo, command, cause)
        case ResumeFlow(reply=reply):
            return _resume(repo, reply, cause)
        case StopFlow():
            return _stop(repo, cause)
        case PauseFlow(reason=reason):
            return _pause(repo, reason)
        case Talk():
            return _talk(repo, command, cause)
        case ListTickets():
            return _errand(repo, Look(checkout=repo.place.path), cause)
        case AddTicket(title=title, agent=agent, body=body):
            write = Write(checkout=repo.place.path, title=title, agent=agent or repo.agent, body=body)
            return _errand(repo, write, cause)
    return Step(repo)


# the run


def _start(repo: Repo, wish: StartFlow, cause: Cause) -> Step[Repo]:
    """Make a run, or find the one that is active."""
    if repo.status == "starting":
        if len(repo.starting) >= ASKERS:
            return _refuse(repo, f"{ASKERS} already wait for the run in {repo.repo} to begin; type /flow status")
        return Step(replace(repo, starting=(*repo.starting, cause.asker)), _watch(_run(repo), cause))
    if repo.active:
        return Step(repo, (*_watch(_run(repo), cause), Reply(_accepted(repo))))
    if repo.turns:
        return _refuse(repo, f"an agent answers you in {repo.repo} now; wait for its answer, then type /flow start")
    closing: tuple[Effect, ...] = (Send(_session(repo), Close()),) if repo.session else ()
    repo = replace(repo, run=cause.derive("run"), status="starting", starting=(cause.asker,), session="", speaks="")
    start = Start(repo=repo.repo, place=repo.place, agent=wish.agent, limits=wish.limits)
    run = _run(repo)
    return Step(repo, (*closing, Send(run, Watch()), *_watch(run, cause), Send(run, start, id=repo.run)))


def _resume(repo: Repo, reply: str, cause: Cause) -> Step[Repo]:
    if repo.status != "paused":
        hint = "a run works there; type /flow status to see it" if repo.active else "type /flow start"
        return _refuse(repo, f"no run is paused in {repo.repo}; {hint}")
    repo, effects = _wake(repo, reply, cause)
    return Step(repo, (*effects, Reply(_accepted(repo))))


def _wake(repo: Repo, reply: str, cause: Cause) -> Step[Repo]:
    """Let the paused run go on. It counts as running from now on, or a second answer would be lost in this pause."""
    resuming = Waiting(cause.derive("resume"), cause.asker)
    resume = Send(_run(repo), Resume(reply=reply), id=resuming.id)
    return Step(replace(repo, status="running", resuming=resuming), (*_watch(_run(repo), cause), resume))


def _stop(repo: Repo, cause: Cause) -> Step[Repo]:
    if not repo.active:
        return _refuse(repo, f"no run is active in {repo.repo}; type /flow start to begin one")
    return Step(repo, (*_watch(_run(repo), cause), Send(_run(repo), Stop()), Reply(_accepted(repo))))


def _pause(repo: Repo, reason: str) -> Step[Repo]:
    """Interrupt whatever works in the checkout; a run that is paused already lets the agent go that it keeps."""
    effects: tuple[Effect, ...] = (Send(_run(repo), Pause(reason=reason)),) if repo.active else ()
    if repo.session:
        effects = (*effects, Send(_session(repo), Interrupt()), Send(_session(repo), Close()))
    return Step(replace(repo, session="", speaks="", turns=()), effects)


def _hear(repo: Repo, event: Event, cause: Cause) -> Step[Repo]:
    """Keep up with the run and with the free session."""
    run = bool(repo.run) and cause.sender == _run(repo)
    session = bool(repo.session) and cause.sender == _session(repo)
    match event:
        case RunRefused(reason=reason) if run:
            return _fail(repo, reason)
        case TicketChosen(agent=agent) if run and agent != "user":
            return Step(replace(repo, agent=agent))
        case TurnEnded(turn=turn) if session:
            return Step(replace(repo, turns=tuple(one for one in repo.turns if one.id != turn)))
        case Closed() if session:
            # What the session had taken it has told of; a turn that is left was sent too late, and its refusal comes.
            return Step(replace(repo, session="", speaks=""))
    if run and (status := TURNS.get(type(event))):
        return _settle(repo, status)
    return Step(repo)


def _settle(repo: Repo, status: Status) -> Step[Repo]:
    """Tell who waited that there is a run: the first of them made it."""
    replies = tuple(Reply(_accepted(repo, fresh=n == 0), to=asker) for n, asker in enumerate(repo.starting))
    return Step(replace(repo, status=status, starting=(), resuming=None), replies)


def _fail(repo: Repo, reason: str) -> Step[Repo]:
    """Tell who waited that there is no run."""
    replies = tuple(Reply(Refusal(text=reason), to=asker) for asker in repo.starting)
    return Step(replace(repo, status="refused", starting=()), replies)


# the free session


def _talk(repo: Repo, wish: Talk, cause: Cause) -> Step[Repo]:
    """Hand the words to the run that waits for them, else to the agent of the free session."""
    if repo.status == "paused":
        repo, effects = _wake(repo, wish.text, cause)
        return Step(repo, (*effects, Reply(TalkAccepted(repo=repo.repo, run=repo.run))))
    if repo.active:
        hint = "type /flow stop to end it, or /flow status to see it"
        return _refuse(repo, f"a run works in {repo.repo} now; {hint}")
    if len(repo.turns) >= ASKERS:
        return _refuse(repo, f"{ASKERS} messages wait for the agent in {repo.repo}; wait for its answers")
    agent = wish.agent or repo.speaks or repo.agent
    if repo.session and repo.turns and agent != repo.speaks:
        return _refuse(repo, f"{repo.speaks} answers in {repo.repo} now; wait for its answer before you ask {agent}")
    prompt = Prompt(turn=cause.id, text=wish.text)
    repo, effects = _reach(repo, agent, cause)
    repo = replace(repo, turns=(*repo.turns, Waiting(prompt.turn, cause.asker)))
    accepted = TalkAccepted(repo=repo.repo, session=_session(repo), turn=prompt.turn)
    return Step(repo, (*effects, Send(_session(repo), prompt, id=prompt.turn), Reply(accepted)))


def _reach(repo: Repo, agent: str, cause: Cause) -> Step[Repo]:
    """Take the session that is open, where it is with this agent, else open one."""
    if repo.session and repo.speaks == agent:
        return Step(repo, _watch(_session(repo), cause))
    closing: tuple[Effect, ...] = (Send(_session(repo), Close()),) if repo.session else ()
    repo = replace(repo, session=cause.derive("session"), speaks=agent)
    to = _session(repo)
    opening = Send(to, Open(agent=agent, place=repo.place))
    return Step(repo, (*closing, Send(to, Watch()), *_watch(to, cause), opening))


# the workers


def _errand(repo: Repo, work: Work, cause: Cause) -> Step[Repo]:
    """Let the tickets worker of the machine that holds the checkout do something."""
    if len(repo.errands) >= ASKERS:
        return _refuse(repo, f"{ASKERS} commands wait for the tickets of {repo.repo}; wait a moment and try again")
    errand = Waiting(cause.derive("errand"), cause.asker)
    to = worker(repo.place.node, "tickets", repo.repo)
    return Step(replace(repo, errands=(*repo.errands, errand)), (Send(to, work, id=errand.id),))


def _done(repo: Repo, event: Seen | Written | Failed, cause: Cause) -> Step[Repo]:
    """Pass on what the worker says, where somebody still waits for it."""
    errand = next((one for one in repo.errands if one.id == cause.re), None)
    if not errand:
        return Step(repo)
    repo = replace(repo, errands=tuple(one for one in repo.errands if one != errand))
    said: Event
    match event:
        case Seen(tickets=tickets, problems=problems):
            # Whoever lists the tickets does not read them: all their text would be too much for a record.
            briefly = tuple(one.model_copy(update={"text": ""}) for one in tickets)
            said = Tickets(tickets=briefly, problems=problems)
        case Written(path=path):
            said = TicketAdded(path=path)
        case Failed(what=what):
            said = Refusal(text=what)
    return Step(repo, (Reply(said, to=errand.asker),))


def _lost(repo: Repo, id_: str, why: str) -> Step[Repo]:
    """Tell whoever waited that what they asked for was refused further on, or never came there."""
    if repo.status == "starting" and id_ == repo.run:
        return _fail(repo, f"the run in {repo.repo} could not begin: {why}; type /flow start to try again")
    if repo.resuming and repo.resuming.id == id_:
        said = f"the run in {repo.repo} was not resumed: {why}; type /flow status to see it"
        return Step(replace(repo, resuming=None), (Reply(Refusal(text=said), to=repo.resuming.asker),))
    if turn := next((one for one in repo.turns if one.id == id_), None):
        said = f"the agent in {repo.repo} did not take your message: {why}; say it again in a moment"
        repo, closing = _unturn(repo, turn)
        return Step(repo, (*closing, Reply(Refusal(text=said), to=turn.asker)))
    if errand := next((one for one in repo.errands if one.id == id_), None):
        repo = replace(repo, errands=tuple(one for one in repo.errands if one != errand))
        said = f"the machine {repo.place.node} that holds {repo.repo} was not reached: {why}; try again in a moment"
        return Step(repo, (Reply(Refusal(text=said), to=errand.asker),))
    return Step(repo)


def _unturn(repo: Repo, turn: Waiting) -> Step[Repo]:
    """Forget a turn that never began; a session without any other may not be there at all, and is left."""
    repo = replace(repo, turns=tuple(one for one in repo.turns if one != turn))
    if repo.turns or not repo.session:
        return Step(repo)
    return Step(replace(repo, session="", speaks=""), (Send(_session(repo), Close()),))


# what they share


def _watch(actor: Address, cause: Cause) -> tuple[Effect, ...]:
    """Let a chat room hear what it has asked for; others wait for answers alone."""
    if cause.sender.kind.startswith("chat_"):
        return (Send(actor, Watch(watcher=cause.sender)),)
    return ()


def _refuse(repo: Repo, text: str) -> Step[Repo]:
    return Step(repo, (Reply(Refusal(text=text)),))


def _accepted(repo: Repo, *, fresh: bool = False) -> FlowAccepted:
    return FlowAccepted(repo=repo.repo, run=repo.run, fresh=fresh)


def _run(repo: Repo) -> Address:
    return Address("run", repo.run)


def _session(repo: Repo) -> Address:
    return Address("session", repo.session)


def answer(repo: Repo, _query: Query, _cause: Cause) -> RepoView:
    """Say how it stands with the repository; one that nobody has adopted lies nowhere."""
    busy = bool(repo.turns) or repo.status in ("starting", "running")
    return RepoView(repo=repo.repo, place=repo.place, run=repo.run, active=repo.active, busy=busy)


def _born(address: Address) -> Repo:
    return Repo(untoken(address.key))


ACTOR = Actor(kind="repo", state=Repo, born=_born, step=step, answer=answer, budget=Budget(5, 60))
