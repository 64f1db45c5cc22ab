"""A room: what is said becomes commands, what happens becomes cards, and nothing is said twice."""

import pytest

from actors.chat import room
from actors.runtime.effects import Stop as Leave
from actors.runtime.weight import weigh
from protocol.address import Address, out, token
from protocol.chat import Card, Choice, DescribeRoom, Left, Pressed, RoomView, Said
from protocol.flow import (
    DescribeRun,
    RunCompleted,
    RunPaused,
    RunRefused,
    RunResumed,
    RunStarted,
    RunStopped,
    RunView,
    TicketChosen,
    TicketDone,
    Told,
    TurnBegun,
    TurnDone,
)
from protocol.hub import DescribeHub, HubView, RepoEntry
from protocol.node import Quarantined, Refusal, Undelivered, Unwatch, Watch
from protocol.repo import (
    DescribeRepo,
    FlowAccepted,
    RepoView,
    ResumeFlow,
    StartFlow,
    StopFlow,
    Talk,
    TalkAccepted,
)
from protocol.session import Closed, Place, ToolUsed, TurnEnded, TurnStarted
from protocol.work import Seen
from tests.actors.say import DOOR, ROOM, Table

HUB = Address("hub", "main")
OUT = out(ROOM)
SHOP = Address("repo", "shop")
RUN = Address("run", "r1")
SESSION = Address("session", "s1")
ANOTHER = Address("session", "s2")
STARTED = RunStarted(repo="shop", tickets=3, done=0)
CHOSEN = TicketChosen(ticket="TICKET-001.md", title="Fix the test", number=1, agent="codex")
BEGUN = TurnBegun(ticket="TICKET-001.md", turn=1, agent="codex", session=SESSION)
ASKED = RunPaused(code="question", reason="Which colour?", body="Blue or red?")
STOP = Choice(label="Stop", says="/flow stop")
RESUME = Choice(label="Resume", says="/flow resume")


def place(path, node="n1"):
    return Place(node=node, path=path)


def hub(*repos):
    return HubView(repos=tuple(RepoEntry(repo=one, place=place(f"/srv/{one}")) for one in repos))


def table():
    return Table(room.ACTOR, ROOM)


def bound(repo="shop"):
    """Give a room that was bound to a repository in which nothing runs."""
    it = table()
    it.say(Said(text=f"/bind {repo}"))
    it.say(hub(repo), HUB, re=it.id(HUB))
    to = Address("repo", repo)
    it.say(RepoView(repo=repo, place=place(f"/srv/{repo}")), to, re=it.id(to))
    assert it.state.asked == ()
    return it


def following(*events):
    """Give a bound room that has started a run."""
    it = bound()
    it.say(Said(text="/flow start"))
    started = it.id(SHOP)
    it.say(STARTED, RUN)
    it.say(FlowAccepted(repo="shop", run="r1", fresh=True), SHOP, re=started)
    assert it.effects == ()
    for event in events:
        it.say(event, RUN)
    return it


def shown(it):
    return [(one.id, one.tone, one.final, one.text) for one in it.sent(OUT)]


def text(it):
    (card,) = it.sent(OUT)
    return card.text


# what is said


def test_help_is_shown_at_once():
    it = table()
    it.say(Said(text="/help"))
    (card,) = it.sent(OUT)
    assert card.final
    assert card.text.startswith("`/help` show these words\n")
    assert it.receivers == [str(OUT)]


def test_an_empty_line_is_no_line():
    it = table()
    assert it.say(Said(text="  \n ")) == ()


def test_a_word_that_is_none_is_answered_with_the_closest():
    it = bound()
    it.say(Said(text="/flow strat"))
    (card,) = it.sent(OUT)
    said = "There is no word `/flow strat` here. Did you mean `/flow start` or `/flow status` or `/flow stop`?"
    assert (card.text, card.tone, card.final) == (said, "bad", True)
    assert card.choices[0] == Choice(label="/flow start", says="/flow start")
    assert it.receivers == [str(OUT)]


