from hypothesis import given
from hypothesis import strategies as st

from actors.workers.agents.words import LIMIT, Words, title

pieces = st.lists(st.text() | st.integers(0, 3).map(lambda n: "äx" * (n * LIMIT // 4)), max_size=6)


def written(texts):
    words = Words()
    for text in texts:
        words = words.add(text)
    return words


@given(pieces)
def test_both_ends_of_a_text_are_kept_and_the_rest_is_counted(texts):
    words, whole = written(texts), "".join(texts)
    assert whole.startswith(words.head)
    assert whole.endswith(words.tail)
    assert len(words.head) + len(words.tail) + words.lost == len(whole)
    assert max(len(words.head.encode()), len(words.tail.encode())) <= LIMIT


@given(pieces)
def test_a_text_is_kept_alike_however_it_comes_in_pieces(texts):
    pieces_, once = written(texts), written(["".join(texts)])
    assert (pieces_.head, pieces_.tail, pieces_.lost) == (once.head, once.tail, once.lost)


def test_a_short_text_is_shown_as_it_is():
    assert str(written(["one ", "two"])) == "one two"


def test_a_long_text_says_how_much_is_left_out():
    shown = str(written(["a" * LIMIT, "b" * 5, "c" * LIMIT]))
    assert shown == f"{'a' * LIMIT}\n[... 5 characters left out ...]\n{'c' * LIMIT}"


def test_paragraphs_are_set_apart_by_one_empty_line():
    starts = ("", "one", "one\n", "one\n\n")
    assert [str(Words().add(start).paragraph().add("two")) for start in starts] == ["two", *["one\n\ntwo"] * 3]


@given(st.text())
def test_a_title_is_one_short_line(text):
    assert len(title(text, 20)) <= 20
    assert len(title(text, 20).splitlines()) <= 1
