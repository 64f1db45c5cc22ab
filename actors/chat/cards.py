"""What a room is shown: every card, whole, as a person reads it.

Cards are written in light markdown (``**bold**`` and ``code``), which every bridge can show or leave out. They bear
no revision: the room numbers them as it shows them.
"""

from collections.abc import Sequence

from actors.chat.progress import Progress, Talking, Tool, line
from actors.chat.words import TABLE, Line, Word
from protocol.chat import Card, Choice, Tone
from protocol.flow import RunCompleted, Told
from protocol.hub import RepoEntry
from protocol.repo import RepoView
from protocol.session import TurnEnded
from protocol.work import Diffstat

TEXT = 30_000
"""Characters of one card, about so many as the answer of an agent may have."""
NAMED = 20
"""So many commits, repositories or buttons are named on one card."""

START = Choice(label="Start", says="/flow start")
STOP = Choice(label="Stop", says="/flow stop")
RESUME = Choice(label="Resume", says="/flow resume")

_DOES = {
    "work": "works on it",
    "lint": "mends the ticket's file",
    "commit": "commits its work",
    "reply": "goes on with your answer",
}
_MARKS = {"began": "…", "done": "·", "failed": "✗"}


# a run


def run(known: Progress) -> Card:
    """Show what a run does now; this one card follows it from its start to its end."""
    match known.status:
        case "starting" | "running":
            return _run(known, "", "working", (STOP,))
        case "paused":
            return _run(known, "waits for your answer", "plain", (RESUME, STOP))
        case _:
            return _run(known, known.status, "plain", ())


def _run(known: Progress, what: str, tone: Tone, choices: tuple[Choice, ...]) -> Card:
    live = known.session if known.working else None
    lines = (_header(known, what), *_tickets(known), *_now(known))
    return Card(id=run_id(known.run), revision=0, text="\n".join(lines), tone=tone, choices=choices, live=live)


def run_id(run_: str) -> str:
    """Return the id of the card that follows a run; the ids of its other cards begin with it."""
    return f"run-{run_}"


def _header(known: Progress, what: str = "") -> str:
    ticket = f"ticket {min(known.done + 1, known.total)}/{known.total}" if known.total else ""
    turn = f"turn {known.turn}" if known.turn else ""
    return " · ".join(part for part in (f"**{known.repo or 'a run'}**", ticket, turn, what) if part)


def _tickets(known: Progress) -> tuple[str, ...]:
    before = known.done - len(known.finished)
    return (*((f"✓ {before} done before",) if before > 0 else ()), *(f"✓ {title}" for title in known.finished))


def _now(known: Progress) -> tuple[str, ...]:
    """Say which ticket it is, who works on it, and with what."""
    title = (f"→ {known.title}",) if known.title and known.title not in known.finished[-1:] else ()
    if known.status not in ("starting", "running"):
        return title
    if known.working:
        return (*title, f"{known.agent} {_DOES[known.why]}", *_tools(known.tools))
    return (*title, "looking at what has changed" if known.turn else "getting ready")


def _tools(tools: Sequence[Tool]) -> tuple[str, ...]:
    return tuple(f"{_MARKS[tool.state]} `{tool.title}`" for tool in tools)


def question(known: Progress, said: tuple[str, str], id_: str, *, here: bool = True) -> Card:
    """Ask what an agent wants to know, briefly and in full; ``here`` is where a line is taken for the answer."""
    hint = "Answer by writing here." if here else f"To answer, type `/bind {known.repo}` first, then write here."
    choices = () if here else (_bind(known.repo),)
    text = "\n\n".join(part for part in (f"**{known.repo}** asks: {said[0]}", cut(said[1]), hint) if part)
    return Card(id=f"{run_id(known.run)}-{id_}", revision=0, text=text, tone="question", choices=choices, final=True)


