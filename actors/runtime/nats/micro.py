"""A host as a service of NATS: whoever types ``nats micro ls``, ``info`` or ``stats`` sees each host and how it fares.

Each has an endpoint of its own, ``car.node.<lease>.stats``, which answers with the JSON of a ``HostView``.
"""

import asyncio
import os
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime

import psutil
import structlog
from nats.errors import Error as NatsError
from nats.micro.request import Request
from nats.micro.service import Service, ServiceConfig
from pydantic import ValidationError

from actors.runtime.nats.layout import SHARDS
from actors.runtime.nats.link import Link
from protocol.address import token
from protocol.errors import Unreachable
from protocol.node import Lease
from protocol.top import HostView

NAME = "car-host"
PATIENCE = 1.0
"""Seconds for which a host may take to say how it fares, or to take its leave."""
_RELEASE = re.compile(r"\d+\.\d+\.\d+")

log = structlog.get_logger()


def fare(lease: Lease, awake: int, held: Iterable[str]) -> HostView:
    """Return what this process says of itself as a host that plays so many actors and holds these seats."""
    me, seats = psutil.Process(), frozenset(held)
    shards = [number for number in range(SHARDS) if f"s{number}" in seats]
    with me.oneshot():
        times, memory = me.cpu_times(), me.memory_info()
    return HostView(
        lease=lease.name,
        node=lease.node,
        release=lease.release,
        since=lease.since,
        pid=os.getpid(),
        awake=awake,
        shards=tuple(shards),
        seats=tuple(sorted(seats - {f"s{number}" for number in shards})),
        cpu=round(times.user + times.system, 2),
        memory=memory.rss,
    )


async def announce(link: Link, describe: Callable[[], HostView]) -> None:
    """Be a service until cancelled; the connection may come and go meanwhile."""
    first = describe()
    service = Service(link.client, _config(first, describe))

    async def answer(request: Request) -> None:
        await request.respond(describe().model_dump_json().encode())

    await service.add_endpoint(name="stats", subject=subject_of(first.lease), handler=answer)
    try:
        await _begin(link, service)
        await asyncio.Event().wait()
    finally:
        # Whoever has gone answers nothing, so nothing is lost where the wire does not hear our farewell.
        if link.client.is_connected:
            with suppress(NatsError, OSError, TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await service.stop()


async def fares(link: Link, lease: str) -> HostView | None:
    """Ask a host how it fares; return None where it does not answer."""
    try:
        answer = await link.ask(subject_of(lease), b"", {}, PATIENCE)
        return HostView.model_validate_json(answer.data)
    except (Unreachable, ValidationError) as error:
        log.debug("a host does not say how it fares", host=lease, error=str(error))
        return None


def subject_of(lease: str) -> str:
    """Return where a host is asked how it fares."""
    return f"car.node.{token(lease)}.stats"


async def _begin(link: Link, service: Service) -> None:
    """Let the service listen; what it said to a wire that was away it has said to the next one too."""
    while True:
        try:
            await link.here()
            await service.start()
        except (Unreachable, NatsError, OSError, TimeoutError) as error:
            log.info("a service waits for the wire", error=str(error))
        else:
            return


def _config(first: HostView, describe: Callable[[], HostView]) -> ServiceConfig:
    release = _RELEASE.match(first.release)
    return ServiceConfig(
        name=NAME,
        # A service wants a version of exactly three numbers; the release itself stands beside it.
        version=release[0] if release else "0.0.0",
        description="A host of CAR: plays its actors and does its work.",
        metadata={
            "lease": first.lease,
            "node": first.node,
            "pid": str(first.pid),
            "release": first.release,
            "since": _stamp(first.since),
        },
        stats_handler=lambda _: describe().model_dump(mode="json"),
    )


def _stamp(at: datetime) -> str:
    return at.isoformat(timespec="seconds")
