"""What nats-py itself can do of an actor's work: the limit beside the durable message.

For each message: it comes by a pipelined pull (one subscription with a callback, asked for more when half is used up),
its record is written by compare-and-set, the next message is published and awaited, then the first is acknowledged.
The streams are those of the runtime under other names, on the same server and with the same settings, records and
messages have the same number of bytes, as many are on their way, and the loop is the same.

It is left out what makes of this a runtime, so the limit is a generous one: a single consumer that is nobody's seat
instead of 64, no gap rule, no headers but the id that the server itself looks at, no order within a mailbox (two never
meet in one), nothing decided, nothing encoded, nothing remembered but the revision.
"""

import asyncio
import json
import time

from nats.aio.client import Client
from nats.aio.msg import Msg

from actors.runtime.nats.layout import MAIL, SHARDS, STATE, STREAMS
from tests.bench.relay import RING, Course

BATCH = 256
PATIENCE = 5.0


class Limit:
    """Rings of keys without actors."""

    def __init__(self, client: Client, course: Course, record: int, mail: int) -> None:
        self._client = client
        self._course = course
        self._record = b"r" * record
        self._mail = b"m" * mail
        self._revisions: dict[str, int] = {}
        self._left = 0
        self._ids = 0
        self._inbox = client.new_inbox()
        self._tasks: set[asyncio.Task[None]] = set()

    async def furnish(self) -> None:
        """Make the streams, and read."""
        mail = {**STREAMS[MAIL], "subjects": ["raw.*.*.*"], "max_bytes": 200_000_000}
        mail["subject_transform"] = {
            "src": "raw.*.*.*",
            "dest": f"raw.{{{{wildcard(1)}}}}.{{{{partition({SHARDS},2,3)}}}}.{{{{wildcard(2)}}}}.{{{{wildcard(3)}}}}",
        }
        state = {**STREAMS[STATE], "subjects": ["$KV.RAW.>"], "max_bytes": 200_000_000}
        for name, config in (("RAW", mail), ("KV_RAW", state)):
            await self._api(f"STREAM.CREATE.{name}", {"name": name, "storage": "file", **config})
        config = {"durable_name": "raw", "ack_policy": "explicit", "max_ack_pending": 4000, "filter_subject": "raw.>"}
        await self._api("CONSUMER.CREATE.RAW.raw.raw.>", {"stream_name": "RAW", "config": config})
        await self._client.subscribe(self._inbox, cb=self._heard)
        await self._pull()

    async def say(self, ring: int, place: int, left: int) -> None:
        """Publish what the next of a ring will hear."""
        self._ids += 1
        headers = {"Nats-Msg-Id": f"{ring}-{self._ids}", "Left": f"{ring}.{place}.{left}"}
        await self._store(f"raw.mail.relay.r{ring}-{place % RING}", self._mail, headers)

    async def _heard(self, msg: Msg) -> None:
        if msg.headers and "Status" in msg.headers:
            self._left = 0
            await self._pull()
            return
        self._left -= 1
        task = asyncio.get_running_loop().create_task(self._handle(msg))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._left < BATCH // 2:
            await self._pull()

    async def _handle(self, msg: Msg) -> None:
        self._course.tick(time.perf_counter())
        ring, place, left = map(int, (msg.headers or {})["Left"].split("."))
        key = f"$KV.RAW.relay.r{ring}-{place % RING}"
        headers = {"Nats-Expected-Last-Subject-Sequence": str(self._revisions.get(key, 0))}
        self._revisions[key] = await self._store(key, self._record, headers)
        if left:
            await self.say(ring, place + 1, left - 1)
        await self._client.publish(msg.reply, b"+ACK")

    async def _pull(self) -> None:
        self._left += BATCH
        asked = json.dumps({"batch": BATCH, "expires": 30_000_000_000}).encode()
        await self._client.publish("$JS.API.CONSUMER.MSG.NEXT.RAW.raw", asked, reply=self._inbox)

    async def _store(self, subject: str, body: bytes, headers: dict[str, str]) -> int:
        answer = json.loads((await self._client.request(subject, body, timeout=PATIENCE, headers=headers)).data)
        return answer["seq"]

    async def _api(self, subject: str, body: dict[str, object]) -> None:
        answer = json.loads((await self._client.request(f"$JS.API.{subject}", json.dumps(body).encode())).data)
        assert "error" not in answer, answer
