"""The hands for tickets, against real folders."""

import errno
import os
from functools import partial
from pathlib import Path

import anyio
import pytest

from actors.workers import tickets
from protocol.address import Address
from protocol.errors import WorkFailed
from protocol.message import Event
from protocol.work import Document, Look, Prepare, Prepared, Seen, Work, Write, Written
from tests.disk import small_disk

WORKER = tickets.worker(lambda: frozenset({"codex", "demo"}))
GOOD = "---\nagent: codex\ndone: {}\n---\n{}\n"

ASKER = Address("run", "1")


def do(command: Work) -> Event:
    return anyio.run(WORKER.does[type(command)], command, ASKER)


def put(checkout: Path, name: str, text: str) -> Path:
    path = checkout / ".codex-autorunner" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


def look(checkout: Path) -> Seen:
    seen = do(Look(checkout=str(checkout)))
    assert isinstance(seen, Seen)
    return seen


def files(checkout: Path) -> dict[str, bytes]:
    return {str(path.relative_to(checkout)): path.read_bytes() for path in checkout.rglob("*") if path.is_file()}


# Prepare


def test_a_prepared_checkout_has_the_folders_and_git_ignores_them(tmp_path: Path):
    assert do(Prepare(checkout=str(tmp_path), run="r-1")) == Prepared()
    car = tmp_path / ".codex-autorunner"
    assert sorted(path.name for path in (car / "runs" / "r-1").iterdir()) == [
        "dispatch",
        "dispatch_history",
        "reply",
        "reply_history",
    ]
    assert sorted(path.name for path in car.iterdir()) == [".gitignore", "runs", "tickets", "workspace"]
    assert files(tmp_path) == {".codex-autorunner/.gitignore": b"*\n"}


def test_a_run_begins_only_where_its_disk_and_that_of_the_store_have_the_reserve_left(tmp_path: Path):
    with small_disk(tmp_path / "disk", "40M") as small:
        hands = tickets.worker(frozenset, small).does[Prepare]
        begin = Prepare(checkout=str(tmp_path), run="r-1")
        assert anyio.run(hands, begin, ASKER) == Prepared()
        (small / "filler").write_bytes(b"x" * 39_000_000)
        why = f"the disk of {small} has 3 MB left, and nothing new is begun below 4 MB; make room there"
        with pytest.raises(WorkFailed) as refused:
            anyio.run(hands, Prepare(checkout=str(tmp_path), run="r-2"), ASKER)
        assert str(refused.value) == why
        with pytest.raises(WorkFailed, match=f"the disk of {small} has 3 MB left"):
            do(Prepare(checkout=str(small), run="r-2"))
        assert not (small / ".codex-autorunner").exists()
        assert not (tmp_path / ".codex-autorunner" / "runs" / "r-2").exists()
        assert do(Prepare(checkout=str(tmp_path), run="r-2")) == Prepared()
        (small / "filler").unlink()
        assert anyio.run(hands, Prepare(checkout=str(small), run="r-2"), ASKER) == Prepared()


def test_what_is_there_stays_as_it_is(tmp_path: Path):
    put(tmp_path, ".gitignore", "runs\n")
    put(tmp_path, "tickets/TICKET-001.md", "x")
    before = files(tmp_path)
    for _ in range(2):
        do(Prepare(checkout=str(tmp_path)))
    assert files(tmp_path) == before
    assert not (tmp_path / ".codex-autorunner" / "runs").exists()


def test_a_missing_checkout_is_not_made(tmp_path: Path):
    gone = tmp_path / "gone"
    for command in (Prepare(checkout=str(gone)), Look(checkout=str(gone))):
        with pytest.raises(WorkFailed) as caught:
            do(command)
        assert str(caught.value) == f"{gone} is no folder; put the checkout back there"
    assert not gone.exists()


def test_a_run_is_one_folder_and_never_another(tmp_path: Path):
    with pytest.raises(WorkFailed, match=r"'\.\./x' is no id of a run"):
        do(Prepare(checkout=str(tmp_path), run="../x"))


def test_a_file_in_the_way_is_named(tmp_path: Path):
    put(tmp_path, "tickets", "a file")
    with pytest.raises(WorkFailed) as caught:
        do(Prepare(checkout=str(tmp_path)))
    path = tmp_path / ".codex-autorunner" / "tickets"
    assert str(caught.value) == f"{path}: {os.strerror(errno.EEXIST)}; move what is there out of the way"


# Look


def test_tickets_are_seen_in_order_with_text_and_faults_and_the_documents(tmp_path: Path):
    put(tmp_path, "tickets/TICKET-010-b.md", GOOD.format("no", "B"))
    put(tmp_path, "tickets/TICKET-002-a.md", GOOD.format("true", "A").replace("\n", "\r\n"))
    put(tmp_path, "tickets/TICKET-011.md", "no head")
    put(tmp_path, "tickets/AGENTS.md", "rules")
    put(tmp_path, "tickets/.hidden", "x")
    put(tmp_path, "tickets/TICKET-005-folder.md/x", "x")
    put(tmp_path, "workspace/spec.md", "Spec\n")
    put(tmp_path, "workspace/decisions.md", "")
    seen = look(tmp_path)
    assert [(one.path, one.number, one.done, len(one.problems)) for one in seen.tickets] == [
        (".codex-autorunner/tickets/TICKET-002-a.md", 2, True, 0),
        (".codex-autorunner/tickets/TICKET-010-b.md", 10, False, 0),
        (".codex-autorunner/tickets/TICKET-011.md", 11, False, 1),
    ]
    assert seen.tickets[0].text == GOOD.format("true", "A").replace("\n", "\r\n")
    assert seen.documents == (
        Document(path=".codex-autorunner/workspace/decisions.md", text=""),
        Document(path=".codex-autorunner/workspace/spec.md", text="Spec\n"),
    )
    assert seen.problems == ()


