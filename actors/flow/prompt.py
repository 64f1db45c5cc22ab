"""The text of a prompt: what an agent is told before a turn on a ticket, in tagged sections, bounded in size."""

from collections.abc import Mapping
from dataclasses import dataclass

from actors.runtime.weight import shorten, weigh
from protocol.work import Document, Ticket

LIMIT = 64_000
"""Weight of a prompt: it travels through the outbox of a run together with what else its step says."""
LEAST = 24_000
"""Weight that the fixed sections need in any case: no limit may be below it."""
DOCUMENT = 4000
"""Characters of a document that are shown."""
FIXED = 6000
"""Weight of what is said of problems, and of paths that are not committed."""

INSTRUCTIONS = """\
You work on one ticket of a queue, alone and unattended, in the git checkout that is your working directory.

- Do what the ticket below asks, and check your work (run the tests that there are) before you call it finished.
- Commit your work with git, in commits that say what they change. CAR commits nothing for you. At the end of a ticket
  `git status` shows nothing.
- Only when everything that the ticket asks for is done and committed, write `done: true` into the ticket file. Keep the
  rest of the lines between its two `---` as they are. A ticket that is not done gets another turn.
- The queue is the folder `.codex-autorunner/tickets/`: files `TICKET-<number>-<words>.md`, taken by number, one after
  the other. Leave the other tickets alone. Work that you find and that belongs to no ticket becomes a new one with a
  higher number; `car ticket new` makes it.
- What several tickets need to know stands in `.codex-autorunner/workspace/`: `active_context.md` (what matters now),
  `decisions.md` (what was decided, and why), `spec.md` (what is wanted). Keep them true and short.
- Nobody reads your words while you work. To tell or ask people something, write the dispatch file that is named below:
  markdown, with a head of `---`, `mode: notify` or `mode: pause`, `title: <one line>`, `---`. Files that belong to it
  go into the folder for attachments first, the dispatch file comes last.
- `mode: notify` tells, and you go on. `mode: pause` asks: write it when you cannot go on without a person, then end
  your turn. You get the answer in your next prompt.
- Files under `.codex-autorunner/` never go into a commit."""

LINT = """\
CAR cannot go on with this ticket as it stands. Mend exactly this, and nothing else:
{problems}

A ticket begins with a line `---`, then YAML with at least `agent: <name>` and `done: true` or `done: false`, then a
line `---`. A dispatch may begin with such a head too; its `mode` is `notify` or `pause`."""

COMMIT = """\
The ticket is marked as done, but these paths are not committed:
{paths}

Commit what belongs to the work, and remove or ignore what does not, until `git status` shows nothing. {attempts}"""


@dataclass(frozen=True, slots=True)
class Brief:
    """What a turn needs to know. ``problems`` make it a repair, ``attempts`` a call to commit what is ``dirty``.

    ``attempts`` is the number of turns, this one included, after which a person is asked instead.
    """

    run: str
    ticket: Ticket
    documents: tuple[Document, ...] = ()
    replies: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    dirty: tuple[str, ...] = ()
    attempts: int = 0
    said: str = ""


def build(brief: Brief, limit: int = LIMIT) -> str:
    """Return the prompt; it weighs at most ``limit``, so it has no more bytes of UTF-8 than that."""
    head, body = _split(_tame(brief.ticket.text))
    shown = "\n\n".join(f"## {one.path}\n\n{_begin(one.text)}" for one in brief.documents if one.text.strip())
    parts = {
        "said": _tame(brief.said.strip()),
        "replies": _tame(_replies(brief.replies)),
        "documents": _tame(shown),
        "body": body,
        "head": head,
    }
    prompt = _render(brief, parts)
    for name in ("said", "replies", "documents", "body"):
        if (over := weigh(prompt) - limit) > 0:
            # Of an agent's words the end says most, of everything else the beginning.
            parts[name] = shorten(parts[name], weigh(parts[name]) - over, tail=1.0 if name == "said" else 0.0)
            prompt = _render(brief, parts)
    if weigh(prompt) > limit:
        # Half a head would be a broken one.
        prompt = _render(brief, {**parts, "body": "(This ticket is too long to be shown: read its file.)", "head": ""})
    return prompt


def _split(ticket: str) -> tuple[str, str]:
    """Part the head of a ticket, which is never cut, from the rest."""
    lines = ticket.splitlines(keepends=True)
    if lines and lines[0].rstrip() == "---":
        for index, line in enumerate(lines[1:], start=2):
            if line.rstrip() in ("---", "..."):
                return "".join(lines[:index]), "".join(lines[index:])
    return "", ticket


def _begin(text: str) -> str:
    """Return the beginning of a document."""
    if len(text) <= DOCUMENT:
        return text.strip()
    return f"{text[:DOCUMENT]}\n[... {len(text) - DOCUMENT} more characters are in the file ...]"


def _replies(replies: tuple[str, ...]) -> str:
    if len(replies) < 2:  # noqa: PLR2004  # a single one needs no number
        return "".join(replies).strip()
    return "\n\n".join(f"## Reply {number}\n\n{reply.strip()}" for number, reply in enumerate(replies, start=1))


def _render(brief: Brief, parts: Mapping[str, str]) -> str:
    """Put the sections together, those without content left out."""
    path, run = brief.ticket.path, f".codex-autorunner/runs/{brief.run}"
    paths = f"ticket: {path}\ndispatch: {run}/DISPATCH.md\nattachments: {run}/dispatch/"
    text = _section("TICKET_MARKDOWN", parts["head"] + parts["body"])
    sections = (
        _section("CAR_TICKET_FLOW_INSTRUCTIONS", INSTRUCTIONS),
        _section("CAR_RUNTIME_PATHS", paths),
        _section("CAR_COMMIT_REQUIRED", _commit(brief)),
        _section("CAR_TICKET_FRONTMATTER_LINT_REPAIR", _repair(brief)),
        _section("CAR_WORKSPACE_DOCS", parts["documents"]),
        _section("CAR_HUMAN_REPLIES", parts["replies"]),
        _section("CAR_CURRENT_TICKET_FILE", f"path: {path}\n{text}"),
        _section("CAR_PREVIOUS_AGENT_OUTPUT", parts["said"]),
    )
    return _section("CAR_TICKET_FLOW_PROMPT", "\n\n".join(filter(None, sections)))


def _commit(brief: Brief) -> str:
    if not brief.attempts:
        return ""
    one = "After this turn a person is asked." if brief.attempts == 1 else ""
    attempts = one or f"You have {brief.attempts} turns for it, then a person is asked."
    paths = shorten(_tame("\n".join(f"- {path}" for path in brief.dirty)), FIXED)
    return COMMIT.format(paths=paths, attempts=attempts)


def _repair(brief: Brief) -> str:
    problems = shorten(_tame("\n".join(f"- {problem}" for problem in brief.problems)), FIXED)
    return LINT.format(problems=problems) if problems else ""


def _section(tag: str, content: str) -> str:
    return f"<{tag}>\n{content}\n</{tag}>" if content else ""


def _tame(text: str) -> str:
    """Break what looks like a tag of ours, so that nobody's text can end a section or begin one."""
    for tag in ("CAR_", "TICKET_MARKDOWN"):
        text = text.replace(f"</{tag}", f"< /{tag}").replace(f"<{tag}", f"< {tag}")
    return text
