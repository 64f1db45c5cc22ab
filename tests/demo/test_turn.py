"""What one turn of the demo agent does to a real checkout, seen from the other end of its stdio."""

from pathlib import Path

from protocol.dispatch import Dispatch
from protocol.dispatch import read as read_dispatch
from tests.demo.checkout import DISPATCH, HEAD, TICKET, make_checkout
from tests.demo.client import FILES, Client, Message


def test_a_ticket_is_performed_committed_and_marked_done(tmp_path: Path):
    checkout = make_checkout(tmp_path)
    prompt = checkout.plan("""\
- say: I begin.
- write: {path: new/file.txt, text: "one\\n"}
- edit: {path: hello.txt, old: hello, new: good day}
- run: cat hello.txt
""")
    before = checkout.read(TICKET)
    with Client(checkout.path) as client:
        heard = client.prompt(prompt)
    assert heard.stop == "end_turn"
    assert heard.chunks == ["I", " begin."]
    assert [tool[:2] for tool in heard.tools()] == [
        ("Write file.txt", "completed"),
        ("Edit hello.txt", "completed"),
        ("cat hello.txt", "completed"),
        ("git commit: Try it", "completed"),
        ("Edit TICKET-001-try.md", "completed"),
    ]
    assert heard.tools()[2][2] == "good day\n(exit code 0)"
    assert heard.tools()[3][2] == checkout.git("rev-parse", "--short", "HEAD")
    assert checkout.subjects == ["Try it", "first"]
    assert checkout.git("show", "--name-only", "--format=%an") == "Ann\n\nhello.txt\nnew/file.txt"
    assert checkout.read("new/file.txt") == "one\n"
    assert checkout.read(TICKET) == before.replace("done: false   # not yet", "done: true   # not yet", 1)
    assert checkout.git("status", "--porcelain") == ""


def test_a_commit_without_an_identity_is_the_agents_own(tmp_path: Path):
    checkout = make_checkout(tmp_path, identity=False)
    with Client(checkout.path) as client:
        client.prompt(checkout.plan("- write: {path: a, text: b}\n"))
    assert checkout.git("log", "-1", "--format=%an <%ae>") == "CAR demo agent <demo@example.invalid>"


def test_tickets_that_are_in_git_leave_a_clean_tree_too(tmp_path: Path):
    checkout = make_checkout(tmp_path)
    prompt = checkout.plan("- write: {path: a, text: b}\n")
    checkout.git("rm", "-q", "-f", "--cached", "--ignore-unmatch", ".codex-autorunner/.gitignore")
    (checkout.path / ".codex-autorunner/.gitignore").unlink()
    with Client(checkout.path) as client:
        client.prompt(prompt)
    assert checkout.subjects == ["Try it: done", "Try it", "first"]
    assert checkout.git("status", "--porcelain") == ""


def test_a_block_that_says_done_itself_is_taken_at_its_word(tmp_path: Path):
    checkout = make_checkout(tmp_path)
    with Client(checkout.path) as client:
        client.prompt(checkout.plan("- write: {path: a, text: b}\n- done: true\n"))
    assert checkout.done
    assert checkout.subjects == ["first"]
    assert checkout.git("status", "--porcelain") == "?? a"


def test_a_block_that_commits_itself_is_taken_at_its_word(tmp_path: Path):
    checkout = make_checkout(tmp_path)
    with Client(checkout.path) as client:
        client.prompt(checkout.plan("- write: {path: a, text: b}\n- commit: half of it\n- done: false\n"))
    assert not checkout.done
    assert checkout.subjects == ["half of it", "first"]


def test_what_is_behind_the_session_is_not_done_again(tmp_path: Path):
    checkout = make_checkout(tmp_path)
    prompt = checkout.plan("- run: echo once >> log.txt\n- rest: I stop here.\n- say: And on.\n")
    with Client(checkout.path) as client:
        assert client.prompt(prompt).text == "I stop here."
        assert not checkout.done
        assert client.prompt(prompt).text == "And on."
        assert checkout.done
        assert client.prompt(prompt).text == "Every step of this ticket is behind me."
    assert checkout.read("log.txt") == "once\n"
    assert checkout.subjects == ["Try it", "first"]


