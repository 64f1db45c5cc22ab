"""Tickets: their names, their lint, and changing one key without touching anything else."""

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocol import ticket
from protocol.errors import Unreadable
from protocol.frontmatter import Scalar
from protocol.work import Ticket

NO_HEAD = "TICKET-001-a.md, there is no frontmatter; begin with a line ---, then one line for each key, then a line ---"
NO_YAML = (
    "TICKET-001-a.md, line 3: the YAML cannot be read (mapping values are not allowed here); "
    "quote values that hold a colon or #"
)
AGENTS = frozenset({"codex", "demo"})
PATH = ".codex-autorunner/tickets/TICKET-001-a.md"


def lint(text: str) -> tuple[str, ...]:
    return ticket.read(PATH, text, AGENTS).problems


# names


def test_the_number_stands_in_the_name_and_the_name_may_go_on():
    assert ticket.number("TICKET-001.md") == 1
    assert ticket.number("TICKET-0012-fix login (2).md") == 12
    assert ticket.number("ticket-100B.MD") == 100


@pytest.mark.parametrize(
    "name",
    [
        "TICKET-01.md",
        "TICKET-001.txt",
        "XTICKET-001.md",
        "TICKET-001-a/b.md",
        "TICKET-\u0660\u0660\u0661.md",
        "TICKET-001-\udcff.md",
    ],
)
def test_other_names_are_no_tickets(name: str):
    assert ticket.number(name) is None


def test_the_queue_is_in_order_of_numbers_not_of_letters():
    names = ["TICKET-1000.md", "TICKET-099.md", "notes.md", "TICKET-002-z.md", "AGENTS.md"]
    assert ticket.queue(names) == ("TICKET-002-z.md", "TICKET-099.md", "TICKET-1000.md")


def test_a_folder_is_told_of_doubled_numbers_and_strays_but_not_of_agents_md_and_hidden_files():
    names = ["TICKET-001.md", "TICKET-0001-b.md", "notes.txt", "AGENTS.md", ".gitkeep", "TICKET-002.md"]
    assert ticket.complaints(names) == (
        "TICKET-0001-b.md, TICKET-001.md: these tickets have the same number 1; give each a number of its own",
        "notes.txt is no ticket; name it like TICKET-001-short-title.md, or move it to another folder",
    )


def test_a_name_that_is_no_utf_8_is_told_in_plain_letters():
    (problem,) = ticket.complaints(["TICKET-001-\udcff.md"])
    assert problem.startswith("TICKET-001-\\udcff.md is no ticket")


# reading


def test_a_ticket_is_read_with_all_that_a_turn_needs():
    text = "---\nagent: codex\ndone: false\ntitle: Fix it\nmodel: m\nreasoning: high\npriority: 3\n---\nDo.\n"
    assert ticket.read(PATH, text, AGENTS) == Ticket(
        path=PATH, number=1, title="Fix it", agent="codex", done=False, model="m", effort="high", text=text
    )


def test_done_is_a_word_of_yaml_1_1():
    assert ticket.read(PATH, "---\nagent: codex\ndone: yes\n---\n", AGENTS).done
    assert not ticket.read(PATH, "---\nagent: codex\ndone: off\n---\n", AGENTS).done


def test_the_head_may_end_with_dots_and_the_file_begin_with_a_bom_and_have_any_line_ending():
    for text in ("\ufeff---\r\nagent: codex\r\ndone: true\r\n...\r\n", "---\ragent: codex\rdone: true\r---"):
        assert ticket.read(PATH, text, AGENTS).done
        assert lint(text) == ()


def test_a_person_may_be_the_agent():
    assert lint("---\nagent: user\ndone: false\n---\n") == ()


def test_words_that_yaml_takes_for_something_else_are_taken_as_they_are_written():
    found = ticket.read(PATH, "---\nagent: codex\ndone: no\ntitle: No\nmodel: 4.10\nreasoning: ~\n---\n", AGENTS)
    assert (found.title, found.model, found.effort, found.problems) == ("No", "4.10", "", ())


