"""One flow run: tickets worked through in order, one agent turn at a time, until none is left or a person is needed.

A survey comes before every decision: ``errands`` are its open commands, and when all are answered the tickets are read
last, so that nothing of them has to be kept. Whatever stops a run empties ``errands``, so late results mean nothing.
A turn that is ``over`` is settled once, however often its survey is cut short.
"""

from dataclasses import replace
from datetime import datetime

from actors.flow import turn as rules
from actors.flow.prompt import Brief, build
from actors.flow.state import NONE, NOTHING, Run, answer
from actors.flow.turn import Again, Finish, Halt, Job, Turn
from actors.runtime.actor import Actor, Budget, Cause, Step
from actors.runtime.effects import After, Cancel, Effect, Publish, Reply, Send, Stop
from actors.runtime.weight import shorten
from protocol import flow, work
from protocol.address import Address, worker
from protocol.message import Message
from protocol.node import Due, Refusal, Undelivered, Watch
from protocol.session import Close, Closed, Interrupt, Open, Prompt, TurnEnded

PATIENCE = 20
"""Seconds for which an interrupted turn may take to end, before the run waits no longer."""
SAID, TOLD, BODY, REPLY, REPLIES, NOTES = 12_000, 4000, 12_000, 12_000, 3, 6
"""Weights of an agent's last words, of what it tells and asks, of a reply; how many replies are kept, and noted."""
ENDED, ON = ("stopped", "completed", "refused"), "type /flow resume to go on"
AGAIN = "type /flow resume to try again"


def step(run: Run, message: Message, cause: Cause) -> Step[Run]:  # noqa: PLR0911  # one for each message
    """Answer one message."""
    ours = run.session is not None and cause.sender == run.session
    match message:
        case flow.Start() | flow.Resume() | flow.Pause() | flow.Stop():
            return _command(run, message, cause)
        case TurnEnded(turn=turn) if ours and run.turn and run.working and turn == run.turn.id:
            return _over(run, message, cause)
        case Closed(error=why) | Refusal(text=why) if ours:
            return _gone(run, why or "the session of the agent has ended", cause)
        case Undelivered(to=to, why=why) if run.errands and to.kind == "work":
            return _pause(run, Halt("worker", f"the worker {to} could not be reached: {why}; {ON}"), cause)
        case Undelivered(to=to, why=why) if to == run.session:
            return _unreached(run, f"the agent could not be reached: {why}; {ON}", cause)
        case Due(timer="pause") if run.asked:
            return _pause(run, Halt("interrupted", run.asked), cause)
        case Due(timer="stop") if run.status == "stopping":
            return _stopped(run, cause)
    kind = next((kind for kind, id_ in run.errands if id_ == cause.re), "")
    return _heard(run, kind, message, cause) if kind else Step(run)


def _command(run: Run, message: Message, cause: Cause) -> Step[Run]:
    """Obey a person, or say why not."""
    alive = run.repo and run.status not in ENDED
    match message:
        case flow.Start() if not run.repo:
            run = replace(run, repo=message.repo, place=message.place, agent=message.agent, limits=message.limits)
            return _prepare(replace(run, started_at=cause.at.isoformat()), cause)
        case flow.Resume(reply=reply) if run.status == "paused":
            return _resume(run, reply.strip(), cause)
        case flow.Pause(reason=reason) if alive:
            return _interrupt(run, reason or "a person paused the run", cause)
        case flow.Stop() if alive:
            return _stop(run, cause)
    why = "this run is at work already; stop it first, or wait until it pauses"
    if not run.repo:
        why = "there is no such run; type /flow start to begin one"
    elif run.status in ENDED:
        why = f"this run has ended ({run.status}); type /flow start to begin another"
    return Step(run, (Reply(Refusal(text=why)),))


def _resume(run: Run, reply: str, cause: Cause) -> Step[Run]:
    """Go on after a person looked: that gives back the patience that had run out."""
    if run.job:
        patience = {"lints": 0, "commits": 0} if run.code == "needs_fix" else {}
        run = replace(run, job=run.job.model_copy(update={"losses": 0, **patience}))
    if reply:
        short = shorten(reply, REPLY)
        run = replace(run, notes=(*run.notes, short)[:NOTES], replies=(*run.replies, short)[-REPLIES:])
    spent = 0 if run.code == "max_turns" else run.spent
    run = replace(_at(run, "running", cause), spent=spent)
    resumed = Publish(flow.RunResumed(reply=shorten(reply, rules.LINE)))
    return _after((resumed,), _survey(run, cause) if run.begun else _prepare(run, cause))


