"""The head of a markdown file: YAML (1.1) between two fences, read whole and changed one key at a time.

Lines are counted from 1 in the whole file. A change keeps every byte that does not belong to the value it replaces.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from protocol.errors import Unreadable

Scalar = str | bool | int

LIMIT = 64_000
"""Characters between the fences; more is no head of a file, and YAML is slow to read."""

_OPEN = re.compile(r"\ufeff?---[ \t]*(\r\n|\n|\r)")
_CLOSE = re.compile(r"(?<![^\r\n])(?:---|\.\.\.)[ \t]*(?:\r\n|\n|\r|\Z)")
_BREAK = re.compile(r"\r\n|\n|\r")
_YAML_BREAK = re.compile(r"[\r\n\x85\u2028\u2029]")
_COLON = re.compile(r"[ \t\r\n]*:")
_BLANK = " \t\r\n\x85\u2028\u2029"

# A constructor of PyYAML lets through whatever int(), date() or a table raises for a value that only looks like one.
_BAD = (ValueError, LookupError, AttributeError, TypeError, ArithmeticError, RecursionError)


@dataclass(frozen=True, slots=True)
class Head:
    """What the frontmatter says.

    ``written`` has the letters of each value that is no list and no map, ``lines`` tells where each key stands, and
    ``body`` is all that follows the fences.
    """

    values: Mapping[str, object]
    written: Mapping[str, str]
    lines: Mapping[str, int]
    body: str


@dataclass(frozen=True, slots=True)
class _Fences:
    """Offsets into the text: the YAML, the body, and the line ending that the file uses."""

    start: int
    end: int
    body: int
    newline: str


@dataclass(slots=True)
class _Span:
    """Where one key or one value of the outermost mapping stands, as offsets into the YAML."""

    start: int
    end: int
    name: str | None = None
    text: str | None = None
    anchored: bool = False


@dataclass(frozen=True, slots=True)
class _Outline:
    """The outermost mapping: its pairs, and (where it is written in braces) the offset behind the brace."""

    pairs: tuple[tuple[_Span, _Span], ...]
    brace: int | None


def fenced(text: str) -> bool:
    """Say whether the text begins with frontmatter."""
    return _fences(text) is not None


def read(text: str) -> Head:
    """Read the frontmatter; raise ``Unreadable`` with what is wrong, led by the line where that is known."""
    fences = _need_fences(text)
    source = text[fences.start : fences.end]
    values = _values(source, _line(text, fences.start))
    pairs = [(key.name, key, value) for key, value in _outline(source).pairs if key.name is not None]
    written = {name: value.text for name, _, value in pairs if value.text is not None}
    lines = {name: _line(text, fences.start + key.start) for name, key, _ in pairs}
    return Head(values, written, lines, text[fences.body :])


def set_key(text: str, key: str, value: Scalar) -> str:
    """Return the text with one key changed, or added at the end of the frontmatter; nothing else is touched.

    Raises ``Unreadable`` where there is no frontmatter, or where the key cannot be changed without changing others.
    """
    fences = _need_fences(text)
    if _says(read(text).values, key, value):
        return text
    source = text[fences.start : fences.end]
    outline = _outline(source)
    pair = next((pair for pair in reversed(outline.pairs) if pair[0].name == key), None)
    changed = (
        _replaced(source, pair, _scalar(value))
        if pair
        else _added(source, outline, f"{_scalar(key)}: {_scalar(value)}", fences.newline)
    )
    changed = text[: fences.start] + changed + text[fences.end :]
    if not _says(read(changed).values, key, value):
        raise _stuck(key)
    return changed


def word(head: Head, key: str) -> str | None:
    """Return a value as one line of text; empty where absent, ``None`` where it is no text.

    A number, a date or a bool is taken as it is written: a model may be called 4.10, a title may be No.
    """
    value = head.values.get(key)
    text = "" if value is None else value if isinstance(value, str) else head.written.get(key)
    if text is None:
        return None
    return " ".join(text.encode("utf-8", "replace").decode().split())  # a YAML escape can make half a character


def _fences(text: str) -> _Fences | None:
    """Find the two fences; without the second there is no frontmatter."""
    if not (first := _OPEN.match(text)) or not (second := _CLOSE.search(text, first.end())):
        return None
    return _Fences(first.end(), second.start(), second.end(), first[1])


def _need_fences(text: str) -> _Fences:
    if not (fences := _fences(text)):
        raise Unreadable("there is no frontmatter; begin with a line ---, then one line for each key, then a line ---")
    if fences.end - fences.start > LIMIT:
        raise Unreadable(f"the frontmatter is longer than {LIMIT} characters; move text below its second line ---")
    return fences


def _line(text: str, offset: int) -> int:
    return 1 + sum(1 for _ in _BREAK.finditer(text, 0, offset))


def _values(source: str, first: int) -> Mapping[str, object]:
    """Read the YAML that begins on line ``first`` of the file."""
    try:
        loaded: object = yaml.safe_load(source)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = first + _line(source, mark.index) - 1 if mark else first
        why = error.problem or error.context or "it makes no sense"
        raise Unreadable(
            f"line {line}: the YAML cannot be read ({why}); quote values that hold a colon or #"
        ) from error
    except yaml.reader.ReaderError as error:
        line = first + _line(source, error.position) - 1
        raise Unreadable(f"line {line}: there is a control character; take it out") from error
    except _BAD as error:
        raise Unreadable(f"line {first}: a value looks like a number or date but is none; quote it") from error
    if loaded is not None and not isinstance(loaded, dict):
        raise Unreadable(f"line {first}: the frontmatter is no list of keys; write one line like title: My title")
    return {key: value for key, value in (loaded or {}).items() if isinstance(key, str)}


def _outline(source: str) -> _Outline:
    """Find the pairs of the outermost mapping.

    Events are read, not nodes: a node that is only an alias bears the marks of its anchor.
    """
    spans: list[_Span] = []
    brace: int | None = None
    depth = 0
    for event in yaml.parse(source, Loader=yaml.SafeLoader):
        start, end = _range(event)
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.NodeEvent) and depth == 1:
            text = event.value if isinstance(event, yaml.ScalarEvent) else None
            spans.append(_Span(start, end, _name(event), text))
        elif isinstance(event, yaml.MappingStartEvent) and depth == 0 and event.flow_style:
            brace = end
        # The end of a block has no width and stands at whatever comes next; an empty value stands where it would be.
        if depth and spans and (end > start or isinstance(event, yaml.NodeEvent)):
            spans[-1].end = end
            spans[-1].anchored |= isinstance(event, yaml.NodeEvent) and _anchors(event)
        depth += isinstance(event, yaml.CollectionStartEvent)
    for span in spans:
        span.end = span.start + len(source[span.start : span.end].rstrip(_BLANK))
    return _Outline(tuple(zip(spans[::2], spans[1::2], strict=True)), brace)


def _range(event: yaml.Event) -> tuple[int, int]:
    """Return the offsets of an event; the reader always gives marks, only its types allow for none."""
    first, last = event.start_mark, event.end_mark
    return (first.index if first else 0, last.index if last else 0)


def _name(event: yaml.NodeEvent) -> str | None:
    """Return the key that a scalar is, unless it is a number, a bool or the like."""
    if not isinstance(event, yaml.ScalarEvent):
        return None
    text: str = event.value
    kind = event.tag
    if kind is None or kind == "!":
        kind = yaml.SafeLoader("").resolve(yaml.ScalarNode, text, event.implicit)  # type: ignore[no-untyped-call]
    return text if kind == "tag:yaml.org,2002:str" else None


def _anchors(event: yaml.NodeEvent) -> bool:
    return event.anchor is not None and not isinstance(event, yaml.AliasEvent)


def _replaced(source: str, pair: tuple[_Span, _Span], scalar: str) -> str:
    """Put a scalar where the value of a pair stood; a comment behind or between stays."""
    key, value = pair
    colon = _COLON.match(source, key.end)
    if not colon or value.anchored:
        raise _stuck(key.name or "")
    between, after = source[colon.end() : value.start], source[value.end :]
    if not _YAML_BREAK.search(between):
        return source[: colon.end()] + (between or " ") + scalar + after
    comment = between.rstrip(_BLANK) if between.strip(_BLANK) else ""
    return f"{source[: colon.end()]} {scalar}{comment}{after}"


def _added(source: str, outline: _Outline, pair: str, newline: str) -> str:
    """Put a pair at the end of the mapping (in braces: at its beginning, where no comma can be missing)."""
    if outline.brace is not None:
        comma = ", " if outline.pairs else ""
        return f"{source[: outline.brace]}{pair}{comma}{source[outline.brace :]}"
    indent = ""
    if outline.pairs:
        line = _BREAK.split(source[: outline.pairs[0][0].start])[-1]
        indent = line[: len(line) - len(line.lstrip(" "))]
    return f"{source}{indent}{pair}{newline}"


def _scalar(value: Scalar) -> str:
    """Write a scalar on one line, so that it may stand anywhere."""
    plain = _dumped(value, None)
    if isinstance(value, str) and _YAML_BREAK.search(plain):
        return _dumped(value, '"')
    return plain


def _dumped(value: Scalar, style: str | None) -> str:
    """Let PyYAML write the value as the only one of a list in brackets, and take the brackets off."""
    dumped: str = yaml.safe_dump(
        [value], default_flow_style=True, default_style=style, width=float("inf"), allow_unicode=True
    )
    return dumped.rstrip("\n")[1:-1]


def _says(values: Mapping[str, object], key: str, value: object) -> bool:
    """Compare with the type: in Python 1 is True."""
    return key in values and type(values[key]) is type(value) and values[key] == value


def _stuck(key: str) -> Unreadable:
    return Unreadable(f"the key {key} cannot be changed without changing others; change it by hand")