def test_a_word_that_takes_nothing_is_not_obeyed_with_something():
    it = bound()
    it.say(Said(text="/flow stop please"))
    assert text(it) == "Nothing follows `/flow stop`; type it alone."
    assert it.receivers == [str(OUT)]


def test_a_line_that_is_too_long_is_refused():
    it = bound()
    it.say(Said(text="x" * 50_001))
    said = "this is too long for one message (50001 characters); put it into a file and name the file"
    assert text(it) == said
    it.say(Said(text="x" * 50_000))
    assert it.sent(SHOP) == (Talk(text="x" * 50_000),)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("/flow start", StartFlow()),
        ("/flow stop", StopFlow()),
        ("/flow resume", ResumeFlow()),
        ("/flow resume use blue", ResumeFlow(reply="use blue")),
        ("/status", DescribeRepo()),
        ("/flow status", DescribeRepo()),
        ("what is this?", Talk(text="what is this?")),
    ],
)
def test_a_word_becomes_a_command_to_the_repository(said, told):
    it = bound()
    it.say(Said(text=said))
    assert it.sent(SHOP) == (told,)
    assert it.receivers == [str(SHOP)]


def test_a_button_says_what_it_says():
    it = bound()
    it.say(Pressed(card="run-r1", says="/flow stop"))
    assert it.sent(SHOP) == (StopFlow(),)


def test_a_button_of_a_run_is_for_the_repository_of_that_run():
    it = bound("api")
    for number, repo in enumerate(("web", "shop")):
        it.say(RunStarted(repo=repo, tickets=1, done=0), Address("run", f"r{number}"))
    it.say(Pressed(card="run-r1", says="/flow stop"))
    assert it.sent(SHOP) == (StopFlow(),)
    it.say(Said(text="/flow stop"))
    assert it.sent(Address("repo", "api")) == (StopFlow(),)


# which repository


def wish(said, view, where=None):
    it = table()
    it.say(Said(text=said, place=where))
    assert it.sent(HUB) == (DescribeHub(),)
    it.say(view, HUB, re=it.id(HUB))
    return it


def test_a_room_that_is_not_bound_takes_the_repository_of_the_place():
    it = wish("/flow start", hub("api", "shop"), place("/srv/shop/src"))
    assert it.sent(SHOP) == (StartFlow(),)
    it = wish("/flow start", hub("api", "shop"), place("/srv/shop"))
    assert it.sent(SHOP) == (StartFlow(),)


def test_the_innermost_repository_is_that_of_the_place():
    it = wish("hello", hub("shop", "shop/plug"), place("/srv/shop/plug/src"))
    assert it.sent(Address("repo", token("shop/plug"))) == (Talk(text="hello"),)


def test_a_folder_of_a_similar_name_or_of_another_machine_is_another_place():
    for where in (place("/srv/shopping"), place("/srv/shop", node="n2"), place("/srv"), None):
        it = wish("/flow start", hub("api", "shop"), where)
        assert it.receivers == [str(OUT)]


def test_the_only_repository_is_taken():
    it = wish("hello", hub("shop"), place("/home/me"))
    assert it.sent(SHOP) == (Talk(text="hello"),)


def test_a_room_is_bound_by_its_word_alone():
    it = wish("hello", hub("shop"))
    it.say(Said(text="hello", place=place("/srv/api")))
    it.say(hub("api", "shop"), HUB, re=it.id(HUB))
    assert it.sent(Address("repo", "api")) == (Talk(text="hello"),)
    it = bound()
    it.say(Said(text="hello", place=place("/srv/api")))
    assert it.sent(SHOP) == (Talk(text="hello"),)


def test_without_any_repository_it_is_said_what_to_type():
    for said in ("hello", "/flow start", "/bind shop", "/bind", "/repos"):
        it = wish(said, hub())
        assert shown(it)[0][1:] == (
            "bad",
            True,
            "There is no repository yet. Type `car repo add PATH` in a terminal.",
        )
        assert it.receivers == [str(OUT)]


