"""The terminal as a bridge: what is typed, what it means, and how cards look on a page and on a screen."""

import asyncio
import io
import os

import pytest
from rich.console import Console

from bridges.cli.complaint import idiom
from bridges.cli.hear import Keys, Pipe, lines, understand
from bridges.cli.screen import Screen
from bridges.cli.show import PATIENCE, Page, buttons, fresh, light, plain
from protocol.address import Address
from protocol.chat import Card, Choice, Pressed, Said
from protocol.session import Place

HERE = Place(node="n1", path="/home/ann/shop")
SESSION = Address("session", "s1")
START = Choice(label="Start", says="/flow start")
STOP = Choice(label="Stop", says="/flow stop")


def card(text: str, id_: str = "c1", **facts) -> Card:
    return Card(id=id_, revision=1, text=text, **facts)


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_line_is_said_from_the_folder_in_which_it_is_typed():
    assert understand(" /flow start ", None, HERE) == Said(text="/flow start", place=HERE)


def test_the_number_of_a_button_presses_it():
    shown = card("ready", choices=(START, STOP))
    assert understand("2", shown, HERE) == Pressed(card="c1", says="/flow stop", place=HERE)


@pytest.mark.parametrize("line", ["0", "3", "22", "1 more", "-1", "²"])
def test_what_is_no_number_of_a_button_is_said(line: str):
    shown = card("ready", choices=(START, STOP))
    assert understand(line, shown, HERE) == Said(text=line, place=HERE)


def test_a_pipe_hands_over_whole_lines_and_at_its_end_the_rest():
    pipe = Pipe()
    assert pipe.feed(b"/sta") == ()
    assert pipe.feed("tus\ngrün".encode()[:-1]) == ("/status",)
    assert pipe.feed("grün".encode()[-1:]) == ()
    assert pipe.feed(b"") == ("grün", None)


def test_keys_edit_the_line_before_it_is_entered():
    keys = Keys()
    assert keys.feed(b"hallo\x7f\x7f\x7f\x7fello\x1b[D you wrold\x17world") == ()
    assert keys.text == "hello you world"
    assert keys.feed(b"\r") == ("hello you world",)
    assert keys.text == ""


def test_an_arrow_key_that_comes_in_two_parts_writes_nothing():
    keys = Keys()
    keys.feed(b"a\x1b[")
    keys.feed(b"1;5Cb")
    assert keys.text == "ab"


def test_ctrl_d_ends_only_an_empty_line():
    keys = Keys()
    assert keys.feed(b"a\x04") == ()
    assert keys.feed(b"\x15\x04") == (None,)


def test_lines_are_read_from_a_pipe_until_its_end():
    async def read() -> list[str]:
        return [line async for line in lines(out, Pipe(), lambda: None)]

    out, into = os.pipe()
    os.write(into, b"one\n\n  \ntwo")
    os.close(into)
    assert asyncio.run(read()) == ["one", "two"]
    os.close(out)


def test_buttons_are_numbered_in_one_row_or_one_below_the_other():
    assert buttons(card("", choices=(START, STOP))) == "[1] Start   [2] Stop"
    many = tuple(Choice(label=f"repository-{number}", says="x") for number in range(1, 6))
    assert buttons(card("", choices=many)).splitlines()[4] == "[5] repository-5"


def test_bold_loses_its_stars_and_code_keeps_its_quotes_on_a_page():
    assert (
        plain("**shop** · type `/flow start`, not 2**3**4 or a ** b")
        == "shop · type `/flow start`, not 2**3**4 or a ** b"
    )


def test_what_a_terminal_would_obey_is_taken_out():
    assert plain("\x1b[2Jgone\x07\tbut\nhere\x9b31m") == "[2Jgone\tbut\nhere31m"
    assert light("\x1b]0;title\x07").plain == "]0;title"


def test_only_what_is_new_of_a_text_is_known_to_have_come():
    assert fresh("", "one") == "one"
    assert fresh("one", "one two") == " two"
    long = " ".join(map(str, range(200)))
    assert fresh(long, f"{long[100:]} two") == " two"
    assert fresh("old turn", "new turn") == "\nnew turn"


