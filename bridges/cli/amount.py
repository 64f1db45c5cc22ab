"""Amounts as people read them: spans of time and numbers of bytes."""

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_THOUSAND = 1000


def span(seconds: float) -> str:
    """Return a span of time: ``40 s``, ``12 min``, ``3 h 5 min``, ``4 d``."""
    whole = max(int(seconds), 0)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _DAY} d"


def size(count: float) -> str:
    """Return a number of bytes: ``512 B``, ``4.2 kB``, ``1.3 GB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < _THOUSAND:
            return f"{count:.0f} {unit}" if unit == "B" or count >= _THOUSAND / 10 else f"{count:.1f} {unit}"
        count /= _THOUSAND
    return f"{count:.1f} TB"


def clip(text: str, width: int) -> str:
    """Return a text on one line, cut where it is longer than so many characters."""
    line = " ".join(text.split())
    return line if len(line) <= width else f"{line[: max(width - 1, 0)]}…"
