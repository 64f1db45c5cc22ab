"""The hands for single files, against real files and the ways out of a checkout."""

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from actors.workers import disk
from actors.workers.files import WORKER
from protocol.address import Address
from protocol.errors import WorkFailed
from protocol.message import Event
from protocol.work import FileText, FileWritten, ReadFile, Work, WriteFile

ASKER = Address("run", "1")


def do(command: Work) -> Event:
    return anyio.run(WORKER.does[type(command)], command, ASKER)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("not yours")
    folder = tmp_path / "shop"
    folder.mkdir()
    return folder


def read(checkout: Path, path: str | Path, line: int = 1, limit: int = 0) -> str:
    found = do(ReadFile(checkout=str(checkout), path=str(path), line=line, limit=limit))
    assert isinstance(found, FileText)
    return found.text


def write(checkout: Path, path: str | Path, text: str) -> None:
    assert do(WriteFile(checkout=str(checkout), path=str(path), text=text)) == FileWritten()


def fails(command: Work) -> str:
    with pytest.raises(WorkFailed) as caught:
        do(command)
    return str(caught.value)


def test_a_file_is_read_as_it_is_by_relative_or_absolute_path(checkout: Path):
    (checkout / "a.txt").write_bytes("größe\r\nzwei".encode())
    assert read(checkout, "a.txt") == read(checkout, checkout / "a.txt") == "größe\r\nzwei"


def test_some_lines_are_read_counted_from_one(checkout: Path):
    (checkout / "a.txt").write_text("1\n2\n3\n4")
    assert read(checkout, "a.txt", 2, 2) == "2\n3\n"
    assert read(checkout, "a.txt", 4) == "4"
    assert read(checkout, "a.txt", 0, 1) == "1\n"
    assert read(checkout, "a.txt", 9, 9) == ""


def test_of_a_long_file_parts_are_read_and_never_all_of_it(checkout: Path):
    (checkout / "long.txt").write_text("0123456789\n" * 100_000)
    assert read(checkout, "long.txt", 99_999, 5) == "0123456789\n" * 2
    said = f"{checkout}/long.txt cannot be read: that is longer than 1000000 bytes; read it in parts, by line and limit"
    assert fails(ReadFile(checkout=str(checkout), path="long.txt")) == said
    (checkout / "long.txt").write_text("x" * 1_000_001)
    assert fails(ReadFile(checkout=str(checkout), path="long.txt", line=2, limit=1)) == said


def test_a_written_file_reads_back_with_the_folders_that_it_needs(checkout: Path):
    for text in ("one\r\n", "", "größe"):
        write(checkout, "deep/er/a.txt", text)
        assert (checkout / "deep/er/a.txt").read_bytes() == text.encode()
    assert [path.name for path in (checkout / "deep/er").iterdir()] == ["a.txt"]


def test_a_file_stays_executable_and_a_link_stays_a_link(checkout: Path):
    (checkout / "run.sh").write_text("old")
    (checkout / "run.sh").chmod(0o755)
    (checkout / "link").symlink_to("run.sh")
    write(checkout, "link", "new")
    assert (checkout / "link").is_symlink()
    assert (checkout / "run.sh").read_text() == "new"
    assert stat.S_IMODE((checkout / "run.sh").stat().st_mode) == 0o755


def test_a_new_file_may_be_read_by_whomever_the_person_lets(checkout: Path):
    write(checkout, "a.txt", "x")
    (checkout / "b.txt").write_text("x")
    assert (checkout / "a.txt").stat().st_mode == (checkout / "b.txt").stat().st_mode