def test_a_person_is_asked_where_several_may_be_meant_and_then_it_is_done():
    it = wish("/flow start", hub("api", "shop"))
    (card,) = it.sent(OUT)
    assert card.text == "Which repository shall this room work with? Then I do what you wrote: `/flow start`"
    assert (card.tone, card.final) == ("question", True)
    assert card.choices[1] == Choice(label="shop", says="/bind shop")
    it.say(Pressed(card=card.id, says="/bind shop"))
    it.say(hub("api", "shop"), HUB, re=it.id(HUB))
    assert text(it) == "This room works with **shop** now.\n`/srv/shop`"
    assert it.sent(OUT)[0].final is False
    assert it.sent(SHOP) == (StartFlow(),)
    it.say(Said(text="/bind shop"))
    it.say(hub("api", "shop"), HUB, re=it.id(HUB))
    assert it.sent(SHOP) == (DescribeRepo(),)


def test_of_the_lines_that_wait_for_a_choice_the_last_is_done():
    it = wish("first", hub("api", "shop"))
    it.say(Said(text="second"))
    it.say(hub("api", "shop"), HUB, re=it.id(HUB))
    assert text(it).endswith("Then I do what you wrote: `second`")
    it.say(Said(text="/bind shop"))
    it.say(hub("api", "shop"), HUB, re=it.id(HUB))
    assert it.sent(SHOP) == (Talk(text="second"),)


def test_a_line_that_found_its_way_lets_nothing_wait():
    it = wish("first", hub("api", "shop"))
    it.say(Said(text="second", place=place("/srv/shop")))
    it.say(hub("api", "shop"), HUB, re=it.id(HUB))
    assert it.sent(SHOP) == (Talk(text="second"),)
    it.say(Said(text="/bind shop"))
    it.say(hub("api", "shop"), HUB, re=it.id(HUB))
    assert it.sent(SHOP) == (DescribeRepo(),)


def test_two_lines_may_wait_for_the_hub_and_a_third_is_refused():
    it = table()
    ids = []
    for said in ("one", "two"):
        it.say(Said(text=said))
        ids.append(it.id(HUB))
    it.say(Said(text="three"))
    assert text(it) == "this comes too fast; wait for an answer and write it again"
    it.say(hub("shop"), HUB, re=ids[0])
    assert it.sent(SHOP) == (Talk(text="one"),)
    it.say(hub("shop"), HUB, re=ids[1])
    assert it.sent(SHOP) == (Talk(text="two"),)


def test_repositories_are_shown():
    it = bound()
    it.say(Said(text="/repos"))
    assert it.sent(HUB) == (DescribeHub(),)
    it.say(hub("api", "shop"), HUB, re=it.id(HUB))
    assert text(it) == "· **api** `/srv/api`\n→ **shop** `/srv/shop`"
    assert it.sent(OUT)[0].final


def test_bind_without_a_name_asks_which():
    it = wish("/bind", hub("api", "shop"))
    assert text(it) == "Which repository shall this room work with?"


def test_a_room_is_bound_only_to_what_is_there():
    it = wish("/bind shp", hub("api", "shop"))
    assert text(it) == "No repository is called `shp`. Did you mean `shop`?"
    assert it.ask(DescribeRoom()) == RoomView()
    assert bound().ask(DescribeRoom()) == RoomView(repo="shop")


def test_a_room_that_is_bound_follows_the_run_that_is_active():
    it = table()
    it.say(Said(text="/bind shop"))
    it.say(hub("shop"), HUB, re=it.id(HUB))
    assert it.sent(OUT)[0].final
    it.say(RepoView(repo="shop", place=place("/srv/shop"), run="r1", active=True), SHOP, re=it.id(SHOP))
    assert it.sent(RUN) == (Watch(), DescribeRun())
    view = RunView(run="r1", repo="shop", status="paused", code="question", reason="Which colour?", total=3)
    it.say(view, RUN, re=it.id(RUN))
    assert [one[1:] for one in shown(it)] == [
        ("plain", False, "**shop** · ticket 1/3 · waits for your answer"),
        ("question", True, "**shop** asks: Which colour?\n\nAnswer by writing here."),
    ]


