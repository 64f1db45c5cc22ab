"""The tree of an agent: every process that it has started, whatever these did to get away, and the end of them all."""

import os
import signal
import time
from collections.abc import Collection, Iterable

import psutil

from actors.runtime import process
from actors.runtime.process import MARK, Identity

_GLANCE = 0.01
_LOOKS = 2


def find_tree(roots: Iterable[Identity], mark: str) -> set[Identity]:
    """Return the living processes among ``roots``, all that stem from these, and all that carry the mark."""
    known = {who for who in roots if process.alive(who)} | _marked(mark)
    found = known | process.descendants((who.pid for who in known), process.table())
    return {who for who in found if who.pid != os.getpid()}


def find_orphans(spare: Collection[int]) -> set[Identity]:
    """Return the living children of this process but those to ``spare``: the strays that came to it as subreaper."""
    seen = process.table().values()
    return {sight.who for sight in seen if sight.parent == os.getpid() and not sight.zombie} - {
        sight.who for sight in seen if sight.who.pid in spare
    }


def end_tree(root: Identity, mark: str, known: Iterable[Identity] = (), seconds: float = 5.0) -> int:
    """End a process and its whole tree at once; return how many strays (all but the process itself) there were.

    ``known`` are members seen before, who may be traceless by now. All are stopped before any is killed, so that
    nobody forks while the others are counted. This blocks, ``seconds`` at the longest.
    """
    deadline, ended, roots, looks = time.monotonic() + seconds, set[Identity](), {root, *known}, 0
    # A process in the midst of ``exec`` shows no mark: so nobody has to be seen more than once.
    while looks < _LOOKS and time.monotonic() < deadline:
        living = find_tree(roots, mark)
        looks = 0 if living else looks + 1
        while new := living - ended:
            for who in new:
                process.send(who, signal.SIGSTOP)
            ended |= new
            living |= find_tree(living, mark)
        for who in living:
            process.send(who, signal.SIGKILL)
        roots |= living
        time.sleep(_GLANCE)
    return len(ended - {root})


def _marked(mark: str) -> set[Identity]:
    if process.HAS_PROC:
        return {who for who, value in process.marked(mark).items() if value == mark}
    found = set()
    for one in psutil.process_iter():
        try:
            if one.environ().get(MARK) == mark:
                found.add(Identity(one.pid, int(one.create_time())))
        except (psutil.Error, OSError):  # gone, or not ours to read
            continue
    return found
