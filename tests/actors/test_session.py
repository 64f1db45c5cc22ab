"""How a session decides."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.runtime.effects import After, Publish, Send, Stop
from actors.runtime.weight import weigh
from actors.session import ACTOR, FILE, NONSENSE, TEXT, WAITING
from protocol.address import Address
from protocol.agent import (
    Acted,
    Attach,
    Attached,
    CancelTurn,
    Caught,
    Confirm,
    Deny,
    Detach,
    FileOffered,
    FileWanted,
    Find,
    Found,
    GiveText,
    Greeted,
    Initialize,
    OpenThread,
    Option,
    PermissionAsked,
    Permit,
    StartTurn,
    Stumbled,
    Tell,
    ThreadOpened,
    Told,
    TurnOver,
    Unsupported,
    Usage,
)
from protocol.message import Message
from protocol.node import Due, End, Exited, Refusal, Spawn, Spawned, SpawnFailed, Undelivered
from protocol.session import (
    Close,
    Closed,
    DescribeSession,
    Interrupt,
    Open,
    PermissionGiven,
    Place,
    Prompt,
    ToolUsed,
    TurnEnded,
    TurnStarted,
)
from protocol.work import Failed, FileText, FileWritten, ReadFile, WriteFile
from tests.actors.play import Play

ME = Address("session", "s1")
AGENTS = Address("work", "n1.agents.x")
PLACE = Place(node="n1", path="/srv/shop")
OPTIONS = (
    Option(id="always", kind="allow_always"),
    Option(id="yes", kind="allow_once"),
    Option(id="no", kind="reject_once"),
)


class Talk(Play):
    """A session whose agent is played by the test."""

    def __init__(self) -> None:
        super().__init__(ACTOR, ME)
        self.line = 0

    @property
    def proc(self) -> str:
        return self.state.proc

    def hear(self, kind: type, **said: object) -> tuple:
        """Let the agent say one line, and everything of it be caught."""
        self.line += 1
        effects = self.say(kind(proc=self.proc, line=self.line, **said), AGENTS)
        return effects + self.say(Caught(proc=self.proc, line=self.line), AGENTS)

    def exit(self, code: int = 0, err: str = "", **said: object) -> tuple:
        return self.say(Exited(proc=self.proc, code=code, lines=said.pop("lines", self.line), err=err, **said), AGENTS)

    def spawned(self) -> None:
        self.answer(Spawn, Spawned(proc=self.proc, custodian="c-7", pid=42, born=99))


def opened(*prompts: str) -> Talk:
    talk = Talk()
    talk.say(Open(agent="demo", place=PLACE))
    for prompt in prompts:
        talk.say(Prompt(turn=prompt, text=f"do {prompt}"))
    return talk


def found(*prompts: str, **more: object) -> Talk:
    talk = opened(*prompts)
    talk.answer(Find, Found(agent="demo", driver="acp", argv=("car-demo-agent",), env={"A": "1"}, **more))
    return talk


def greeted(*prompts: str, **more: object) -> Talk:
    talk = found(*prompts, **more)
    talk.spawned()
    talk.hear(Greeted, agent="Demo 1")
    return talk


def ready(*prompts: str, **more: object) -> Talk:
    talk = greeted(*prompts, **more)
    talk.hear(ThreadOpened, thread="t")
    return talk


def died(talk: Talk, code: int, err: str = "", **more: bool) -> TurnEnded:
    talk.exit(code, err, **more)
    assert talk.stopped
    assert talk.told(Closed)
    return talk.told(TurnEnded)[-1]


# opening


def test_a_session_asks_how_its_agent_is_started_and_then_starts_it():
    talk = found("a", inherit=("TOKEN",))
    assert str(talk.send(Find).to) == "work/n1.agents.s1"
    spawn = talk.send(Spawn)
    assert str(spawn.to) == f"work/n1.custody.{talk.proc}"
    assert spawn.message == Spawn(
        proc=talk.proc, argv=("car-demo-agent",), cwd="/srv/shop", env={"A": "1"}, inherit=("TOKEN",)
    )


def test_a_spawned_agent_is_listened_to_and_greeted_in_one_envelope():
    talk = found("a")
    effects = talk.answer(Spawn, Spawned(proc=talk.proc, custodian="c-7", pid=42, born=99))
    attach, hello = effects
    assert str(attach.to) == str(hello.to) == f"work/n1.agents.{talk.proc}"
    assert attach.message == Attach(proc=talk.proc, driver="acp")
    assert hello.message == Initialize(proc=talk.proc, number=1)


def test_a_thread_may_write_the_git_folder():
    talk = greeted("a", sandbox="workspace-write")
    assert talk.sent(OpenThread) == [
        OpenThread(proc=talk.proc, number=2, cwd="/srv/shop", sandbox="workspace-write", writable=("/srv/shop/.git",))
    ]


def test_the_first_prompt_is_told_as_soon_as_there_is_a_thread():
    talk = ready("a")
    assert talk.sent(StartTurn) == [StartTurn(proc=talk.proc, number=3, turn="a", text="do a")]
    assert talk.told(TurnStarted) == [TurnStarted(turn="a", agent="demo")]
    assert "handshake" not in talk.timers


def test_without_a_prompt_an_agent_waits():
    talk = ready()
    assert talk.state.status == "idle"
    talk.say(Prompt(turn="a", text="go", model="m", effort="high"))
    assert talk.sent(StartTurn) == [StartTurn(proc=talk.proc, number=3, turn="a", text="go", model="m", effort="high")]


def test_a_second_open_changes_nothing():
    talk = ready("a")
    before = talk.state
    assert talk.say(Open(agent="other", place=PLACE)) == ()
    assert talk.state == before


def test_a_greeting_that_is_heard_again_opens_no_second_thread():
    talk = greeted()
    talk.say(Greeted(proc=talk.proc, line=2), AGENTS)
    assert len(talk.sent(OpenThread)) == 1


def test_tells_are_numbered_without_gaps():
    talk = ready("a")
    talk.hear(Unsupported, request="r", method="terminal/create")
    talk.say(Interrupt())
    talk.hear(TurnOver, turn="a", outcome="interrupted")
    talk.say(Prompt(turn="b", text="b"))
    assert [tell.number for tell in talk.sent(Tell)] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("stage", [opened, found, greeted])
def test_an_agent_that_is_not_ready_in_time_fails_its_prompts(stage):
    talk = stage("a", "b")
    talk.ring("handshake")
    verb = "answer" if stage is greeted else "start"
    sentence = f"the agent demo did not {verb} within 60 s"
    assert talk.told(TurnEnded) == [
        TurnEnded(turn="a", outcome="failed", error=sentence),
        TurnEnded(turn="b", outcome="failed", error=sentence),
    ]
    assert talk.stopped == (stage is opened)
    assert bool(talk.sent(End)) == (stage is greeted)


@pytest.mark.parametrize(
    ("stage", "command", "event"),
    [
        (opened, Find, Failed(what="no agent is called demo")),
        (found, Spawn, SpawnFailed(proc="", why="no agent is called demo")),
        (found, Spawn, Failed(what="no agent is called demo")),
    ],
)
def test_an_agent_that_cannot_be_started_is_missing(stage, command, event):
    talk = stage("a")
    talk.answer(command, event)
    error = "the agent demo cannot be started: no agent is called demo"
    assert talk.told(TurnEnded) == [TurnEnded(turn="a", outcome="failed", trouble="missing", error=error)]
    assert talk.told(Closed) == [Closed(error=error)]
    assert talk.stopped


def test_an_agent_that_stumbles_over_the_handshake_is_ended():
    talk = greeted("a")
    talk.hear(Stumbled, trouble="auth", error="The agent failed: sign in first.")
    error = "the agent demo failed: sign in first"
    assert talk.told(TurnEnded) == [TurnEnded(turn="a", outcome="failed", trouble="auth", error=error)]
    assert str(talk.send(End).to) == f"work/n1.c-7.{talk.proc}"
    assert not talk.stopped
    talk.exit(0)
    assert talk.told(Closed) == [Closed(error=error)]
    assert talk.stopped


# turns


def test_a_turn_that_is_over_is_told_once():
    talk = ready("a")
    over = {"turn": "a", "outcome": "done", "text": "I did.", "usage": Usage(input=3), "snapshot": "S", "position": 9}
    talk.hear(TurnOver, **over)
    talk.hear(TurnOver, **over)
    assert talk.told(TurnEnded) == [TurnEnded(turn="a", outcome="done", text="I did.", usage=Usage(input=3))]
    assert (talk.state.status, talk.state.snapshot, talk.state.position) == ("idle", "S", 9)


def test_the_error_of_a_turn_names_the_agent():
    talk = ready("a")
    talk.hear(TurnOver, turn="a", outcome="failed", trouble="quota", error="Codex failed: too much. Wait a little.")
    error = "the agent demo: Codex failed: too much. Wait a little"
    assert talk.told(TurnEnded) == [TurnEnded(turn="a", outcome="failed", trouble="quota", error=error)]
    assert talk.state.status == "idle"


def test_prompts_are_worked_on_in_their_order():
    talk = ready("a", "b", "c")
    for turn in "abc":
        assert talk.state.turn == turn
        talk.hear(TurnOver, turn=turn, outcome="done")
        if turn != "c":
            talk.ring("next")
    assert [start.turn for start in talk.sent(StartTurn)] == ["a", "b", "c"]


def test_a_prompt_between_two_turns_does_not_overtake():
    talk = ready("a", "b")
    talk.hear(TurnOver, turn="a", outcome="done")
    talk.say(Prompt(turn="c", text="c"))
    assert talk.state.turn == "b"
    talk.ring("next")
    assert [start.turn for start in talk.sent(StartTurn)] == ["a", "b"]


def test_the_same_turn_is_taken_once():
    talk = ready("a")
    talk.say(Prompt(turn="a", text="again"))
    talk.hear(TurnOver, turn="a", outcome="done")
    talk.say(Prompt(turn="a", text="again"))
    assert len(talk.sent(StartTurn)) == 1
    assert not talk.replies()


def test_the_turns_that_are_remembered_are_bounded():
    talk = ready()
    for number in range(70):
        talk.say(Prompt(turn=f"t{number}", text="x"))
        talk.hear(TurnOver, turn=f"t{number}", outcome="done")
    assert talk.state.taken == tuple(f"t{number}" for number in range(6, 70))


def test_more_than_twenty_prompts_are_refused():
    talk = ready("a")
    for number in range(20):
        talk.say(Prompt(turn=f"t{number}", text="x"))
    assert not talk.replies()
    talk.say(Prompt(turn="x", text="x"))
    assert isinstance(talk.replies()[0], Refusal)
    assert len(talk.state.queue) == 20


def test_prompts_too_long_to_be_kept_are_refused():
    talk = ready("a")
    talk.say(Prompt(turn="b", text="b" * (WAITING - 100)))
    assert not talk.replies()
    talk.say(Prompt(turn="c", text="c" * 200))
    assert "too much to read" in talk.replies()[0].text
    talk.hear(TurnOver, turn="a", outcome="done", text="y" * 500_000)
    talk.ring("next")
    assert talk.state.turn == "b"


def test_a_session_that_was_never_opened_takes_no_prompt():
    talk = Talk()
    talk.say(Prompt(turn="a", text="a"))
    assert talk.replies() == [Refusal(text="this session is not open; open a new one for this")]


def test_a_long_text_keeps_its_beginning_and_its_end():
    talk = ready("a")
    talk.hear(TurnOver, turn="a", outcome="done", text="begin " + '\n"x"' * 90_000 + " end")
    text = talk.told(TurnEnded)[0].text
    assert text.startswith("begin ")
    assert text.endswith(" end")
    assert "bytes are left out here" in text
    assert weigh(text) <= TEXT


def test_tools_are_told_while_a_turn_runs():
    talk = ready("a")
    talk.hear(Acted, title="edit a.py", state="began")
    talk.hear(TurnOver, turn="a", outcome="done")
    talk.hear(Acted, title="late", state="done")
    assert talk.told(ToolUsed) == [ToolUsed(turn="a", title="edit a.py", state="began")]


# lines


def test_facts_of_one_line_count_all_and_only_once():
    talk = ready("a")
    both = (
        Acted(proc=talk.proc, line=7, title="one"),
        Acted(proc=talk.proc, line=7, title="two"),
        Caught(proc=talk.proc, line=7),
    )
    for fact in both + both:
        talk.say(fact, AGENTS)
    assert [tool.title for tool in talk.told(ToolUsed)] == ["one", "two"]
    assert talk.state.heard == 7


def test_facts_of_another_process_are_nothing():
    talk = ready("a")
    before = talk.state
    assert talk.say(TurnOver(proc="other", line=50, turn="a", outcome="done"), AGENTS) == ()
    assert talk.say(Exited(proc="other", code=1, lines=0), AGENTS) == ()
    assert talk.state == before


def test_results_that_nobody_waits_for_are_nothing():
    talk = ready("a")
    before = talk.state
    for event in (Found(agent="x", driver="codex", argv=("x",)), Failed(what="x"), FileText(text="x"), Closed()):
        assert talk.say(event, AGENTS, "foreign") == ()
    assert talk.answer(Find, Found(agent="x", driver="codex", argv=("x",))) == ()
    assert talk.answer(Spawn, SpawnFailed(proc=talk.proc, why="late")) == ()
    assert talk.state == before


def test_an_answered_tell_is_forgotten():
    talk = ready("a")
    talk.answer(Attach, Attached(proc=talk.proc))
    for tell in [one for one in talk.effects if isinstance(one, Send) and isinstance(one.message, Tell)]:
        talk.say(Told(proc=talk.proc, number=tell.message.number), AGENTS, tell.id)
    assert talk.state.errands == ()


# permissions


@pytest.mark.parametrize(
    ("paths", "allowed"),
    [
        ((), True),
        (("/srv/shop/a.py", "b/c.py", "."), True),
        (("/srv/shop",), True),
        (("file:///srv/shop/a.py",), True),
        (("/srv/shop/../shop/a.py",), True),
        (("/srv/shop/.git/index", ".gitignore"), True),
        (("/srv/shopping/a.py",), False),
        (("/srv/shop/a.py", "/etc/passwd"), False),
        (("../other",), False),
        (("file:///etc/passwd",), False),
        (("~/.ssh/config",), False),
        ((".git/hooks/pre-commit",), False),
        (("/srv/shop/.git/config",), False),
        (("sub/../.git/hooks",), False),
        ((".GIT/Hooks/x",), False),
        (("vendored/.git/config",), False),
    ],
)
def test_what_stays_inside_the_checkout_is_allowed(paths, allowed):
    talk = ready("a")
    talk.hear(PermissionAsked, request="q", title="write", paths=paths, options=OPTIONS)
    assert talk.sent(Permit)[0].option == ("yes" if allowed else "no")
    assert talk.told(PermissionGiven) == [PermissionGiven(title="write", allowed=allowed)]


@pytest.mark.parametrize("offered", [(), (Option(id="always", kind="allow_always"),)])
def test_nothing_is_allowed_for_good(offered):
    talk = ready("a")
    talk.hear(PermissionAsked, request="q", title="write", paths=("a",), options=offered)
    assert talk.sent(Permit)[0].option == ""
    assert not talk.told(PermissionGiven)[0].allowed


def test_a_session_that_closes_allows_nothing():
    talk = ready("a")
    talk.say(Close())
    talk.hear(PermissionAsked, request="q", title="write", paths=("a",), options=OPTIONS)
    assert talk.sent(Permit)[0].option == "no"


# files


def test_a_file_of_the_checkout_is_read_for_the_agent():
    talk = ready("a")
    talk.hear(FileWanted, request="f", path="/srv/shop/src/a.py", at=3, limit=5)
    asked = talk.send(ReadFile)
    assert str(asked.to) == "work/n1.files.s1"
    assert asked.message == ReadFile(checkout="/srv/shop", path="src/a.py", line=3, limit=5)
    talk.answer(ReadFile, FileText(text="hello"))
    talk.answer(ReadFile, FileText(text="hello"))
    assert [(tell.request, tell.text) for tell in talk.sent(GiveText)] == [("f", "hello")]


def test_a_file_of_the_checkout_is_written_for_the_agent():
    talk = ready("a")
    talk.hear(FileOffered, request="f", path="a.py", text="x")
    assert talk.sent(WriteFile) == [WriteFile(checkout="/srv/shop", path="a.py", text="x")]
    talk.answer(WriteFile, FileWritten())
    assert [tell.request for tell in talk.sent(Confirm)] == ["f"]


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", ".git/hooks/post-commit"])
def test_a_file_elsewhere_is_denied(path):
    talk = ready("a")
    talk.hear(FileWanted, request="f", path=path)
    talk.hear(FileOffered, request="g", path=path, text="x")
    assert [tell.request for tell in talk.sent(Deny)] == ["f", "g"]
    assert talk.sent(Deny)[0].why == (
        f"{path} is not for agents: only files inside /srv/shop are, without git's hooks and configuration"
    )
    assert not talk.sent(ReadFile) + talk.sent(WriteFile)


def test_a_file_that_cannot_be_read_is_denied_with_the_reason():
    talk = ready("a")
    talk.hear(FileWanted, request="f", path="a.py")
    talk.answer(ReadFile, Failed(what="a.py does not exist"))
    assert [(tell.request, tell.why) for tell in talk.sent(Deny)] == [("f", "a.py does not exist")]
    assert talk.state.turn == "a"


def test_a_file_too_long_for_one_piece_is_denied():
    talk = ready("a")
    talk.hear(FileWanted, request="f", path="a")
    talk.answer(ReadFile, FileText(text="\n" * FILE))
    talk.hear(FileOffered, request="g", path="a", text="x" * (FILE + 1))
    assert "do it in pieces" in talk.sent(Deny)[1].why
    assert [tell.request for tell in talk.sent(Deny)] == ["f", "g"]
    assert not talk.sent(WriteFile)


def test_files_that_come_together_are_no_more_than_one_step_can_say():
    talk = ready("a")
    for number in range(3):
        talk.say(FileOffered(proc=talk.proc, line=9, request=f"f{number}", path="a", text="x" * (FILE // 2)), AGENTS)
    talk.say(Caught(proc=talk.proc, line=9), AGENTS)
    talk.say(FileOffered(proc=talk.proc, line=10, request="g", path="a", text="x" * FILE), AGENTS)
    assert [tell.request for tell in talk.sent(Deny)] == ["f2"]
    assert len(talk.sent(WriteFile)) == 3


def test_tools_that_come_together_are_not_all_told():
    talk = ready("a")
    for number in range(500):
        talk.say(Acted(proc=talk.proc, line=9, title=f"t{number}" * 99), AGENTS)
    assert len(talk.told(ToolUsed)) == 40
    talk.say(Caught(proc=talk.proc, line=9), AGENTS)
    talk.hear(Acted, title="later")
    talk.say(Acted(proc=talk.proc, line=10, title="later"), AGENTS)
    assert talk.told(ToolUsed)[-1].title == "later"


def test_files_at_a_time_are_bounded():
    talk = ready("a")
    for number in range(17):
        talk.hear(FileWanted, request=f"f{number}", path="a")
    assert [tell.request for tell in talk.sent(Deny)] == ["f16"]
    assert len({one.id for one in talk.state.errands}) == len(talk.state.errands)


def test_what_is_not_offered_is_denied():
    talk = ready("a")
    talk.hear(Unsupported, request="r", method="terminal/create")
    assert [(tell.request, tell.why) for tell in talk.sent(Deny)] == [("r", "CAR offers no terminal/create")]


# interrupting


def test_an_interrupted_turn_ends_and_the_next_begins():
    talk = ready("a", "b")
    talk.say(Interrupt())
    talk.say(Interrupt())
    assert len(talk.sent(CancelTurn)) == 1
    talk.hear(TurnOver, turn="a", outcome="interrupted", text="half")
    assert talk.told(TurnEnded) == [TurnEnded(turn="a", outcome="interrupted", text="half")]
    assert "interrupt" not in talk.timers
    talk.ring("next")
    assert talk.state.turn == "b"


@pytest.mark.parametrize("stage", [Talk, opened, ready])
def test_there_is_nothing_to_interrupt_without_a_turn(stage):
    talk = stage()
    assert talk.say(Interrupt()) == ()


def test_an_agent_that_does_not_stop_its_turn_is_ended():
    talk = ready("a", "b")
    talk.say(Interrupt())
    talk.ring("interrupt")
    error = "the agent demo did not stop its turn within 10 s and was ended"
    assert talk.told(TurnEnded) == [
        TurnEnded(turn="a", outcome="interrupted", error=error),
        TurnEnded(turn="b", outcome="interrupted", error=error),
    ]
    assert talk.sent(End) == [End(proc=talk.proc)]
    talk.hear(TurnOver, turn="a", outcome="done")
    talk.exit(-15)
    assert len(talk.told(TurnEnded)) == 2
    assert talk.told(Closed) == [Closed(error=error)]


def test_an_agent_that_dies_of_an_interrupt_was_interrupted():
    talk = ready("a")
    talk.say(Interrupt())
    assert died(talk, -2).outcome == "interrupted"


def test_a_late_timer_of_an_interrupt_is_nothing():
    talk = ready("a")
    talk.say(Interrupt())
    talk.hear(TurnOver, turn="a", outcome="interrupted")
    before = talk.state
    for timer in ("interrupt", "close", "words", "end", "handshake", "next", "other"):
        assert talk.say(Due(timer=timer), ME) == ()
    assert talk.state == before


# closing


@pytest.mark.parametrize("stage", [Talk, opened])
def test_closing_before_anything_runs_is_the_end(stage):
    talk = stage()
    talk.say(Close())
    assert talk.told(Closed) == [Closed()]
    assert talk.stopped


def test_prompts_that_wait_are_interrupted_by_a_close():
    talk = opened("a")
    talk.say(Close())
    error = "the session was closed before the agent demo had begun this turn"
    assert talk.told(TurnEnded) == [TurnEnded(turn="a", outcome="interrupted", error=error)]


def test_closing_while_the_agent_is_being_started_ends_it_once_it_is():
    talk = found("a")
    talk.say(Close())
    assert not talk.stopped
    assert not talk.sent(End)
    talk.spawned()
    assert talk.sent(End) == [End(proc=talk.proc)]
    assert not talk.sent(Initialize)
    talk.exit(0)
    assert talk.told(Closed) == [Closed()]
    assert talk.stopped


def test_closing_while_the_agent_could_not_be_started_is_the_end():
    talk = found("a")
    talk.say(Close())
    talk.answer(Spawn, SpawnFailed(proc=talk.proc, why="no such file"))
    assert talk.stopped


def test_closing_an_idle_session_ends_the_agent():
    talk = ready()
    talk.say(Close())
    assert str(talk.send(End).to) == f"work/n1.c-7.{talk.proc}"
    assert not talk.sent(CancelTurn)
    talk.exit(0)
    assert talk.told(Closed) == [Closed()]
    assert isinstance(talk.effects[-1], Stop)


def test_closing_lets_the_turn_end_first():
    talk = ready("a")
    talk.say(Close())
    assert len(talk.sent(CancelTurn)) == 1
    assert not talk.sent(End)
    talk.hear(TurnOver, turn="a", outcome="interrupted", text="half")
    assert talk.told(TurnEnded) == [TurnEnded(turn="a", outcome="interrupted", text="half")]
    assert talk.sent(End) == [End(proc=talk.proc)]
    assert "close" not in talk.timers


def test_closing_waits_three_seconds_for_the_turn():
    talk = ready("a")
    talk.say(Close())
    assert talk.timers["close"].seconds == 3
    talk.ring("close")
    assert talk.sent(End) == [End(proc=talk.proc)]
    talk.exit(0)
    assert talk.told(TurnEnded) == [TurnEnded(turn="a", outcome="interrupted")]
    assert talk.stopped


def test_interrupt_and_close_cancel_the_turn_once():
    talk = ready("a")
    talk.say(Interrupt())
    talk.say(Close())
    talk.say(Close())
    assert len(talk.sent(CancelTurn)) == 1


def test_a_closing_session_takes_no_prompt():
    talk = ready()
    talk.say(Close())
    talk.say(Prompt(turn="x", text="x"))
    assert talk.replies() == [Refusal(text="this session is not open; open a new one for this")]


def test_an_agent_whose_end_nobody_sees_is_given_up():
    talk = ready("a")
    talk.say(Close())
    talk.ring("close")
    talk.ring("end")
    assert talk.told(Closed) == [Closed(error="nobody saw the agent demo end")]
    assert talk.told(TurnEnded)[0].outcome == "interrupted"
    assert talk.stopped


# death


def test_an_agent_that_dies_in_its_turn_is_told_with_its_last_words():
    ended = died(ready("a"), 3, err="warning: x\npanic: no tea\n\n")
    assert ended == TurnEnded(
        turn="a",
        outcome="failed",
        trouble="died",
        error="the agent demo ended with exit code 3 in the middle of its turn; "
        "its last words on stderr: panic: no tea",
    )


@pytest.mark.parametrize(("code", "how"), [(-9, "was killed by signal 9 (SIGKILL)"), (-99, "was killed by signal 99")])
def test_a_signal_is_named(code, how):
    assert died(ready("a"), code).error == f"the agent demo {how} in the middle of its turn"


def test_an_agent_whose_custodian_died_is_lost():
    ended = died(ready("a"), 0, lost=True)
    assert ended.trouble == "lost"
    assert ended.error == "the agent demo was lost in the middle of its turn: nobody saw its process end"


@pytest.mark.parametrize("stage", [found, greeted])
def test_an_agent_that_dies_before_its_turn_fails_every_prompt(stage):
    talk = stage("a", "b")
    talk.exit(1)
    error = "the agent demo ended with exit code 1 before its turn began"
    assert [(one.turn, one.trouble, one.error) for one in talk.told(TurnEnded)] == [
        ("a", "died", error),
        ("b", "died", error),
    ]
    assert talk.stopped


def test_an_idle_agent_that_ends_closes_its_session():
    talk = ready()
    talk.exit(0)
    assert talk.told(TurnEnded) == []
    assert talk.told(Closed) == [Closed(error="the agent demo ended with exit code 0 unasked")]
    assert talk.stopped


def test_last_words_are_heard_before_the_end_is_judged():
    talk = ready("a")
    effects = talk.exit(0, lines=talk.line + 2)
    assert [type(one.message) for one in effects if isinstance(one, Send)] == [Attach]
    assert talk.send(Attach).message.heard == talk.line
    assert not talk.stopped
    talk.say(TurnOver(proc=talk.proc, line=talk.line + 1, turn="a", outcome="done", text="there"), AGENTS)
    talk.say(Caught(proc=talk.proc, line=talk.line + 2), AGENTS)
    assert talk.told(TurnEnded) == [TurnEnded(turn="a", outcome="done", text="there")]
    assert talk.stopped


def test_last_words_that_never_come_are_waited_for_twenty_seconds():
    talk = ready("a")
    talk.exit(1, lines=99)
    assert talk.timers["words"].seconds == 20
    talk.ring("words")
    assert talk.told(TurnEnded)[0].trouble == "died"
    assert talk.stopped


def test_nothing_is_told_to_a_dead_agent():
    talk = ready("a")
    talk.exit(1, lines=99)
    told = len(talk.sent(Tell))
    talk.say(Interrupt())
    talk.hear(PermissionAsked, request="q", title="x", options=OPTIONS)
    talk.say(Prompt(turn="b", text="b"))
    assert len(talk.sent(Tell)) == told
    talk.say(Close())
    assert [one.outcome for one in talk.told(TurnEnded)] == ["interrupted", "interrupted"]
    assert talk.stopped


def test_a_prompt_after_the_last_words_of_a_turn_dies_with_the_agent():
    talk = ready("a", "b")
    talk.exit(1, lines=99)
    talk.hear(TurnOver, turn="a", outcome="done")
    talk.ring("next")
    assert len(talk.sent(StartTurn)) == 1
    talk.ring("words")
    assert [(one.turn, one.outcome) for one in talk.told(TurnEnded)] == [("a", "done"), ("b", "failed")]


def test_an_exit_that_is_told_twice_ends_once():
    talk = ready("a")
    talk.exit(1, lines=99)
    assert talk.exit(1, lines=99) == ()
    talk.ring("words")
    assert talk.exit(1) == ()
    assert len(talk.told(Closed)) == 1


# trouble


@pytest.mark.parametrize("stage", [greeted, ready])
def test_nonsense_is_borne_nine_times(stage):
    talk = stage("a")
    for _ in range(NONSENSE - 1):
        talk.hear(Stumbled, trouble="nonsense", error="The agent said what CAR cannot read: blah")
    assert not talk.told(TurnEnded)
    talk.hear(Stumbled, trouble="nonsense", error="The agent said what CAR cannot read: blah")
    assert talk.told(TurnEnded) == [
        TurnEnded(
            turn="a",
            outcome="failed",
            trouble="nonsense",
            error="the agent demo said what CAR cannot read: blah; 10 lines were like that: "
            "see that agents.demo.command in codex-autorunner.yml speaks acp",
        )
    ]
    assert talk.sent(End)


def test_nonsense_is_forgiven_with_each_turn():
    talk = ready("a")
    for turn in "abcd":
        for _ in range(4):
            talk.hear(Stumbled, trouble="nonsense", error="?")
        talk.hear(TurnOver, turn=turn, outcome="done")
        talk.say(Prompt(turn=chr(ord(turn) + 1), text="x"))
    assert all(one.outcome == "done" for one in talk.told(TurnEnded))


def test_an_agent_that_refuses_its_turn_is_ended():
    talk = ready("a")
    talk.hear(Stumbled, trouble="quota", error="The agent failed: no more tokens.")
    assert talk.told(TurnEnded)[0].trouble == "quota"
    assert talk.sent(End)


def test_a_complaint_between_turns_is_nothing():
    talk = ready()
    talk.hear(Stumbled, trouble="bug", error="what?")
    assert talk.state.status == "idle"
    assert not talk.sent(End)


@pytest.mark.parametrize("command", [Attach, StartTurn])
def test_an_agent_that_cannot_be_spoken_to_is_lost(command):
    talk = ready("a")
    talk.answer(command, Failed(what="the log is full"))
    error = "the agent demo could not be spoken to: the log is full"
    assert talk.told(TurnEnded) == [TurnEnded(turn="a", outcome="failed", trouble="lost", error=error)]
    assert talk.sent(End)


@pytest.mark.parametrize(("stage", "command"), [(opened, Find), (found, Spawn), (ready, StartTurn)])
def test_what_never_reached_a_worker_loses_the_turn(stage, command):
    talk = stage("a")
    asked = talk.send(command)
    for _ in range(2):
        talk.say(Undelivered(to=asked.to, id=asked.id, why="full"), ME)
    error = "the agent demo could not be reached: full"
    assert talk.told(TurnEnded) == [TurnEnded(turn="a", outcome="failed", trouble="lost", error=error)]
    assert talk.stopped == (stage is not ready)


def test_a_watcher_that_could_not_be_told_harms_no_turn():
    talk = ready("a")
    before = talk.state
    assert talk.say(Undelivered(to=Address("run", "r"), id="x", why="full"), ME) == ()
    assert talk.state == before


def test_unknown_messages_change_nothing():
    class Surprise(Message):
        pass

    talk = ready("a")
    before = talk.state
    assert talk.say(Surprise()) == ()
    assert talk.state == before


def test_a_session_tells_how_it_stands():
    talk = ready("a")
    view = ACTOR.answer(talk.state, DescribeSession(), None)
    assert (view.agent, view.status, view.turn, view.driver) == ("demo", "working", "a", "acp")
    assert (view.proc, view.pid, view.born, view.heard, view.place) == (talk.proc, 42, 99, 2, PLACE)
    assert view.since


def test_an_event_and_the_end_travel_in_order():
    talk = ready("a")
    effects = talk.exit(1)
    assert [type(one) for one in effects] == [Publish, Send, Publish, Stop]
    assert talk.send(Detach).message == Detach(proc=talk.proc)
    assert not any(isinstance(one, After) for one in effects)


# whatever happens


def happen(talk: Talk, what: str) -> None:  # noqa: PLR0912  # one for each happening
    """Let one thing happen, whether or not it fits."""
    waiting = [one for one in talk.effects if isinstance(one, Send) and one.to.kind == "work"]
    match what:
        case "prompt":
            talk.say(Prompt(turn=f"t{talk.mails}", text="x"))
        case "interrupt":
            talk.say(Interrupt())
        case "close":
            talk.say(Close())
        case "found":
            talk.answer(Find, Found(agent="demo", driver="acp", argv=("x",)))
        case "spawned" if talk.sent(Spawn):
            talk.spawned()
        case "fail":
            talk.say(Failed(what="x"), waiting[-1].to, waiting[-1].id)
        case "undelivered":
            talk.say(Undelivered(to=waiting[-1].to, id=waiting[-1].id, why="x"), ME)
        case "greeted":
            talk.hear(Greeted)
        case "opened":
            talk.hear(ThreadOpened, thread="t")
        case "over":
            talk.hear(TurnOver, turn=talk.state.turn, outcome="done")
        case "ask":
            talk.hear(PermissionAsked, request="q", title="x", options=OPTIONS)
        case "read":
            talk.hear(FileWanted, request="q", path="a")
        case "stumble":
            talk.hear(Stumbled, trouble="bug", error="x")
        case "exit":
            talk.exit(1)
        case "exit early":
            talk.exit(1, lines=talk.line + 1)
        case "ring" if talk.timers:
            talk.ring(next(iter(talk.timers)))


WORLD = ("prompt", "interrupt", "close", "found", "spawned", "fail", "undelivered", "greeted", "opened")
AGENT = ("over", "ask", "read", "stumble", "exit", "exit early", "ring")


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 5), st.lists(st.sampled_from((*WORLD, *AGENT)), max_size=25))
def test_whatever_happens_every_prompt_is_ended_once_and_no_number_is_left_out(usual, then):
    talk = opened("first")
    for what in ("found", "spawned", "greeted", "opened", "prompt")[:usual]:
        happen(talk, what)
    for what in then:
        if not talk.stopped:
            happen(talk, what)
    numbers = [tell.number for tell in talk.sent(Tell)]
    assert numbers == list(range(1, len(numbers) + 1))
    ended = [one.turn for one in talk.told(TurnEnded)]
    assert len(ended) == len(set(ended))
    waiting = {one.turn for one in talk.state.queue} | ({talk.state.turn} - {""})
    assert set(ended) | waiting == set(talk.state.taken)
    assert not set(ended) & waiting
    assert len(talk.told(Closed)) == talk.stopped
    assert not (talk.stopped and waiting)
    ids = [one.id for one in talk.effects if isinstance(one, Send) and one.id]
    assert len(ids) == len(set(ids))
