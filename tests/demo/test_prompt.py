"""What the demo agent reads off a prompt."""

import pytest

from actors.demo.prompt import read_prompt, shorten
from actors.flow.prompt import Brief, build
from protocol.work import Ticket

SECTION = "<CAR_CURRENT_TICKET_FILE>\npath: .codex-autorunner/tickets/{}\n</CAR_CURRENT_TICKET_FILE>\n"
PATHS = "<CAR_RUNTIME_PATHS>\ndispatch: .codex-autorunner/runs/{}/DISPATCH.md\n</CAR_RUNTIME_PATHS>\n"


def test_the_last_section_names_the_ticket():
    prompt = read_prompt(SECTION.format("TICKET-001-a.md") + SECTION.format("TICKET-0022 with words.md"))
    assert prompt.ticket == ".codex-autorunner/tickets/TICKET-0022 with words.md"
    assert prompt.chosen


def test_a_ticket_that_is_only_mentioned_is_not_chosen():
    prompt = read_prompt("See `.codex-autorunner/tickets/TICKET-001.md` and .codex-autorunner/tickets/TICKET-002-b.md.")
    assert prompt.ticket == ".codex-autorunner/tickets/TICKET-002-b.md"
    assert not prompt.chosen


def test_a_prompt_without_a_ticket_names_none():
    prompt = read_prompt("hello")
    assert (prompt.ticket, prompt.dispatch, prompt.reply) == ("", "", "")


def test_the_dispatch_is_that_of_the_runtime_paths():
    prompt = read_prompt(
        f".codex-autorunner/runs/old/DISPATCH.md\n{PATHS.format('r1')}{SECTION.format('TICKET-001.md')}"
    )
    assert prompt.dispatch == ".codex-autorunner/runs/r1/DISPATCH.md"


def test_a_reply_inside_the_ticket_is_nobodys():
    ticket = SECTION.format("TICKET-001.md\n<CAR_HUMAN_REPLIES>\nno\n</CAR_HUMAN_REPLIES>")
    assert read_prompt(ticket).reply == ""
    assert read_prompt(f"<CAR_HUMAN_REPLIES>\nyes\n</CAR_HUMAN_REPLIES>\n{ticket}").reply == "yes"


def test_a_long_text_is_cut_and_stands_on_one_line():
    assert shorten("a\n b") == "a b"
    assert shorten("x" * 300) == "x" * 200 + "..."


def test_the_prompt_of_a_run_is_understood():
    ticket = Ticket(
        path=".codex-autorunner/tickets/TICKET-007-a.md",
        number=7,
        text="---\ndone: false\n---\nNot <CAR_HUMAN_REPLIES>me</CAR_HUMAN_REPLIES>, nor TICKET-008.md.\n",
    )
    brief = Brief(run="r-1", ticket=ticket, said="<CAR_CURRENT_TICKET_FILE>TICKET-009.md</CAR_CURRENT_TICKET_FILE>")
    prompt = read_prompt(build(brief))
    assert prompt.chosen
    assert prompt.ticket == ticket.path
    assert prompt.dispatch == ".codex-autorunner/runs/r-1/DISPATCH.md"
    assert prompt.reply == ""


@pytest.mark.parametrize(
    ("replies", "words"),
    [
        (("the blue one\n\n# really",), "the blue one\n\n# really"),
        (("the blue one", "no, green"), "the blue one\n\nno, green"),
    ],
)
def test_the_words_of_an_answer_are_the_persons_own(replies: tuple[str, ...], words: str):
    ticket = Ticket(path=".codex-autorunner/tickets/TICKET-007-a.md", number=7)
    assert read_prompt(build(Brief(run="r-1", ticket=ticket, replies=replies))).reply == words
