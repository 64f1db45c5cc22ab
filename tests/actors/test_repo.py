"""A repository: one active run, a free session beside it, and tickets read by a worker."""

import pytest

from actors import repo
from protocol.address import Address, token, worker
from protocol.agent import Usage
from protocol.flow import (
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
)
from protocol.hub import DescribeHub
from protocol.node import Refusal, Undelivered, Watch
from protocol.repo import (
    AddTicket,
    Adopt,
    DescribeRepo,
    FlowAccepted,
    ListTickets,
    PauseFlow,
    RepoView,
    ResumeFlow,
    StartFlow,
    StopFlow,
    Talk,
    TalkAccepted,
    TicketAdded,
    Tickets,
)
from protocol.session import Close, Closed, Interrupt, Open, Place, Prompt, TurnEnded, TurnStarted
from protocol.work import Failed, Look, Seen, Ticket, Write, Written
from tests.actors.say import DOOR, ROOM, Table

PLACE = Place(node="n1", path="/srv/shop")
TICKETS = worker("n1", "tickets", "shop")
STARTED = RunStarted(repo="shop", tickets=3, done=0)
PAUSED = RunPaused(code="question", reason="Which colour?")
WATCH = Watch(watcher=ROOM)


def table():
    it = Table(repo.ACTOR, Address("repo", "shop"))
    it.say(Adopt(place=PLACE))
    assert it.effects == ()
    return it


def run(it):
    return Address("run", it.state.run)


def session(it):
    return Address("session", it.state.session)


def started(sender=DOOR):
    it = table()
    it.say(StartFlow(), sender)
    it.say(STARTED, run(it))
    return it


def paused(sender=DOOR):
    it = started(sender)
    it.say(PAUSED, run(it))
    return it


def talking(sender=ROOM, text="hello"):
    it = table()
    it.say(Talk(text=text), sender)
    return it


def free(it):
    """Let the turn of the free session end."""
    turn = it.state.turns[0].id
    it.say(TurnEnded(turn=turn, outcome="done", text="hi"), session(it))


# the run


def test_a_start_makes_a_run_that_the_repository_and_the_room_watch():
    it = table()
    it.say(StartFlow(agent="codex", limits=Limits(turns=7)), ROOM)
    start = Start(repo="shop", place=PLACE, agent="codex", limits=Limits(turns=7))
    assert it.sent(run(it)) == (Watch(), WATCH, start)
    assert it.replies == []
    it.say(STARTED, run(it))
    assert it.replies == [FlowAccepted(repo="shop", run=it.state.run, fresh=True)]
    assert it.answered == ["m2"]


def test_who_is_no_room_does_not_watch():
    it = table()
    it.say(StartFlow(), DOOR)
    assert it.sent(run(it)) == (Watch(), Start(repo="shop", place=PLACE))


def test_two_starts_at_once_make_one_run():
    it = table()
    it.say(StartFlow(), DOOR)
    first = it.state.run
    it.say(StartFlow(), ROOM)
    assert it.sent(run(it)) == (WATCH,)
    assert it.replies == []
    it.say(STARTED, run(it))
    assert it.replies == [FlowAccepted(repo="shop", run=first, fresh=fresh) for fresh in (True, False)]
    assert it.answered == ["m2", "m3"]


def test_a_start_finds_the_run_that_is_active():
    for it in (started(), paused()):
        it.say(StartFlow(), ROOM)
        assert it.sent(run(it)) == (WATCH,)
        assert it.replies == [FlowAccepted(repo="shop", run=it.state.run, fresh=False)]


def test_a_run_that_is_refused_is_refused_to_all_who_wait():
    it = table()
    it.say(StartFlow(), DOOR)
    it.say(StartFlow(), ROOM)
    it.say(RunRefused(reason="commit your changes first: a.py"), run(it))
    assert it.replies == [Refusal(text="commit your changes first: a.py")] * 2
    assert it.answered == ["m2", "m3"]
    assert it.ask(DescribeRepo()).active is False
    old = it.state.run
    it.say(StartFlow(), DOOR)
    assert it.state.run != old


