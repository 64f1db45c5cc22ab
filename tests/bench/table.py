"""The table as people read it, and as JSON."""

import json
from collections.abc import Iterable
from dataclasses import asdict

from tests.bench.row import Row

WIDTHS = (52, 14, 24, 8)


def head() -> str:
    return _line("what", "reached", "wanted", "") + "beside it, and how many times as much"


def lines(row: Row) -> Iterable[str]:
    """Show one row: the first peer stands beside it, the others and the note below."""
    met = {None: "", True: "met", False: "NOT MET"}[row.met]
    beside = [_peer(row, number) for number in range(len(row.peers))] or [""]
    yield _line(row.what, f"{_number(row.figure)} {row.unit}", row.wanted, met) + beside[0]
    for more in beside[1:]:
        yield _line("", "", "", "") + more
    if row.note:
        yield f"    {row.note}"


def body(rows: Iterable[Row], facts: dict[str, object]) -> str:
    """Return the whole as JSON."""
    return json.dumps({**facts, "rows": [_plain(row) for row in rows]}, indent=2)


def _plain(row: Row) -> dict[str, object]:
    peers = [{"name": one.name, "figure": one.figure, "ratio": row.ratio(one)} for one in row.peers]
    return {**asdict(row), "peers": peers}


def _peer(row: Row, number: int) -> str:
    peer = row.peers[number]
    if peer.figure is None:
        return f"{peer.name}: not installed"
    ratio = row.ratio(peer)
    times = "" if ratio is None else f": x {ratio:.2f}"
    return f"{peer.name} {_number(peer.figure)} {row.unit}{times}"


def _number(figure: float) -> str:
    return f"{figure:,.0f}" if abs(figure) >= 100 else f"{figure:.3g}"


def _line(*cells: str) -> str:
    return "".join(f"{cell:{width}s} " for cell, width in zip(cells, WIDTHS, strict=True))