# how it stands


def test_status_asks_the_repository_and_then_its_run():
    it = bound()
    it.say(Said(text="/status"))
    it.say(RepoView(repo="shop", place=place("/srv/shop"), run="r1", active=True), SHOP, re=it.id(SHOP))
    assert it.sent(RUN) == (DescribeRun(),)
    view = RunView(run="r1", repo="shop", status="running", title="Fix", agent="codex", total=3, session=SESSION)
    it.say(view, RUN, re=it.id(RUN))
    (card,) = it.sent(OUT)
    assert card.text == "**shop** · ticket 1/3\n→ Fix\ncodex works on it"
    assert (card.final, card.live, card.choices) == (True, None, (STOP,))
    assert it.ask(DescribeRoom()).runs == ()


def test_status_without_an_active_run_is_told_by_the_repository():
    it = bound()
    it.say(Said(text="/flow status"))
    it.say(RepoView(repo="shop", place=place("/srv/shop"), run="r0"), SHOP, re=it.id(SHOP))
    assert text(it).startswith("**shop** · nothing runs here\n`/srv/shop`\n")
    assert it.sent(OUT)[0].final


def test_status_of_a_repository_that_is_gone():
    it = bound()
    it.say(Said(text="/status"))
    it.say(RepoView(repo="shop", place=Place(node="", path="")), SHOP, re=it.id(SHOP))
    assert text(it) == "no repository is called shop; type /repos to see those that are there"


@pytest.mark.parametrize("lost", [Refusal(text="run/r1 has ended"), Undelivered(to=RUN, id="", why="full")])
def test_a_run_that_ended_before_it_could_tell(lost):
    it = bound()
    it.say(Said(text="/status"))
    it.say(RepoView(repo="shop", place=place("/srv/shop"), run="r1", active=True), SHOP, re=it.id(SHOP))
    asked = it.id(RUN)
    if isinstance(lost, Undelivered):
        lost = lost.model_copy(update={"id": asked})
    it.say(lost, RUN, re=asked)
    assert text(it) == "the run in shop has just ended; type /flow start to begin another"


# a run


def test_a_run_is_shown_on_one_card_that_rises():
    it = bound()
    it.say(Said(text="/flow start"))
    started, cards = it.id(SHOP), []
    turn = TurnDone(ticket="TICKET-001.md", turn=1)
    done = TicketDone(ticket="TICKET-001.md", title="Fix the test", done=1, total=1)
    end = RunCompleted(done=1, turns=1, seconds=4)
    for event in (RunStarted(repo="shop", tickets=1, done=0), CHOSEN, BEGUN, turn, done, end):
        it.say(event, RUN)
        cards += it.sent(OUT)
        if isinstance(event, RunStarted):
            it.say(FlowAccepted(repo="shop", run="r1", fresh=True), SHOP, re=started)
            assert it.effects == ()
    assert {one.id for one in cards} == {"run-r1"}
    revisions = [one.revision for one in cards]
    assert revisions == sorted(set(revisions))
    assert [one.final for one in cards] == [False] * 5 + [True]
    assert [one.live for one in cards] == [None, None, SESSION, None, None, None]
    assert cards[2].text == "**shop** · ticket 1/1 · turn 1\n→ Fix the test\ncodex works on it"
    assert cards[-1].text == "**shop** · all tickets are done\n✓ Fix the test\n1 ticket · 1 turn · 4 s"
    assert it.ask(DescribeRoom()) == RoomView(repo="shop")