def test_a_run_that_pauses_before_its_first_turn_has_begun():
    it = table()
    it.say(StartFlow(), DOOR)
    it.say(RunPaused(code="worker", reason="git is missing"), run(it))
    assert it.replies == [FlowAccepted(repo="shop", run=it.state.run, fresh=True)]
    it.say(ResumeFlow(), DOOR)
    assert it.sent(run(it)) == (Resume(),)


def test_a_run_that_never_heard_its_start_is_no_run():
    it = table()
    it.say(StartFlow(), DOOR)
    assert it.say(Undelivered(to=run(it), id="the watch", why="its mailbox is full")) == ()
    it.say(Undelivered(to=run(it), id=it.state.run, why="its mailbox is full"))
    said = "the run in shop could not begin: it was not delivered (its mailbox is full); type /flow start to try again"
    assert it.replies == [Refusal(text=said)]
    assert it.ask(DescribeRepo()).active is False


def test_twenty_may_wait_for_a_run_and_no_more():
    it = table()
    for _ in range(20):
        it.say(StartFlow(), DOOR)
        assert it.replies == []
    it.say(StartFlow(), DOOR)
    assert it.replies == [Refusal(text="20 already wait for the run in shop to begin; type /flow status")]


def test_a_paused_run_is_resumed_with_the_reply():
    it = paused()
    it.say(ResumeFlow(reply="blue"), ROOM)
    assert it.sent(run(it)) == (WATCH, Resume(reply="blue"))
    assert it.replies == [FlowAccepted(repo="shop", run=it.state.run)]


def test_only_a_paused_run_is_resumed():
    it = table()
    it.say(ResumeFlow(), ROOM)
    assert it.replies == [Refusal(text="no run is paused in shop; type /flow start")]
    it = started()
    it.say(ResumeFlow(), ROOM)
    said = "no run is paused in shop; a run works there; type /flow status to see it"
    assert it.replies == [Refusal(text=said)]
    assert it.receivers == []


def test_a_pause_is_answered_once():
    it = paused()
    it.say(Talk(text="blue"), ROOM)
    it.say(Talk(text="or red"), ROOM)
    said = "a run works in shop now; type /flow stop to end it, or /flow status to see it"
    assert it.replies == [Refusal(text=said)]
    it.say(RunResumed(), run(it))
    it.say(PAUSED, run(it))
    it.say(Talk(text="red"), ROOM)
    assert it.sent(run(it)) == (WATCH, Resume(reply="red"))


def test_a_resume_that_was_not_delivered_can_be_said_again():
    it = paused()
    it.say(ResumeFlow(reply="blue"), DOOR)
    it.say(Undelivered(to=run(it), id=it.id(run(it)), why="its mailbox is full"))
    said = "the run in shop was not resumed: it was not delivered (its mailbox is full); type /flow status to see it"
    assert it.replies == [Refusal(text=said)]
    assert it.answered == ["m5"]
    it.say(ResumeFlow(reply="blue"), DOOR)
    assert it.sent(run(it)) == (Resume(reply="blue"),)


def test_a_resume_that_the_run_refuses_is_told():
    it = paused()
    it.say(ResumeFlow(), DOOR)
    it.say(Refusal(text="this run is at work already"), run(it), re=it.id(run(it)))
    said = "the run in shop was not resumed: this run is at work already; type /flow status to see it"
    assert it.replies == [Refusal(text=said)]
    it.say(ResumeFlow(), DOOR)
    assert it.receivers == []


def test_a_stop_reaches_the_active_run_and_the_room_hears_its_end():
    for it in (started(), paused()):
        it.say(StopFlow(), ROOM)
        assert it.sent(run(it)) == (WATCH, Stop())
        assert it.replies == [FlowAccepted(repo="shop", run=it.state.run)]


def test_nothing_is_stopped_where_nothing_is_active():
    it = table()
    it.say(StopFlow(), ROOM)
    assert it.replies == [Refusal(text="no run is active in shop; type /flow start to begin one")]


