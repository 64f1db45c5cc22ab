"""What goes wrong, said in one sentence on stderr and in the words of the terminal."""

import re
import sys

_SLASHED = re.compile(r"(?<![\w/])/(flow (?:start|status|stop|resume)|status)\b")


def complain(sentence: str) -> None:
    """Say on stderr what has gone wrong."""
    sys.stdout.flush()
    sys.stderr.write(f"car: {idiom(' '.join(sentence.split()))}\n")


def idiom(text: str) -> str:
    """Turn the words that are typed in a chat into those that are typed in a shell."""
    return _SLASHED.sub(r"car \1", text)
