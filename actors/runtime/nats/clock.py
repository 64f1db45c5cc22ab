"""What time it is for the server: the only clock that counts, whatever a host's own says."""

from datetime import UTC, datetime, timedelta

from actors.runtime.nats.layout import MAIL
from actors.runtime.nats.link import Link, boot_time


class ServerClock:
    """The server's time when it was last asked, and what has passed since then."""

    def __init__(self) -> None:
        """Believe the machine until the server is asked."""
        self._then = datetime.now(UTC)
        self._at = boot_time()

    def __call__(self) -> datetime:
        """Return the time."""
        return self._then + timedelta(seconds=boot_time() - self._at)

    async def ask(self, link: Link) -> None:
        """Ask the server."""
        before = boot_time()
        said = (await link.api(f"STREAM.INFO.{MAIL}")).text("ts")
        self._then, self._at = datetime.fromisoformat(said), (before + boot_time()) / 2
