"""The cards, whole, as a person reads them."""

from dataclasses import replace

from actors.chat import cards
from actors.chat.progress import Progress, Talking, Tool, fold, learn, line, use
from actors.chat.words import Line, closest, read
from protocol.address import Address
from protocol.chat import Card, Choice
from protocol.flow import (
    RunCompleted,
    RunPaused,
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
from protocol.hub import RepoEntry
from protocol.repo import RepoView
from protocol.session import Place, ToolUsed, TurnEnded
from protocol.work import Commit, Diffstat

SESSION = Address("session", "s1")
START = Choice(label="Start", says="/flow start")
STOP = Choice(label="Stop", says="/flow stop")
RESUME = Choice(label="Resume", says="/flow resume")

STORY = (
    RunStarted(repo="shop", tickets=3, done=1),
    TicketChosen(ticket="TICKET-002.md", title="Add a discount", number=2, agent="codex"),
    TurnBegun(ticket="TICKET-002.md", turn=1, agent="codex", session=SESSION),
)
DONE = TicketDone(ticket="TICKET-002.md", title="Add a discount", done=2, total=3)


def told(*events):
    known = Progress("r1")
    for event in events:
        known = fold(known, event)
    return known


def entry(repo):
    return RepoEntry(repo=repo, place=Place(node="n1", path=f"/srv/{repo}"))


# a run


def test_a_run_that_begins():
    text = "**shop** · ticket 2/3\n✓ 1 done before\ngetting ready"
    assert cards.run(told(*STORY[:1])) == Card(
        id="run-r1", revision=0, text=text, tone="working", choices=(STOP,), live=None
    )


def test_a_turn_is_followed_live_with_its_last_tools():
    known = told(*STORY)
    tools = ()
    for title, state in (("ls", "done"), ("cat a.py", "done"), ("pytest -q", "failed"), ("edit `a.py`", "began")):
        tools = use(tools, ToolUsed(turn="t", title=title, state=state))
    text = (
        "**shop** · ticket 2/3 · turn 1\n"
        "✓ 1 done before\n"
        "→ Add a discount\n"
        "codex works on it\n"
        "· `cat a.py`\n"
        "✗ `pytest -q`\n"
        "… `edit 'a.py'`"
    )
    card = cards.run(replace(known, tools=tools))
    assert card == Card(id="run-r1", revision=0, text=text, tone="working", choices=(STOP,), live=SESSION)


def test_a_tool_that_has_ended_takes_the_place_of_its_beginning():
    tools = use((), ToolUsed(turn="t", title="ls", state="began"))
    assert use(tools, ToolUsed(turn="t", title="ls", state="done")) == (Tool("ls", "done"),)


def test_every_kind_of_turn_has_its_words():
    does = {}
    for why in ("work", "lint", "commit", "reply"):
        known = told(*STORY[:2], TurnBegun(ticket="t", turn=1, agent="codex", session=SESSION, why=why))
        does[why] = cards.run(known).text.splitlines()[-1]
    assert does == {
        "work": "codex works on it",
        "lint": "codex mends the ticket's file",
        "commit": "codex commits its work",
        "reply": "codex goes on with your answer",
    }


def test_between_two_turns_nothing_is_live():
    card = cards.run(told(*STORY, TurnDone(ticket="TICKET-002.md", turn=1, said="fine")))
    assert card.text == (
        "**shop** · ticket 2/3 · turn 1\n✓ 1 done before\n→ Add a discount\nlooking at what has changed"
    )
    assert card.live is None


def test_a_finished_ticket_is_ticked_off():
    card = cards.run(told(*STORY, DONE))
    assert card.text == (
        "**shop** · ticket 3/3 · turn 1\n✓ 1 done before\n✓ Add a discount\nlooking at what has changed"
    )


def test_of_many_finished_tickets_the_newest_are_named():
    done = [TicketDone(ticket=f"t{n}", title=f"Title {n}", done=n, total=12) for n in range(1, 13)]
    lines = cards.run(told(RunStarted(repo="shop", tickets=12, done=0), *done)).text.splitlines()
    assert lines[0] == "**shop** · ticket 12/12"
    assert lines[1:4] == ["✓ 2 done before", "✓ Title 3", "✓ Title 4"]
    assert lines[-2] == "✓ Title 12"


def test_a_question_stands_on_a_card_of_its_own():
    known = told(*STORY, RunPaused(code="question", reason="Which colour?"))
    text = "**shop** asks: Which colour?\n\nBlue or red?\nBoth are there.\n\nAnswer by writing here."
    body = "Blue or red?\nBoth are there."
    assert cards.question(known, ("Which colour?", body), "q1") == Card(
        id="run-r1-q1", revision=0, text=text, tone="question", final=True
    )
    assert cards.run(known) == Card(
        id="run-r1",
        revision=0,
        text="**shop** · ticket 2/3 · turn 1 · waits for your answer\n✓ 1 done before\n→ Add a discount",
        choices=(RESUME, STOP),
    )


def test_a_question_in_a_room_of_another_repository_says_how_to_answer():
    card = cards.question(told(*STORY), ("Which colour?", ""), "q1", here=False)
    assert card.text == "**shop** asks: Which colour?\n\nTo answer, type `/bind shop` first, then write here."
    assert card.choices == (Choice(label="shop", says="/bind shop"),)


def test_any_other_pause_says_why():
    reason = "codex cannot be started: no such program; install it, then type /flow resume"
    known = told(*STORY, RunPaused(code="agent", reason=reason))
    text = f"**shop** · ticket 2/3 · turn 1 · paused\n✓ 1 done before\n→ Add a discount\n{reason}"
    assert cards.paused(known, reason) == Card(
        id="run-r1", revision=0, text=text, tone="bad", choices=(RESUME, STOP), final=True
    )
    assert cards.paused(known, reason, "more of it").text == f"{text}\nmore of it"


def test_a_run_that_goes_on_is_at_work_again():
    card = cards.run(told(*STORY, RunPaused(code="agent", reason="x"), RunResumed()))
    assert (card.tone, card.choices, card.final) == ("working", (STOP,), False)
    assert card.text.endswith("→ Add a discount\nlooking at what has changed")


def test_a_run_that_was_stopped():
    text = (
        "**shop** · stopped\n"
        "✓ 1 done before\n"
        "✓ Add a discount\n"
        "2 of 3 tickets done\n"
        "`/flow start` begins again with the first ticket that is not done."
    )
    known = told(*STORY, DONE, RunStopped())
    assert cards.stopped(known) == Card(id="run-r1", revision=0, text=text, final=True)


def test_a_run_that_is_completed():
    commits = (Commit(id="abc1234def", subject="Add a discount"), Commit(id="def5678abc", subject="Say it\nloud"))
    event = RunCompleted(
        done=3,
        turns=4,
        commits=commits,
        diffstat=Diffstat(files=3, insertions=10, deletions=2),
        seconds=125.4,
    )
    text = (
        "**shop** · all tickets are done\n"
        "✓ 1 done before\n"
        "✓ Add a discount\n"
        "✓ Write the manual\n"
        "3 tickets · 4 turns · 2 min 5 s\n"
        "`abc1234` Add a discount\n"
        "`def5678` Say it loud\n"
        "3 files changed, 10 lines added, 2 removed"
    )
    known = told(*STORY, DONE, TicketDone(ticket="t", title="Write the manual", done=3, total=3), event)
    assert cards.completed(known, event) == Card(id="run-r1", revision=0, text=text, tone="good", final=True)


def test_a_run_that_changed_nothing_says_little():
    event = RunCompleted(done=1, turns=1, seconds=3.2)
    known = told(RunStarted(repo="shop", tickets=1, done=1), event)
    text = "**shop** · all tickets are done\n✓ 1 done before\n1 ticket · 1 turn · 3 s"
    assert cards.completed(known, event).text == text


def test_of_many_commits_the_newest_are_named():
    commits = tuple(Commit(id=f"{n:07}", subject=f"Change {n}") for n in range(25))
    lines = cards.completed(
        told(*STORY), RunCompleted(done=1, turns=1, commits=commits, seconds=7300)
    ).text.splitlines()
    assert lines[2:5] == ["1 ticket · 1 turn · 2 h 1 min", "5 commits before these:", "`0000005` Change 5"]
    assert lines[-1] == "`0000024` Change 24"


def test_what_an_agent_tells_is_passed_on():
    card = cards.told(told(*STORY), Told(ticket="t", title="Half way", body="The tests pass."), "n1")
    assert card == Card(id="run-r1-n1", revision=0, text="**shop** says: Half way\n\nThe tests pass.")
    assert cards.told(told(*STORY), Told(ticket="t", title="", body="Hm."), "n1").text == "**shop** says:\n\nHm."
    assert cards.told(told(*STORY), Told(ticket="t", title="Hm.", body=""), "n1").text == "**shop** says: Hm."


# how it stands


def view(**more):
    return RunView(run="r1", repo="shop", title="Add a discount", agent="codex", done=1, total=3, turns=4, **more)


def test_the_status_of_a_run_at_work_is_that_of_its_card():
    known = learn(Progress("r1"), view(status="running", session=SESSION))
    text = "**shop** · ticket 2/3 · turn 4\n✓ 1 done before\n→ Add a discount\ncodex works on it"
    assert cards.stands(known, ("", ""), "c1") == Card(
        id="c1", revision=0, text=text, tone="working", choices=(STOP,), final=True
    )


def test_the_status_of_a_run_that_waits_is_what_it_waits_for():
    asks = learn(Progress("r1"), view(status="paused", code="question"))
    card = cards.stands(asks, ("Which colour?", "Blue or red?"), "c1")
    text = "**shop** asks: Which colour?\n\nBlue or red?\n\nAnswer by writing here."
    assert card == Card(id="c1", revision=0, text=text, tone="question", choices=(RESUME, STOP), final=True)
    broken = learn(Progress("r1"), view(status="paused", code="agent"))
    text = "**shop** · ticket 2/3 · turn 4 · paused\n✓ 1 done before\n→ Add a discount\ncodex died"
    card = cards.stands(broken, ("codex died", ""), "c1")
    assert card == Card(id="c1", revision=0, text=text, tone="bad", choices=(RESUME, STOP), final=True)


def test_the_status_of_a_run_that_stops():
    card = cards.stands(learn(Progress("r1"), view(status="stopping")), ("", ""), "c1")
    assert card.text == "**shop** · ticket 2/3 · turn 4 · stopping\n✓ 1 done before\n→ Add a discount"
    assert card.choices == ()


def test_the_status_where_no_run_is_active():
    place = Place(node="n1", path="/srv/shop")
    text = (
        "**shop** · nothing runs here\n"
        "`/srv/shop`\n"
        "`/flow start` lets agents work through the tickets; any other line goes to an agent."
    )
    idle = cards.idle(RepoView(repo="shop", place=place), "c1")
    assert idle == Card(id="c1", revision=0, text=text, choices=(START,), final=True)
    busy = cards.idle(RepoView(repo="shop", place=place, busy=True), "c1")
    assert busy.text.splitlines()[0] == "**shop** · an agent answers here now"
    assert busy.choices == ()


def test_nobody_works_in_a_run_that_waits_or_has_no_session():
    assert not learn(Progress("r1"), view(status="paused", session=SESSION)).working
    assert not learn(Progress("r1"), view(status="running")).working


# a free turn


def test_a_message_waits_and_is_answered():
    waiting = Talking("t1", "shop", session=SESSION)
    text = "**shop** · your message waits for the agent"
    assert cards.talking(waiting) == Card(id="talk-t1", revision=0, text=text, tone="working")
    begun = replace(waiting, begun=True, agent="codex", tools=(Tool("ls", "done"),))
    text = "**shop** · codex answers\n· `ls`"
    assert cards.talking(begun) == Card(id="talk-t1", revision=0, text=text, tone="working", live=SESSION)
    ended = TurnEnded(turn="t1", outcome="done", text="It is **blue**.")
    assert cards.answered(begun, ended) == Card(id="talk-t1", revision=0, text="It is **blue**.", final=True)


def test_a_turn_that_was_not_done_says_so():
    talk = Talking("t1", "shop", agent="codex", begun=True)

    def shown(**how):
        card = cards.answered(talk, TurnEnded(turn="t1", **how))
        assert card.final
        return card.tone, card.text

    assert shown(outcome="done") == ("plain", "codex ended its turn without a word.")
    assert shown(outcome="interrupted", text="I was") == ("bad", "I was\n\ncodex was interrupted.")
    assert shown(outcome="failed", error="codex died; write it again") == ("bad", "codex died; write it again")
    assert shown(outcome="failed", text="Half") == ("bad", "Half\n\ncodex could not answer.")
    nobody = cards.answered(Talking("t1", "shop"), TurnEnded(turn="t1", outcome="interrupted", error="it was closed"))
    assert nobody.text == "the agent was interrupted. it was closed"


def test_a_text_that_is_too_long_is_cut_with_a_note():
    assert cards.cut("x" * 30_000) == "x" * 30_000
    assert cards.cut("x" * 30_001) == "x" * 30_000 + "…\n\n(cut here: the whole text has 30001 characters)"


def test_a_line_is_short_and_without_markup():
    assert line(" a\n b\t**c** `d` ") == "a b *c* 'd'"
    assert line("x" * 101) == "x" * 99 + "…"


# what was asked


def test_help_shows_every_word():
    text = (
        "`/help` show these words\n"
        "`/status` show what happens in the repository\n"
        "`/repos` show the repositories\n"
        "`/bind <repo>` work with this repository from now on\n"
        "`/flow start` let agents work through the tickets\n"
        "`/flow status` show how far the run is\n"
        "`/flow stop` end the run\n"
        "`/flow resume [text]` let the paused run go on\n"
        "Any other line goes to the agent of the repository, or answers the run that asks.\n"
    )
    unbound = "This room takes the repository of the folder you speak from, or the only one; `/bind` chooses one."
    assert cards.helped("", "c1") == Card(id="c1", revision=0, text=text + unbound, final=True)
    assert cards.helped("shop", "c1").text == text + "This room works with **shop**."


def test_a_word_that_is_none_names_those_that_may_be_meant():
    said = read("/stop now")
    card = cards.unknown(said, closest(said), "c1")
    text = "There is no word `/stop` here. Did you mean `/flow stop` or `/flow start`?"
    choices = tuple(Choice(label=says, says=says) for says in ("/flow stop", "/flow start"))
    assert card == Card(id="c1", revision=0, text=text, tone="bad", choices=choices, final=True)
    strange = cards.unknown(Line("/xyzzy"), (), "c1")
    assert strange.text == "There is no word `/xyzzy` here. `/help` shows the words that there are."


def test_the_repositories_are_listed_with_a_button_for_each():
    card = cards.repos((entry("api"), entry("shop")), "shop", "c1")
    text = "· **api** `/srv/api`\n→ **shop** `/srv/shop`"
    choices = (Choice(label="api", says="/bind api"), Choice(label="shop", says="/bind shop"))
    assert card == Card(id="c1", revision=0, text=text, choices=choices, final=True)


def test_without_any_repository_it_is_said_what_to_type():
    text = "There is no repository yet. Type `car repo add PATH` in a terminal."
    assert cards.repos((), "", "c1") == Card(id="c1", revision=0, text=text, tone="bad", final=True)


def test_of_many_repositories_the_first_are_named():
    card = cards.repos(tuple(entry(f"r{n}") for n in range(25)), "", "c1")
    assert card.text.splitlines()[-1] == "and 5 more; `/bind` takes the name of each"
    assert len(card.choices) == 20


def test_which_repository_is_asked_with_what_follows():
    card = cards.which((entry("api"), entry("shop")), "/flow start", "c1")
    text = "Which repository shall this room work with? Then I do what you wrote: `/flow start`"
    choices = (Choice(label="api", says="/bind api"), Choice(label="shop", says="/bind shop"))
    assert card == Card(id="c1", revision=0, text=text, tone="question", choices=choices, final=True)
    assert cards.which((entry("api"),), "", "c1").text == "Which repository shall this room work with?"


def test_a_repository_that_is_not_there():
    card = cards.missing("shp", (entry("shop"),), "c1")
    text = "No repository is called `shp`. Did you mean `shop`?"
    choices = (Choice(label="shop", says="/bind shop"),)
    assert card == Card(id="c1", revision=0, text=text, tone="bad", choices=choices, final=True)
    assert cards.missing("x", (), "c1").text == "No repository is called `x`. `/repos` shows those that there are."


def test_a_room_that_is_bound():
    text = "This room works with **shop** now.\n`/srv/shop`"
    card = cards.bound(entry("shop"), "c1", final=True)
    assert card == Card(id="c1", revision=0, text=text, tone="good", final=True)
