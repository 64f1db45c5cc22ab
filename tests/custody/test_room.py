"""A full disk is seen by the room that is left and by what the server says, and its end is told once."""

from actors.custody.room import ENOUGH, Room
from tests.disk import small_disk


def test_a_disk_that_was_full_and_has_room_again_is_told_once(tmp_path):
    with small_disk(tmp_path / "disk") as disk:
        room = Room(disk, tmp_path / "server.log")
        assert not room.came_back()
        filler = disk / "filler"
        filler.write_bytes(b"x" * 11_900_000)
        assert not room.came_back()
        filler.unlink()
        assert [room.came_back() for _ in range(3)] == [True, False, False]


def test_a_moment_of_a_full_disk_is_seen_by_what_the_server_said(tmp_path):
    log = tmp_path / "server.log"
    log.write_text("an old complaint: no space left on device\n")
    room = Room(tmp_path, log)
    assert not room.came_back()
    with log.open("a") as more:
        more.write("[ERR] write 1.blk: no space left on device\n")
    assert [room.came_back() for _ in range(2)] == [True, False]


def test_a_log_that_was_begun_anew_is_read_from_its_start(tmp_path):
    log = tmp_path / "server.log"
    log.write_text("x" * 1000)
    room = Room(tmp_path, log)
    log.write_text("no space left on device\n")
    assert room.came_back()


def test_little_room_again_is_not_enough(tmp_path):
    with small_disk(tmp_path / "disk") as disk:
        room = Room(disk, tmp_path / "server.log")
        (disk / "one").write_bytes(b"x" * 9_000_000)
        (disk / "two").write_bytes(b"x" * 2_900_000)
        assert not room.came_back()
        (disk / "two").unlink()
        assert not room.came_back()
        (disk / "one").unlink()
        assert ENOUGH < 12_000_000
        assert room.came_back()