@pytest.mark.parametrize("end", [RunStopped(), RunCompleted(done=3, turns=4)])
def test_after_its_end_another_run_may_begin(end):
    it = started()
    first = it.state.run
    it.say(end, run(it))
    assert it.ask(DescribeRepo()) == RepoView(repo="shop", place=PLACE, run=first, active=False, busy=False)
    it.say(StopFlow(), DOOR)
    assert isinstance(it.replies[0], Refusal)
    it.say(StartFlow(), DOOR)
    assert it.state.run != first


def test_an_old_run_says_nothing_about_the_new_one():
    it = started()
    old = run(it)
    it.say(RunStopped(), old)
    it.say(StartFlow(), DOOR)
    for event in (STARTED, RunRefused(reason="x"), RunCompleted(done=1, turns=1), PAUSED):
        assert it.say(event, old) == ()
    assert it.state.status == "starting"


def test_a_pause_from_the_hub_interrupts_the_run():
    for it in (started(), paused()):
        it.say(PauseFlow(reason="stopped by car down"), Address("hub", "main"))
        assert it.sent(run(it)) == (Pause(reason="stopped by car down"),)


def test_a_pause_ends_the_free_session_too():
    it = talking()
    busy = session(it)
    it.say(PauseFlow(reason="stopped by car down"), Address("hub", "main"))
    assert it.sent(busy) == (Interrupt(), Close())
    assert it.ask(DescribeRepo()).busy is False
    it.say(Talk(text="again"), ROOM)
    assert session(it) != busy


def test_a_pause_where_nothing_works_changes_nothing():
    it = table()
    assert it.say(PauseFlow(reason="x")) == ()


# the free session


def test_talk_opens_a_session_and_gives_it_the_words():
    it = talking()
    opening = Open(agent="codex", place=PLACE)
    assert it.sent(session(it)) == (Watch(), WATCH, opening, Prompt(turn="m2", text="hello"))
    assert it.replies == [TalkAccepted(repo="shop", session=session(it), turn="m2")]
    assert it.ask(DescribeRepo()) == RepoView(repo="shop", place=PLACE, busy=True)
    it.say(TurnEnded(turn="m2", outcome="done"), Address("session", "stranger"))
    assert it.ask(DescribeRepo()).busy is True


def test_a_session_is_kept_over_its_turns():
    it = talking()
    first = session(it)
    it.say(Talk(text="and more"), ROOM)
    assert it.sent(first) == (WATCH, Prompt(turn="m3", text="and more"))
    free(it)
    assert it.ask(DescribeRepo()).busy is True
    free(it)
    assert it.ask(DescribeRepo()).busy is False
    it.say(Talk(text="again"), DOOR)
    assert it.sent(first) == (Prompt(turn="m6", text="again"),)


def test_a_session_that_closed_is_followed_by_a_new_one():
    it = talking()
    first = session(it)
    free(it)
    it.say(Closed(), first)
    assert it.ask(DescribeRepo()).busy is False
    it.say(Talk(text="again"), ROOM)
    assert session(it) != first
    assert it.say(Closed(), first) == ()
    assert it.state.session


def test_words_that_came_too_late_for_their_session_are_told_to_be_lost():
    it = talking()
    first = session(it)
    free(it)
    it.say(Talk(text="too late"), ROOM)
    late = it.id(first)
    it.say(Closed(), first)
    it.say(Refusal(text="it has ended"), first, re=late)
    said = "the agent in shop did not take your message: it has ended; say it again in a moment"
    assert (it.replies, it.answered) == ([Refusal(text=said)], [late])
    assert it.ask(DescribeRepo()).busy is False


def test_words_that_follow_a_session_which_has_closed_open_another():
    it = talking()
    first = session(it)
    it.say(Closed(), first)
    it.say(Talk(text="you?", agent="opencode"), ROOM)
    assert it.sent(session(it))[2:] == (Open(agent="opencode", place=PLACE), Prompt(turn="m4", text="you?"))