def paused(known: Progress, reason: str, body: str = "") -> Card:
    """Say why a run waits, where it is not a question that it waits for."""
    lines = (_header(known, "paused"), *_tickets(known), *_now(known), reason, *((cut(body),) if body else ()))
    card = _run(known, "", "bad", (RESUME, STOP))
    return card.model_copy(update={"text": "\n".join(lines), "final": True})


def told(known: Progress, event: Told, id_: str) -> Card:
    """Pass on what an agent wants people to know while it goes on."""
    header = " ".join((f"**{known.repo}** says:", line(event.title))).strip()
    text = "\n\n".join(part for part in (header, cut(event.body)) if part)
    return Card(id=f"{run_id(known.run)}-{id_}", revision=0, text=text)


def stopped(known: Progress) -> Card:
    """Say that a run was ended by a person."""
    done = f"{known.done} of {known.total} tickets done" if known.total else "no ticket was begun"
    hint = "`/flow start` begins again with the first ticket that is not done."
    text = "\n".join((f"**{known.repo}** · stopped", *_tickets(known), done, hint))
    return Card(id=run_id(known.run), revision=0, text=text, final=True)


def completed(known: Progress, event: RunCompleted) -> Card:
    """Say what a run has brought."""
    facts = (_count(event.done, "ticket"), _count(event.turns, "turn"), _duration(event.seconds))
    named = tuple(f"`{one.id[:7]}` {line(one.subject)}" for one in event.commits[-NAMED:])
    more = len(event.commits) - len(named)
    commits = (*((f"{_count(more, 'commit')} before these:",) if more else ()), *named)
    header = f"**{known.repo}** · all tickets are done"
    text = "\n".join((header, *_tickets(known), " · ".join(facts), *commits, *_diffstat(event.diffstat)))
    return Card(id=run_id(known.run), revision=0, text=text, tone="good", final=True)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _diffstat(stat: Diffstat) -> tuple[str, ...]:
    if not stat.files:
        return ()
    added, removed = _count(stat.insertions, "line"), stat.deletions
    return (f"{_count(stat.files, 'file')} changed, {added} added, {removed} removed",)


# a free turn


def talking(known: Talking) -> Card:
    """Show that an agent answers, or will."""
    who = f"{known.agent} answers" if known.begun else "your message waits for the agent"
    text = "\n".join((f"**{known.repo}** · {who}", *_tools(known.tools)))
    live = known.session if known.begun else None
    return Card(id=_talk_id(known), revision=0, text=text, tone="working", live=live)


def answered(known: Talking, event: TurnEnded) -> Card:
    """Show what an agent has answered."""
    who = known.agent or "the agent"
    note = {
        "done": "" if event.text else f"{who} ended its turn without a word.",
        "interrupted": f"{who} was interrupted. {event.error}".strip(),
        "failed": event.error or f"{who} could not answer.",
    }[event.outcome]
    text = "\n\n".join(part for part in (cut(event.text), note) if part)
    tone: Tone = "plain" if event.outcome == "done" else "bad"
    return Card(id=_talk_id(known), revision=0, text=text, tone=tone, final=True)


def _talk_id(known: Talking) -> str:
    return f"talk-{known.turn}"


def cut(text: str) -> str:
    """Cut a text that is too long for a card, and say so."""
    if len(text) <= TEXT:
        return text
    return f"{text[:TEXT]}…\n\n(cut here: the whole text has {len(text)} characters)"


# what was asked


def helped(repo: str, id_: str) -> Card:
    """Show every word."""
    words = tuple(f"`{' '.join(part for part in (one.says, one.takes) if part)}` {one.means}" for one in TABLE)
    plain = "Any other line goes to the agent of the repository, or answers the run that asks."
    unbound = "This room takes the repository of the folder you speak from, or the only one; `/bind` chooses one."
    bound = f"This room works with **{repo}**." if repo else unbound
    return Card(id=id_, revision=0, text="\n".join((*words, plain, bound)), final=True)


