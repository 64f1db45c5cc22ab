"""What the demo agent tells its client during one turn, and what it asks of it, in the words of ACP."""

import asyncio
import re
from asyncio import StreamWriter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from acp.exceptions import RequestError
from acp.helpers import (
    start_tool_call,
    text_block,
    tool_content,
    tool_diff_content,
    update_agent_message_text,
    update_tool_call,
)
from acp.interfaces import Client
from acp.schema import (
    AllowedOutcome,
    ClientCapabilities,
    FileEditToolCallContent,
    PermissionOption,
    ToolCallLocation,
    ToolCallUpdate,
    ToolKind,
)

from protocol.errors import Refused

_WORD = re.compile(r"\s*\S+")
_OPTIONS = [
    PermissionOption(option_id="allow", name="Allow", kind="allow_once"),
    PermissionOption(option_id="reject", name="Reject", kind="reject_once"),
]


@dataclass(slots=True)
class Report:
    """The voice of one turn. ``numbers`` counts the session's tool calls, ``stdout`` is for what is no message."""

    client: Client
    able: ClientCapabilities
    session: str
    numbers: Iterator[int]
    stdout: StreamWriter
    spoken: bool = False

    async def say(self, text: str, pace: float = 0) -> None:
        """Say a text word by word, on a line of its own."""
        await self._utter(_WORD.findall(text), pace)

    async def count(self, last: int, pace: float = 0) -> None:
        """Say the numbers from 1 on, each by itself."""
        await self._utter(("1", *(f" {number}" for number in range(2, last + 1))), pace)

    async def begin(self, title: str, kind: ToolKind, path: Path | None = None) -> str:
        """Tell that a tool is being used, and return the id of that use."""
        call = f"call-{next(self.numbers)}"
        places = [ToolCallLocation(path=str(path))] if path else None
        begun = start_tool_call(call, title, kind=kind, status="in_progress", locations=places)
        await self.client.session_update(session_id=self.session, update=begun)
        return call

    async def end(self, call: str, output: str = "", *, good: bool = True) -> None:
        """Tell how the use of a tool ended, and what came out."""
        content = [tool_content(text_block(output))] if output else None
        ended = update_tool_call(call, status="completed" if good else "failed", content=content)
        await self.client.session_update(session_id=self.session, update=ended)

    async def show_change(self, path: Path, old: str | None, new: str) -> None:
        """Tell of a file that has been written. ``old`` is nothing where the file is new."""
        call = await self.begin(f"{'Write' if old is None else 'Edit'} {path.name}", "edit", path)
        diff: FileEditToolCallContent = tool_diff_content(str(path), new, old)
        await self.client.session_update(
            session_id=self.session, update=update_tool_call(call, status="completed", content=[diff])
        )

    async def ask_permission(self, title: str, path: Path) -> bool:
        """Ask whether something may be done to a file. An error instead of an answer is a no."""
        call = await self.begin(title, "edit", path)
        wish = ToolCallUpdate(
            tool_call_id=call, title=title, kind="edit", status="pending", locations=[ToolCallLocation(path=str(path))]
        )
        try:
            answer = await self.client.request_permission(session_id=self.session, tool_call=wish, options=_OPTIONS)
        except RequestError:
            allowed = False
        else:
            allowed = isinstance(answer.outcome, AllowedOutcome) and answer.outcome.option_id == "allow"
        await self.end(call, "allowed" if allowed else "refused", good=allowed)
        return allowed

    async def read(self, path: Path) -> str:
        """Read a file through the client; raise ``Refused`` where it does not do that."""
        if not (self.able.fs and self.able.fs.read_text_file):
            raise Refused("the client reads no files for its agent")
        call = await self.begin(f"Read {path.name}", "read", path)
        try:
            answer = await self.client.read_text_file(session_id=self.session, path=str(path))
        except RequestError as error:
            await self.end(call, str(error), good=False)
            raise Refused(str(error)) from error
        await self.end(call, answer.content)
        return answer.content

    async def save(self, path: Path, text: str) -> None:
        """Write a file through the client; raise ``Refused`` where it does not do that."""
        if not (self.able.fs and self.able.fs.write_text_file):
            raise Refused("the client writes no files for its agent")
        call = await self.begin(f"Write {path.name}", "edit", path)
        try:
            await self.client.write_text_file(session_id=self.session, path=str(path), content=text)
        except RequestError as error:
            await self.end(call, str(error), good=False)
            raise Refused(str(error)) from error
        await self.end(call)

    async def babble(self, line: str) -> None:
        """Print a line that is no message, behind everything that was said before."""
        self.stdout.write(f"{line}\n".encode())
        await self.stdout.drain()

    async def _utter(self, pieces: Iterable[str], pace: float) -> None:
        """Say pieces of text, one update each."""
        for number, piece in enumerate(pieces):
            if number and pace:
                await asyncio.sleep(pace)
            chunk = f"\n{piece}" if self.spoken and not number else piece
            self.spoken = True
            await self.client.session_update(session_id=self.session, update=update_agent_message_text(chunk))