def _interrupt(run: Run, reason: str, cause: Cause) -> Step[Run]:
    """Pause, as soon as no agent has the turn."""
    if run.status == "paused":
        return _dismiss(run)
    if run.status == "stopping" or run.asked:
        return Step(run)
    run = replace(run, asked=reason)
    if not run.working or run.session is None:
        return _pause(run, Halt("interrupted", reason), cause)
    timer = After(PATIENCE, Due(timer="pause"), "pause")
    return Step(run, (Send(run.session, Interrupt()), Send(run.session, Close()), timer))


def _stop(run: Run, cause: Cause) -> Step[Run]:
    """End the run, as soon as its agent has gone."""
    if run.session is None:
        return _stopped(run, cause)
    if run.status == "stopping":
        return Step(run)
    interrupt = (Send(run.session, Interrupt()),) if run.working else ()
    close = Send(run.session, Close()), After(PATIENCE, Due(timer="stop"), "stop")
    return Step(replace(_at(run, "stopping", cause), errands=(), asked=""), (*interrupt, *close))


def _stopped(run: Run, cause: Cause) -> Step[Run]:
    run = replace(_at(run, "stopped", cause), errands=(), asked="", turn=None, session=None)
    return Step(run, (Cancel("stop"), Cancel("pause"), Publish(flow.RunStopped())))


def _prepare(run: Run, cause: Cause) -> Step[Run]:
    """Have the folders made before anything is looked at: they bring the rule by which git does not see them."""
    prepare = work.Prepare(checkout=run.place.path, run=run.me.key)
    return _ask(_at(run, "starting", cause), (("prepare", "tickets", prepare),), cause)


def _survey(run: Run, cause: Cause) -> Step[Run]:
    """Ask for all that has to be known, but for the tickets."""
    checkout, key = run.place.path, run.me.key
    wishes: list[tuple[str, str, work.Work]] = [("inspect", "git", work.Inspect(checkout=checkout, since=run.start))]
    if run.turn:
        wishes.append(("measure", "git", work.Inspect(checkout=checkout, since=run.turn.head)))
        collect = work.Collect(checkout=checkout, run=key, number=run.dispatches + 1)
        wishes.append(("collect", "dispatches", collect))
    for number, text in enumerate(run.notes, start=run.noted + 1):
        note = work.Note(checkout=checkout, run=key, number=number, text=text)
        wishes.append((f"note {number}", "dispatches", note))
    return _ask(run, tuple(wishes), cause)


def _ask(run: Run, wishes: tuple[tuple[str, str, work.Work], ...], cause: Cause) -> Step[Run]:
    errands = tuple((kind, cause.derive(kind)) for kind, _, _ in wishes)
    sends = (Send(worker(run.place.node, name, run.repo), wish, cause.derive(kind)) for kind, name, wish in wishes)
    return Step(replace(run, errands=errands), tuple(sends))


def _heard(run: Run, kind: str, message: Message, cause: Cause) -> Step[Run]:
    """Take the answer to an errand; after the last, read the tickets and decide."""
    before, run = run, replace(run, errands=tuple(one for one in run.errands if one[0] != kind))
    match kind, message:
        case _, work.Failed(what=what):
            return _pause(run, Halt("worker", what), cause)
        case "look", work.Seen():
            return _decide(run, message, cause)
        case "prepare", work.Prepared():
            return _survey(run, cause)
        case "inspect", work.Tree():
            run = replace(run, tree=rules.stand(message))
        case "measure", work.Tree():
            run = replace(run, measure=rules.stand(message))
        case "collect", work.Collected(body=body):
            run = replace(run, collected=message.model_copy(update={"body": shorten(body, BODY), "files": ()}))
        case _, work.Noted():
            pass
        case _:
            return Step(before)
    if run.errands:
        return Step(run)
    # A note that is cut short is noted again, under its number and in its words: so all of them count, or none.
    run = replace(run, noted=run.noted + len(run.notes), notes=())
    return _ask(run, (("look", "tickets", work.Look(checkout=run.place.path)),), cause)