def test_a_page_prints_of_each_version_of_a_card_only_the_new_lines():
    out = io.StringIO()
    page = Page(out.write)
    page.show(card("**shop** · ticket 1/2\n→ Fix it\ndemo works on it", tone="working", choices=(STOP,)))
    page.show(card("**shop** · ticket 1/2\n→ Fix it\ndemo works on it\n· `run tests`", tone="working", choices=(STOP,)))
    page.show(card("**shop** · all tickets are done\n✓ Fix it\n✓ Fix it", tone="good", final=True))
    assert out.getvalue() == (
        "shop · ticket 1/2\n→ Fix it\ndemo works on it\n[1] Stop\n· `run tests`\nshop · all tickets are done\n"
        "✓ Fix it\n✓ Fix it\n"
    )


def test_a_page_prints_words_line_by_line_and_not_again_with_the_answer():
    out, clock = io.StringIO(), Clock()
    page = Page(out.write, clock)
    working = card("**shop** · demo answers", tone="working", live=SESSION)
    page.show(working)
    page.live(working, "Hello")
    page.live(working, "Hello you.\nHow")
    assert out.getvalue() == "shop · demo answers\nHello you.\n"
    page.show(card("Hello you.\nHow are you?", final=True))
    assert out.getvalue() == "shop · demo answers\nHello you.\nHow\nHow are you?\n"


def test_a_page_does_not_wait_for_the_end_of_a_line_that_is_long_in_coming():
    out, clock = io.StringIO(), Clock()
    page = Page(out.write, clock)
    working = card("demo works", tone="working", live=SESSION)
    page.show(working)
    clock.now = PATIENCE + 1
    page.live(working, "Let me")
    page.live(working, "Let me see")
    clock.now *= 2
    page.live(working, "Let me see the failure.\n")
    assert out.getvalue() == "demo works\nLet me see the failure.\n"


def test_a_tool_that_is_used_amid_a_line_does_not_tear_what_has_not_been_printed():
    out, clock = io.StringIO(), Clock()
    page = Page(out.write, clock)
    working = card("demo works", tone="working", live=SESSION)
    page.show(working)
    page.live(working, "Let me see")
    page.show(card("demo works\n· `run tests`", tone="working", live=SESSION))
    page.live(working, "Let me see the failure.\n")
    assert out.getvalue() == "demo works\n· `run tests`\nLet me see the failure.\n"


def test_a_page_ends_its_last_line():
    out, clock = io.StringIO(), Clock()
    with Page(out.write, clock) as page:
        page.live(card("", live=SESSION), "That is")
    assert out.getvalue() == "That is\n"


def screen(out: io.StringIO, typed=None) -> Screen:
    return Screen(Console(file=out, force_terminal=True, width=60, height=12, color_system=None), typed)


def drawn(shown: Screen) -> list[str]:
    """Return what a screen draws at its bottom now."""
    console = Console(file=io.StringIO(), width=60, height=12, color_system=None)
    console.print(shown.draw())
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_a_screen_draws_what_is_being_worked_on_above_what_is_typed():
    shown = screen(io.StringIO(), lambda: "/sta")
    working = card("**shop** · ticket 1/2\n→ Fix it", tone="working", choices=(STOP,), live=SESSION)
    shown.show(working)
    shown.live(working, "First.\n\nLet me see the failure.")
    head, *rest = drawn(shown)
    assert head[2:] == "shop · ticket 1/2"
    assert rest == ["→ Fix it", "[1] Stop", "  │ Let me see the failure.", "> /sta▏"]


def test_a_screen_never_draws_more_than_there_is_room_for():
    shown = screen(io.StringIO(), lambda: "typed")
    for number in range(9):
        shown.show(card("one\ntwo\nthree", f"c{number}", tone="working"))
    rows = drawn(shown)
    assert len(rows) == 11
    assert rows[-1] == "> typed▏"


def test_a_card_that_is_finished_leaves_the_bottom_and_stays_above():
    out = io.StringIO()
    shown = screen(out)
    shown.show(card("shop works", tone="working"))
    shown.show(card("shop is **done**", tone="good", choices=(START,), final=True))
    assert drawn(shown) == []
    assert "shop is" in out.getvalue()
    assert "[1] Start" in out.getvalue()


def test_the_words_of_a_chat_become_those_of_a_shell():
    assert idiom("type /flow resume to go on") == "type car flow resume to go on"
    assert idiom("see /var/flow start or a/flow stop") == "see /var/flow start or a/flow stop"
