"""What follows from a turn: the rules by which a run settles it, judged anew from disk each time."""

from dataclasses import dataclass
from typing import Literal

from actors.runtime.weight import shorten
from protocol.agent import Usage
from protocol.flow import Code, Limits, RunCompleted, TurnDone
from protocol.message import Part
from protocol.work import Collected, Commit, Diffstat, Seen, Ticket, Tree

Why = Literal["work", "lint", "commit", "reply"]

USER = "user"
"""The agent of tickets that a person does."""
SHOWN, LISTED = 10, 20
"""Paths that are named where a run is refused, and where it pauses."""
COMMITS = 50
COMMITS_OF_TURN = 20
LINE = 2000
"""Weight of a reason: it is told to each who watches."""
ON = "then type /flow resume"


class Job(Part):
    """The ticket in work: which it is, what was tried on it, and the end of what its agent wrote last.

    ``lints`` and ``commits`` count repair turns in a row, ``losses`` sessions that were lost in a row. They are the
    memory of the gates: only what is seen on disk, or a person, resets them.
    """

    path: str
    title: str
    agent: str
    lints: int = 0
    commits: int = 0
    losses: int = 0
    said: str = ""


class Turn(Part):
    """A turn: its id at the session, where the checkout stood before it, and (``over``) that it waits to be settled."""

    id: str
    number: int
    head: str
    prompt_bytes: int = 0
    over: bool = False


class Stand(Part):
    """Where the checkout stands, as much of it as is needed."""

    head: str
    dirty: tuple[str, ...] = ()
    commits: tuple[Commit, ...] = ()
    diffstat: Diffstat = Diffstat()


@dataclass(frozen=True, slots=True)
class Again:
    """Another turn on the same ticket."""

    why: Why = "work"
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finish:
    """The ticket is done and everything is committed."""


@dataclass(frozen=True, slots=True)
class Halt:
    """A person is needed."""

    code: Code
    reason: str
    body: str = ""
    ticket: str = ""


Verdict = Again | Finish | Halt


def stand(tree: Tree) -> Stand:
    """Keep of a tree what fits into a record: paths are cut, and the newest commits stay."""
    commits = tuple(one.model_copy(update={"subject": one.subject[:120]}) for one in tree.commits[-COMMITS:])
    return Stand(
        head=tree.head, dirty=tuple(path[:200] for path in tree.dirty), commits=commits, diffstat=tree.diffstat
    )


def refusal(seen: Seen, tree: Stand) -> str:
    """Say why a run cannot begin here; nothing where it can."""
    if tree.dirty:
        paths = names(tree.dirty, SHOWN)
        return f"the checkout has changes that are not committed: {paths}; commit or stash them, then type /flow start"
    if seen.problems:
        return f"the folder of tickets is not in order: {_join(seen.problems)}; mend that, then type /flow start"
    if not seen.tickets:
        return "there are no tickets in .codex-autorunner/tickets; make one with: car ticket new, then type /flow start"
    return ""


def find(seen: Seen, path: str) -> Ticket | None:
    """Return the ticket of that path, if it is still there."""
    return next((one for one in seen.tickets if one.path == path), None)


def choose(seen: Seen, tree: Stand) -> Ticket | Halt | None:
    """Return the first ticket that is not done, or what keeps it from being worked on; None where all are done."""
    if seen.problems:
        return Halt("needs_fix", f"the folder of tickets is not in order: {_join(seen.problems)}; mend that, {ON}")
    if not seen.tickets:
        return Halt("no_tickets", f"there are no tickets any more; make one with: car ticket new, {ON}")
    ticket = next((one for one in seen.tickets if not one.done or one.problems), None)
    if ticket is None:
        return Halt("needs_fix", _uncommitted("every ticket is done", tree.dirty)) if tree.dirty else None
    if ticket.problems:
        return Halt("needs_fix", f"{_join(ticket.problems)}; mend that, {ON}", ticket=ticket.path)
    return _manual(ticket) if ticket.agent == USER else ticket


def judge(job: Job, seen: Seen, tree: Stand, collected: Collected, limits: Limits) -> Verdict:
    """Decide how it goes on with the ticket in work."""
    if collected.mode == "pause":
        return _question(job, collected)
    ticket = find(seen, job.path)
    problems = _problems(job, ticket, seen, collected)
    if ticket is None or problems:
        if job.lints < limits.lint_repairs:
            return Again("lint", problems)
        why = f"{job.path} cannot be worked on, and its agent did not mend it in {job.lints} turns"
        return Halt("needs_fix", f"{why}: {_join(problems)}; mend that, {ON}")
    if not ticket.done:
        return _manual(ticket) if ticket.agent == USER else Again()
    return _gate(job, tree, limits) if tree.dirty else Finish()


def _question(job: Job, collected: Collected) -> Halt:
    first = next((line.strip("# ") for line in collected.body.splitlines() if line.strip()), "")
    return Halt("question", collected.title or first or f"the agent asks about {job.path}", collected.body)


def _gate(job: Job, tree: Stand, limits: Limits) -> Verdict:
    if job.commits < limits.commit_repairs:
        return Again("commit")
    why = f"{job.path} is done, but its agent did not commit everything in {job.commits} turns more"
    return Halt("needs_fix", _uncommitted(why, tree.dirty))


def tried(job: Job, again: Again) -> Job:
    """Count a turn that is about to begin. A repair of the ticket leaves the memory of the commit gate as it is."""
    match again.why:
        case "lint":
            return job.model_copy(update={"lints": job.lints + 1})
        case "commit":
            return job.model_copy(update={"lints": 0, "commits": job.commits + 1})
    return job.model_copy(update={"lints": 0, "commits": 0})


def ended(job: Job, turn: Turn, measure: Stand, usage: Usage) -> TurnDone:
    """Tell what a turn brought."""
    return TurnDone(
        ticket=job.path,
        turn=turn.number,
        said=job.said[-2000:],
        usage=usage,
        commits=measure.commits[-COMMITS_OF_TURN:],
        diffstat=measure.diffstat,
        prompt_bytes=turn.prompt_bytes,
    )


def completed(done: int, turns: int, tree: Stand, seconds: float) -> RunCompleted:
    """Tell what a whole run brought."""
    return RunCompleted(done=done, turns=turns, commits=tree.commits, diffstat=tree.diffstat, seconds=seconds)


def add(one: Usage, other: Usage) -> Usage:
    """Sum up what turns have used."""
    return Usage(input=one.input + other.input, cached=one.cached + other.cached, output=one.output + other.output)


def names(paths: tuple[str, ...], most: int) -> str:
    """List paths, not more than ``most``."""
    rest = len(paths) - most
    return ", ".join(paths[:most]) + (f" and {rest} more" if rest > 0 else "")


def _problems(job: Job, ticket: Ticket | None, seen: Seen, collected: Collected) -> tuple[str, ...]:
    gone = () if ticket else (f"the file {job.path} is gone: put it back under this name",)
    own = ticket.problems if ticket else ()
    return (*gone, *own, *seen.problems, *filter(None, (collected.problem,)))


def _manual(ticket: Ticket) -> Halt:
    title = f" ({ticket.title})" if ticket.title else ""
    why = f"{ticket.path}{title} is for a person: do it, write done: true into it, {ON}"
    return Halt("user_ticket", why, ticket=ticket.path)


def _uncommitted(why: str, dirty: tuple[str, ...]) -> str:
    return f"{why}: {names(dirty, LISTED)}; commit or stash them, {ON}"


def _join(problems: tuple[str, ...]) -> str:
    return shorten("; ".join(problems), LINE)