def _decide(run: Run, seen: work.Seen, cause: Cause) -> Step[Run]:
    """Go on from what was seen."""
    run = replace(run, total=len(seen.tickets), done=sum(one.done and not one.problems for one in seen.tickets))
    if not run.begun:
        return _begin(run, seen, cause)
    if run.turn and run.job:
        return _settle(run, run.job, run.turn, seen, cause)
    if run.job is None or rules.find(seen, run.job.path) is None:
        run, effects = _dismiss(replace(run, job=None))
        return _after(effects, _pick(run, seen, cause))
    return _obey(run, rules.judge(run.job, seen, run.tree, NONE, run.limits), seen, cause)


def _begin(run: Run, seen: work.Seen, cause: Cause) -> Step[Run]:
    if reason := rules.refusal(seen, run.tree):
        run = replace(_at(run, "refused", cause), reason=reason)
        return Step(run, (Publish(flow.RunRefused(reason=reason)), Stop()))
    run = replace(run, status="running", begun=True, start=run.tree.head)
    started = flow.RunStarted(repo=run.repo, tickets=run.total, done=run.done)
    return _after((Publish(started),), _pick(run, seen, cause))


def _pick(run: Run, seen: work.Seen, cause: Cause) -> Step[Run]:
    """Take the next ticket, if there is one that can be worked on."""
    chosen = rules.choose(seen, run.tree)
    if chosen is None:
        seconds = (cause.at - datetime.fromisoformat(run.started_at)).total_seconds()
        completed = rules.completed(run.done, run.turns, run.tree, seconds)
        return Step(_at(run, "completed", cause), (Publish(completed),))
    if isinstance(chosen, Halt):
        return _pause(run, chosen, cause)
    agent = run.agent or chosen.agent
    run = replace(run, job=Job(path=chosen.path, title=chosen.title, agent=agent))
    said = flow.TicketChosen(ticket=chosen.path, title=chosen.title, number=chosen.number, agent=agent)
    return _after((Publish(said),), _obey(run, Again(), seen, cause))


def _settle(run: Run, job: Job, turn: Turn, seen: work.Seen, cause: Cause) -> Step[Run]:
    """Tell what a turn brought, and go on from there."""
    told = run.collected
    facts: tuple[Effect, ...] = (Publish(rules.ended(job, turn, run.measure, run.last)),)
    if told.mode == "notify":
        facts = (*facts, Publish(flow.Told(ticket=job.path, title=told.title, body=shorten(told.body, TOLD))))
    count = run.dispatches + (told.mode != "none")
    run = replace(run, turn=None, measure=NOTHING, collected=NONE, dispatches=count)
    return _after(facts, _obey(run, rules.judge(job, seen, run.tree, told, run.limits), seen, cause))


def _obey(run: Run, verdict: rules.Verdict, seen: work.Seen, cause: Cause) -> Step[Run]:
    if isinstance(verdict, Finish) and run.replies:
        # Somebody answered: whoever had asked gets to hear it, also with the ticket done.
        verdict = Again()
    match verdict:
        case Halt():
            return _pause(run, verdict, cause)
        case Again() if run.spent >= run.limits.turns:
            why = f"the run has taken {run.spent} turns, as many as it may without a person; type /flow resume for more"
            return _pause(run, Halt("max_turns", why), cause)
        case Again() if run.job:
            return _turn(run, rules.tried(run.job, verdict), verdict, seen, cause)
        case Finish() if run.job:
            done = flow.TicketDone(ticket=run.job.path, title=run.job.title, done=run.done, total=run.total)
            run, effects = _dismiss(replace(run, job=None))
            return _after((Publish(done), *effects), _pick(run, seen, cause))
    return Step(run)


def _turn(run: Run, job: Job, again: Again, seen: work.Seen, cause: Cause) -> Step[Run]:
    """Give the agent a turn, in the session that the ticket has, or in a new one."""
    ticket = rules.find(seen, job.path) or work.Ticket(path=job.path, number=0)
    agent = run.agent or ("" if ticket.problems else ticket.agent) or job.agent
    run, effects = _dismiss(run) if agent != job.agent else Step(run)
    attempts = run.limits.commit_repairs - job.commits + 1 if again.why == "commit" else 0
    known = (run.replies, again.problems, run.tree.dirty, attempts, job.said)
    text = build(Brief(run.me.key, ticket, seen.documents, *known))
    why = "reply" if again.why == "work" and run.replies else again.why
    id_, session = cause.derive("turn"), run.session or Address("session", cause.derive("session"))
    opened = (Send(session, Watch()), Send(session, Open(agent=agent, place=run.place))) if run.session is None else ()
    # A model is one of the ticket's own agent: another would not know it.
    model, effort = (ticket.model, ticket.effort) if agent == ticket.agent else ("", "")
    prompt = Prompt(turn=id_, text=text, model=model, effort=effort)
    turn = Turn(id=id_, number=run.turns + 1, head=run.tree.head, prompt_bytes=len(text.encode()))
    begun = flow.TurnBegun(ticket=job.path, turn=turn.number, agent=agent, session=session, why=why)
    job = job.model_copy(update={"agent": agent, "title": ticket.title or job.title})
    run = replace(run, job=job, turn=turn, session=session, turns=turn.number, spent=run.spent + 1)
    return Step(_at(run, "running", cause), (*effects, *opened, Send(session, prompt), Publish(begun)))


