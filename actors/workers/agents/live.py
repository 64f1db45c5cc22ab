"""What an agent is just writing, gathered before it is told: seldom enough to be cheap, soon enough to look alive.

Told is always the end of the text, so whoever misses one telling sees it in the next. Time is given by the caller.
"""

import math
from dataclasses import dataclass, replace

SPACING = 0.05
"""Seconds between two tellings, unless much has come."""
MUCH = 4096
"""Bytes of new text that wait for nothing."""
SHOWN = 4000
"""Characters of the end of the text that are told, or more where more is new."""
OVERLAP = 200
"""Characters that were told before, so that a reader finds where it was."""
LARGEST = 64_000


@dataclass(frozen=True, slots=True)
class Live:
    """A text on its way: ``heard`` is what is known of it, ``words`` what is told next, with ``fresh`` new bytes in it.

    ``told`` is when it was told last.
    """

    heard: str = ""
    words: str = ""
    fresh: int = 0
    told: float = -math.inf


def hear(live: Live, words: str) -> Live:
    """Take in all that is written in this turn now; nothing is the end of a turn, whose last words are still told."""
    if words == live.heard:
        return live
    if not words:
        return replace(live, heard="")
    return replace(live, heard=words, words=words, fresh=live.fresh + len(_new(live.heard, words).encode()))


def wait(live: Live, now: float) -> float | None:
    """Return how many seconds the next telling is away; None where there is nothing to be told."""
    if not live.fresh:
        return None
    return 0.0 if live.fresh >= MUCH else max(live.told + SPACING - now, 0.0)


def tell(live: Live, now: float) -> tuple[Live, str]:
    """Return what is to be told now, and what is known after it."""
    if not live.fresh:
        return live, ""
    length = max(SHOWN, min(live.fresh + OVERLAP, LARGEST))
    return replace(live, words="", fresh=0, told=now), live.words[-length:]


def _new(old: str, words: str) -> str:
    """Return what has come to a text; of a very long one the middle is left out, so only its end tells."""
    if words.startswith(old):
        return words[len(old) :]
    end = old[-OVERLAP:]
    at = words.rfind(end)
    return words[at + len(end) :] if at >= 0 else words
