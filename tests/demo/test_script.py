"""What can be read as a demo block, and what is said of what cannot."""

import pytest

from actors.demo.script import Ask, Die, Done, Edit, Pace, Permission, Run, Say, Stream, Wait, Write, find_block, parse
from protocol.errors import Unreadable


def test_the_block_is_found_between_other_fences():
    text = "# Title\n```python\nx\n```\n\n```demo\n- say: hello\n```\n\n```sh\nls\n```\n"
    assert find_block(text) == "- say: hello\n"


def test_a_text_without_a_block_has_none():
    assert find_block("```demolition\n- say: hello\n```\n") is None


def test_a_fence_inside_a_text_of_the_block_does_not_close_it():
    block = "- write:\n    path: a.md\n    text: |\n      ```sh\n      ls\n      ```\n"
    assert find_block(f"```demo\n{block}```\n") == block


def test_a_longer_fence_is_closed_by_its_like():
    assert find_block("````demo\n- say: |\n  a\n```\n````\n") == "- say: |\n  a\n```\n"


def test_a_block_in_a_list_is_found():
    assert find_block("- then\n  ```demo\n  - say: hello\n  ```\n") == "  - say: hello\n"


def test_a_block_that_is_never_closed_is_said_to_be():
    with pytest.raises(Unreadable, match="never closed"):
        find_block("```demo\n- say: hello\n")


def test_steps_are_read_in_their_short_and_in_their_long_form():
    assert parse("""\
- pace: 0.5
- say: hello
- say: {text: hello, pace: 1}
- stream: 3
- wait: 2
- write: {path: a, text: b}
- edit: {path: a, old: b, new: c}
- run: ls
- run: {cmd: ls, expect: fail}
- ask: {title: what}
- permission: {title: what, path: a}
- done: false
- die: -9
""") == (
        Pace(seconds=0.5),
        Say(text="hello"),
        Say(text="hello", pace=1),
        Stream(count=3),
        Wait(seconds=2),
        Write(path="a", text="b"),
        Edit(path="a", old="b", new="c"),
        Run(cmd="ls"),
        Run(cmd="ls", expect="fail"),
        Ask(title="what"),
        Permission(title="what", path="a"),
        Done(value=False),
        Die(code=-9),
    )


@pytest.mark.parametrize(
    ("block", "sentence"),
    [
        ("", "The demo block is no list of steps; one begins like: - say: hello"),
        ("say: hello\n", "The demo block is no list of steps; one begins like: - say: hello"),
        ("- hello\n", "Step 1 of the demo block is no mapping of one key; one looks like: - say: hello"),
        ("- {say: a, run: b}\n", "Step 1 of the demo block is no mapping of one key; one looks like: - say: hello"),
        ("- say: a\n- write: a\n", "Step 2 of the demo block (write) wants a mapping with path, text."),
        ("- say: yes\n", "Step 1 of the demo block (say) cannot be read: text: Input should be a valid string."),
        (
            "- wait: -1\n",
            "Step 1 of the demo block (wait) cannot be read: seconds: Input should be greater than or equal to 0.",
        ),
    ],
)
def test_a_block_at_fault_is_told_in_a_sentence(block: str, sentence: str):
    with pytest.raises(Unreadable) as caught:
        parse(block)
    assert str(caught.value) == sentence


def test_an_unknown_step_is_told_what_there_is():
    with pytest.raises(Unreadable, match="Step 1 of the demo block is called 'sing'; the demo agent knows say, pace,"):
        parse("- sing: la\n")


def test_broken_yaml_is_told_with_its_line_on_one_line():
    with pytest.raises(Unreadable) as caught:
        parse("- say: a: b\n")
    assert "\n" not in str(caught.value)
    assert "line 1" in str(caught.value)
