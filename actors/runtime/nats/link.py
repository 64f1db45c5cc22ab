"""One connection to NATS: it comes back by itself, tells what it was refused, turns the server's errors into ours."""

import asyncio
import json
import math
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple, cast

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import AuthorizationError, SlowConsumerError
from nats.errors import Error as NatsError

from actors.runtime.nats.request import Requests
from actors.runtime.nats.users import denied
from actors.runtime.ports import Conflict
from protocol.errors import Full, Refused, Unreachable, Unsent

PATIENCE = 5.0
"""Seconds for which an answer of the server is awaited."""
WATCH = 2.0
"""Seconds between two looks at whether the server has shut us out."""
LOCKED_OUT = 5
"""So many times a key is tried again that the server does not let in."""
BEAT = 20
"""Seconds between two looks at whether the server still answers; after two in vain the connection is made anew."""
PENDING = 64 * 1024 * 1024
"""Bytes that may wait to be written while the server is away."""
_WRONG_LAST, _PER_SUBJECT, _STREAM_FULL = (10071, 10164), (10077,), (10047, 10077, 10023, 10122)
_UNABLE = 500
_FRAME = 64
"""Bytes that headers need beside their lines."""
_MISSING = (10059, 10014, 10037)

log = structlog.get_logger()

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class Login:
    """Where the server is, and who we are there. ``name`` is also the prefix of our inboxes."""

    url: str
    name: str
    seed: str = ""


class Ack(NamedTuple):
    """The server has stored a message."""

    seq: int
    duplicate: bool


class Kept(NamedTuple):
    """A message as a stream keeps it."""

    seq: int
    headers: Mapping[str, str]
    data: bytes


class Found:
    """A JSON answer of the server, read by names."""

    def __init__(self, body: Json) -> None:
        """Hold the answer."""
        self.body = body

    def part(self, *names: str) -> object:
        """Return what lies below these names, or None."""
        value: object = self.body
        for name in names:
            value = value.get(name) if isinstance(value, dict) else None
        return value

    def section(self, *names: str) -> Json:
        """Return the object below these names, or an empty one."""
        value = self.part(*names)
        return cast("Json", value) if isinstance(value, dict) else {}

    def sections(self, *names: str) -> list["Found"]:
        """Return the objects of the list below these names."""
        value = self.part(*names)
        return [Found(one) for one in value if isinstance(one, dict)] if isinstance(value, list) else []

    def text(self, *names: str) -> str:
        """Return the text below these names, or nothing."""
        value = self.part(*names)
        return value if isinstance(value, str) else ""

    def number(self, *names: str) -> int:
        """Return the number below these names, or 0."""
        value = self.part(*names)
        return value if isinstance(value, int) else 0


def boot_time() -> float:
    """Return seconds since the machine was started, sleep included: what an absence is measured with."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class _Client(Client):
    """The library's client, whose reading ends for good and without a word at a subject that is no UTF-8."""

    def _build_message(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
    ) -> Msg:
        built: Msg = super()._build_message(sid, _clean(subject), _clean(reply), data, headers)
        return built


def _clean(subject: bytes) -> bytes:
    return subject.decode(errors="backslashreplace").encode()


