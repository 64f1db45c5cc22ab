"""What a person sees: whole stories, from a line in a chat to the last card."""

import pytest

from protocol.address import Address
from protocol.chat import Said
from protocol.flow import RunPaused, RunStarted, TurnBegun
from protocol.hub import AddRepo, RepoAdded
from protocol.node import Refusal
from protocol.repo import AddTicket, DescribeRepo, FlowAccepted, StartFlow, TicketAdded
from protocol.session import Place, TurnEnded
from tests.actors import plays
from tests.actors.plays import DESK, ONE, SOFA, say, shop
from tests.machine import NODE
from tests.player import Die, Dispatch, Sleep, work
from tests.stage import HUB, Stage

SHOP = Address("repo", "shop")
DIED = "the agent demo ended with exit code 139 in the middle of its turn"
AGAIN = "type /flow resume to try again"


def put_on(play: plays.Play) -> Stage:
    stage = Stage()
    play(stage)
    assert stage.dead == []
    return stage


def texts(stage: Stage, room: str = DESK) -> list[str]:
    return [card.text for card in stage.cards(room)]


def heads(stage: Stage, room: str = DESK) -> list[str]:
    """Return the first and the last line of each card."""
    return [" | ".join(dict.fromkeys((text.splitlines()[0], text.splitlines()[-1]))) for text in texts(stage, room)]


def status(stage: Stage) -> str:
    return stage.state(stage.actors("run")[-1]).status


def whys(stage: Stage) -> list[str]:
    return [event.why for event in stage.told if isinstance(event, TurnBegun)]


def pauses(stage: Stage) -> list[tuple[str, str]]:
    return [(event.code, event.reason) for event in stage.told if isinstance(event, RunPaused)]


# tickets


def test_a_person_starts_a_flow_and_sees_three_tickets_done():
    stage = put_on(plays.three_tickets)
    one, two, three = "Fix the test", "Add a feature", "Write a document"
    brought = "`c000001` 001\n`c000002` 002\n`c000003` 003\n3 files changed, 30 lines added, 0 removed"
    assert texts(stage) == [
        "**shop** · ticket 1/3\ngetting ready",
        f"**shop** · ticket 1/3\n→ {one}\ngetting ready",
        f"**shop** · ticket 1/3 · turn 1\n→ {one}\ndemo works on it",
        f"**shop** · ticket 1/3 · turn 1\n→ {one}\ndemo works on it\n· `edit 001`",
        f"**shop** · ticket 1/3 · turn 1\n→ {one}\nlooking at what has changed",
        f"**shop** · ticket 2/3 · turn 1\n✓ {one}\nlooking at what has changed",
        f"**shop** · ticket 2/3 · turn 1\n✓ {one}\n→ {two}\nlooking at what has changed",
        f"**shop** · ticket 2/3 · turn 2\n✓ {one}\n→ {two}\ndemo works on it",
        f"**shop** · ticket 2/3 · turn 2\n✓ {one}\n→ {two}\ndemo works on it\n· `edit 002`",
        f"**shop** · ticket 2/3 · turn 2\n✓ {one}\n→ {two}\nlooking at what has changed",
        f"**shop** · ticket 3/3 · turn 2\n✓ {one}\n✓ {two}\nlooking at what has changed",
        f"**shop** · ticket 3/3 · turn 2\n✓ {one}\n✓ {two}\n→ {three}\nlooking at what has changed",
        f"**shop** · ticket 3/3 · turn 3\n✓ {one}\n✓ {two}\n→ {three}\ndemo works on it",
        f"**shop** · ticket 3/3 · turn 3\n✓ {one}\n✓ {two}\n→ {three}\ndemo works on it\n· `edit 003`",
        f"**shop** · ticket 3/3 · turn 3\n✓ {one}\n✓ {two}\n→ {three}\nlooking at what has changed",
        f"**shop** · ticket 3/3 · turn 3\n✓ {one}\n✓ {two}\n✓ {three}\nlooking at what has changed",
        f"**shop** · all tickets are done\n✓ {one}\n✓ {two}\n✓ {three}\n3 tickets · 3 turns · 0 s\n{brought}",
    ]
    assert len({card.id for card in stage.cards(DESK)}) == 1
    assert [card.final for card in stage.cards(DESK)] == [*(False,) * 16, True]
    assert stage.machine.alive == []


