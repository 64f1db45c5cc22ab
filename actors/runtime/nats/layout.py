"""The streams: their subjects, bounds and promises; made where they are missing, brought up to date where they are old.

``SHARDS`` is fixed for the life of a store: mail stored under another number of shards would stay there unread.
"""

import asyncio
from typing import TypeAlias

from actors.runtime.nats.answer import Found
from actors.runtime.nats.epoch import NOTHING, Anew, Epochs, read_epochs
from actors.runtime.nats.link import Link
from actors.runtime.ports import MAILBOX
from protocol.errors import Refused

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"

SHARDS = 64
MAIL, STATE, EVENT, TIMER, WORK = "MAIL", "KV_STATE", "EVENT", "TIMER", "WORK"
PROC, OUT, SHOWN, DEAD, NODES = "PROC", "OUT", "SHOWN", "DEAD", "KV_NODES"
VOICE = "mail"
"""The first token of what hosts say to actors."""
SAID = tuple(f"said_{door}" for door in ("cli", "telegram", "web", "custodian"))
"""The first tokens of what others say: each has a subject that only its own key may write to."""
WINDOW = 120
"""Seconds for which the server itself knows an id again; what must hold for longer is held by marks."""
UNACKED = 20 * MAILBOX * (1 + len(SAID))
"""Mails of one shard that may be in hand: so many that twenty stuck mailboxes do not hold up the others."""
_LARGEST = 4_000_000
"""Bytes of one mail or command: with all that DEAD says of it, it must still be one message."""
_DAY = 86_400
_GB = 1_000_000_000
_NODES_BYTES = 10_000_000


SHARES = {MAIL: 1, STATE: 4, EVENT: 2, TIMER: 1, WORK: 1, PROC: 8, OUT: 1, SHOWN: 0.5, DEAD: 1}
"""Bounds of the streams against each other, each a GB where there is room: none of them can starve another."""


def _seconds(count: float) -> int:
    return int(count * 1e9)


STREAMS: dict[str, dict[str, Json]] = {
    MAIL: {
        "subjects": [f"car.{voice}.*.*" for voice in (VOICE, *SAID)],
        "subject_transform": {
            "src": "car.*.*.*",
            "dest": f"car.{{{{wildcard(1)}}}}.{{{{partition({SHARDS},2,3)}}}}.{{{{wildcard(2)}}}}.{{{{wildcard(3)}}}}",
        },
        "retention": "workqueue",
        "discard": "new",
        "max_msgs_per_subject": MAILBOX,
        "discard_new_per_subject": True,
        "duplicate_window": _seconds(WINDOW),
        "max_consumers": 4 * SHARDS,
        "max_msg_size": _LARGEST,
    },
    STATE: {
        "subjects": ["$KV.STATE.>"],
        "max_msgs_per_subject": 1,
        "discard": "new",
        "allow_direct": True,
        "allow_rollup_hdrs": True,
        "allow_msg_ttl": True,
        "deny_delete": True,
    },
    EVENT: {
        "subjects": ["car.event.*.*.*"],
        "max_age": _seconds(30 * _DAY),
        "allow_direct": True,
        "duplicate_window": _seconds(WINDOW),
    },
    TIMER: {
        "subjects": ["car.timer.*.*.*", "car.fired.*.*"],
        "retention": "workqueue",
        "allow_msg_schedules": True,
        "allow_msg_ttl": True,
        "allow_rollup_hdrs": True,
    },
    WORK: {
        "subjects": ["car.work.*.*.*"],
        "retention": "workqueue",
        "discard": "new",
        "max_msgs_per_subject": MAILBOX,
        "discard_new_per_subject": True,
        "duplicate_window": _seconds(WINDOW),
        "max_msg_size": _LARGEST,
    },
    PROC: {
        "subjects": ["car.proc.*.*"],
        "max_age": _seconds(7 * _DAY),
        "discard": "new",
        "allow_direct": True,
        "duplicate_window": _seconds(WINDOW),
    },
    OUT: {
        "subjects": ["car.out.*.*"],
        "retention": "workqueue",
        "discard": "new",
        "max_msgs_per_subject": MAILBOX,
        "discard_new_per_subject": True,
        "max_age": _seconds(7 * _DAY),
        "duplicate_window": _seconds(WINDOW),
        "max_consumers": 1000,
    },
    SHOWN: {
        "subjects": ["car.shown.*.*"],
        "max_msgs_per_subject": 1,
        "max_age": _seconds(8 * _DAY),
        "allow_direct": True,
    },
    DEAD: {
        "subjects": ["car.dead.*.*"],
        "max_age": _seconds(30 * _DAY),
        "allow_direct": True,
        "duplicate_window": _seconds(WINDOW),
    },
}
NODES_CONFIG: dict[str, Json] = {
    "subjects": ["$KV.NODES.>"],
    "storage": "file",
    "max_msgs_per_subject": 1,
    "allow_direct": True,
    "allow_msg_ttl": True,
    "allow_rollup_hdrs": True,
}
"""Who is alive. On disk all the same: what lies in memory is not there after a restart of the server."""