def test_a_new_session_finds_the_work_done_and_commits_nothing_twice(tmp_path: Path):
    checkout = make_checkout(tmp_path)
    prompt = checkout.plan("- write: {path: a, text: b}\n- edit: {path: hello.txt, old: hello, new: hello hello}\n")
    for _ in range(2):
        with Client(checkout.path) as client:
            heard = client.prompt(prompt)
    assert heard.tools() == []
    assert checkout.subjects == ["Try it", "first"]
    assert checkout.read("hello.txt") == "hello hello\n"


def test_an_edited_block_goes_on_where_it_differs(tmp_path: Path):
    checkout = make_checkout(tmp_path)
    with Client(checkout.path) as client:
        heard = client.prompt(checkout.plan("- run: echo once >> log.txt\n- run: exit 3\n"))
        assert heard.text == "This command failed with exit code 3: exit 3"
        client.prompt(checkout.plan("- run: echo once >> log.txt\n- run: exit 0\n"))
    assert checkout.read("log.txt") == "once\n"
    assert checkout.done


def test_a_command_that_fails_ends_the_turn_and_the_ticket_is_not_done(tmp_path: Path):
    checkout = make_checkout(tmp_path)
    with Client(checkout.path) as client:
        heard = client.prompt(checkout.plan("- run: echo oh dear; exit 2\n- say: never\n"))
    assert heard.answer["error"]["message"] == heard.text
    assert heard.text == "This command failed with exit code 2: echo oh dear; exit 2"
    assert heard.tools() == [("echo oh dear; exit 2", "failed", "oh dear\n(exit code 2)")]
    assert not checkout.done
    assert checkout.subjects == ["first"]


def test_a_command_that_shall_fail_may_not_pass(tmp_path: Path):
    checkout = make_checkout(tmp_path)
    with Client(checkout.path) as client:
        heard = client.prompt(checkout.plan("- run: {cmd: exit 1, expect: fail}\n- run: {cmd: exit 0, expect: fail}\n"))
    assert [tool[1] for tool in heard.tools()] == ["completed", "failed"]
    assert heard.text == "This command did not fail, and should have: exit 0"


def test_a_file_outside_of_the_checkout_is_not_written(tmp_path: Path):
    checkout = make_checkout(tmp_path)
    with Client(checkout.path) as client:
        heard = client.prompt(checkout.plan("- write: {path: ../out.txt, text: x}\n"))
    assert heard.text == f"../out.txt lies outside of {checkout.path}; I write only inside of it."
    assert not (tmp_path / "out.txt").exists()


def test_an_edit_of_what_is_not_there_is_told(tmp_path: Path):
    checkout = make_checkout(tmp_path)
    with Client(checkout.path) as client:
        heard = client.prompt(checkout.plan("- edit: {path: hello.txt, old: bye, new: ciao}\n"))
    assert heard.text == "hello.txt does not hold the text that I was to change: bye"
    assert not checkout.done


def test_a_question_is_dispatched_and_the_answer_is_used(tmp_path: Path):
    checkout = make_checkout(tmp_path)
    prompt = checkout.plan("""\
- run: echo once >> log.txt
- ask: {title: "Which: colour?", body: Blue or green.}
- say: "You want {reply}."
- write: {path: colour.txt, text: "{reply}\\n"}
""")
    with Client(checkout.path) as client:
        assert client.prompt(prompt).text == "I have a question: Which: colour?"
        dispatch = checkout.read(DISPATCH)
        assert read_dispatch(dispatch) == Dispatch("pause", "Which: colour?", "Blue or green.")
        assert not checkout.done
        (checkout.path / DISPATCH).unlink()
        client.prompt(prompt)
        assert checkout.read(DISPATCH) == dispatch, "without an answer it asks again"
        (checkout.path / DISPATCH).unlink()
        reply = "<CAR_HUMAN_REPLIES>\nthe blue one\n</CAR_HUMAN_REPLIES>\n"
        heard = client.prompt(checkout.hand_over(reply))
    assert heard.text == "You want the blue one."
    assert checkout.read("colour.txt") == "the blue one\n"
    assert checkout.read("log.txt") == "once\n"
    assert not (checkout.path / DISPATCH).exists()
    assert checkout.done