def test_a_question_is_asked_and_plain_text_is_its_answer():
    stage = put_on(plays.question)
    asked = next(card for card in stage.cards(DESK) if card.tone == "question")
    assert asked.text == "**shop** asks: Which colour?\n\nBlue or green?\n\nAnswer by writing here."
    assert asked.final
    (checkout,) = stage.machine.checkouts.values()
    assert list(checkout.notes.values()) == ["Blue, please."]
    assert "<CAR_HUMAN_REPLIES>\nBlue, please.\n</CAR_HUMAN_REPLIES>" in stage.machine.prompts[1].text
    assert whys(stage) == ["work", "reply", "work"]
    assert len(stage.machine.players) == 2, "the agent that asked gets the answer"
    assert status(stage) == "completed"


def test_what_an_agent_tells_is_shown_while_it_goes_on():
    stage = put_on(plays.news)
    assert "**shop** says: Halfway\n\nThe parser is done." in texts(stage)
    assert (status(stage), whys(stage)) == ("completed", ["work", "work"])


def test_two_starts_at_once_make_one_run():
    stage = put_on(plays.two_starts)
    assert len(stage.actors("run")) == 1
    assert sum(isinstance(event, RunStarted) for event in stage.told) == 1
    assert texts(stage, SOFA)[-1] == texts(stage, DESK)[-1]
    assert texts(stage)[-1].startswith("**shop** · all tickets are done\n")


def test_two_starts_at_the_door_hear_of_the_same_run():
    stage = Stage()
    shop(stage)
    first, second = stage.put(SHOP, StartFlow()), stage.put(SHOP, StartFlow())
    stage.settle()
    (run,) = stage.actors("run")
    assert stage.answer(first) == FlowAccepted(repo="shop", run=run.key, fresh=True)
    assert stage.answer(second) == FlowAccepted(repo="shop", run=run.key)


def test_an_agent_that_forgets_to_commit_is_told_to():
    stage = put_on(plays.forgotten_commit)
    assert whys(stage) == ["work", "commit"]
    assert "- a.py" in stage.machine.prompts[1].text
    assert "**shop** · ticket 1/1 · turn 2\n→ Fix the test\ndemo commits its work" in texts(stage)
    assert status(stage) == "completed"


def test_an_agent_that_never_commits_is_a_matter_for_a_person():
    stage = put_on(plays.never_committed)
    why = f"{ONE} is done, but its agent did not commit everything in 2 turns more: a.py"
    assert pauses(stage) == [("needs_fix", f"{why}; commit or stash them, then type /flow resume")]
    assert whys(stage) == ["work", "commit", "commit"]
    assert status(stage) == "completed"


def test_a_ticket_that_its_agent_broke_is_mended():
    stage = put_on(plays.broken_ticket)
    assert whys(stage) == ["work", "lint"]
    assert "- TICKET-001.md, line 3: done is neither true nor false" in stage.machine.prompts[1].text
    assert status(stage) == "completed"


def test_a_dirty_checkout_is_refused_with_its_paths():
    stage = put_on(plays.dirty_checkout)
    said = "the checkout has changes that are not committed: mine.py; commit or stash them, then type /flow start"
    assert texts(stage) == [said]
    assert stage.machine.players == {}


# trouble


@pytest.mark.parametrize(
    ("play", "reason"),
    [
        (
            plays.death,
            f"{DIED}; its last words on stderr: Segmentation fault; {AGAIN}",
        ),
        (plays.failure, f"the agent demo: the quota is used up; {AGAIN}"),
        (
            plays.missing_agent,
            f"the agent gemini cannot be started: no program of the agent gemini is installed; {AGAIN}",
        ),
        (plays.lost_twice, f"the agent demo was lost in the middle of its turn: nobody saw its process end; {AGAIN}"),
    ],
)
def test_a_run_whose_agent_fails_pauses_with_the_reason_and_can_go_on(play, reason):
    stage = put_on(play)
    assert pauses(stage) == [("agent", reason)]
    paused = next(card for card in stage.cards(DESK) if card.tone == "bad")
    assert paused.text.splitlines()[-1] == reason
    assert (paused.final, [one.says for one in paused.choices]) == (True, ["/flow resume", "/flow stop"])
    assert texts(stage)[-1].startswith("**shop** · all tickets are done\n")
    assert stage.machine.alive == []


