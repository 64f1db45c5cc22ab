"""Dispatches and replies: what an agent and a person write to each other."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import dispatch
from protocol.dispatch import Dispatch, Reply
from protocol.errors import Unreadable

NO_YAML = (
    "DISPATCH.md, line 2: the YAML cannot be read (mapping values are not allowed here); "
    "quote values that hold a colon or #"
)
CHOICE = "write mode: notify (people are told and the work goes on) or mode: pause (the work waits for an answer)"


def test_plain_markdown_is_a_notice():
    assert dispatch.read("\n  \n  code\n\ntext\n") == Dispatch("notify", "", "  code\n\ntext")


def test_a_head_names_mode_and_title_and_other_keys_do_not_matter():
    text = "---\r\nmode: Pause\r\ntitle: Which  one?\r\nseen: [1]\r\n---\r\nA or B?\r\n"
    assert dispatch.read(text) == Dispatch("pause", "Which one?", "A or B?")


def test_without_a_mode_people_are_told_and_the_work_goes_on():
    assert dispatch.read("---\ntitle: Hello\n---\n") == Dispatch("notify", "Hello", "")
    assert dispatch.read("---\nmode:\n---\nx") == Dispatch("notify", "", "x")


def test_a_line_that_opens_no_head_is_text():
    text = "---\nNews: none of it, says\n\n---"
    assert dispatch.read("---\n\nOne\n") == Dispatch("notify", "", "---\n\nOne")
    with pytest.raises(Unreadable, match=r"DISPATCH.md, line \d: "):
        dispatch.read(text.replace("says", "says: x"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("---\nmode: stop\n---\nx", f"DISPATCH.md, line 2: there is no mode stop; {CHOICE}"),
        ("---\ntitle: x\nmode: [a]\n---\nx", f"DISPATCH.md, line 3: mode is no word; {CHOICE}"),
        (
            "---\nmode: turn_summary\n---\nx",
            f"DISPATCH.md, line 2: the mode turn_summary is kept for CAR itself; {CHOICE}",
        ),
        ("---\ntitle: {a: 1}\n---\nx", "DISPATCH.md, line 2: title is no text; write it on one line"),
        ("---\ntitle: a: b\n---\nx", NO_YAML),
        (
            "---\nmode: pause\n\nWhich one?\n",
            "DISPATCH.md: the head that begins on line 1 has no end; put a line --- below its keys",
        ),
        ("---\nmode: pause\n---\n \n", "DISPATCH.md is empty; write what people should know or decide"),
        ("", "DISPATCH.md is empty; write what people should know or decide"),
    ],
)
def test_each_fault_is_one_sentence_for_the_agent(text: str, problem: str):
    with pytest.raises(Unreadable) as caught:
        dispatch.read(text)
    assert str(caught.value) == problem


def test_a_reply_may_have_a_title():
    assert dispatch.read_reply("---\ntitle: Yes\nvia: web\n---\nTake A.\n") == Reply("Yes", "Take A.")
    assert dispatch.read_reply("Take A.\n") == Reply("", "Take A.")


def test_a_faulty_head_of_a_reply_is_told_with_the_name_of_the_file():
    with pytest.raises(Unreadable, match=r"^USER_REPLY.md, line 2: title is no text"):
        dispatch.read_reply("---\ntitle: []\n---\n")


@settings(deadline=None)
@given(
    st.text(alphabet=st.characters(exclude_categories=["Cs"])), st.sampled_from(["", "---\n", "---\nmode: x\n---\n"])
)
def test_whatever_a_person_writes_is_what_the_reply_says(words: str, before: str):
    said = dispatch.read_reply(dispatch.reply(before + words))
    assert said.title == ""
    assert said.body.split() == (before + words).removeprefix("\ufeff").split()


@settings(deadline=None)
@given(st.text())
def test_any_text_is_a_dispatch_or_a_sentence(text: str):
    for each in (text, f"---\n{text}", f"---\n{text}\n---\n{text}"):
        assert said(each)


def said(text: str) -> str:
    """Return what a dispatch says, or what is wrong with it; nothing where that names no file."""
    try:
        found = dispatch.read(text)
    except Unreadable as error:
        return str(error) if str(error).startswith("DISPATCH.md") else ""
    return found.title or found.body
