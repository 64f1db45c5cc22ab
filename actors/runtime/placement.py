"""Who reads what: each seat belongs to one of the hosts that are alive, and all of them find the same one.

Rendezvous hashing: a host that comes or goes moves only the seats that it gets or had. Nobody decides this for others;
where two hosts know different hosts for a moment, both may claim a seat, which costs time and nothing else.
"""

from collections.abc import Iterable
from hashlib import blake2b

from protocol.node import Lease


def owner(seat: str, hosts: Iterable[Lease], node: str = "", shard: int | None = None) -> str:
    """Return the name of the host that a seat belongs to, or nothing where there is none.

    Only hosts of ``node`` may have it, where one is named; those that decline ``shard`` are passed over, unless all do.
    """
    able = [host for host in hosts if not node or host.node == node]
    willing = [host for host in able if shard not in host.declines] or able
    return max((host.name for host in willing), key=lambda name: _weight(seat, name), default="")


def _weight(seat: str, name: str) -> bytes:
    return blake2b(f"{seat} {name}".encode(), digest_size=8).digest()