def _over(run: Run, ended: TurnEnded, cause: Cause) -> Step[Run]:
    """Take the end of a turn: settle it, try it once more, or ask a person."""
    run = replace(run, last=ended.usage, usage=rules.add(run.usage, ended.usage))
    if run.status == "stopping":
        return _stopped(run, cause)
    if run.job is None or run.turn is None:
        return Step(run)
    if ended.outcome == "done":
        job = run.job.model_copy(update={"said": shorten(ended.text, SAID, tail=1.0), "losses": 0})
        run = replace(run, job=job, turn=run.turn.model_copy(update={"over": True}), replies=())
        return _pause(run, Halt("interrupted", run.asked), cause) if run.asked else _survey(run, cause)
    run = replace(run, turn=None)
    if run.asked or ended.outcome == "interrupted":
        return _pause(run, Halt("interrupted", run.asked or ended.error or f"the turn was interrupted; {ON}"), cause)
    if ended.trouble == "lost":
        return _lost(run, ended.error, cause)
    return _pause(run, Halt("sandbox" if ended.trouble == "sandbox" else "agent", ended.error), cause)


def _gone(run: Run, why: str, cause: Cause) -> Step[Run]:
    """Forget the session, which has ended; a turn that it had is lost."""
    run = replace(run, session=None)
    if run.status == "stopping":
        return _stopped(run, cause)
    return _lost(replace(run, turn=None), why, cause) if run.working else Step(run)


def _unreached(run: Run, why: str, cause: Cause) -> Step[Run]:
    """Take that a session never heard what it was told."""
    if not run.working or run.asked or run.status == "stopping":
        return _gone(run, why, cause)
    run, effects = _dismiss(run)
    return _after(effects, _pause(run, Halt("worker", why), cause))


def _lost(run: Run, why: str, cause: Cause) -> Step[Run]:
    """Go on after a turn was lost: once with a new session, then a person is asked."""
    if run.asked:
        return _pause(run, Halt("interrupted", run.asked), cause)
    if run.job is None or run.job.losses:
        return _pause(run, Halt("agent", why), cause)
    run, effects = _dismiss(replace(run, job=run.job.model_copy(update={"losses": run.job.losses + 1})))
    return _after(effects, _survey(run, cause))


def _pause(run: Run, halt: Halt, cause: Cause) -> Step[Run]:
    """Wait for a person. An agent that failed, or that was told to leave, leaves; any other keeps what it knows."""
    run, effects = _dismiss(run) if run.asked or halt.code in ("agent", "sandbox") else Step(run)
    turn = run.turn if run.turn and run.turn.over else None
    reason, ticket = shorten(halt.reason, rules.LINE), run.job.path if run.job else halt.ticket
    if halt.code in ("agent", "sandbox"):
        reason = f"{reason}; {AGAIN}"
    run = replace(_at(run, "paused", cause), code=halt.code, reason=reason, body=halt.body)
    paused = Publish(flow.RunPaused(code=halt.code, reason=reason, body=halt.body, ticket=ticket, repo=run.repo))
    return Step(replace(run, asked="", errands=(), turn=turn), (*effects, Cancel("pause"), paused))


def _at(run: Run, status: flow.Status, cause: Cause) -> Run:
    """Note how it stands now, and that what it stood at before is no more."""
    return replace(run, status=status, code=None, reason="", body="", since=cause.at.isoformat())


def _dismiss(run: Run) -> Step[Run]:
    """Let the session end."""
    if run.session is None:
        return Step(run)
    return Step(replace(run, session=None), (Send(run.session, Close()),))


def _after(effects: tuple[Effect, ...], done: Step[Run]) -> Step[Run]:
    return Step(done.state, (*effects, *done.effects))


ACTOR = Actor(kind="run", state=Run, born=Run, step=step, answer=answer, budget=Budget(5, 60))