class Link:
    """A connection as one of our users. ``on_return`` are told when the connection was lost and is there again."""

    def __init__(self, client: Client, login: Login) -> None:
        """Take over a connected client."""
        self.client = client
        self.login = login
        self.requests = Requests(client)
        self.on_return: list[Callable[[], None]] = []
        self.on_loss: list[Callable[[], None]] = []
        self.trouble = ""
        self.refusals = 0
        self.is_leaving = False
        self.valid_until = math.inf
        """Until when (by the boot clock) we may write: a host whose lease has lapsed was taken for dead."""
        self.back = asyncio.Event()
        self.gone = asyncio.Event()

    async def watch(self) -> None:
        """Raise ``Unreachable`` where the server has shut us out: the client does not come back from that by itself."""
        while not self.client.is_closed:
            # The client's own word for it does not come where the wire breaks in the midst of its goodbye.
            with suppress(TimeoutError):
                async with asyncio.timeout(WATCH):
                    await self.gone.wait()
                    break
        raise Unreachable(f"the NATS server at {self.login.url} has closed the connection: {self.trouble}")

    async def here(self, patience: float = PATIENCE) -> None:
        """Wait until there is a connection, or raise ``Unreachable``.

        What is written while there is none would be sent when nobody wants it any more, and all of it at once.
        """
        until = asyncio.get_running_loop().time() + patience
        while not self.client.is_connected:
            self.back.clear()
            try:
                async with asyncio.timeout_at(until):
                    await self.back.wait()
            except TimeoutError as error:
                raise Unsent(f"the NATS server at {self.login.url} is away") from error

    async def api(self, subject: str, body: Mapping[str, object] | None = None) -> Found:
        """Ask the server's JetStream; raise ``Refused`` where it says no, ``Unreachable`` where it is unable."""
        answer = await self._request(f"$JS.API.{subject}", json.dumps(body or {}).encode(), None)
        found = Found(cast("Json", json.loads(answer.data)))
        if found.part("error"):
            raise _refusal(subject, found)
        return found

    async def find(
        self, subject: str, body: Mapping[str, object] | None = None, patience: float = PATIENCE
    ) -> Found | None:
        """Ask for something that may not be there."""
        answer = await self._request(f"$JS.API.{subject}", json.dumps(body or {}).encode(), None, patience)
        found = Found(cast("Json", json.loads(answer.data)))
        if found.number("error", "err_code") in _MISSING:
            return None
        if found.part("error"):
            raise _refusal(subject, found)
        return found

    async def store(self, subject: str, body: bytes, headers: dict[str, str]) -> Ack:
        """Publish into a stream and wait until it is stored; raise ``Full``, ``Conflict`` or ``Unreachable``."""
        return _stored(subject, await self._request(subject, body, headers))

    async def last(self, stream: str, subject: str) -> "Kept | None":
        """Return the newest message on a subject of a stream, if there is one."""
        answer = await self._request(f"$JS.API.DIRECT.GET.{stream}.{subject}", b"", None)
        headers = answer.headers or {}
        if headers.get("Status") == "404":
            return None
        return Kept(int(headers.get("Nats-Sequence", "0")), headers, answer.data)

    async def newest(self, stream: str, subjects: str) -> int:
        """Return the sequence of the newest message on subjects (with wildcards) of a stream, or 0."""
        body = json.dumps({"last_by_subj": subjects}).encode()
        answer = await self._request(f"$JS.API.DIRECT.GET.{stream}", body, None)
        return int((answer.headers or {}).get("Nats-Sequence", "0"))

    async def ask(self, subject: str, body: bytes, headers: dict[str, str], patience: float = PATIENCE) -> Msg:
        """Ask whoever listens on a subject."""
        return await self._request(subject, body, headers, patience)

    async def ask_many(self, subject: str, body: bytes) -> tuple[list[Msg], str]:
        """Ask for what is answered in several messages; return them and the status of the end."""
        await self.here()
        return await self.requests.ask_many(subject, body, PATIENCE)

    async def say(self, subject: str, body: bytes, headers: dict[str, str] | None = None) -> None:
        """Publish without waiting; lost if nobody listens."""
        try:
            await self.client.publish(subject, body, headers=headers)
        except (NatsError, OSError) as error:
            raise Unreachable(f"NATS does not answer: {error}") from error

    async def renew(self, subject: str, body: bytes, headers: dict[str, str], term: float) -> None:
        """Store a lease, and be allowed to write for its term from now on."""
        began = boot_time()
        _stored(subject, await self._request(subject, body, headers, term / 2, is_lease=True))
        self.valid_until = began + term

    async def close(self) -> None:
        """Leave."""
        self.is_leaving = True
        if not self.client.is_closed:
            with suppress(OSError):  # the wire may break in the midst of our goodbye
                await self.client.close()

    async def _request(
        self,
        subject: str,
        body: bytes,
        headers: dict[str, str] | None,
        patience: float = PATIENCE,
        *,
        is_lease: bool = False,
    ) -> Msg:
        await self.here(patience)
        if not is_lease and boot_time() > self.valid_until:
            raise Unsent(f"{self.login.name} was away for longer than its lease, and others went on in its place")
        size = len(body) + sum(len(name) + len(value.encode()) + 4 for name, value in (headers or {}).items())
        if size > self.client.max_payload - _FRAME:
            # The server would not refuse it but shut us out.
            raise Refused(f"{size} bytes on {subject} are more than the NATS server takes at once")
        return await self.requests.ask(subject, body, headers, patience)