@pytest.mark.parametrize(
    "path", ["../secret", "{}/../secret", "/etc/hostname", "out/secret", "file", "new/../../x", "dangling"]
)
def test_no_path_leads_out_of_the_checkout(checkout: Path, path: str):
    (checkout / "out").symlink_to("..")
    (checkout / "file").symlink_to("../secret")
    (checkout / "dangling").symlink_to("../fresh")
    path = path.format(checkout)
    said = f"{path} lies outside of the checkout {checkout}; name a file inside of it"
    assert fails(ReadFile(checkout=str(checkout), path=path)) == said
    assert fails(WriteFile(checkout=str(checkout), path=path, text="mine")) == said
    assert (checkout.parent / "secret").read_text() == "not yours"
    assert sorted(one.name for one in checkout.parent.iterdir()) == ["secret", "shop"]


def test_a_new_file_below_a_link_that_leads_out_is_refused(checkout: Path):
    (checkout / "out").symlink_to("..")
    assert "lies outside" in fails(WriteFile(checkout=str(checkout), path="out/fresh/er.txt", text="x"))
    assert not (checkout.parent / "fresh").exists()


def test_a_folder_of_a_longer_name_is_not_inside(checkout: Path):
    (checkout.parent / "shop2").mkdir()
    assert "lies outside" in fails(WriteFile(checkout=str(checkout), path=f"{checkout}2/x", text="x"))


def test_a_checkout_may_itself_be_reached_by_a_link(checkout: Path):
    (checkout.parent / "link").symlink_to("shop")
    write(checkout.parent / "link", checkout.parent / "link" / "a.txt", "x")
    assert read(checkout.parent / "link", checkout / "a.txt") == "x"


def test_what_is_no_text_file_is_told_so(checkout: Path):
    (checkout / "bytes").write_bytes(b"ab\xff")
    (checkout / "loop").symlink_to("loop")
    os.mkfifo(checkout / "pipe")
    at = str(checkout)
    assert fails(ReadFile(checkout=at, path="bytes")) == (
        f"{at}/bytes cannot be read: it is no UTF-8 (at byte 2); save it as UTF-8"
    )
    assert fails(ReadFile(checkout=at, path="none")) == f"{at}/none does not exist; name a file that does"
    assert fails(ReadFile(checkout=at, path=".")) == f"{at} is no regular file; name a file"
    assert fails(ReadFile(checkout=at, path="pipe")) == f"{at}/pipe is no regular file; name a file"
    assert fails(ReadFile(checkout=at, path="a\0b")) == ("a path with a zero byte in it names no file; take it out")
    assert fails(WriteFile(checkout=at, path=".", text="x")) == f"{at} is a folder; name a file inside of it"
    assert fails(WriteFile(checkout=at, path="bytes/x", text="x")).startswith(f"{at}/bytes")


def test_a_text_that_is_too_long_is_not_written(checkout: Path):
    write(checkout, "a.txt", "ü" * 500_000)
    assert fails(WriteFile(checkout=str(checkout), path="b/b.txt", text="ü" * 500_001)) == (
        f"{checkout}/b/b.txt is not written: the text is longer than 1000000 bytes; write it in parts"
    )
    assert not (checkout / "b").exists()


def test_a_full_disk_is_one_sentence_and_leaves_the_old_text(checkout: Path):
    """A limit on the size of files stands in for the full disk: both fail in the midst of writing."""
    (checkout / "a.txt").write_text("old")
    program = (
        "import resource, signal, sys, anyio\n"
        "from actors.workers.files import WORKER\n"
        "from protocol.errors import WorkFailed\n"
        "from protocol.work import WriteFile\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n"
        "    anyio.run(WORKER.does[WriteFile], WriteFile(checkout=sys.argv[1], path='a.txt', text='x' * 5000), None)\n"
        "except WorkFailed as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(checkout)], capture_output=True, text=True, check=True)
    assert done.stdout == f"{checkout}/a.txt: {os.strerror(errno.EFBIG)}; see what is there and who may use it\n"
    assert (checkout / "a.txt").read_text() == "old"
    assert [path.name for path in checkout.iterdir()] == ["a.txt"]


def test_each_error_of_the_disk_says_how_to_mend_it():
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert disk.sentence(full, Path("/x/y")) == "/x/y: No space left on device; make room on that disk"
