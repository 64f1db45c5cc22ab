"""How a flow run decides."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.flow.run import ACTOR
from actors.runtime.effects import Effect, Publish, Reply, Send
from protocol.address import Address
from protocol.agent import Usage
from protocol.flow import (
    DescribeRun,
    Limits,
    Pause,
    Resume,
    RunCompleted,
    RunPaused,
    RunRefused,
    RunResumed,
    RunStarted,
    RunStopped,
    Start,
    Stop,
    TicketChosen,
    TicketDone,
    Told,
    TurnBegun,
    TurnDone,
)
from protocol.message import Message
from protocol.node import Due, Refusal, Undelivered, Watch
from protocol.session import Close, Closed, Interrupt, Open, Place, Prompt, TurnEnded, TurnStarted
from protocol.work import (
    Collect,
    Collected,
    Commit,
    Diffstat,
    Document,
    Failed,
    Inspect,
    Look,
    Note,
    Noted,
    Prepare,
    Prepared,
    Seen,
    Ticket,
    Tree,
    Work,
)
from tests.actors.play import Play

ME = Address("run", "r1")
PLACE = Place(node="n1", path="/srv/shop")
ONE, TWO = ".codex-autorunner/tickets/TICKET-001.md", ".codex-autorunner/tickets/TICKET-002.md"
AGAIN = "type /flow resume to try again"


def ticket(path: str = ONE, **more: object) -> Ticket:
    facts = {"number": int(path[-6:-3]), "title": f"Title {path[-6:-3]}", "agent": "demo"}
    head = "---\nagent: demo\ndone: false\n---\n"
    return Ticket(path=path, **{"text": f"{head}text of {path[-6:-3]}\n", **facts, **more})


NOTHING = Collected()


@dataclass
class Disk:
    """What the workers of the run find."""

    tickets: list[Ticket] = field(default_factory=lambda: [ticket(ONE), ticket(TWO)])
    problems: tuple[str, ...] = ()
    documents: tuple[Document, ...] = ()
    head: str = "h0"
    dirty: tuple[str, ...] = ()
    commits: list[Commit] = field(default_factory=list)
    dispatch: Collected = NOTHING
    history: dict[int, Collected] = field(default_factory=dict)
    notes: dict[int, str] = field(default_factory=dict)
    fails: tuple[type[Work], ...] = ()

    def change(self, path: str, **facts: object) -> None:
        self.tickets = [one.model_copy(update=facts) if one.path == path else one for one in self.tickets]

    def commit(self, subject: str) -> None:
        self.head = f"h{len(self.commits) + 1}"
        self.commits.append(Commit(id=self.head, subject=subject))
        self.dirty = ()

    def do(self, command: Work) -> Message:  # one for each command
        if isinstance(command, self.fails):
            return Failed(what=f"{type(command).__name__} failed: the disk is full")
        match command:
            case Prepare():
                return Prepared()
            case Look():
                return Seen(tickets=tuple(self.tickets), documents=self.documents, problems=self.problems)
            case Inspect(since=since):
                new = tuple(self.commits[int(since[1:]) :]) if since else ()
                stat = Diffstat(files=len(new), insertions=len(new))
                return Tree(head=self.head, branch="main", dirty=self.dirty, commits=new, diffstat=stat)
            case Collect(number=number):
                if number not in self.history:
                    if self.dispatch.mode == "none":
                        return self.dispatch
                    self.history[number], self.dispatch = self.dispatch, NOTHING
                return self.history[number]
            case Note(number=number, text=text):
                assert self.notes.setdefault(number, text) == text
                return Noted(path="x")
        raise AssertionError(command)


class Flow(Play):
    """A run whose workers answer from a disk, and whose agent is played by the test."""

    def __init__(self, disk: Disk | None = None) -> None:
        super().__init__(ACTOR, ME)
        self.disk = disk or Disk()
        self.held = False
        self.waiting: list[Send] = []

    def _keep(self, effects: tuple[Effect, ...]) -> None:
        super()._keep(effects)
        self.waiting.extend(one for one in effects if isinstance(one, Send) and isinstance(one.message, Work))

    def say(self, message: Message, *more: object) -> tuple[Effect, ...]:
        effects = super().say(message, *more)
        return effects if self.held else effects + self.work()

    def work(self) -> tuple[Effect, ...]:
        """Let the workers answer whatever they were asked."""
        effects: tuple[Effect, ...] = ()
        while self.waiting:
            asked = self.waiting.pop(0)
            effects += super().say(self.disk.do(asked.message), asked.to, asked.id)
        return effects

    def start(self, **more: object) -> "Flow":
        self.say(Start(repo="shop", place=PLACE, **more))
        return self

    def end(self, outcome: str = "done", **more: object) -> tuple[Effect, ...]:
        """Let the agent end its turn."""
        return self.say(TurnEnded(turn=self.prompt.turn, outcome=outcome, **more), self.session)

    def finish(self, path: str = ONE, **more: object) -> tuple[Effect, ...]:
        """Let the agent do, commit and end."""
        self.disk.change(path, done=True)
        self.disk.commit(f"did {path[-6:-3]}")
        return self.end(**more)

    def ask(self, title: str = "Which colour?", body: str = "Blue or green?") -> tuple[Effect, ...]:
        self.disk.dispatch = Collected(mode="pause", title=title, body=body)
        return self.end()

    @property
    def prompt(self) -> Prompt:
        return self.sent(Prompt)[-1]

    @property
    def session(self) -> Address:
        return self.send(Prompt).to

    @property
    def paused(self) -> RunPaused:
        assert self.state.status == "paused"
        assert self.state.errands == ()
        return self.told(RunPaused)[-1]

    @property
    def whys(self) -> list[str]:
        return [one.why for one in self.told(TurnBegun)]


def started(*tickets: Ticket, **limits: int) -> Flow:
    disk = Disk(tickets=list(tickets)) if tickets else Disk()
    return Flow(disk).start(limits=Limits(**limits))


def events(flow: Flow) -> list[str]:
    return [type(one.event).__name__ for one in flow.effects if isinstance(one, Publish)]


# starting


def test_a_run_looks_at_its_checkout_before_it_begins():
    flow = Flow()
    flow.held = True
    flow.start()
    (prepare,) = flow.waiting
    assert prepare.message == Prepare(checkout="/srv/shop", run="r1")
    assert str(prepare.to) == "work/n1.tickets.shop"
    flow.held = False
    flow.work()
    assert str(flow.send(Look).to) == "work/n1.tickets.shop"
    assert str(flow.send(Inspect).to) == "work/n1.git.shop"
    assert flow.told(RunStarted) == [RunStarted(repo="shop", tickets=2, done=0)]


def test_a_run_of_two_tickets_goes_to_its_end():
    flow = started()
    flow.finish(ONE, text="Done one.", usage=Usage(input=5, output=1))
    flow.finish(TWO, text="Done two.", usage=Usage(input=7, cached=2))
    assert events(flow) == [
        *("RunStarted", "TicketChosen", "TurnBegun", "TurnDone", "TicketDone"),
        *("TicketChosen", "TurnBegun", "TurnDone", "TicketDone", "RunCompleted"),
    ]
    assert flow.told(TicketChosen)[0] == TicketChosen(ticket=ONE, title="Title 001", number=1, agent="demo")
    assert flow.told(TicketDone)[1] == TicketDone(ticket=TWO, title="Title 002", done=2, total=2)
    assert flow.told(TurnDone)[1] == TurnDone(
        ticket=TWO,
        turn=2,
        said="Done two.",
        usage=Usage(input=7, cached=2),
        commits=(Commit(id="h2", subject="did 002"),),
        diffstat=Diffstat(files=1, insertions=1),
        prompt_bytes=len(flow.prompt.text.encode()),
    )
    completed = flow.told(RunCompleted)[0]
    assert (completed.done, completed.turns, len(completed.commits), completed.diffstat.files) == (2, 2, 2, 2)
    assert completed.seconds > 0
    assert flow.state.usage == Usage(input=12, cached=2, output=1)
    assert not flow.stopped


def test_a_new_session_gets_everything_in_one_envelope():
    flow = started(ticket(model="m", effort="high"))
    to_session = [one for one in flow.effects if isinstance(one, Send) and one.to == flow.session]
    assert [type(one.message) for one in to_session] == [Watch, Open, Prompt]
    assert to_session[1].message == Open(agent="demo", place=PLACE)
    assert (flow.prompt.model, flow.prompt.effort) == ("m", "high")
    begun = flow.told(TurnBegun)[0]
    assert begun == TurnBegun(ticket=ONE, turn=1, agent="demo", session=flow.session, why="work")


def test_each_ticket_has_a_session_of_its_own():
    flow = started()
    first = flow.session
    flow.finish(ONE)
    assert [one.to for one in flow.effects if isinstance(one, Send) and one.message == Close()] == [first]
    assert flow.session != first
    assert flow.session.kind == "session"


def test_a_dirty_checkout_is_refused_with_its_paths():
    flow = Flow(Disk(dirty=tuple(f"f{number}.py" for number in range(13))))
    flow.start()
    paths = ", ".join(f"f{number}.py" for number in range(10))
    reason = (
        f"the checkout has changes that are not committed: {paths} and 3 more; "
        "commit or stash them, then type /flow start"
    )
    assert flow.told(RunRefused) == [RunRefused(reason=reason)]
    assert flow.state.status == "refused"
    assert flow.stopped
    assert not flow.told(RunStarted)


def test_a_checkout_without_tickets_is_refused():
    flow = Flow(Disk(tickets=[])).start()
    assert "car ticket new" in flow.told(RunRefused)[0].reason
    assert flow.stopped


def test_a_folder_out_of_order_is_refused():
    flow = Flow(Disk(problems=("TICKET-001.md and TICKET-0001.md have the same number",))).start()
    assert flow.told(RunRefused)[0].reason == (
        "the folder of tickets is not in order: TICKET-001.md and TICKET-0001.md have the same number; "
        "mend that, then type /flow start"
    )


def test_where_everything_is_done_the_run_completes_at_once():
    flow = started(ticket(done=True))
    assert events(flow) == ["RunStarted", "RunCompleted"]
    assert flow.told(RunStarted)[0].done == 1


def test_an_agent_given_at_the_start_takes_the_place_of_the_tickets_own():
    flow = Flow(Disk(tickets=[ticket(model="m", effort="high")])).start(agent="codex")
    assert flow.sent(Open)[0].agent == "codex"
    assert flow.told(TicketChosen)[0].agent == "codex"
    assert (flow.prompt.model, flow.prompt.effort) == ("", "")


def test_a_second_start_is_refused():
    flow = started()
    before = flow.state
    flow.start()
    assert flow.state == before
    assert isinstance(flow.replies()[0], Refusal)


def test_a_checkout_that_cannot_be_looked_at_pauses_and_is_tried_again():
    flow = Flow(Disk(fails=(Inspect,)))
    flow.start()
    assert flow.paused == RunPaused(repo="shop", code="worker", reason="Inspect failed: the disk is full")
    flow.disk.fails = ()
    flow.say(Resume())
    assert events(flow)[1:4] == ["RunResumed", "RunStarted", "TicketChosen"]


def test_a_checkout_that_turns_out_dirty_after_a_pause_is_refused_still():
    flow = Flow(Disk(fails=(Prepare,), dirty=("a",)))
    flow.start()
    flow.disk.fails = ()
    flow.say(Resume())
    assert flow.told(RunRefused)


# choosing


def test_a_broken_ticket_pauses_with_all_its_problems():
    flow = started(ticket(problems=("done is missing", "agent is missing")))
    assert flow.paused.code == "needs_fix"
    assert flow.paused.reason == "done is missing; agent is missing; mend that, then type /flow resume"
    assert flow.paused.ticket == ONE
    flow.disk.change(ONE, problems=())
    flow.say(Resume())
    assert flow.whys == ["work"]


def test_a_broken_ticket_that_says_it_is_done_is_not():
    flow = started(ticket(done=True, problems=("agent is missing",)))
    assert flow.paused.code == "needs_fix"
    assert flow.state.done == 0


def test_a_ticket_for_a_person_pauses_until_it_is_done():
    flow = Flow(Disk(tickets=[ticket(agent="user"), ticket(TWO)])).start(agent="codex")
    assert flow.paused.code == "user_ticket"
    assert flow.paused.ticket == ONE
    flow.say(Resume())
    assert flow.paused.code == "user_ticket"
    flow.disk.change(ONE, done=True)
    flow.say(Resume())
    assert flow.told(TicketChosen)[-1].ticket == TWO


def test_an_agent_may_hand_its_ticket_to_a_person():
    flow = started(ticket())
    flow.disk.change(ONE, agent="user")
    flow.end()
    assert flow.paused.code == "user_ticket"


def test_an_earlier_ticket_that_was_opened_again_comes_next():
    flow = started(ticket(done=True), ticket(TWO))
    flow.disk.change(ONE, done=False)
    flow.finish(TWO)
    assert flow.told(TicketChosen)[-1].ticket == ONE


def test_tickets_that_are_gone_at_a_resume_pause():
    flow = started(ticket())
    flow.ask()
    flow.disk.tickets = []
    flow.say(Resume())
    assert flow.paused.code == "no_tickets"


# turns


def test_a_ticket_that_is_not_done_gets_another_turn_in_its_session():
    flow = started(ticket())
    first = flow.session
    flow.end(text="I read the code.")
    assert flow.session == first
    assert len(flow.sent(Open)) == 1
    assert "<CAR_PREVIOUS_AGENT_OUTPUT>\nI read the code.\n" in flow.prompt.text
    assert flow.told(TurnBegun)[1].turn == 2


def test_the_next_ticket_hears_nothing_of_the_last_ones_words():
    flow = started()
    flow.finish(ONE, text="I did one.")
    assert "CAR_PREVIOUS_AGENT_OUTPUT" not in flow.prompt.text


def test_a_turn_that_is_told_twice_counts_once():
    flow = started(ticket())
    prompt, session = flow.prompt, flow.session
    flow.end(usage=Usage(input=1))
    flow.say(TurnEnded(turn=prompt.turn, outcome="done", usage=Usage(input=1)), session)
    assert len(flow.told(TurnDone)) == 1
    assert flow.state.usage == Usage(input=1)


def test_a_turn_of_a_foreign_session_is_nothing():
    flow = started(ticket())
    before = flow.state
    flow.say(TurnEnded(turn=flow.prompt.turn, outcome="done"), Address("session", "other"))
    flow.say(Closed(), Address("session", "other"))
    flow.say(TurnStarted(turn=flow.prompt.turn, agent="demo"), flow.session)
    assert flow.state == before


def test_results_that_nobody_waits_for_are_nothing():
    flow = started(ticket())
    before = flow.state
    for kind, event in ((Look, Seen()), (Inspect, Tree(head="x", branch="")), (Prepare, Failed(what="late"))):
        flow.answer(kind, event)
    flow.say(Failed(what="foreign"), Address("work", "n1.git.shop"), "foreign")
    assert flow.state == before


def test_the_turns_are_limited_until_a_person_allows_more():
    flow = started(ticket(), turns=2)
    flow.end()
    flow.end()
    assert flow.paused.code == "max_turns"
    assert "2 turns" in flow.paused.reason
    flow.say(Resume())
    assert flow.state.status == "running"
    flow.end()
    assert flow.state.status == "running"
    flow.end()
    assert flow.paused.code == "max_turns"
    assert flow.state.turns == 4


def test_an_agent_that_was_changed_in_the_ticket_gets_a_session():
    flow = started(ticket())
    flow.disk.change(ONE, agent="codex")
    flow.end()
    assert [one.agent for one in flow.sent(Open)] == ["demo", "codex"]
    assert len(flow.sent(Close)) == 1


def test_the_words_of_a_turn_are_told_by_their_end():
    flow = started(ticket())
    flow.end(text="x" * 30_000 + " the end")
    said = flow.told(TurnDone)[0].said
    assert len(said) == 2000
    assert said.endswith(" the end")


def test_large_things_still_fit():
    big = '"\n\\' * 40_000
    disk = Disk(tickets=[ticket(text="---\na: 1\n---\n" + big)], documents=(Document(path="a", text=big),) * 3)
    disk.commits = [Commit(id=f"{number:040}", subject="s" * 500) for number in range(50)]
    flow = Flow(disk).start(limits=Limits(lint_repairs=9))
    flow.disk.dispatch = Collected(mode="notify", title="t", body=big)
    flow.disk.dirty = tuple("p" * 300 + str(number) for number in range(50))
    flow.disk.change(ONE, problems=(big, big))
    flow.end(text=big)
    for _ in range(4):
        flow.ask(body=big)
        flow.say(Resume(reply=big))
    assert flow.state.turns == 6


# asking and telling


def test_an_agent_that_tells_goes_on():
    flow = started(ticket())
    flow.disk.dispatch = Collected(mode="notify", title="Half way", body="Going well.")
    flow.end()
    assert flow.told(Told) == [Told(ticket=ONE, title="Half way", body="Going well.")]
    assert flow.state.status == "running"
    assert [one.number for one in flow.sent(Collect)] == [1]
    flow.end()
    assert [one.number for one in flow.sent(Collect)] == [1, 2]


def test_a_question_pauses_and_its_answer_is_in_the_next_prompt():
    flow = started(ticket())
    flow.ask()
    assert flow.paused == RunPaused(
        repo="shop", code="question", reason="Which colour?", body="Blue or green?", ticket=ONE
    )
    view = ACTOR.answer(flow.state, DescribeRun(), None)
    assert (view.code, view.reason, view.body) == ("question", "Which colour?", "Blue or green?")
    flow.say(Resume(reply="blue"))
    view = ACTOR.answer(flow.state, DescribeRun(), None)
    assert (view.code, view.reason, view.body) == (None, "", "")
    assert flow.disk.notes == {1: "blue"}
    assert str(flow.send(Note).to) == "work/n1.dispatches.shop"
    assert flow.told(RunResumed) == [RunResumed(reply="blue")]
    assert "<CAR_HUMAN_REPLIES>\nblue\n</CAR_HUMAN_REPLIES>" in flow.prompt.text
    assert flow.whys == ["work", "reply"]
    assert len(flow.sent(Open)) == 1


def test_two_questions_in_a_row_are_two_questions():
    flow = started(ticket())
    flow.ask("One?")
    flow.say(Resume(reply="red"))
    flow.ask("Two?")
    assert [one.reason for one in flow.told(RunPaused)] == ["One?", "Two?"]
    flow.say(Resume(reply="blue"))
    assert flow.disk.notes == {1: "red", 2: "blue"}
    assert [one.number for one in flow.sent(Collect)] == [1, 2]
    assert "<CAR_HUMAN_REPLIES>\nblue\n</CAR_HUMAN_REPLIES>" in flow.prompt.text


def test_a_question_without_a_title_is_named_by_its_first_line():
    flow = started(ticket())
    flow.ask(title="", body="\n# Which one?\nA or B")
    assert flow.paused.reason == "Which one?"


def test_a_question_pauses_also_when_the_ticket_is_done():
    flow = started(ticket())
    flow.disk.dispatch = Collected(mode="pause", title="Fine?")
    flow.finish(ONE)
    assert flow.paused.code == "question"
    assert not flow.told(TicketDone)
    flow.say(Resume())
    assert flow.told(TicketDone)
    assert flow.state.status == "completed"


def test_an_answer_reaches_the_agent_also_when_its_ticket_is_done():
    flow = started()
    flow.disk.dispatch = Collected(mode="pause", title="Fine?")
    flow.finish(ONE)
    flow.say(Resume(reply="no"))
    assert flow.told(TurnBegun)[-1].ticket == ONE
    assert flow.whys == ["work", "reply"]
    flow.end()
    assert flow.told(TicketChosen)[-1].ticket == TWO
    assert "CAR_HUMAN_REPLIES" not in flow.prompt.text


def test_an_answer_is_kept_until_a_turn_succeeds():
    flow = started(ticket())
    flow.ask()
    flow.say(Resume(reply="blue"))
    flow.end("failed", trouble="quota", error="no tokens")
    flow.say(Resume(reply="go"))
    assert "blue" in flow.prompt.text
    assert "go" in flow.prompt.text
    flow.end()
    assert "CAR_HUMAN_REPLIES" not in flow.prompt.text
    assert flow.disk.notes == {1: "blue", 2: "go"}


def test_an_answer_that_could_not_be_noted_is_noted_later():
    flow = started(ticket())
    flow.ask()
    flow.disk.fails = (Note,)
    flow.say(Resume(reply="blue"))
    assert flow.paused.code == "worker"
    flow.disk.fails = ()
    flow.say(Resume())
    assert flow.disk.notes == {1: "blue"}
    assert "blue" in flow.prompt.text


def test_answers_that_are_cut_short_are_noted_one_by_one():
    flow = started(ticket())
    flow.ask()
    flow.held = True
    flow.say(Resume(reply="blue"))
    flow.say(Pause(reason="wait"))
    flow.say(Resume(reply="no, green"))
    flow.held = False
    flow.work()
    assert flow.disk.notes == {1: "blue", 2: "no, green"}
    assert "## Reply 1\n\nblue\n\n## Reply 2\n\nno, green" in flow.prompt.text
    flow.ask()
    flow.say(Resume(reply="red"))
    assert flow.disk.notes[3] == "red"


# the gates


def test_what_is_not_committed_gets_a_turn_to_commit():
    flow = started(ticket())
    flow.disk.change(ONE, done=True)
    flow.disk.dirty = ("a.py", "b.py")
    flow.end()
    assert flow.whys == ["work", "commit"]
    assert "- a.py\n- b.py\n" in flow.prompt.text
    assert "2 turns" in flow.prompt.text
    flow.disk.commit("all")
    flow.end()
    assert flow.state.status == "completed"


def test_after_two_turns_to_commit_a_person_is_asked():
    flow = started(ticket())
    flow.disk.change(ONE, done=True)
    flow.disk.dirty = tuple(f"f{number}" for number in range(23))
    for _ in range(3):
        flow.end()
    assert flow.whys == ["work", "commit", "commit"]
    assert flow.paused.code == "needs_fix"
    assert "f19 and 3 more; commit or stash them, then type /flow resume" in flow.paused.reason
    flow.disk.dirty = ()
    flow.say(Resume())
    assert flow.told(TicketDone)
    assert flow.state.status == "completed"


def gate_lint(flow: Flow) -> None:
    flow.disk.change(ONE, problems=("done is missing",))
    flow.end()
    assert flow.whys[-1] == "lint"
    flow.disk.change(ONE, problems=())
    flow.end()


def gate_failure(flow: Flow) -> None:
    flow.end("failed", trouble="network", error="no wire")
    flow.say(Resume())


def gate_lost(flow: Flow) -> None:
    flow.end("failed", trouble="lost", error="lost")


def gate_pause(flow: Flow) -> None:
    flow.say(Pause(reason="stop"))
    flow.end("interrupted")
    flow.say(Resume())


def gate_question(flow: Flow) -> None:
    flow.ask()
    flow.say(Resume(reply="do it"))


@pytest.mark.parametrize("between", [gate_lint, gate_failure, gate_lost, gate_pause, gate_question])
def test_the_commit_gate_is_never_forgotten(between):
    flow = started()
    flow.disk.change(ONE, done=True)
    flow.disk.dirty = ("a.py",)
    flow.end()
    between(flow)
    assert flow.whys[-1] == "commit"
    assert not flow.told(TicketDone)
    flow.disk.commit("all")
    flow.end()
    assert flow.told(TicketDone)[0].ticket == ONE
    assert flow.told(TicketChosen)[-1].ticket == TWO


def test_a_repair_of_the_ticket_gives_no_more_turns_to_commit():
    flow = started(ticket())
    flow.disk.change(ONE, done=True)
    flow.disk.dirty = ("a.py",)
    flow.end()
    gate_lint(flow)
    flow.end()
    assert flow.whys == ["work", "commit", "lint", "commit"]
    assert flow.paused.code == "needs_fix"


def test_nothing_completes_with_changes_that_are_not_committed():
    flow = started(ticket())
    flow.disk.change(ONE, done=True)
    flow.disk.dirty = ("a.py",)
    flow.end()
    flow.end("failed", error="x")
    flow.disk.tickets = [ticket(TWO, done=True)]
    flow.say(Resume())
    assert flow.paused.reason == ("every ticket is done: a.py; commit or stash them, then type /flow resume")


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda disk: disk.change(ONE, problems=("done is missing",)), "done is missing"),
        (lambda disk: disk.tickets.clear(), f"the file {ONE} is gone"),
        (lambda disk: setattr(disk, "problems", ("two tickets have the number 1",)), "two tickets have the number 1"),
        (lambda disk: setattr(disk, "dispatch", Collected(problem="the mode is unknown: loud")), "the mode is unknown"),
    ],
)
def test_what_an_agent_breaks_it_gets_three_turns_to_mend(harm, words):
    flow = started(ticket())
    harm(flow.disk)
    if flow.disk.dispatch.problem:
        broken = flow.disk.dispatch
        flow.disk.history = dict.fromkeys(range(1, 9), broken)
    for _ in range(4):
        flow.end()
    assert flow.whys == ["work", "lint", "lint", "lint"]
    assert words in flow.prompt.text
    assert len(flow.sent(Open)) == 1
    assert flow.paused.code == "needs_fix"
    assert words in flow.paused.reason


def test_repairs_in_a_row_are_counted_anew_after_a_good_turn():
    flow = started(ticket())
    for _ in range(5):
        flow.disk.change(ONE, problems=("broken",))
        flow.end()
        flow.disk.change(ONE, problems=())
        flow.end()
    assert flow.state.status == "running"


def test_a_person_who_mended_gives_the_patience_back():
    flow = started(ticket(), lint_repairs=1)
    flow.disk.change(ONE, problems=("broken",))
    flow.end()
    flow.end()
    assert flow.paused.code == "needs_fix"
    flow.say(Resume(reply="look at line 2"))
    assert flow.whys[-1] == "lint"
    assert "look at line 2" in flow.prompt.text


def test_a_ticket_that_a_person_removed_is_not_missed():
    flow = started()
    flow.ask()
    session = flow.session
    flow.disk.tickets = [ticket(TWO)]
    flow.say(Resume())
    assert flow.told(TicketChosen)[-1].ticket == TWO
    assert flow.session != session


# failing


def test_a_lost_session_is_made_up_for_once():
    flow = started(ticket())
    first = flow.session
    flow.end("failed", trouble="lost", error="the agent demo was lost")
    assert flow.state.status == "running"
    assert flow.session != first
    assert len(flow.sent(Open)) == 2
    flow.end("failed", trouble="lost", error="the agent demo was lost")
    assert flow.paused == RunPaused(repo="shop", code="agent", reason=f"the agent demo was lost; {AGAIN}", ticket=ONE)


def test_losses_are_counted_in_a_row():
    flow = started(ticket())
    for _ in range(3):
        flow.end("failed", trouble="lost", error="lost")
        flow.end()
    assert flow.state.status == "running"


def test_a_lost_turn_may_have_finished_its_ticket():
    flow = started(ticket())
    flow.disk.change(ONE, done=True)
    flow.disk.commit("did it")
    flow.end("failed", trouble="lost", error="lost")
    assert flow.state.status == "completed"


@pytest.mark.parametrize(
    ("trouble", "code"), [("died", "agent"), ("missing", "agent"), (None, "agent"), ("sandbox", "sandbox")]
)
def test_a_failed_turn_pauses_with_its_error(trouble, code):
    flow = started(ticket())
    session = flow.session
    flow.end("failed", trouble=trouble, error="the agent demo ended with exit code 3", usage=Usage(input=2))
    assert flow.paused == RunPaused(
        repo="shop", code=code, reason=f"the agent demo ended with exit code 3; {AGAIN}", ticket=ONE
    )
    assert flow.state.usage == Usage(input=2)
    flow.say(Closed(error="x"), session)
    flow.say(Resume())
    assert flow.session != session
    assert not flow.told(TurnDone)


def test_a_session_that_closes_in_its_turn_is_lost():
    flow = started(ticket())
    flow.say(Closed(error="gone"), flow.session)
    assert len(flow.sent(Open)) == 2
    flow.say(Closed(error="gone"), flow.session)
    assert flow.paused.reason == f"gone; {AGAIN}"


def test_a_session_that_refuses_its_prompt_is_lost():
    flow = started(ticket())
    flow.say(Refusal(text="session/x has ended"), flow.session)
    assert len(flow.sent(Open)) == 2


def test_a_session_that_closes_between_turns_is_forgotten():
    flow = started(ticket())
    flow.ask()
    flow.say(Closed(), flow.session)
    assert flow.state.status == "paused"
    flow.say(Resume(reply="blue"))
    assert len(flow.sent(Open)) == 2


def test_a_session_that_closes_while_its_turn_is_settled_is_forgotten():
    flow = started(ticket())
    flow.held = True
    flow.end()
    flow.say(Closed(), flow.session)
    flow.held = False
    flow.work()
    assert len(flow.sent(Open)) == 2
    assert len(flow.told(TurnDone)) == 1


@pytest.mark.parametrize("kind", [Collect, Inspect, Look])
def test_a_worker_that_fails_after_a_turn_pauses_and_the_turn_is_settled_later(kind):
    flow = started(ticket())
    flow.disk.fails = (kind,)
    flow.ask()
    assert flow.paused.code == "worker"
    assert flow.paused.reason == f"{kind.__name__} failed: the disk is full"
    assert not flow.told(TurnDone)
    flow.disk.fails = ()
    flow.say(Resume())
    assert len(flow.told(TurnDone)) == 1
    assert flow.paused.code == "question"
    assert list(flow.disk.history) == [1]


def test_a_worker_out_of_reach_pauses():
    flow = started(ticket())
    flow.held = True
    flow.end()
    asked = flow.send(Inspect)
    for _ in range(2):
        flow.say(Undelivered(to=asked.to, id=asked.id, why="full"), ME)
    assert len(flow.told(RunPaused)) == 1
    assert flow.paused.code == "worker"
    assert flow.paused.reason.startswith("the worker work/n1.git.shop could not be reached: full;")


def test_a_session_out_of_reach_pauses_once():
    flow = started(ticket())
    session = flow.session
    for id_ in "abc":
        flow.say(Undelivered(to=session, id=id_, why="full"), ME)
    assert len(flow.told(RunPaused)) == 1
    assert flow.paused.code == "worker"
    flow.say(Resume())
    assert flow.session != session


def test_a_watcher_that_could_not_be_told_harms_no_run():
    flow = started(ticket())
    before = flow.state
    flow.say(Undelivered(to=Address("repo", "shop"), id="x", why="full"), ME)
    assert flow.state == before


# people


def test_a_pause_interrupts_the_turn_and_keeps_its_reason():
    flow = started(ticket())
    session = flow.session
    flow.say(Pause(reason="stopped by car down"))
    assert [type(one.message) for one in flow.effects if isinstance(one, Send)][-2:] == [Interrupt, Close]
    assert flow.state.status == "running"
    flow.say(Pause(reason="again"))
    flow.end("interrupted")
    assert flow.paused == RunPaused(repo="shop", code="interrupted", reason="stopped by car down", ticket=ONE)
    assert flow.timers == {}
    flow.say(Closed(), session)
    flow.say(Resume())
    assert flow.session != session


@pytest.mark.parametrize(
    "event", [Closed(error="gone"), Refusal(text="has ended"), TurnEnded(turn="", outcome="failed", trouble="lost")]
)
def test_however_the_turn_ends_a_pause_that_was_asked_for_is_taken(event):
    flow = started(ticket())
    flow.say(Pause(reason="lunch"))
    if isinstance(event, TurnEnded):
        event = event.model_copy(update={"turn": flow.prompt.turn})
    flow.say(event, flow.session)
    assert (flow.paused.code, flow.paused.reason) == ("interrupted", "lunch")
    assert len(flow.sent(Open)) == 1


def test_a_turn_that_does_not_end_is_waited_for_twenty_seconds():
    flow = started(ticket())
    prompt, session = flow.prompt, flow.session
    flow.say(Pause(reason="lunch"))
    assert flow.timers["pause"].seconds == 20
    flow.ring("pause")
    assert flow.paused.reason == "lunch"
    flow.say(TurnEnded(turn=prompt.turn, outcome="done"), session)
    assert flow.state.status == "paused"


def test_a_turn_that_is_done_when_a_pause_is_asked_for_is_settled_at_the_resume():
    flow = started(ticket())
    flow.say(Pause(reason="lunch"))
    flow.finish(ONE)
    assert flow.paused.reason == "lunch"
    assert not flow.told(TurnDone)
    flow.say(Resume())
    assert len(flow.told(TurnDone)) == 1
    assert flow.state.status == "completed"


def test_a_pause_while_a_turn_is_settled_loses_no_question():
    flow = started(ticket())
    flow.held = True
    flow.ask()
    flow.say(Pause(reason="lunch"))
    assert flow.paused.reason == "lunch"
    flow.work()
    flow.held = False
    assert flow.state.status == "paused"
    assert len(flow.told(RunPaused)) == 1
    flow.say(Resume())
    assert flow.paused.code == "question"


def test_a_pause_before_the_run_has_begun_begins_it_later():
    flow = Flow()
    flow.held = True
    flow.start()
    flow.say(Pause(reason="lunch"))
    flow.work()
    assert flow.state.status == "paused"
    flow.held = False
    flow.say(Resume())
    assert flow.told(RunStarted)
    assert flow.state.status == "running"


def test_a_pause_of_a_paused_run_keeps_the_question_and_lets_the_agent_go():
    flow = started(ticket())
    flow.ask()
    flow.say(Pause(reason="stopped by car down"))
    assert flow.state.reason == "Which colour?"
    assert len(flow.sent(Close)) == 1
    assert len(flow.told(RunPaused)) == 1


def test_a_turn_that_somebody_interrupts_pauses_the_run():
    flow = started(ticket())
    flow.end("interrupted")
    assert flow.paused == RunPaused(
        repo="shop", code="interrupted", reason="the turn was interrupted; type /flow resume to go on", ticket=ONE
    )
    assert not flow.sent(Close)


def test_a_resume_of_a_working_run_is_refused():
    flow = started(ticket())
    before = flow.state
    flow.say(Resume())
    assert flow.state == before
    assert flow.replies() == [Refusal(text="this run is at work already; stop it first, or wait until it pauses")]


def test_a_dirty_checkout_does_not_hinder_a_resume():
    flow = started(ticket())
    flow.ask()
    flow.disk.dirty = ("a.py",)
    flow.say(Resume())
    assert flow.whys == ["work", "work"]


def test_a_stop_ends_the_turn_and_then_the_run():
    flow = started(ticket())
    flow.say(Stop())
    assert [type(one.message) for one in flow.effects if isinstance(one, Send)][-2:] == [Interrupt, Close]
    assert flow.state.status == "stopping"
    flow.say(Stop())
    assert not flow.told(RunStopped)
    flow.end("interrupted", usage=Usage(output=3))
    assert flow.told(RunStopped) == [RunStopped()]
    assert flow.state.status == "stopped"
    assert flow.state.usage == Usage(output=3)
    assert flow.timers == {}
    assert not flow.stopped


@pytest.mark.parametrize("event", [Closed(), Refusal(text="session/x has ended")])
def test_a_stop_between_turns_waits_for_the_agent_to_leave(event):
    flow = started(ticket())
    flow.ask()
    flow.say(Stop())
    assert not flow.sent(Interrupt)
    flow.say(event, flow.session)
    assert flow.told(RunStopped)


def test_a_stop_waits_twenty_seconds():
    flow = started(ticket())
    flow.say(Stop())
    assert flow.timers["stop"].seconds == 20
    flow.ring("stop")
    assert flow.told(RunStopped)


def test_a_stop_without_an_agent_is_done_at_once():
    flow = Flow()
    flow.held = True
    flow.start()
    flow.say(Stop())
    assert flow.told(RunStopped)
    flow.work()
    assert flow.state.status == "stopped"
    assert events(flow) == ["RunStopped"]


def test_a_stop_while_a_turn_is_settled_lets_nothing_begin():
    flow = started(ticket())
    flow.held = True
    flow.end()
    flow.say(Stop())
    flow.work()
    assert flow.state.status == "stopping"
    flow.say(Closed(), flow.session)
    assert flow.state.status == "stopped"
    assert len(flow.sent(Prompt)) == 1


def test_a_stop_overrules_a_pause():
    flow = started(ticket())
    flow.say(Pause(reason="lunch"))
    flow.say(Stop())
    flow.say(Pause(reason="lunch"))
    flow.end("interrupted")
    assert flow.state.status == "stopped"
    assert not flow.told(RunPaused)


@pytest.mark.parametrize("command", [Start(repo="shop", place=PLACE), Resume(), Pause(reason="x"), Stop()])
@pytest.mark.parametrize("status", ["completed", "stopped"])
def test_a_run_that_has_ended_refuses_everything(command, status):
    flow = started(ticket())
    if status == "completed":
        flow.finish(ONE)
    else:
        flow.say(Stop())
        flow.end("interrupted")
    before = flow.state
    effects = flow.say(command)
    assert effects == (Reply(Refusal(text=f"this run has ended ({status}); type /flow start to begin another")),)
    assert flow.state == before


@pytest.mark.parametrize("command", [Resume(), Pause(reason="x"), Stop()])
def test_a_run_that_was_never_started_refuses_everything(command):
    flow = Flow()
    assert flow.say(command) == (Reply(Refusal(text="there is no such run; type /flow start to begin one")),)


def test_unknown_messages_change_nothing():
    class Strange(Message):
        pass

    flow = started(ticket())
    before = flow.state
    for message in (Strange(), Due(timer="pause"), Due(timer="stop")):
        assert flow.say(message, ME) == ()
    assert flow.state == before
    flow.held = True
    flow.end()
    before = flow.state
    assert flow.answer(Inspect, Strange()) == ()
    assert flow.state == before


def test_a_run_tells_how_it_stands():
    flow = started()
    flow.finish(ONE, usage=Usage(input=4))
    view = ACTOR.answer(flow.state, DescribeRun(), None)
    assert (view.run, view.repo, view.status, view.ticket, view.title) == ("r1", "shop", "running", TWO, "Title 002")
    assert (view.agent, view.session, view.done, view.total, view.turns) == ("demo", flow.session, 1, 2, 2)
    assert (view.usage, len(view.commits), view.diffstat.files) == (Usage(input=4), 1, 1)
    assert view.started_at < view.since


def test_at_most_fifty_commits_are_kept():
    flow = started(ticket())
    flow.disk.commits = [Commit(id=f"c{number}", subject="x") for number in range(70)]
    flow.end()
    assert [one.id for one in flow.state.tree.commits] == [f"c{number}" for number in range(20, 70)]
    assert len(flow.told(TurnDone)[0].commits) == 20


def test_the_documents_are_in_the_prompt():
    disk = Disk(documents=(Document(path=".codex-autorunner/workspace/spec.md", text="a shop"),))
    assert "a shop" in Flow(disk).start().prompt.text


# whatever happens


def happen(flow: Flow, what: str) -> None:  # one for each happening
    """Let one thing happen, whether or not it fits."""
    match what:
        case "pause":
            flow.say(Pause(reason="lunch"))
        case "resume":
            flow.say(Resume(reply="blue" if flow.mails % 2 else ""))
        case "stop":
            flow.say(Stop())
        case "ring" if flow.timers:
            flow.ring(next(iter(flow.timers)))
        case "hold":
            flow.held = True
        case "work":
            flow.held = False
            flow.work()
        case "lose" if flow.waiting:
            lost = flow.waiting.pop(0)
            flow.say(Undelivered(to=lost.to, id=lost.id, why="full"), ME)
        case "break":
            flow.disk.change(ONE, problems=("broken",))
        case "mend":
            flow.disk.change(ONE, problems=())
        case "dirty":
            flow.disk.dirty = ("a.py",)
        case "clean":
            flow.disk.dirty = ()
        case _ if flow.sent(Prompt):
            act(flow, what)


def act(flow: Flow, what: str) -> None:
    match what:
        case "one":
            flow.finish(ONE)
        case "two":
            flow.finish(TWO)
        case "done" | "interrupted":
            flow.end(what)
        case "ask":
            flow.ask()
        case "fail":
            flow.end("failed", trouble="died", error="x")
        case "vanish":
            flow.end("failed", trouble="lost", error="x")
        case "close":
            flow.say(Closed(), flow.session)


HANDS = ("pause", "resume", "resume", "stop", "ring", "hold", "work", "work", "lose", "break", "mend", "dirty", "clean")
DEEDS = ("one", "two", "done", "interrupted", "ask", "fail", "vanish", "close")


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from((*HANDS, *DEEDS)), max_size=30))
def test_whatever_happens_a_run_keeps_its_promises(happenings):
    flow = started()
    for what in happenings:
        ended, prompts = flow.state.status in ("stopped", "completed"), len(flow.sent(Prompt))
        completed = len(flow.told(RunCompleted))
        happen(flow, what)
        assert not ended or len(flow.sent(Prompt)) == prompts
        assert len(flow.sent(Prompt)) <= prompts + 1
        if len(flow.told(RunCompleted)) > completed:
            assert flow.disk.dirty == ()
            assert all(one.done and not one.problems for one in flow.disk.tickets)
        if flow.state.status in ("paused", "stopping", "stopped", "completed"):
            assert flow.state.errands == ()
        working = flow.state.status == "running" and not flow.state.errands
        assert not working or flow.state.working
    assert [one.turn for one in flow.told(TurnBegun)] == list(range(1, flow.state.turns + 1))
    sessions = [one.to for one in flow.effects if isinstance(one, Send) and isinstance(one.message, Open)]
    closed = {one.to for one in flow.effects if isinstance(one, Send) and isinstance(one.message, Close)}
    gone = {flow.state.session} if flow.state.session else set()
    assert len(sessions) == len(set(sessions))
    assert flow.state.status == "stopped" or "close" in happenings or set(sessions) <= closed | gone
    assert list(flow.disk.notes) == list(range(1, len(flow.disk.notes) + 1))
    assert flow.told(RunStopped)[1:] == []
