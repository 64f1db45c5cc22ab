"""One line of the table: what was reached, what was wanted, and what was reached beside it in the same run."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Peer:
    """Somebody else at the same work, or a limit; ``figure`` is in the row's unit, None where it is not installed."""

    name: str
    figure: float | None


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. ``met`` is None where nothing is wanted; ``note`` says what was measured, or why it is not met."""

    what: str
    figure: float
    unit: str
    wanted: str = ""
    met: bool | None = None
    peers: tuple[Peer, ...] = ()
    note: str = ""

    def ratio(self, peer: Peer) -> float | None:
        """Return how much of the peer's figure was reached."""
        return self.figure / peer.figure if peer.figure else None


def medians(rounds: int, deeds: dict[str, Callable[[], float]]) -> dict[str, float]:
    """Do all deeds in turn, several rounds, so that each meets the same noise; return the median of each."""
    taken: dict[str, list[float]] = {name: [] for name in deeds}
    for _ in range(rounds):
        for name, deed in deeds.items():
            taken[name].append(deed())
    return {name: statistics.median(figures) for name, figures in taken.items()}


def part_of(figures: list[float], share: float) -> float:
    """Return the figure below which this share of them lies."""
    ordered = sorted(figures)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