def test_a_ticket_with_problems_counts_as_not_done():
    found = ticket.read(PATH, "---\nagent: nobody\ndone: true\n---\n", AGENTS)
    assert (found.done, found.agent) == (False, "nobody")
    assert found.problems == ("TICKET-001-a.md, line 2: no agent is called nobody; choose one of codex, demo, user",)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Do it.\n", NO_HEAD),
        ("---\nagent: codex\ndone: false\n", NO_HEAD),
        ("---\ndone: false\n---\n", "TICKET-001-a.md: agent is missing; say who does the work: codex, demo, user"),
        (
            "---\nagent:\ndone: false\n---\n",
            "TICKET-001-a.md, line 2: agent is missing; say who does the work: codex, demo, user",
        ),
        ("---\nagent: codex\n---\n", "TICKET-001-a.md: done is missing; write done: false"),
        (
            "---\nagent: codex\n# half\ndone: 'true'\n---\n",
            "TICKET-001-a.md, line 4: done is neither true nor false; write done: false (without quotes)",
        ),
        (
            "---\nagent: codex\ndone: 1\n---\n",
            "TICKET-001-a.md, line 3: done is neither true nor false; write done: false (without quotes)",
        ),
        (
            "---\nagent: codex\ndone: no\nmodel: [a]\n---\n",
            "TICKET-001-a.md, line 4: model is no text; write it on one line",
        ),
        ("---\nagent: codex\ntitle: fix: it\ndone: no\n---\n", NO_YAML),
        (
            "---\njust text\n---\n",
            "TICKET-001-a.md, line 2: the frontmatter is no list of keys; write one line like title: My title",
        ),
        ("---\nagent: co\x07dex\n---\n", "TICKET-001-a.md, line 2: there is a control character; take it out"),
        (
            "---\nagent: codex\ndue: 2024-13-45\n---\n",
            "TICKET-001-a.md, line 2: a value looks like a number or date but is none; quote it",
        ),
    ],
)
def test_each_fault_is_one_sentence_that_says_what_where_and_how_to_mend_it(text: str, problem: str):
    assert lint(text) == (problem,)


@pytest.mark.parametrize("value", ["!!bool maybe", "!!int ''", "!!timestamp x", "!!float x", "[" * 3000, "&a [*a]"])
def test_no_value_however_odd_gets_past_the_reader_as_a_bug(value: str):
    found = ticket.read(PATH, f"---\nagent: codex\ndone: true\nodd: {value}\n---\n", AGENTS)
    assert found.done is (found.problems == ())


def test_half_a_character_in_a_title_can_still_be_sent():
    found = ticket.read(PATH, '---\nagent: codex\ndone: no\ntitle: "a\\ud800b"\n---\n', AGENTS)
    assert '"title":"a?b"' in found.model_dump_json()


def test_a_head_without_end_in_sight_is_refused_before_it_is_read():
    (problem,) = lint(f"---\nx: {'a' * 70_000}\n---\n")
    assert problem == (
        "TICKET-001-a.md, the frontmatter is longer than 64000 characters; move text below its second line ---"
    )


@settings(deadline=None)
@given(st.text())
def test_no_text_breaks_the_reader(text: str):
    for each in (text, f"---\n{text}\n---\n"):
        found = ticket.read(PATH, each, AGENTS)
        assert found.text == each
        assert found.problems


# new tickets


def test_a_new_ticket_has_the_name_and_the_head_of_one():
    assert ticket.new_ticket(7, "Fix the login", "codex", "Do it.") == (
        "TICKET-007-fix-the-login.md",
        "---\ntitle: Fix the login\nagent: codex\ndone: false\n---\n\nDo it.\n",
    )


def test_a_new_ticket_needs_neither_title_nor_body():
    assert ticket.new_ticket(1000, "", "user") == ("TICKET-1000.md", "---\nagent: user\ndone: false\n---\n")


@settings(deadline=None)
@given(st.integers(1, 99999), st.text(alphabet=st.characters(exclude_categories=["Cs"])), st.text(max_size=80))
def test_every_new_ticket_is_without_fault(at: int, title: str, body: str):
    name, text = ticket.new_ticket(at, title, "codex", body)
    found = ticket.read(name, text, AGENTS)
    assert found.problems == ()
    assert (found.number, found.title, found.done) == (at, " ".join(title.split()), False)