def test_an_agent_that_never_answers_is_not_waited_for():
    stage = put_on(plays.mute_agent)
    assert pauses(stage) == [("agent", f"the agent mute did not answer within 60 s; {AGAIN}")]
    assert stage.machine.alive == []


def test_the_last_words_of_an_agent_are_heard():
    stage = put_on(plays.last_words)
    assert pauses(stage) == []
    assert status(stage) == "completed"


def test_a_lost_custodian_costs_a_turn_and_not_the_run():
    stage = put_on(plays.lost_custodian)
    assert pauses(stage) == []
    lost = [event for event in stage.told if isinstance(event, TurnEnded) and event.trouble == "lost"]
    assert len(lost) == 1
    first, second = list(stage.machine.players.values())[:2]
    assert first.role.session != second.role.session
    assert stage.state(second.role.session).custodian == "custodian-2"
    assert status(stage) == "completed"


def test_a_worker_that_fails_pauses_the_run_with_its_words():
    stage = put_on(plays.full_disk)
    assert pauses(stage) == [("worker", "git failed: no space left on device")]
    assert status(stage) == "completed"


def test_a_worker_that_cannot_be_reached_pauses_the_run():
    stage = put_on(plays.full_queue)
    why = "the worker work/n1.git.shop could not be reached: the mailbox of work/n1.git.shop is full"
    assert pauses(stage) == [("worker", f"{why}; type /flow resume to go on")]
    assert status(stage) == "completed"


# people


def test_a_run_is_stopped_in_the_middle_of_a_turn():
    stage = put_on(plays.stopped_in_turn)
    hint = "`/flow start` begins again with the first ticket that is not done."
    assert texts(stage)[-1] == f"**shop** · stopped\n0 of 2 tickets done\n{hint}"
    ended = [event.outcome for event in stage.told if isinstance(event, TurnEnded)]
    assert (ended, status(stage), stage.machine.alive) == (["interrupted"], "stopped", [])


def test_an_agent_that_does_not_stop_is_ended():
    stage = put_on(plays.stubborn_agent)
    assert (status(stage), stage.machine.alive) == ("stopped", [])


def test_a_run_is_stopped_while_it_is_paused():
    stage = put_on(plays.stopped_while_paused)
    assert heads(stage)[-2:] == [
        "**shop** asks: Which colour? | Answer by writing here.",
        "**shop** · stopped | `/flow start` begins again with the first ticket that is not done.",
    ]
    assert (status(stage), stage.machine.alive) == ("stopped", [])


def test_plain_text_is_refused_while_a_run_works():
    stage = put_on(plays.words_in_turn)
    said = "a run works in shop now; type /flow stop to end it, or /flow status to see it"
    assert [(card.text, card.final) for card in stage.cards(DESK) if card.tone == "bad"] == [(said, True)]
    assert len(stage.machine.prompts) == 1
    assert texts(stage)[-1].startswith(
        "**shop** · all tickets are done\n✓ Fix the test\n1 ticket · 1 turn · 10 min 0 s\n"
    )


def test_a_person_talks_freely_with_an_agent():
    stage = put_on(plays.talk)
    waits, answers = "**shop** · your message waits for the agent", "**shop** · codex answers"
    first, second = "You said: What is this?", "You said: And who are you?"
    assert texts(stage) == [waits, answers, first, waits, answers, second]
    assert len(stage.machine.players) == 1


def test_two_lines_to_an_agent_are_answered_one_after_the_other():
    stage = put_on(plays.talk_at_once)
    last = {card.id: card.text for card in stage.cards(DESK)}
    assert list(last.values()) == ["First.", "Second."]


def test_an_agent_that_died_while_it_answered_is_followed_by_another():
    stage = Stage()
    shop(stage)
    stage.machine.scripts[""].append((Die(2),))
    say(stage, "One", "Two")
    last = {card.id: card.text for card in stage.cards(DESK)}
    died = "the agent codex ended with exit code 2 in the middle of its turn"
    assert list(last.values()) == [died, "You said: Two"]