def test_another_agent_gets_a_session_of_its_own():
    it = talking()
    first = session(it)
    it.say(Talk(text="you?", agent="opencode"), ROOM)
    said = "codex answers in shop now; wait for its answer before you ask opencode"
    assert it.replies == [Refusal(text=said)]
    free(it)
    it.say(Talk(text="you?", agent="opencode"), ROOM)
    assert it.sent(first) == (Close(),)
    opened = (Watch(), WATCH, Open(agent="opencode", place=PLACE), Prompt(turn="m5", text="you?"))
    assert it.sent(session(it)) == opened
    free(it)
    it.say(Talk(text="go on"), ROOM)
    assert it.sent(session(it)) == (WATCH, Prompt(turn="m7", text="go on"))


def test_free_talk_goes_to_the_agent_of_the_tickets():
    it = started()
    it.say(TicketChosen(ticket="TICKET-001.md", title="x", number=1, agent="demo"), run(it))
    it.say(TicketChosen(ticket="TICKET-002.md", title="y", number=2, agent="user"), run(it))
    it.say(RunStopped(), run(it))
    it.say(Talk(text="hello"), ROOM)
    assert Open(agent="demo", place=PLACE) in it.sent(session(it))


def test_talk_answers_a_paused_run():
    it = paused()
    it.say(Talk(text="blue"), ROOM)
    assert it.sent(run(it)) == (WATCH, Resume(reply="blue"))
    assert it.replies == [TalkAccepted(repo="shop", run=it.state.run)]


def test_talk_is_refused_while_a_run_works():
    beginning = table()
    beginning.say(StartFlow(), DOOR)
    for it in (beginning, started()):
        it.say(Talk(text="hello"), ROOM)
        said = "a run works in shop now; type /flow stop to end it, or /flow status to see it"
        assert it.replies == [Refusal(text=said)]
        assert it.receivers == []


def test_a_start_waits_for_the_answer_of_the_free_session():
    it = talking()
    it.say(StartFlow(), ROOM)
    said = "an agent answers you in shop now; wait for its answer, then type /flow start"
    assert it.replies == [Refusal(text=said)]
    free(it)
    idle = session(it)
    it.say(StartFlow(), ROOM)
    assert it.sent(idle) == (Close(),)
    assert it.sent(run(it))[-1] == Start(repo="shop", place=PLACE)
    assert it.state.session == ""


def test_twenty_messages_may_wait_for_the_agent_and_no_more():
    it = talking()
    for _ in range(19):
        it.say(Talk(text="more"), ROOM)
        assert isinstance(it.replies[0], TalkAccepted)
    it.say(Talk(text="more"), ROOM)
    assert it.replies == [Refusal(text="20 messages wait for the agent in shop; wait for its answers")]


def test_words_that_the_session_did_not_take_are_told_and_it_is_left():
    it = talking()
    first = session(it)
    it.say(Refusal(text="session/x has ended"), first, re="m2")
    said = "the agent in shop did not take your message: session/x has ended; say it again in a moment"
    assert it.replies == [Refusal(text=said)]
    assert it.answered == ["m2"]
    assert it.sent(first) == (Close(),)
    it.say(Talk(text="hello"), ROOM)
    assert session(it) != first


def test_a_session_with_other_turns_is_kept_when_it_refuses_one():
    it = talking()
    first = session(it)
    it.say(Talk(text="more"), ROOM)
    it.say(Undelivered(to=first, id="m3", why="its mailbox is full"))
    assert it.answered == ["m3"]
    assert it.receivers == []
    assert session(it) == first


# the tickets


def test_tickets_are_read_by_the_worker_of_the_machine_and_listed_without_their_text():
    it = table()
    it.say(ListTickets())
    assert it.sent(TICKETS) == (Look(checkout="/srv/shop"),)
    ticket = Ticket(path="TICKET-001.md", number=1, title="Fix", agent="demo", text="long", problems=("no title",))
    seen = Seen(tickets=(ticket,), problems=("two tickets have the number 1",))
    it.say(seen, TICKETS, re=it.id(TICKETS))
    listed = ticket.model_copy(update={"text": ""})
    assert it.replies == [Tickets(tickets=(listed,), problems=("two tickets have the number 1",))]
    assert it.answered == ["m2"]