def test_a_slug_is_short_and_plain():
    assert ticket.slug("  Überprüfe: die *Größe*!  ") == "uberprufe-die-groe"
    assert ticket.slug("日本") == ""
    assert ticket.slug("word " * 30) == "word-word-word-word-word-word-word-word-word"
    assert ticket.slug("x" * 300) == "x" * 48


# changing one key

SAID = "---\nagent: codex\ndone: {}\ntitle: x\n---\nbody\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("false", "true"),
        ("  no   # not yet", "  true   # not yet"),
        ('"no"', "true"),
        ("|\n  many\n\n  lines\n", "true\n"),
        (">- # folded\n  many\n  lines", "true"),
        ("a\n  b # c", "true # c"),
        ("\n  far # c", "true # c"),
        ("# why\n  far", "true # why"),
        ("\n- a\n# in\n- b # c", "true # c"),
        ("\n  a: 1\n  b: {c: [d]}\n\n# next", "true\n\n# next"),
        ("[a,\n  b] # c", "true # c"),
        ("!!str no", "true"),
        ("'it''s\n  odd'", "true"),
    ],
)
def test_a_value_of_any_style_is_replaced_and_its_comment_stays(before: str, after: str):
    text = SAID.replace(" {}", before if before.startswith((" ", "\n")) else f" {before}")
    want = SAID.replace(" {}", after if after.startswith(" ") else f" {after}")
    assert ticket.set_key(text, "done", value=True) == want
    assert ticket.set_key(text.replace("\n", "\r\n"), "done", value=True) == want.replace("\n", "\r\n")


def test_an_empty_value_is_filled():
    assert ticket.set_key("---\ndone:\nagent: a\n---", "done", value=True) == "---\ndone: true\nagent: a\n---"
    assert ticket.set_key("---\ndone: # c\n---", "done", value=True) == "---\ndone: true # c\n---"


def test_a_missing_key_goes_before_the_closing_fence_with_the_line_ending_and_indent_of_the_head():
    assert (
        ticket.set_key("\ufeff---\r\n  a: 1\r\n---", "done", value=True) == "\ufeff---\r\n  a: 1\r\n  done: true\r\n---"
    )
    assert ticket.set_key("---\n# nothing\n...\nx", "done", value=False) == "---\n# nothing\ndone: false\n...\nx"


def test_a_value_of_many_lines_is_written_on_one():
    assert ticket.set_key("---\r\na: 1\r\n---", "a", "x: 1\n y\r\nü") == '---\r\na: "x: 1\\n y\\r\\nü"\r\n---'


def test_a_head_in_braces_keeps_its_braces():
    assert ticket.set_key("---\n{done: no, a: 1}\n---\n", "done", value=True) == "---\n{done: true, a: 1}\n---\n"
    assert ticket.set_key("---\n{a: 1,}\n---\n", "done", value=True) == "---\n{done: true, a: 1,}\n---\n"
    assert ticket.set_key("---\n{}\n---\n", "done", value=True) == "---\n{done: true}\n---\n"


def test_a_key_deeper_down_or_in_the_body_is_another_key():
    text = "---\nmore:\n  done: false\ndone: false\n---\ndone: false\n"
    assert ticket.set_key(text, "done", value=True) == "---\nmore:\n  done: false\ndone: true\n---\ndone: false\n"


def test_of_a_doubled_key_the_one_that_counts_is_changed():
    assert ticket.set_key("---\ndone: no\ndone: no\n---\n", "done", value=True) == "---\ndone: no\ndone: true\n---\n"


def test_what_is_so_already_stays_as_it_is_written():
    text = "---\ndone: yes # finally\n---\n"
    assert ticket.set_key(text, "done", value=True) is text


def test_an_alias_is_replaced_and_an_anchor_that_others_need_is_not():
    text = "---\na: &x 1\nb: *x\n---\n"
    assert ticket.set_key(text, "b", 2) == "---\na: &x 1\nb: 2\n---\n"
    with pytest.raises(Unreadable, match="the key a cannot be changed without changing others; change it by hand"):
        ticket.set_key(text, "a", 2)


