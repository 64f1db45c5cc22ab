"""The streams: their subjects, bounds and promises, made where they are missing, never changed behind one's back.

``SHARDS`` is fixed for the life of a store: mail stored under another number of shards would stay there unread.
"""

import asyncio
import secrets
from typing import TypeAlias

from actors.runtime.nats.link import Link
from actors.runtime.ports import MAILBOX

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"

SHARDS = 64
MAIL, STATE, EVENT, TIMER, WORK, PROC, OUT, DEAD = (
    "MAIL",
    "KV_STATE",
    "EVENT",
    "TIMER",
    "WORK",
    "PROC",
    "OUT",
    "DEAD",
)
WINDOW = 120
"""Seconds for which the server itself knows an id again; what must hold for longer is held by marks."""
UNACKED = 20 * MAILBOX
"""Mails of one shard that may be in hand: so many that twenty stuck mailboxes do not hold up the others."""
_DAY = 86_400
_GB = 1_000_000_000


SHARES = {MAIL: 1, STATE: 4, EVENT: 2, TIMER: 1, WORK: 1, PROC: 8, OUT: 1, DEAD: 1}
"""Bounds of the streams against each other, each a GB where there is room: none of them can starve another."""


def _seconds(count: float) -> int:
    return int(count * 1e9)


STREAMS: dict[str, dict[str, Json]] = {
    MAIL: {
        "subjects": ["car.mail.*.*"],
        "subject_transform": {
            "src": "car.mail.*.*",
            "dest": f"car.mail.{{{{partition({SHARDS},1,2)}}}}.{{{{wildcard(1)}}}}.{{{{wildcard(2)}}}}",
        },
        "retention": "workqueue",
        "discard": "new",
        "max_msgs_per_subject": MAILBOX,
        "discard_new_per_subject": True,
        "duplicate_window": _seconds(WINDOW),
        "max_consumers": 2 * SHARDS,
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
    DEAD: {
        "subjects": ["car.dead.*.*"],
        "max_age": _seconds(30 * _DAY),
        "allow_direct": True,
        "duplicate_window": _seconds(WINDOW),
    },
}


def consumer(name: str, subject: str, *, unacked: int = 1000, pinned: bool = False) -> dict[str, Json]:
    """Return the configuration of a durable consumer; a pinned one delivers to a single reader at a time."""
    config: dict[str, Json] = {
        "durable_name": name,
        "name": name,
        "ack_policy": "explicit",
        "ack_wait": _seconds(30),
        "max_ack_pending": unacked,
        "max_deliver": -1,
        "filter_subject": subject,
        "deliver_policy": "all",
    }
    if pinned:
        config |= {"priority_policy": "pinned_client", "priority_groups": ["host"], "priority_timeout": _seconds(2)}
    return config


async def furnish(link: Link) -> dict[str, str]:
    """Make the streams that are missing; return the epoch of each stream by its name."""
    epochs: dict[str, str] = {}
    share = await _share(link)
    for name, config in STREAMS.items():
        found = await link.find(f"STREAM.INFO.{name}")
        if found is None:
            own = {"name": name, "storage": "file", "metadata": {"car-epoch": secrets.token_hex(4)}}
            found = await link.api(f"STREAM.CREATE.{name}", {**config, **own, "max_bytes": int(share * SHARES[name])})
        epochs[name] = found.text("config", "metadata", "car-epoch")
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