def test_the_tools_of_a_turn_are_watched_and_shown():
    it = following(CHOSEN)
    it.say(BEGUN, RUN)
    assert it.sent(SESSION) == (Watch(),)
    it.say(ToolUsed(turn="x", title="pytest -q", state="began"), SESSION)
    (card,) = it.sent(OUT)
    assert card.text == "**shop** · ticket 1/3 · turn 1\n→ Fix the test\ncodex works on it\n… `pytest -q`"
    assert (card.live, card.choices) == (SESSION, (STOP,))
    it.say(TurnDone(ticket="TICKET-001.md", turn=1), RUN)
    assert it.say(ToolUsed(turn="x", title="pytest -q", state="done"), SESSION) == ()
    it.say(BEGUN.model_copy(update={"turn": 2}), RUN)
    assert it.sent(SESSION) == ()
    it.say(BEGUN.model_copy(update={"turn": 3, "session": ANOTHER}), RUN)
    assert it.sent(ANOTHER) == (Watch(),)


def test_the_session_of_a_run_shows_no_turn_of_its_own():
    it = following(CHOSEN, BEGUN)
    for event in (TurnStarted(turn="x", agent="codex"), TurnEnded(turn="x", outcome="done", text="hi"), Closed()):
        it.say(event, SESSION)
        assert it.sent(OUT) == ()


def test_a_question_is_a_card_of_its_own_and_is_answered_by_writing():
    it = following(CHOSEN, BEGUN, ASKED)
    progress, question = it.sent(OUT)
    assert (progress.id, progress.final, progress.choices) == ("run-r1", False, (RESUME, STOP))
    assert question.id.startswith("run-r1-")
    assert question.text == "**shop** asks: Which colour?\n\nBlue or red?\n\nAnswer by writing here."
    assert (question.tone, question.final) == ("question", True)
    it.say(Said(text="blue"))
    assert it.sent(SHOP) == (Talk(text="blue"),)
    it.say(TalkAccepted(repo="shop", run="r1"), SHOP, re=it.id(SHOP))
    assert it.effects == ()
    assert it.state.feed.talks == ()
    it.say(RunResumed(), RUN)
    assert text(it) == "**shop** · ticket 1/3 · turn 1\n→ Fix the test\nlooking at what has changed"
    it.say(ASKED, RUN)
    assert it.sent(OUT)[1].id != question.id


def test_a_room_that_is_not_bound_answers_the_question_that_it_shows():
    it = wish("/flow start", hub("api", "shop"), place("/srv/shop"))
    it.say(FlowAccepted(repo="shop", run="r1", fresh=True), SHOP, re=it.id(SHOP))
    for event in (STARTED, ASKED):
        it.say(event, RUN)
    it.say(RunStarted(repo="api", tickets=1, done=0), Address("run", "r2"))
    it.say(Said(text="/flow start"))
    assert it.sent(HUB) == (DescribeHub(),)
    it.say(Said(text="blue"))
    assert it.sent(SHOP) == (Talk(text="blue"),)


def test_a_question_in_a_room_of_another_repository_says_how_to_answer():
    it = following(CHOSEN, BEGUN)
    it.say(Said(text="/bind api"))
    it.say(hub("api", "shop"), HUB, re=it.id(HUB))
    it.say(ASKED, RUN)
    assert it.sent(OUT)[1].text.endswith("To answer, type `/bind shop` first, then write here.")


def test_another_pause_ends_what_was_asked():
    it = following(CHOSEN, BEGUN, RunPaused(code="agent", reason="codex died; type /flow resume to try again"))
    (card,) = it.sent(OUT)
    said = "**shop** · ticket 1/3 · turn 1 · paused\n→ Fix the test\ncodex died; type /flow resume to try again"
    assert (card.text, card.tone, card.final, card.id) == (said, "bad", True, "run-r1")
    assert card.choices == (RESUME, STOP)


