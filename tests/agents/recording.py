"""Conversations that real agents have held with us, each one a file of lines in the order of the log."""

import json
from pathlib import Path
from typing import NamedTuple

from actors.workers.agents.machine import Driver, find
from protocol import agent


class Recording(NamedTuple):
    name: str
    driver: Driver
    lines: tuple[tuple[str, str], ...]


def load(path):
    rows = [json.loads(row) for row in path.read_text().splitlines()]
    return Recording(path.stem, find(path.stem.partition("_")[0]), tuple(next(iter(row.items())) for row in rows))


RECORDINGS = {path.stem: load(path) for path in sorted((Path(__file__).parent / "recorded").glob("*.jsonl"))}


def fold(recording, machine=None, start=0, end=None):
    """Fold the rows ``start`` to ``end``; return the machine and what was heard."""
    machine = machine or recording.driver.born("proc")
    number = sum(way == "out" for way, _ in recording.lines[:start])
    heard = []
    for way, line in recording.lines[start:end]:
        if way == "in":
            machine = recording.driver.wrote(machine, line)
        else:
            number += 1
            machine, facts = recording.driver.hear(machine, line, number)
            heard += facts
    return machine, heard


def replay(driver, *rows, machine=None):
    """Fold rows that a test has made up: ``("in" or "out", message)``."""
    lines = tuple((way, line if isinstance(line, str) else json.dumps(line)) for way, line in rows)
    return fold(Recording("made up", driver, lines), machine)


def story(name):
    """Return what was heard in a recording, in short."""
    return [brief(fact) for fact in fold(RECORDINGS[name])[1]]


def brief(fact):
    match fact:
        case agent.Acted():
            return fact.title, fact.state
        case agent.TurnOver():
            return fact.turn, fact.outcome, fact.text
        case agent.PermissionAsked():
            return "may I", fact.title, fact.paths
        case agent.FileOffered():
            return "write", fact.path, fact.text
        case agent.TurnBegan():
            return fact.turn
        case agent.Greeted():
            return fact.agent
        case agent.ThreadOpened():
            return "opened"
        case _:
            return fact
