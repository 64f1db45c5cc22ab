"""The strays of a hub: processes that nobody cares for any more, found and ended without waiting for any of them.

Three traces lead to them. As child subreaper the keeper becomes the parent of whatever loses its own. The mark
``CAR_PROC`` tells whose custodian is dead. And of those that a keeper adopted (they are not its children, so their
orphans do not come to it) it remembers the descendants. One look is not enough: a process in the midst of ``exec``
shows no environment.
"""

import os
import signal
import time
from collections.abc import Mapping

from actors.runtime import process
from actors.runtime.place import Hub
from actors.runtime.process import Identity, Sight

_GRACE = 2.0
_WATCHFUL, _BUSY = 2.0, 0.1
_ALARM = 1.0
"""Seconds for which strays are looked for all the time, once somebody has died."""
_LAST_LOOKS, _LAST_PATIENCE = 3, 8.0


class Sweep:
    """What is known of strays. The keeper adds to ``adopted``, and calls ``alarm`` when somebody has died."""

    def __init__(self, hub: Hub) -> None:
        self.token = hub.token
        self.adopted: set[Identity] = set()
        self.condemned: dict[Identity, float] = {}
        self._kin: dict[Identity, set[Identity]] = {}
        # Whoever was there before us is the affair of whoever was this process before (``exec`` keeps children).
        self._guests = _children(process.table())
        self.alarm()

    def alarm(self) -> None:
        """Look closely for a while."""
        self._calm = time.monotonic() + _ALARM

    def go(self, spare: set[Identity]) -> None:
        """Look for strays once, and take each that is found one step nearer to its end."""
        seen = process.table()
        strays = _children(seen) - self._guests - spare
        strays |= self._bereaved(seen) | process.forsaken(self.token)
        strays |= process.descendants((who.pid for who in strays), seen)
        self._condemn({who for who in strays - spare if who.pid != os.getpid()})

    def pause(self, longest: float) -> float:
        """Return after how many seconds to go again."""
        if self.condemned or time.monotonic() < self._calm:
            return _BUSY
        return min(longest, _WATCHFUL) if self.adopted else longest

    def finish(self) -> None:
        """Go until nobody is left; this waits."""
        deadline, looks = time.monotonic() + _LAST_PATIENCE, 0
        while looks < _LAST_LOOKS and time.monotonic() < deadline:
            self.go(set())
            process.reap()
            looks = 0 if self.condemned else looks + 1
            time.sleep(_BUSY / 10)

    def _bereaved(self, seen: Mapping[int, Sight]) -> set[Identity]:
        found = set[Identity]()
        for who in tuple(self.adopted):
            if process.alive(who):
                self._kin[who] = process.descendants((who.pid,), seen)
            else:
                self.adopted.discard(who)
                found |= self._kin.pop(who, set())
        return found

    def _condemn(self, strays: set[Identity]) -> None:
        now = time.monotonic()
        for who in strays - self.condemned.keys():
            if process.send(who, signal.SIGTERM):
                process.send(who, signal.SIGCONT)  # one that is frozen cannot hear
                self.condemned[who] = now + _GRACE
        for who, deadline in tuple(self.condemned.items()):
            if not process.alive(who):
                del self.condemned[who]
            elif now >= deadline:
                process.send(who, signal.SIGKILL)


def _children(seen: Mapping[int, Sight]) -> set[Identity]:
    return {sight.who for sight in seen.values() if sight.parent == os.getpid() and not sight.zombie}
