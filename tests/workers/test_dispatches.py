"""The hands for dispatches and replies, against real folders, also after being cut off half-way."""

from pathlib import Path

import anyio
import pytest

from actors.workers.dispatches import WORKER
from protocol.address import Address
from protocol.errors import WorkFailed
from protocol.message import Event
from protocol.work import Collect, Collected, Note, Noted, Work

RUN = ".codex-autorunner/runs/r1"
ASKS = "---\nmode: pause\ntitle: Which?\n---\nA or B?\n"
HISTORY = f"{RUN}/dispatch_history/0003"
ANSWER = Collected(mode="pause", title="Which?", body="A or B?", files=(f"{HISTORY}/log", f"{HISTORY}/plan.md"))

ASKER = Address("run", "1")


def do(command: Work) -> Event:
    return anyio.run(WORKER.does[type(command)], command, ASKER)


def collect(checkout: Path, number: int = 3) -> Event:
    return do(Collect(checkout=str(checkout), run="r1", number=number))


def put(checkout: Path, **texts: str) -> None:
    for name, text in texts.items():
        path = checkout / RUN / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())


def asked(checkout: Path) -> Path:
    """Leave a dispatch with attachments, as an agent does."""
    put(checkout, **{"dispatch/plan.md": "plan", "dispatch/log/1.txt": "log", "dispatch/.draft": "hidden"})
    put(checkout, **{"DISPATCH.md": ASKS})
    return checkout


def files(checkout: Path) -> set[str]:
    return {str(path.relative_to(checkout / RUN)) for path in (checkout / RUN).rglob("*") if path.is_file()}


DONE = {
    "dispatch/.draft",
    "dispatch_history/0003/DISPATCH.md",
    "dispatch_history/0003/log/1.txt",
    "dispatch_history/0003/plan.md",
}


def test_a_dispatch_moves_into_the_history_with_what_goes_along(tmp_path: Path):
    assert collect(asked(tmp_path)) == ANSWER
    assert files(tmp_path) == DONE
    assert (tmp_path / HISTORY / "DISPATCH.md").read_text() == ASKS


def test_nothing_dispatched_is_no_fault_and_leaves_no_trace(tmp_path: Path):
    assert collect(tmp_path) == Collected(mode="none")
    put(tmp_path, **{"dispatch/early.txt": "the message comes later"})
    assert collect(tmp_path) == Collected(mode="none")
    assert files(tmp_path) == {"dispatch/early.txt"}
    assert not (tmp_path / RUN / "dispatch_history").exists()


def test_the_same_number_again_gives_the_same_answer_and_touches_nothing_newer(tmp_path: Path):
    collect(asked(tmp_path))
    put(tmp_path, **{"DISPATCH.md": "News", "dispatch/new.txt": "new"})
    assert collect(tmp_path) == ANSWER
    assert files(tmp_path) == DONE | {"DISPATCH.md", "dispatch/new.txt"}
    later = f"{RUN}/dispatch_history/0004/new.txt"
    assert collect(tmp_path, 4) == Collected(mode="notify", body="News", files=(later,))
    assert collect(tmp_path, 5) == Collected(mode="none")


@pytest.mark.parametrize("moved", [(), ("log",), ("log", "plan.md"), ("log", "plan.md", "DISPATCH.md")])
def test_cut_off_between_any_two_steps_the_next_one_ends_it(tmp_path: Path, moved: tuple[str, ...]):
    asked(tmp_path)
    half = tmp_path / RUN / "dispatch_history" / ".0003"
    half.mkdir(parents=True)
    for name in moved:
        source = tmp_path / RUN / ("" if name == "DISPATCH.md" else "dispatch") / name
        source.rename(half / name)
    assert collect(tmp_path) == ANSWER
    assert collect(tmp_path) == ANSWER
    assert files(tmp_path) == DONE
    assert not half.exists()


def test_an_attachment_with_the_name_of_the_message_does_not_replace_it(tmp_path: Path):
    put(tmp_path, **{"dispatch/DISPATCH.md": "attached", "DISPATCH.md": ASKS})
    found = collect(tmp_path)
    assert isinstance(found, Collected)
    assert (found.body, found.files) == ("A or B?", (f"{HISTORY}/attached-DISPATCH.md",))


def test_what_cannot_be_read_stays_to_be_mended_and_is_collected_under_the_same_number(tmp_path: Path):
    put(asked(tmp_path), **{"DISPATCH.md": "---\nmode: stop\n---\nx"})
    found = collect(tmp_path)
    assert isinstance(found, Collected)
    assert (found.mode, found.problem[:47]) == ("none", "DISPATCH.md, line 2: there is no mode stop; wri")
    assert files(tmp_path) == {"DISPATCH.md", "dispatch/.draft", "dispatch/plan.md", "dispatch/log/1.txt"}
    put(tmp_path, **{"DISPATCH.md": ASKS})
    assert collect(tmp_path) == ANSWER


def test_bytes_that_are_no_text_are_a_problem_of_the_message(tmp_path: Path):
    put(tmp_path, **{"DISPATCH.md": "x"})
    (tmp_path / RUN / "DISPATCH.md").write_bytes(b"\xff")
    assert collect(tmp_path) == Collected(problem="DISPATCH.md: it is no UTF-8 (at byte 0); save it as UTF-8")


def test_of_a_very_long_message_the_beginning_is_told_and_all_is_kept(tmp_path: Path):
    put(tmp_path, **{"DISPATCH.md": "x" * 50_000})
    found = collect(tmp_path)
    assert isinstance(found, Collected)
    assert found.body == f"{'x' * 32_000}\n\n(The rest is in {HISTORY}/DISPATCH.md.)"
    assert len((tmp_path / HISTORY / "DISPATCH.md").read_text()) == 50_000


# replies


def note(checkout: Path, text: str) -> Event:
    return do(Note(checkout=str(checkout), run="r1", number=12, text=text))


def test_a_reply_is_kept_once_under_its_number(tmp_path: Path):
    path = f"{RUN}/reply_history/0012/USER_REPLY.md"
    for _ in range(2):
        assert note(tmp_path, "Take A.") == Noted(path=path)
    assert (tmp_path / path).read_text() == "Take A.\n"
    assert [one.name for one in (tmp_path / path).parent.iterdir()] == ["USER_REPLY.md"]


def test_another_reply_never_replaces_the_one_that_is_kept(tmp_path: Path):
    note(tmp_path, "Take A.")
    path = tmp_path / RUN / "reply_history" / "0012" / "USER_REPLY.md"
    with pytest.raises(WorkFailed) as caught:
        note(tmp_path, "Take B.")
    assert str(caught.value) == f"{path} holds another reply; move it away and answer again"
    assert path.read_text() == "Take A.\n"


def test_a_run_that_is_a_path_is_refused(tmp_path: Path):
    with pytest.raises(WorkFailed, match="is no id of a run"):
        do(Collect(checkout=str(tmp_path), run="a/../..", number=1))