def test_a_ticket_is_written_by_the_worker():
    it = table()
    it.say(AddTicket(title="Fix", agent="demo", body="Do it."))
    assert it.sent(TICKETS) == (Write(checkout="/srv/shop", title="Fix", agent="demo", body="Do it."),)
    it.say(Written(path="TICKET-001.md"), TICKETS, re=it.id(TICKETS))
    assert it.replies == [TicketAdded(path="TICKET-001.md")]


def test_what_the_worker_cannot_do_is_told():
    it = table()
    it.say(ListTickets())
    asked = it.id(TICKETS)
    it.say(Failed(what="/srv/shop is gone; put it back"), TICKETS, re=asked)
    assert it.replies == [Refusal(text="/srv/shop is gone; put it back")]
    assert it.say(Seen(), TICKETS, re=asked) == ()


def test_a_machine_that_is_not_reached_is_told():
    it = table()
    it.say(ListTickets())
    it.say(Undelivered(to=TICKETS, id=it.id(TICKETS), why="its queue is full"))
    said = (
        "the machine n1 that holds shop was not reached: it was not delivered (its queue is full); "
        "try again in a moment"
    )
    assert it.replies == [Refusal(text=said)]


def test_each_gets_the_answer_to_what_they_asked():
    it = table()
    asked = []
    for command in (ListTickets(), AddTicket(title="x", agent="demo"), ListTickets()):
        it.say(command)
        asked.append(it.id(TICKETS))
    it.say(Written(path="TICKET-001.md"), TICKETS, re=asked[1])
    assert it.answered == ["m3"]
    it.say(Undelivered(to=TICKETS, id=asked[2], why="full"))
    assert it.answered == ["m4"]
    it.say(Seen(), TICKETS, re=asked[0])
    assert it.answered == ["m2"]


def test_twenty_may_wait_for_the_tickets_and_no_more():
    it = table()
    for _ in range(20):
        it.say(ListTickets())
        assert it.replies == []
    it.say(ListTickets())
    said = "20 commands wait for the tickets of shop; wait a moment and try again"
    assert it.replies == [Refusal(text=said)]


# the rest


COMMANDS = [
    StartFlow(),
    ResumeFlow(),
    StopFlow(),
    Talk(text="hello"),
    ListTickets(),
    AddTicket(title="x", agent="demo"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda one: one.name)
def test_a_repository_that_nobody_added_refuses_everything(command):
    it = Table(repo.ACTOR, Address("repo", token("my.shop")))
    it.say(command, ROOM)
    assert it.replies == [Refusal(text="no repository is called my.shop; car repo list shows those that are there")]
    assert it.receivers == []


def test_a_repository_that_nobody_added_lies_nowhere():
    it = Table(repo.ACTOR, Address("repo", "shop"))
    assert it.ask(DescribeRepo()) == RepoView(repo="shop", place=Place(node="", path=""))


def test_how_it_stands_is_told():
    it = table()
    assert it.ask(DescribeRepo()) == RepoView(repo="shop", place=PLACE)
    it.say(StartFlow())
    assert it.ask(DescribeRepo()) == RepoView(repo="shop", place=PLACE, run=it.state.run, active=True, busy=True)
    it = paused()
    assert it.ask(DescribeRepo()) == RepoView(repo="shop", place=PLACE, run=it.state.run, active=True, busy=False)


def test_a_checkout_that_moved_keeps_its_run():
    it = started()
    it.say(Adopt(place=Place(node="n1", path="/new/shop")))
    view = it.ask(DescribeRepo())
    assert (view.place.path, view.active) == ("/new/shop", True)


def test_what_a_repository_does_not_know_changes_nothing():
    it = table()
    before = it.state
    strangers = (
        TurnStarted(turn="m9", agent="codex"),
        TurnEnded(turn="m9", outcome="done", usage=Usage()),
        Closed(),
        STARTED,
        Refusal(text="no"),
        Seen(),
        Undelivered(to=ROOM, id="m9", why="full"),
        Interrupt(),
        DescribeHub(),
    )
    for message in strangers:
        assert it.say(message, Address("session", "stranger"), re="m9") == ()
    assert it.state == before