@pytest.mark.parametrize("text", ["", "done: false\n", "---\ndone: false\n", "---\n[a]\n---\n", "x\n---\na: 1\n---\n"])
def test_without_a_head_no_key_is_changed(text: str):
    with pytest.raises(Unreadable):
        ticket.set_key(text, "done", value=True)


VALUES = st.one_of(st.booleans(), st.integers(), st.text())
WORDS = st.from_regex(r"[a-z]{1,8}", fullmatch=True)


@st.composite
def written(draw: st.DrawFn, key: str) -> str:
    """Write one pair of a block mapping in one of the many ways of YAML."""
    one, two = draw(WORDS), draw(WORDS)
    space, comment = draw(st.sampled_from([" ", "   "])), draw(st.sampled_from(["", " # why: not", "  #"]))
    forms = [
        f"{space}{one}{comment}",
        f"{space}'{one}: #{two}'{comment}",
        f'{space}"{one}\\n{two}"{comment}',
        f"{space}{one}\n    {two}{comment}",
        f"{space}'{one}\n\n  {two}'{comment}",
        f"{space}|{comment}\n  {one}: {two}\n\n  # no comment\n",
        f"{space}>+\n  {one}\n  {two}\n\n",
        f"{comment}\n- {one}\n- {two}: 1\n  b: [1,\n  2]{comment}",
        f"{comment}\n  - {one}\n  # in between\n  -",
        f"{comment}\n  {one}: {two}\n  other:\n   - 1",
        f"{space}{{{one}: [{two}]}}{comment}",
        f"{comment}",
        f"{space}!!str 12{comment}",
        f"{space}2024-01-02{comment}",
    ]
    return f"{draw(st.sampled_from([key, repr(key)]))}:{draw(st.sampled_from(forms))}"


@st.composite
def heads(draw: st.DrawFn) -> tuple[tuple[str, ...], tuple[str, ...], str, str]:
    """Return keys, their pairs as written, and what stands before and behind the head."""
    keys = draw(st.lists(WORDS.filter(lambda key: isinstance(yaml.safe_load(key), str)), unique=True, max_size=5))
    pairs = [draw(written(key)) + draw(st.sampled_from(["\n", "\n\n", "\n# done: by hand\n"])) for key in keys]
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    before = draw(st.sampled_from(["---", "\ufeff---", "---  "])) + newline
    behind = draw(st.sampled_from(["---", "...", f"---{newline}", f"--- {newline}Do: it{newline}---{newline}x"]))
    return tuple(keys), tuple(pair.replace("\n", newline) for pair in pairs), before, behind


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(heads(), VALUES, st.data())
def test_a_changed_key_reads_back_and_every_other_line_is_byte_for_byte_the_same(
    head: tuple[tuple[str, ...], tuple[str, ...], str, str], value: Scalar, data: st.DataObject
):
    keys, pairs, before, behind = head
    key = data.draw(st.sampled_from(keys) if keys else WORDS)
    at = keys.index(key) if key in keys else len(keys)
    text = before + "".join(pairs) + behind
    changed = ticket.set_key(text, key, value)
    first, last = before + "".join(pairs[:at]), "".join(pairs[at + 1 :]) + behind
    assert changed.startswith(first)
    assert changed.endswith(last)
    old, new = yaml.safe_load("".join(pairs)) or {}, yaml.safe_load(changed[len(before) : len(changed) - len(behind)])
    assert new == {**old, key: value}
    assert type(new[key]) is type(value)


@settings(deadline=None)
@given(st.text(), VALUES)
def test_any_key_can_be_added(key: str, value: Scalar):
    text = "---\nagent: codex\n---\nbody"
    if len(key) > 120 or key == "agent":
        return
    changed = ticket.set_key(text, key, value)
    assert changed.startswith("---\nagent: codex\n")
    assert changed.endswith("\n---\nbody")
    assert ticket.set_key(changed, key, value) == changed