def consumer(name: str, subject: str, *, unacked: int = 1000, unused: float = 3600) -> dict[str, Json]:
    """Return the configuration of a consumer that its reader makes.

    The server forgets it when nobody has read it for ``unused`` seconds. What it has delivered is kept in memory: a
    reader begins anew at what is not acknowledged, whenever in doubt.
    """
    return {**lasting(name, subject, unacked), "mem_storage": True, "inactive_threshold": _seconds(unused)}


def lasting(name: str, subject: str, unacked: int) -> dict[str, Json]:
    """Return the configuration of a consumer that stays for readers who may not make one."""
    return {
        "durable_name": name,
        "name": name,
        "ack_policy": "explicit",
        "ack_wait": _seconds(30),
        "max_ack_pending": unacked,
        "max_deliver": -1,
        "filter_subject": subject,
        "deliver_policy": "all",
    }


async def furnish(link: Link, anew: Anew = NOTHING) -> dict[str, Epochs]:
    """Make the streams that are missing, bring old ones up to date, begin what is to begin anew; return the epochs."""
    known: dict[str, Epochs] = {}
    share = await _share(link)
    for name in STREAMS:
        found = await link.find(f"STREAM.INFO.{name}")
        bound = int(share * SHARES[name])
        known[name] = await _update(link, name, found, anew) if found else await _make(link, name, bound, anew)
    if await link.find(f"STREAM.INFO.{NODES}") is None:
        # What the shares leave over is little on a small disk.
        own = {"name": NODES, "max_bytes": min(share // 2, _NODES_BYTES)}
        await link.api(f"STREAM.CREATE.{NODES}", {**NODES_CONFIG, **own})
    return known


async def _make(link: Link, name: str, bound: int, anew: Anew) -> Epochs:
    epochs = anew.made(name)
    own = {"name": name, "storage": "file", "max_bytes": bound, "metadata": epochs.metadata}
    try:
        await link.api(f"STREAM.CREATE.{name}", {**STREAMS[name], **own, "first_seq": epochs.all[-1].first})
    except Refused:
        found = await link.find(f"STREAM.INFO.{name}")
        if found is None:
            raise
        return read_epochs(found.section("config", "metadata"))  # another host was quicker
    return epochs


async def _update(link: Link, name: str, found: Found, anew: Anew) -> Epochs:
    old = found.section("config", "metadata")
    epochs = anew.grown(read_epochs(old), found.number("state", "last_seq"))
    stale: dict[str, object] = {}
    stale.update((key, value) for key, value in STREAMS[name].items() if found.part("config", key) != value)
    if epochs != read_epochs(old):
        stale["metadata"] = {**old, **epochs.metadata}
    if stale:
        await link.api(f"STREAM.UPDATE.{name}", {**found.section("config"), **stale})
    return epochs


async def _share(link: Link) -> int:
    """Return the bytes that one share of the store stands for: the server sets them aside for each stream."""
    room = (await link.api("INFO")).number("limits", "max_storage")
    return min(_GB, int(room * 0.95 / sum(SHARES.values()))) if room > 0 else _GB


async def hire(link: Link, stream: str, config: dict[str, Json]) -> None:
    """Make a durable consumer; one of the same configuration is left as it is.

    The streams are made by the host: whoever is there before it waits.
    """
    name, subject = config["durable_name"], config["filter_subject"]
    asked = {"stream_name": stream, "config": config}
    while await link.find(f"CONSUMER.CREATE.{stream}.{name}.{subject}", asked) is None:  # noqa: ASYNC110  # it happens elsewhere
        await asyncio.sleep(0.1)