def test_a_run_that_is_stopped_is_followed_no_more():
    it = following(CHOSEN)
    it.say(Said(text="/flow stop"))
    stopping = it.id(SHOP)
    it.say(FlowAccepted(repo="shop", run="r1"), SHOP, re=stopping)
    assert it.effects == ()
    it.say(RunStopped(), RUN)
    said = "**shop** · stopped\n0 of 3 tickets done\n`/flow start` begins again with the first ticket that is not done."
    assert shown(it) == [("run-r1", "plain", True, said)]
    assert it.ask(DescribeRoom()).runs == ()


def test_what_an_agent_tells_is_passed_on():
    it = following(CHOSEN, BEGUN, Told(ticket="t", title="Half way", body="It works."))
    (card,) = it.sent(OUT)
    assert (card.text, card.final) == ("**shop** says: Half way\n\nIt works.", False)
    assert card.id != "run-r1"


def test_a_run_that_rests_is_told():
    it = following(Quarantined(text="run/r1 failed 5 times and rests"))
    assert shown(it)[0][1:] == ("bad", True, "run/r1 failed 5 times and rests")


def test_a_run_that_is_refused_is_told_once():
    it = bound()
    it.say(Said(text="/flow start"))
    started = it.id(SHOP)
    it.say(RunRefused(reason="commit your changes first: a.py"), RUN)
    assert it.effects == ()
    it.say(Refusal(text="commit your changes first: a.py"), SHOP, re=started)
    assert shown(it)[0][1:] == ("bad", True, "commit your changes first: a.py")
    assert it.say(Refusal(text="commit your changes first: a.py"), HUB, re=started) == ()


def test_a_run_that_is_refused_when_it_goes_on_is_told_too():
    it = following(RunPaused(code="worker", reason="git is missing"))
    it.say(RunRefused(reason="there are no tickets"), RUN)
    assert shown(it) == [("run-r1", "bad", True, "there are no tickets")]


def test_a_start_that_finds_a_run_shows_how_far_it_is():
    it = bound()
    it.say(Said(text="/flow start"))
    it.say(FlowAccepted(repo="shop", run="r1", fresh=False), SHOP, re=it.id(SHOP))
    assert it.sent(RUN) == (DescribeRun(),)
    view = RunView(run="r1", repo="shop", status="paused", code="agent", reason="codex died", done=1, total=3, turns=2)
    it.say(view, RUN, re=it.id(RUN))
    said = "**shop** · ticket 2/3 · turn 2 · paused\n✓ 1 done before\ncodex died"
    assert shown(it) == [("run-r1", "bad", True, said)]
    it.say(RunResumed(), RUN)
    assert text(it) == "**shop** · ticket 2/3 · turn 2\n✓ 1 done before\nlooking at what has changed"


def test_a_start_that_finds_a_run_at_work_goes_on_with_its_card():
    it = bound()
    it.say(Said(text="/flow start"))
    it.say(FlowAccepted(repo="shop", run="r1", fresh=False), SHOP, re=it.id(SHOP))
    view = RunView(run="r1", repo="shop", status="running", title="Fix", agent="codex", total=3, session=SESSION)
    it.say(view, RUN, re=it.id(RUN))
    assert shown(it) == [("run-r1", "working", False, "**shop** · ticket 1/3\n→ Fix\ncodex works on it")]


def test_a_start_that_finds_a_run_which_ends_is_told():
    it = bound()
    it.say(Said(text="/flow start"))
    it.say(FlowAccepted(repo="shop", run="r1", fresh=False), SHOP, re=it.id(SHOP))
    it.say(RunView(run="r1", repo="shop", status="completed"), RUN, re=it.id(RUN))
    assert shown(it)[0][1:] == ("bad", True, "the run in shop has just ended; type /flow start to begin another")
    assert it.ask(DescribeRoom()).runs == ()


