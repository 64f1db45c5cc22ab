"""How much a text weighs where it lies as JSON within JSON, as all that an actor says does, and how it is shortened."""

import json
from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate

_ESCAPED = {'"': 4, "\\": 4, "\b": 3, "\t": 3, "\n": 3, "\f": 3, "\r": 3}
_SPACE = 0x20


def weigh(text: str) -> int:
    """Return the bytes that a text takes in an outbox; never less than those of its UTF-8."""
    return len(json.dumps(json.dumps(text, ensure_ascii=False), ensure_ascii=False).encode()) - len('"\\"\\""')


def shorten(text: str, room: int, tail: float = 0.0) -> str:
    """Return a text of at most ``room`` weight: its beginning and (``tail`` says how much of the room) its end.

    A line between them says how much is left out; only this line is left where there is no room for more, and a text
    that is shorter than this line stays as it is.
    """
    least = weigh(_left_out(text))
    if len(text) <= max(room, least) and weigh(text) <= max(room, least):
        return text
    room = max(0, room - least)
    end = _fit(reversed(text[-room:] if room else ""), int(room * tail))
    begin = _fit(text[:room], room - int(room * tail))
    kept = text[:begin], text[len(text) - end :]
    return kept[0] + _left_out(text[begin : len(text) - end]) + kept[1]


def _left_out(text: str) -> str:
    return f"\n[... {len(text.encode())} bytes are left out here ...]\n"


def _fit(text: Iterable[str], room: int) -> int:
    """Count the characters that fit into the room."""
    return bisect_right(list(accumulate(map(_cost, text))), room)


def _cost(char: str) -> int:
    return _ESCAPED.get(char) or (7 if ord(char) < _SPACE else len(char.encode()))