def test_one_answer_is_for_one_question(tmp_path: Path):
    checkout = make_checkout(tmp_path)
    checkout.plan("- ask: First?\n- say: '{reply}'\n- ask: Second?\n")
    with Client(checkout.path) as client:
        heard = client.prompt(checkout.hand_over("<CAR_HUMAN_REPLIES>\nyes\n</CAR_HUMAN_REPLIES>\n"))
    assert heard.text == "yes\nI have a question: Second?"
    assert not checkout.done


def test_permission_is_asked_and_obeyed(tmp_path: Path):
    checkout = make_checkout(tmp_path)
    asked = []

    def decide(method: str, params: Message) -> Message:
        asked.append((method, params["toolCall"]["locations"], [one["kind"] for one in params["options"]]))
        inside = params["toolCall"]["locations"][0]["path"].startswith(str(checkout.path))
        return {"result": {"outcome": {"outcome": "selected", "optionId": "allow" if inside else "reject"}}}

    outside = tmp_path / "outside.txt"
    with Client(checkout.path, answer=decide) as client:
        heard = client.prompt(
            checkout.plan(
                f"- permission: {{title: Write it, path: in.txt, text: x}}\n"
                f"- permission: {{title: Write out, path: {outside}, text: x}}\n- say: On.\n"
            )
        )
    assert heard.text == "I was allowed to: Write it.\nThat was refused: Write out.\nOn."
    assert [tool[:2] for tool in heard.tools()][:3] == [
        ("Write it", "completed"),
        ("Write in.txt", "completed"),
        ("Write out", "failed"),
    ]
    kinds = ["allow_once", "reject_once"]
    assert asked == [
        ("session/request_permission", [{"path": str(checkout.path / "in.txt")}], kinds),
        ("session/request_permission", [{"path": str(outside)}], kinds),
    ]
    assert checkout.read("in.txt") == "x"
    assert not outside.exists()
    assert checkout.done


def test_a_client_that_cannot_be_asked_has_not_allowed_it(tmp_path: Path):
    checkout = make_checkout(tmp_path)
    with Client(checkout.path) as client:
        heard = client.prompt(checkout.plan("- permission: {title: Write it, path: in.txt, text: x}\n"))
    assert heard.text == "That was refused: Write it."
    assert not (checkout.path / "in.txt").exists()


def test_files_are_read_and_written_through_the_client(tmp_path: Path):
    checkout = make_checkout(tmp_path)
    saved: Message = {}

    def serve(method: str, params: Message) -> Message:
        if method == "fs/read_text_file":
            return {"result": {"content": Path(params["path"]).read_text()}}
        saved.update(params)
        return {"result": {}}

    with Client(checkout.path, able=FILES, answer=serve) as client:
        heard = client.prompt(checkout.plan("- read: hello.txt\n- save: {path: saved.txt, text: x}\n"))
    assert heard.tools()[:2] == [("Read hello.txt", "completed", "hello\n"), ("Write saved.txt", "completed", "")]
    assert saved["path"] == str(checkout.path / "saved.txt")
    assert saved["content"] == "x"


def test_what_the_client_refuses_is_told_and_the_work_goes_on(tmp_path: Path):
    checkout = make_checkout(tmp_path)
    prompt = checkout.plan("- read: hello.txt\n- save: {path: saved.txt, text: x}\n")
    with Client(checkout.path, able=FILES) as client:
        told = "That was refused: no fs/read_text_file here.\nThat was refused: no fs/write_text_file here."
        assert client.prompt(prompt).text == told
    checkout.plan("- read: hello.txt\n", HEAD)
    with Client(checkout.path) as client:
        told = "That was refused: the client reads no files for its agent."
        assert client.prompt(checkout.hand_over()).text == told
    assert checkout.done