def test_a_room_that_resumes_the_run_of_another_learns_of_it_quietly():
    it = bound()
    it.say(Said(text="/flow resume"))
    it.say(FlowAccepted(repo="shop", run="r1"), SHOP, re=it.id(SHOP))
    assert it.receivers == [str(RUN)]
    asked = it.id(RUN)
    it.say(RunView(run="r1", repo="shop", status="paused", title="Fix", done=1, total=3), RUN, re=asked)
    assert it.effects == ()
    it.say(RunResumed(), RUN)
    assert text(it) == "**shop** · ticket 2/3\n✓ 1 done before\n→ Fix\ngetting ready"


def test_an_event_of_a_run_that_is_new_here_is_shown_and_asked_about():
    it = bound()
    it.say(RunResumed(), RUN)
    assert text(it) == "**a run**\ngetting ready"
    assert it.sent(RUN) == (DescribeRun(),)
    asked = it.id(RUN)
    it.say(CHOSEN, RUN)
    assert it.sent(RUN) == ()
    it.say(RunView(run="r1", repo="shop", status="running", title="Fix", total=2), RUN, re=asked)
    it.say(BEGUN, RUN)
    assert text(it) == "**shop** · ticket 1/2 · turn 1\n→ Fix\ncodex works on it"


def test_late_news_of_a_run_that_has_ended_keep_nothing():
    it = following(RunStopped())
    it.say(Said(text="/flow stop"))
    it.say(FlowAccepted(repo="shop", run="r1"), SHOP, re=it.id(SHOP))
    it.say(RunView(run="r1", repo="shop", status="stopped"), RUN, re=it.id(RUN))
    assert it.effects == ()
    assert it.ask(DescribeRoom()).runs == ()


def test_four_runs_are_followed_at_a_time():
    it = bound()
    for number in range(6):
        it.say(STARTED, Address("run", f"r{number}"))
    assert it.ask(DescribeRoom()).runs == ("r2", "r3", "r4", "r5")


# a free turn


def test_words_to_an_agent_are_answered_on_one_card():
    it = bound()
    it.say(Said(text="what is this?"))
    turn, cards = it.id(SHOP), []
    it.say(TalkAccepted(repo="shop", session=SESSION, turn=turn), SHOP, re=turn)
    cards += it.sent(OUT)
    events = (
        TurnStarted(turn=turn, agent="codex"),
        ToolUsed(turn=turn, title="ls", state="done"),
        TurnEnded(turn=turn, outcome="done", text="A shop."),
    )
    for event in events:
        it.say(event, SESSION)
        cards += it.sent(OUT)
    assert [(one.text, one.live, one.final) for one in cards] == [
        ("**shop** · your message waits for the agent", None, False),
        ("**shop** · codex answers", SESSION, False),
        ("**shop** · codex answers\n· `ls`", SESSION, False),
        ("A shop.", None, True),
    ]
    assert {one.id for one in cards} == {f"talk-{turn}"}
    assert it.say(events[-1], SESSION) == ()


def test_an_answer_that_overtakes_its_acceptance_stays():
    it = bound()
    it.say(Said(text="what is this?"))
    turn = it.id(SHOP)
    it.say(TurnStarted(turn=turn, agent="codex"), SESSION)
    it.say(TurnEnded(turn=turn, outcome="done", text="A shop."), SESSION)
    assert text(it) == "A shop."
    it.say(TalkAccepted(repo="shop", session=SESSION, turn=turn), SHOP, re=turn)
    assert it.effects == ()


def test_the_turns_of_another_room_are_not_shown():
    it = bound()
    it.say(Said(text="what is this?"))
    turn = it.id(SHOP)
    it.say(TalkAccepted(repo="shop", session=SESSION, turn=turn), SHOP, re=turn)
    for event in (TurnStarted(turn="t9", agent="codex"), TurnEnded(turn="t9", outcome="done", text="no")):
        assert it.say(event, SESSION) == ()


def test_words_that_are_refused_are_told():
    it = bound()
    it.say(Said(text="hello"))
    said = "a run works in shop now; type /flow stop to end it, or /flow status to see it"
    it.say(Refusal(text=said), SHOP, re=it.id(SHOP))
    assert shown(it)[0][1:] == ("bad", True, said)
    assert it.state.feed.talks == ()


