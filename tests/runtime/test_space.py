"""What the embedded server may have of the disk, also where there is less of it than when the streams were made."""

import asyncio
import re

from actors.runtime.nats.epoch import Anew
from actors.runtime.nats.layout import DEAD, furnish
from actors.runtime.nats.link import Login, connect
from actors.runtime.nats.space import SMALLEST, promised, space
from tests.disk import small_disk
from tests.server import Server


class Embedded(Server):
    """A server that may have as much as ours in a hub, at each of its starts."""

    def start(self) -> None:
        room = space(self.folder.parent)
        text = re.sub(r"accounts.*", "", (self.folder / "server.conf").read_text(), flags=re.DOTALL)
        text = re.sub(r"sync_interval: always[^}]*", f"sync_interval: always, max_file_store: {room} ", text)
        account = f"CAR {{ jetstream: {{ max_file: {room} }}, users: [{{ user: u, password: p }}] }}"
        (self.folder / "server.conf").write_text(f"{text}accounts {{ {account} }}\nno_auth_user: u\n")
        super().start()


def test_a_reserve_is_left(tmp_path):
    with small_disk(tmp_path / "disk", "100M") as disk:
        (disk / "store").mkdir()
        assert abs(space(disk) - 0.9 * 100 * 2**20) < 100_000
        (disk / "store" / "block").write_bytes(b"x" * 20_000_000)
        assert abs(space(disk) - (20_000_000 + 0.9 * (100 * 2**20 - 20_000_000))) < 100_000
        (disk / "store" / "block").rename(disk / "block")
        assert space(disk) < 0.9 * (100 * 2**20 - 20_000_000) + 100_000
        (disk / "more").write_bytes(b"x" * 50_000_000)
        assert space(disk) == SMALLEST


def test_a_disk_that_has_become_smaller_keeps_no_stream_from_being_changed(tmp_path):
    async def run():
        with small_disk(tmp_path / "disk", "160M") as disk:
            (disk / "store").mkdir()
            server = Embedded(disk / "store")
            for epoch in ("a", "b"):
                with server:
                    link = await connect(Login(server.url, "test"))
                    assert (await furnish(link, Anew(epoch)))[DEAD].newest == epoch
                    await link.close()
                (disk / "filler").write_bytes(b"x" * 90_000_000)
            assert space(disk) == int(1.1 * promised(disk)) > SMALLEST

    asyncio.run(run())
