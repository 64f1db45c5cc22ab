"""What Codex says, as far as we read it."""

import shlex
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic.alias_generators import to_camel


class Said(BaseModel):
    """What we read of the things that Codex says; the rest is passed over."""

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", frozen=True)


Id = Annotated[str, Field(max_length=1000)]
"""What is remembered whole."""


class Named(Said):
    """A thing that is known by its id."""

    id: Id


class Opened(Said):
    """The answer to ``thread/start``."""

    thread: Named
    model: str = ""


class Delta(Said):
    """A piece of a message."""

    item_id: str
    delta: str


class Edit(Said):
    """What becomes of one file."""

    path: str


class Item(Said):
    """A message, or the use of a tool: the fields of all kinds together."""

    id: str
    type: str
    status: str | None = None
    command: str = ""
    aggregated_output: str | None = None
    exit_code: int | None = None
    changes: tuple[Edit, ...] = ()
    server: str = ""
    tool: str = ""
    query: str = ""
    text: str = ""


class Tokens(Said):
    """What calls of the model have cost."""

    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0


class Meter(Said):
    """``total`` is what the conversation has cost so far."""

    total: Tokens


class Error(Said):
    """Why a turn failed."""

    message: str = ""
    codex_error_info: JsonValue = None


class Turn(Said):
    """A turn as it stands."""

    id: Id
    status: str
    error: Error | None = None


class Approval(Said):
    """A question for permission: the fields of both kinds together."""

    item_id: str = ""
    command: str | None = None
    cwd: str | None = None
    reason: str | None = None
    grant_root: str | None = None


def inner(command: str) -> str:
    """Return what a shell is told to do, without the shell: ``/bin/bash -lc 'make test'`` is ``make test``."""
    try:
        parts = shlex.split(command)
    except ValueError:
        return command
    return parts[2] if len(parts) == 3 and parts[1] in ("-lc", "-c") else command  # noqa: PLR2004 - shell, -c, what