def unknown(said: Line, near: tuple[Word, ...], id_: str) -> Card:
    """Say that a word is none, and which may have been meant."""
    meant = " or ".join(f"`{one.says}`" for one in near)
    hint = f"Did you mean {meant}?" if near else "`/help` shows the words that there are."
    choices = tuple(Choice(label=one.says, says=one.says) for one in near)
    text = f"There is no word `{line(said.says)}` here. {hint}"
    return Card(id=id_, revision=0, text=text, tone="bad", choices=choices, final=True)


def alone(word: Word, id_: str) -> Card:
    """Say that nothing may follow a word."""
    again = Choice(label=word.says, says=word.says)
    text = f"Nothing follows `{word.says}`; type it alone."
    return Card(id=id_, revision=0, text=text, tone="bad", choices=(again,), final=True)


def refused(text: str, id_: str) -> Card:
    """Say why something is not done."""
    return Card(id=id_, revision=0, text=cut(text), tone="bad", final=True, refused=True)


def idle(view: RepoView, id_: str) -> Card:
    """Show a repository in which no run is active."""
    busy = "an agent answers here now" if view.busy else "nothing runs here"
    hint = "`/flow start` lets agents work through the tickets; any other line goes to an agent."
    text = f"**{view.repo}** · {busy}\n`{view.place.path}`\n{hint}"
    return Card(id=id_, revision=0, text=text, choices=() if view.busy else (START,), final=True)


def stands(known: Progress, said: tuple[str, str], id_: str) -> Card:
    """Show how far a run is; ``said`` is the reason for which it waits, and its text in full."""
    card = run(known)
    if known.status == "paused":
        card = question(known, said, id_) if known.asks else paused(known, *said)
    choices = (RESUME, STOP) if known.status == "paused" else card.choices
    return card.model_copy(update={"id": id_, "live": None, "final": True, "choices": choices})


# repositories


def repos(entries: tuple[RepoEntry, ...], bound: str, id_: str) -> Card:
    """Show the repositories, with a button for each."""
    if not entries:
        return none(id_)
    lines = tuple(f"{'→' if one.repo == bound else '·'} **{one.repo}** `{one.place.path}`" for one in entries[:NAMED])
    return Card(id=id_, revision=0, text="\n".join((*lines, *_more(entries))), choices=_binds(entries), final=True)


def none(id_: str) -> Card:
    """Say that the hub knows no repository yet."""
    text = "There is no repository yet. Type `car repo add PATH` in a terminal."
    return Card(id=id_, revision=0, text=text, tone="bad", final=True)


def which(entries: tuple[RepoEntry, ...], pending: str, id_: str) -> Card:
    """Ask which repository is meant."""
    then = f" Then I do what you wrote: `{line(pending)}`" if pending else ""
    lines = (f"Which repository shall this room work with?{then}", *_more(entries))
    return Card(id=id_, revision=0, text="\n".join(lines), tone="question", choices=_binds(entries), final=True)


def missing(repo: str, near: tuple[RepoEntry, ...], id_: str) -> Card:
    """Say that a repository is not there."""
    meant = " or ".join(f"`{one.repo}`" for one in near)
    hint = f"Did you mean {meant}?" if near else "`/repos` shows those that there are."
    text = f"No repository is called `{line(repo)}`. {hint}"
    return Card(id=id_, revision=0, text=text, tone="bad", choices=_binds(near), final=True)


def bound(entry: RepoEntry, id_: str, *, final: bool) -> Card:
    """Say which repository the room works with from now on."""
    text = f"This room works with **{entry.repo}** now.\n`{entry.place.path}`"
    return Card(id=id_, revision=0, text=text, tone="good", final=final)


def _binds(entries: tuple[RepoEntry, ...]) -> tuple[Choice, ...]:
    return tuple(_bind(one.repo) for one in entries[:NAMED])


def _bind(repo: str) -> Choice:
    return Choice(label=repo, says=f"/bind {repo}")


def _more(entries: tuple[RepoEntry, ...]) -> tuple[str, ...]:
    more = len(entries) - NAMED
    return (f"and {more} more; `/bind` takes the name of each",) if more > 0 else ()