def test_the_free_agent_makes_room_for_a_run():
    stage = put_on(plays.talk_then_work)
    free, run, thanked = stage.machine.players.values()
    assert (free.alive, run.alive, thanked.alive) == (False, False, True)
    assert texts(stage)[-1] == "You said: Thank you."


def test_a_room_that_is_not_bound_asks_with_a_button_for_each_repository():
    stage = put_on(plays.choice)
    asked, bound, *rest = stage.cards(DESK)
    assert asked.text == "Which repository shall this room work with? Then I do what you wrote: `/flow start`"
    assert [(one.label, one.says) for one in asked.choices] == [("mill", "/bind mill"), ("shop", "/bind shop")]
    assert bound.text == "This room works with **shop** now.\n`/srv/shop`"
    assert rest[-1].text.startswith("**shop** · all tickets are done\n")
    assert [event.repo for event in stage.told if isinstance(event, RunStarted)] == ["shop"]


def test_a_room_takes_the_repository_in_which_its_person_stands():
    stage = Stage()
    shop(stage)
    stage.add("mill")
    stage.say(DESK, Said(text="/status", place=Place(node=NODE, path="/srv/shop/src")))
    hint = "`/flow start` lets agents work through the tickets; any other line goes to an agent."
    assert texts(stage) == [f"**shop** · nothing runs here\n`/srv/shop`\n{hint}"]


def test_what_an_agent_wants_outside_of_its_checkout_is_refused():
    stage = put_on(plays.permissions)
    (ended,) = (event for event in stage.told if isinstance(event, TurnEnded))
    assert ended.text.startswith("[yes][no]")


# the door


def test_a_folder_that_is_no_checkout_is_not_taken_into_the_hub():
    stage = Stage()
    shop(stage)
    assert stage.say(HUB, AddRepo(place=Place(node=NODE, path="/home/anna"))) == Refusal(
        text="/home/anna is no git checkout"
    )
    place = Place(node=NODE, path="/srv/shop")
    assert stage.say(HUB, AddRepo(place=place)) == RepoAdded(repo="shop", place=place, fresh=False)


def test_a_repository_that_is_not_there_is_said_to_be_none():
    said = "no repository is called nowhere; car repo list shows those that are there"
    assert Stage().say("repo/nowhere", StartFlow()) == Refusal(text=said)


def test_a_ticket_is_made_and_worked_on():
    stage = Stage()
    shop(stage)
    assert stage.say(SHOP, AddTicket(title="Paint", agent="demo")) == TicketAdded(path=plays.TWO)
    say(stage, "/flow start")
    assert texts(stage)[-1].startswith("**shop** · all tickets are done\n✓ Fix the test\n✓ Paint\n")


# restarts


def test_a_host_that_is_killed_in_between_goes_on_where_it_was():
    stage = put_on(plays.restart)
    assert (status(stage), whys(stage)) == ("completed", ["work", "work"])
    assert len(stage.machine.players) == 2
    said = "2 tickets · 2 turns · 1 min 0 s"
    assert said in texts(stage)[-1]
    assert sum(said in text for text in texts(stage)) == 1


def test_a_question_outlives_the_host():
    stage = Stage()
    shop(stage, (Dispatch("pause", "Which colour?"),))
    say(stage, "/flow start")
    stage.restart()
    say(stage, "Blue.")
    stage.restart()
    assert sum(card.tone == "question" for card in stage.cards(DESK)) == 1
    assert (status(stage), whys(stage)) == ("completed", ["work", "reply"])


def test_going_down_pauses_a_run_with_the_reason():
    stage = put_on(plays.going_down)
    assert pauses(stage) == [("interrupted", "stopped by car down")]
    assert status(stage) == "completed"


def test_a_query_is_answered_without_waking_anybody():
    stage = Stage()
    shop(stage, (Sleep(60), *work("a")))
    say(stage, "/flow start")
    view = stage.ask(SHOP, DescribeRepo())
    assert (view.repo, view.active, view.busy) == ("shop", True, True)
    stage.later(60)
    assert stage.ask(SHOP, DescribeRepo()).active is False