async def connect(login: Login, *, wait: float = 10.0) -> Link:
    """Connect, or raise ``Unreachable`` after ``wait`` seconds. A connection that is lost is made anew for ever."""
    client = _Client()
    link = Link(client, login)

    async def returned() -> None:
        log.info("nats is back", user=login.name)
        link.trouble = ""
        link.back.set()
        for tell in link.on_return:
            tell()

    async def lost() -> None:
        if not link.is_leaving:
            log.warning("nats is away", user=login.name)
        link.requests.break_off(f"the wire to the NATS server at {login.url} broke")

    async def closed() -> None:
        link.gone.set()

    async def failed(error: Exception) -> None:
        # While the server is away the same is said five times a second.
        say = log.debug if link.trouble == _what(error) else log.warning
        link.trouble = _what(error)
        if found := denied(link.trouble):
            link.requests.deny(found[1])
        link.refusals = link.refusals + 1 if isinstance(error, AuthorizationError) else 0
        if link.refusals >= LOCKED_OUT:
            await link.close()
            link.gone.set()
        say("nats says", user=login.name, error=link.trouble)
        if isinstance(error, SlowConsumerError):
            for tell in link.on_loss:
                tell()

    await _until(
        lambda: client.connect(
            login.url,
            name=f"car-{login.name}",
            nkeys_seed_str=login.seed or None,
            inbox_prefix=f"_INBOX_{login.name}".encode(),
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.2,  # type: ignore[arg-type]  # it is handed to sleep
            connect_timeout=2,
            pending_size=PENDING,
            allow_reconnect=True,
            error_cb=failed,
            reconnected_cb=returned,
            disconnected_cb=lost,
            closed_cb=closed,
            ping_interval=BEAT,
        ),
        link,
        wait,
    )
    await link.requests.listen()
    return link


def _stored(subject: str, answer: Msg) -> Ack:
    """Read what the server says of a message that it was to store."""
    found = Found(cast("Json", json.loads(answer.data)))
    code, why = found.number("error", "err_code"), found.text("error", "description")
    if code in _WRONG_LAST:
        raise Conflict(f"{subject}: {why}")
    if code in _PER_SUBJECT:
        raise Full(f"{subject} holds as many messages as it may")
    if found.part("error"):
        raise Unsent(f"NATS did not store a message on {subject}: {why}")
    return Ack(found.number("seq"), bool(found.part("duplicate")))


def _refusal(subject: str, found: Found) -> Refused | Unreachable:
    """Return what an error of the server means: what it cannot do now (a full disk) may be tried again."""
    why = found.text("error", "description")
    if found.number("error", "code") >= _UNABLE:
        return Unreachable(f"NATS cannot do {subject} now: {why}")
    return Refused(f"NATS refuses {subject}: {why}")


def _what(error: Exception) -> str:
    """Say what has gone wrong, without the numbers that Python's networking puts into it."""
    if isinstance(error, TimeoutError):
        return "it says nothing"
    said = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
    return said or type(error).__name__


async def _until(connect_once: Callable[[], Awaitable[None]], link: Link, wait: float) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + wait
    while True:
        try:
            await asyncio.wait_for(connect_once(), max(until - loop.time(), 0.5))
        except (TimeoutError, NatsError, OSError) as error:
            if loop.time() >= until:
                why = link.trouble or _what(error)
                await link.close()
                raise Unreachable(f"the NATS server at {link.login.url} does not answer: {why}") from error
            await asyncio.sleep(0.1)
        else:
            return