def test_looking_writes_nothing_not_even_in_a_bare_checkout(tmp_path: Path):
    assert look(tmp_path) == Seen()
    assert list(tmp_path.iterdir()) == []


def test_the_folder_as_a_whole_has_faults_of_its_own(tmp_path: Path):
    for name in ("TICKET-001-a.md", "TICKET-0001-b.md", "todo.txt"):
        put(tmp_path, f"tickets/{name}", GOOD.format("no", ""))
    first, second = look(tmp_path).problems
    assert first.startswith("TICKET-0001-b.md, TICKET-001-a.md: these tickets have the same number 1;")
    assert second.startswith("todo.txt is no ticket;")


def test_a_file_that_cannot_be_read_is_a_ticket_with_a_problem(tmp_path: Path):
    put(tmp_path, "tickets/TICKET-001.md", "x").write_bytes(b"---\n\xff")
    put(tmp_path, "tickets/TICKET-002.md", "x" * 1_000_001)
    folder = tmp_path / ".codex-autorunner" / "tickets"
    (folder / "TICKET-003.md").symlink_to("nowhere")
    os.mkfifo(folder / "TICKET-004.md")
    assert [one.problems for one in look(tmp_path).tickets] == [
        ("TICKET-001.md: it is no UTF-8 (at byte 4); save it as UTF-8",),
        ("TICKET-002.md: it is longer than 1000000 bytes; shorten it",),
        (f"TICKET-003.md: {folder}/TICKET-003.md: {os.strerror(errno.ENOENT)}; put it back, or name another",),
        ("TICKET-004.md: it is no regular file; put a text file in its place",),
    ]


def test_a_name_that_is_no_text_does_not_break_the_message(tmp_path: Path):
    put(tmp_path, "tickets/AGENTS.md", "x")
    folder = os.fsencode(tmp_path / ".codex-autorunner" / "tickets")
    with open(folder + b"/TICKET-001-\xff.md", "w"):  # noqa: PTH123 (a Path holds no bytes)
        pass
    assert "TICKET-001-\\\\udcff.md is no ticket" in look(tmp_path).model_dump_json()


def test_of_very_many_words_the_current_ticket_keeps_its_own(tmp_path: Path):
    for number, done in ((1, "yes"), (2, "no"), (3, "no")):
        put(tmp_path, f"tickets/TICKET-{number:03d}.md", GOOD.format(done, "x" * 600_000))
    assert [len(one.text) > 600_000 for one in look(tmp_path).tickets] == [False, True, False]
    assert [one.done for one in look(tmp_path).tickets] == [True, False, False]


# Write


def write(checkout: Path, **more: str) -> str:
    command = Write(**{"checkout": str(checkout), "title": "Fix: the door", "agent": "codex"} | more)
    written = do(command)
    assert isinstance(written, Written)
    return written.path


def test_a_new_ticket_comes_last_and_is_without_fault(tmp_path: Path):
    put(tmp_path, "tickets/TICKET-007-x.md", GOOD.format("no", ""))
    path = write(tmp_path, body="Do it.", key="k1")
    assert path == ".codex-autorunner/tickets/TICKET-008-fix-the-door.md"
    assert (tmp_path / path).read_text() == (
        "---\ntitle: 'Fix: the door'\nagent: codex\ndone: false\nid: k1\n---\n\nDo it.\n"
    )
    (_, new) = look(tmp_path).tickets
    assert (new.title, new.problems) == ("Fix: the door", ())


def test_the_first_ticket_of_a_bare_checkout_makes_the_folders(tmp_path: Path):
    assert write(tmp_path) == ".codex-autorunner/tickets/TICKET-001-fix-the-door.md"
    assert (tmp_path / ".codex-autorunner" / ".gitignore").read_text() == "*\n"


def test_the_same_command_twice_makes_one_ticket_even_when_it_was_edited_and_renumbered_since(tmp_path: Path):
    path = tmp_path / write(tmp_path, key="k1")
    write(tmp_path, key="k2")
    path.write_text(path.read_text().replace("done: false", "done: true") + "more\n")
    moved = path.rename(path.with_name("TICKET-009.md"))
    assert write(tmp_path, key="k1") == str(moved.relative_to(tmp_path))
    assert len(look(tmp_path).tickets) == 2


def test_two_wishes_for_the_same_words_make_two_tickets(tmp_path: Path):
    assert write(tmp_path, key="k1") != write(tmp_path, key="k2")


def test_without_a_key_the_untouched_last_ticket_of_the_same_words_is_taken_for_it(tmp_path: Path):
    first = write(tmp_path)
    assert write(tmp_path) == first
    other = write(tmp_path, title="Other")
    assert write(tmp_path) not in {first, other}


def test_an_unknown_agent_is_refused_before_anything_is_written(tmp_path: Path):
    with pytest.raises(WorkFailed) as caught:
        write(tmp_path, agent="nobody")
    assert str(caught.value) == "no agent is called nobody; choose one of codex, demo, user"
    assert list(tmp_path.iterdir()) == []


def test_many_at_once_never_write_over_each_other(tmp_path: Path):
    async def all_at_once() -> None:
        async with anyio.create_task_group() as group:
            for number in range(12):
                command = Write(checkout=str(tmp_path), title="Same", agent="demo", key=f"k{number}")
                group.start_soon(partial(WORKER.does[Write], command, ASKER))

    anyio.run(all_at_once)
    found = look(tmp_path)
    assert [one.number for one in found.tickets] == list(range(1, 13))
    assert (found.problems, {one.problems for one in found.tickets}) == ((), {()})
    assert not list(tmp_path.rglob(".car-*"))
