"""What a play has come to: all that must be the same whatever went wrong on the way, without ids and without times."""

import json
import re
from collections.abc import Mapping

from pydantic import JsonValue, TypeAdapter

from protocol.address import Address
from tests.stage import Stage

_ID = re.compile(r"\b[0-9a-f]{16}\b")
TIMES = frozenset({"since", "started_at"})
PASSING: Mapping[str, frozenset[str]] = {
    # How many cards it took, which tools were seen while they were used, and which commands nobody needs an answer to
    # any more: all this is a matter of who came first.
    "chat_cli": TIMES | {"revision", "tools"},
    "session": TIMES | {"errands"},
}


def outcome(stage: Stage) -> list[str]:
    """Return one line for each event, each state and each card as it was left, with ids named as they come up."""
    lines: list[str] = []
    for kind in ("hub", "repo", "run", "chat_cli", "session"):
        for me in _in_order(stage, kind, lines):
            lines.append(f"{me} is {_kept(stage, me)}")
            lines.extend(f"{me} told {one}" for one in events(stage, me))
            lines.extend(f"{me} shows {one}" for one in final(stage, me))
    for path, checkout in sorted(stage.machine.checkouts.items()):
        lines.append(f"{path} is {_dump(checkout)}")
    lines.append(f"alive are {stage.machine.alive}, buried {stage.dead}")
    return _named(lines)


def events(stage: Stage, me: Address) -> list[str]:
    """Return what an actor has told, in the order in which it said it."""
    told = sorted((one for one in stage.log if one.sender == me), key=lambda one: one.place)
    return [f"{one.event.name} {one.event.model_dump_json()}" for one in told]


def final(stage: Stage, room: Address) -> list[str]:
    """Return each card as it was shown last."""
    last = {card.id: card for card in stage.cards(room)}
    return [card.model_dump_json(exclude={"revision"}) for card in last.values()]


def _in_order(stage: Stage, kind: str, lines: list[str]) -> list[Address]:
    """Return the actors of a kind: by their names, and those with ids as they are spoken of."""
    if kind not in ("run", "session"):
        return sorted(stage.actors(kind))
    spoken = "\n".join(lines)
    return sorted(stage.actors(kind), key=lambda me: len(spoken.partition(me.key)[0]))


def _kept(stage: Stage, me: Address) -> str:
    state = _without(json.loads(_dump(stage.state(me))), PASSING.get(me.kind, TIMES))
    return json.dumps(state, ensure_ascii=False)


def _without(value: JsonValue, passing: frozenset[str]) -> JsonValue:
    match value:
        case dict():
            return {name: _without(one, passing) for name, one in value.items() if name not in passing}
        case list():
            return [_without(one, passing) for one in value]
    return value


def _dump(value: object) -> str:
    return TypeAdapter(type(value)).dump_json(value).decode()


def _named(lines: list[str]) -> list[str]:
    names: dict[str, str] = {}
    return [_ID.sub(lambda found: names.setdefault(found[0], f"#{len(names) + 1}"), line) for line in lines]
