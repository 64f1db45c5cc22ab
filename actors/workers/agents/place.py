"""Which places the use of a tool names: where it works, what it changes, and every path that it was called with."""

from collections.abc import Iterator

from acp.schema import FileEditToolCallContent, ToolCallUpdate
from pydantic import JsonValue

_KEYS = ("path", "paths", "file", "files", "filename", "dir", "directory", "workdir", "cwd")


def places(tool: ToolCallUpdate) -> tuple[str, ...]:
    """Return the paths, each once, as the agent has spelled them."""
    found = [place.path for place in tool.locations or ()]
    found += (part.path for part in tool.content or () if isinstance(part, FileEditToolCallContent))
    found += _named(tool.raw_input)
    return tuple(dict.fromkeys(found))


def _named(given: JsonValue, key: str = "") -> Iterator[str]:
    match given:
        case str() if key.lower().replace("_", "").endswith(_KEYS):
            yield given
        case list():
            for one in given:
                yield from _named(one, key)
        case dict():
            for name, one in given.items():
                yield from _named(one, name)
            if key == "changes":  # Codex behind ACP names the files that it changes as keys
                yield from given
