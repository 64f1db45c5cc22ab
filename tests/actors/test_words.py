"""The words of a chat: what is read, what is meant, and what each tells a repository."""

import pytest

from actors.chat.words import PLAIN, TABLE, WORDS, Line, closest, read
from protocol.repo import DescribeRepo, ResumeFlow, StartFlow, StopFlow, Talk


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("/help", Line("/help")),
        ("  /HELP ", Line("/help")),
        ("/flow start", Line("/flow start")),
        ("/Flow\t Start  ", Line("/flow start")),
        ("/flow resume use blue\n\nand red", Line("/flow resume", "use blue\n\nand red")),
        ("/bind shop", Line("/bind", "shop")),
        ("/bind Shop", Line("/bind", "Shop")),
        ("/flow", Line("/flow")),
        ("/etc", Line("/etc")),
        ("/flow strat now", Line("/flow strat", "now")),
        ("/frobnicate all of it", Line("/frobnicate", "all of it")),
    ],
)
def test_a_word_is_read_with_what_follows_it(text, line):
    assert read(text) == line


@pytest.mark.parametrize(
    "text",
    [
        "hello",
        "what does /flow start do?",
        "/usr/bin/python fails",
        "/v2 is better",
        "/",
        "// a comment",
        "1/2",
    ],
)
def test_plain_text_stays_as_it_is(text):
    assert read(text) == Line("", text)


def test_plain_text_loses_only_the_space_around_it():
    assert read("\n  fix it\n  and test it \n") == Line("", "fix it\n  and test it")
    assert read(" \n ") == Line("", "")


def test_each_word_of_the_table_is_read_as_itself():
    assert [read(one.says) for one in TABLE] == [Line(one.says) for one in TABLE]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("/hlp", ["/help"]),
        ("/start", ["/flow start", "/flow status", "/status"]),
        ("/stop now", ["/flow stop", "/flow start"]),
        ("/flw start", ["/flow start", "/flow status"]),
        ("/flow strat", ["/flow start", "/flow status", "/flow stop"]),
        ("/resume", ["/flow resume"]),
        ("/flow", ["/flow start", "/flow status", "/flow stop", "/flow resume"]),
        ("/xyzzy", []),
    ],
)
def test_the_closest_words_are_found(text, meant):
    assert [one.says for one in closest(read(text))] == meant


def test_a_word_tells_its_repository_what_is_wanted():
    told = {says: word.tells("blue") for says, word in WORDS.items() if word.tells}
    assert told == {
        "/status": DescribeRepo(),
        "/flow start": StartFlow(),
        "/flow status": DescribeRepo(),
        "/flow stop": StopFlow(),
        "/flow resume": ResumeFlow(reply="blue"),
    }
    assert PLAIN.tells("hello") == Talk(text="hello")
