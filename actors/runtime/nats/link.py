"""One connection to NATS: it comes back by itself, tells what it was refused, turns the server's errors into ours."""

import asyncio
import json
import math
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import SlowConsumerError

from actors.runtime.nats.answer import MISSING, Ack, Found, Kept, read_answer, refusal, stored
from actors.runtime.nats.request import Requests
from actors.runtime.nats.users import denied
from protocol.errors import Refused, Unreachable, Unsent

PATIENCE = 5.0
"""Seconds for which an answer of the server is awaited."""
WATCH = 2.0
"""Seconds between two looks at whether the server has shut us out."""
_LOCKED = "authorization violation"
LOCKED_OUT = 5
"""So many times a key is tried again that the server does not let in."""
BEAT = 20
"""Seconds between two looks at whether the server still answers; after two in vain the connection is made anew."""
PENDING = 64 * 1024 * 1024
"""Bytes that may wait to be written while the server is away."""
_FRAME = 64
"""Bytes that headers need beside their lines."""

log = structlog.get_logger()

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class Login:
    """Where the server is, and who we are there. ``name`` is also the prefix of our inboxes."""

    url: str
    name: str
    seed: str = ""


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

    @staticmethod
    def _parse_header_lines(raw: bytes) -> dict[str, str]:
        """Read headers; the client's own way looks at each letter of their names by itself."""
        lines = (line.partition(":") for line in raw.decode("utf-8", "replace").split("\r\n"))
        return {name.strip(): value.strip() for name, colon, value in lines if colon}


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
            reading = self.client._reading_task  # noqa: SLF001  # held by a test
            if self.client.is_connected and reading is not None and reading.done():
                log.error("the connection was deaf and is made anew", user=self.login.name)
                await self.client.force_reconnect()
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
        found = read_answer(answer)
        if found.part("error"):
            raise refusal(subject, found)
        return found

    async def find(
        self, subject: str, body: Mapping[str, object] | None = None, patience: float = PATIENCE
    ) -> Found | None:
        """Ask for something that may not be there."""
        answer = await self._request(f"$JS.API.{subject}", json.dumps(body or {}).encode(), None, patience)
        found = read_answer(answer)
        if found.number("error", "err_code") in MISSING:
            return None
        if found.part("error"):
            raise refusal(subject, found)
        return found

    async def store(self, subject: str, body: bytes, headers: dict[str, str]) -> Ack:
        """Publish into a stream and wait until it is stored; raise ``Full``, ``Conflict`` or ``Unreachable``."""
        return stored(subject, await self._request(subject, body, headers))

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
        stored(subject, await self._request(subject, body, headers, term / 2, is_lease=True))
        self.valid_until = began + term

    async def close(self) -> None:
        """Leave."""
        self.is_leaving = True
        if not self.client.is_closed:
            with suppress(OSError):  # the wire may break in the midst of our goodbye
                await self.client.close()

    # what the client says

    async def hear_return(self) -> None:
        """Tell everybody that the connection is there again."""
        log.info("nats is back", user=self.login.name)
        self.trouble, self.refusals = "", 0
        self.back.set()
        for tell in self.on_return:
            tell()

    async def hear_loss(self) -> None:
        """Tell whoever waits that the connection is lost, and with it every answer that was on its way."""
        if not self.is_leaving:
            log.warning("nats is away", user=self.login.name)
        self.requests.break_off(f"the wire to the NATS server at {self.login.url} broke")

    async def hear_end(self) -> None:
        """Take note that the connection is closed for good."""
        self.gone.set()

    async def hear_error(self, error: Exception) -> None:
        """Take note of what the server refuses, or that it does not answer."""
        # While the server is away the same is said five times a second.
        say = log.debug if self.trouble == _what(error) else log.warning
        self.trouble = _what(error)
        say("nats says", user=self.login.name, error=self.trouble)
        if found := denied(self.trouble):
            self.requests.deny(found[1])
        self.refusals += _LOCKED in self.trouble.lower()
        if self.refusals >= LOCKED_OUT and not self.gone.is_set():
            self.trouble = f"it does not let our key in any more ({_LOCKED})"
            self.gone.set()
            await self.close()
        if isinstance(error, SlowConsumerError):
            self.requests.break_off("some of what the NATS server said was lost")
            for tell in self.on_loss:
                tell()

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
            error_cb=link.hear_error,
            reconnected_cb=link.hear_return,
            disconnected_cb=link.hear_loss,
            closed_cb=link.hear_end,
            ping_interval=BEAT,
        ),
        link,
        wait,
    )
    await link.requests.listen()
    return link


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
            async with asyncio.timeout(max(until - loop.time(), 0.5)):
                await connect_once()
        except (TimeoutError, NatsError, OSError) as error:
            if loop.time() >= until:
                why = link.trouble or _what(error)
                await link.close()
                raise Unreachable(f"the NATS server at {link.login.url} does not answer: {why}") from error
            await asyncio.sleep(0.1)
        else:
            return