def test_words_that_are_refused_after_they_were_accepted_are_told():
    it = bound()
    it.say(Said(text="hello"))
    turn = it.id(SHOP)
    it.say(TalkAccepted(repo="shop", session=SESSION, turn=turn), SHOP, re=turn)
    said = "the agent in shop did not take your message: it has ended; say it again in a moment"
    it.say(Refusal(text=said), SHOP, re=turn)
    assert shown(it) == [(f"talk-{turn}", "bad", True, said)]
    it.say(Refusal(text="the run in shop was not resumed"), SHOP, re="long-ago")
    assert shown(it)[0][1:] == ("bad", True, "the run in shop was not resumed")


def test_a_session_that_closes_answers_what_is_open():
    it = bound()
    turns = []
    for said in ("one", "two"):
        it.say(Said(text=said))
        turns.append(it.id(SHOP))
        it.say(TalkAccepted(repo="shop", session=SESSION, turn=turns[-1]), SHOP, re=turns[-1])
    it.say(TurnEnded(turn=turns[0], outcome="done", text="1"), SESSION)
    it.say(Closed(), SESSION)
    said = "the agent was ended before it could answer; write it again"
    assert shown(it) == [(f"talk-{turns[1]}", "bad", True, said)]
    assert it.state.feed.talks == ()


def test_words_that_were_not_delivered_are_told():
    it = bound()
    it.say(Said(text="hello"))
    it.say(Undelivered(to=SHOP, id=it.id(SHOP), why="its mailbox is full"))
    assert shown(it)[0][1:] == ("bad", True, "nobody could be reached (its mailbox is full); write it again")
    assert it.state.feed.talks == ()


# the rest


def test_a_room_that_is_left_hears_no_more():
    it = following(CHOSEN, BEGUN)
    it.say(Said(text="/bind api"))
    it.say(hub("api", "shop"), HUB, re=it.id(HUB))
    api = Address("repo", "api")
    it.say(Said(text="hello"))
    it.say(TalkAccepted(repo="api", session=ANOTHER, turn=it.id(api)), api, re=it.id(api))
    it.say(Said(text="and more"))
    it.say(Left())
    assert it.receivers == [str(one) for one in (RUN, SESSION, ANOTHER)]
    for one in (RUN, SESSION, ANOTHER):
        assert it.sent(one) == (Unwatch(),)
    assert it.effects[-1] == Leave()
    assert it.state == room.Room()


def test_a_session_that_has_closed_is_not_left_once_more():
    it = following(CHOSEN, BEGUN)
    it.say(Closed(), SESSION)
    it.say(Left())
    assert it.receivers == [str(RUN)]


def test_who_comes_back_is_heard_again():
    assert Said.birth
    assert Pressed.birth
    assert not Left.birth


def test_every_card_has_a_higher_number_than_the_last():
    it = following(CHOSEN, BEGUN, ASKED)
    first = [one.revision for one in it.sent(OUT)]
    it.say(Said(text="/help"))
    assert [*first, it.sent(OUT)[0].revision] == list(range(first[0], first[0] + 3))


def test_what_waits_is_bounded():
    it = bound()
    for _ in range(50):
        it.say(Said(text="x" * 40_000))
    assert len(it.state.asked) == room.ASKED
    assert weigh(str(it.state)) < 20_000


def test_what_a_room_does_not_know_changes_nothing():
    it = following(CHOSEN)
    before = it.state
    for message in (Seen(), StartFlow(), Card(id="x", revision=1, text="x")):
        assert it.say(message, DOOR) == ()
    for message in (HubView(), RunView(run="r1", repo="x", status="paused"), Refusal(text="no")):
        assert it.say(message, RUN, re="unknown") == ()
    assert it.say(Undelivered(to=OUT, id="unknown", why="full")) == ()
    assert it.state == before
