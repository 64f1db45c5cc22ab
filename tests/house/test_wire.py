"""The names and shapes on the wire: a change here is a change that other versions feel."""

import json
from pathlib import Path

import protocol.agent
import protocol.chat
import protocol.dead
import protocol.flow
import protocol.hub
import protocol.node
import protocol.repo
import protocol.session
import protocol.top
import protocol.work
from protocol.message import known, names

GOLDEN = Path(__file__).parent / "wire.json"
MODULES = (
    protocol.agent,
    protocol.chat,
    protocol.dead,
    protocol.flow,
    protocol.hub,
    protocol.node,
    protocol.repo,
    protocol.session,
    protocol.top,
    protocol.work,
)


def shapes() -> dict[str, list[str]]:
    ours = {module.__name__.rpartition(".")[2] for module in MODULES}
    return {name: sorted(known(name).model_fields) for name in names() if name.split(".")[0] in ours}


def test_every_message_is_on_the_list_of_the_wire():
    """Write the list anew with: python -m tests.house.test_wire; a name or field that goes away needs a decision."""
    assert shapes() == json.loads(GOLDEN.read_text())


def test_an_older_reader_passes_over_fields_that_it_does_not_know():
    read = known("chat.Said").model_validate_json('{"text": "hello", "from_the_future": 1}')
    assert read == protocol.chat.Said(text="hello")


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(shapes(), indent=1) + "\n")
