"""The plays that are put on the stage: what people say, and what the agents do.

They look at nothing, so the same play can be put on whatever goes wrong.
"""

from collections.abc import Callable
from typing import TypeAlias

from protocol.address import worker
from protocol.chat import Pressed, Said
from protocol.hub import Quiesce
from protocol.work import Inspect
from tests.checkout import Checkout, ticket
from tests.machine import NODE
from tests.player import (
    Ask,
    Commit,
    Deed,
    Die,
    Dispatch,
    Edit,
    Fail,
    Finish,
    Mend,
    Quit,
    Resist,
    Say,
    Sleep,
    Spoil,
    Use,
    Vanish,
    work,
)
from tests.stage import HUB, Stage

DESK, SOFA = "chat_cli/desk", "chat_cli/sofa"
GIT = worker(NODE, "git", "shop")
TITLES = ("Fix the test", "Add a feature", "Write a document")
ONE = ".codex-autorunner/tickets/TICKET-001.md"
TWO = ".codex-autorunner/tickets/TICKET-002.md"

Play: TypeAlias = Callable[[Stage], None]


def shop(stage: Stage, *turns: tuple[Deed, ...], tickets: int = 1) -> Checkout:
    """Open a shop; on its first ticket the agents take these turns, and then they work as they should."""
    checkout = stage.add("shop", *(ticket(number, TITLES[number - 1]) for number in range(1, tickets + 1)))
    stage.machine.scripts[ONE].extend(turns)
    return checkout


def say(stage: Stage, *texts: str, room: str = DESK) -> None:
    """Write lines, each when all that the last has led to is done."""
    for text in texts:
        stage.say(room, Said(text=text))


def three_tickets(stage: Stage) -> None:
    shop(stage, tickets=3)
    say(stage, "/flow start")


def question(stage: Stage) -> None:
    shop(stage, (Use("read"), Dispatch("pause", "Which colour?", "Blue or green?")), tickets=2)
    say(stage, "/flow start", "Blue, please.")


def two_starts(stage: Stage) -> None:
    shop(stage, tickets=2)
    stage.put(DESK, Said(text="/flow start"))
    stage.put(SOFA, Said(text="/flow start"))
    stage.settle()


def forgotten_commit(stage: Stage) -> None:
    shop(stage, (Edit("a.py"), Finish(), Say("Done.")), (Commit("a"),))
    say(stage, "/flow start")


def never_committed(stage: Stage) -> None:
    checkout = shop(stage, (Edit("a.py"), Finish()), (), ())
    say(stage, "/flow start")
    checkout.commit("by hand")
    say(stage, "/flow resume")


def broken_ticket(stage: Stage) -> None:
    shop(stage, (*work("a"), Spoil("TICKET-001.md, line 3: done is neither true nor false")), (Mend(), Finish()))
    say(stage, "/flow start")


def death(stage: Stage) -> None:
    shop(stage, (Use("make test"), Say("Now I"), Die(139, "Segmentation fault\n")))
    say(stage, "/flow start", "/flow resume")


def failure(stage: Stage) -> None:
    shop(stage, (Fail("quota", "the quota is used up"),))
    say(stage, "/flow start", "/flow resume")


def lost_custodian(stage: Stage) -> None:
    shop(stage, (Use("make test"), Edit("half.py"), Vanish()), tickets=2)
    say(stage, "/flow start")


def lost_twice(stage: Stage) -> None:
    shop(stage, (Use("make test"), Vanish()), (Vanish(),))
    say(stage, "/flow start", "/flow resume")


def stopped_in_turn(stage: Stage) -> None:
    shop(stage, (Use("make"), Sleep(600)), tickets=2)
    say(stage, "/flow start")
    stage.later(5)
    say(stage, "/flow stop")
    stage.later(300)


def stopped_while_paused(stage: Stage) -> None:
    shop(stage, (Dispatch("pause", "Which colour?"),))
    say(stage, "/flow start", "/flow stop")
    stage.later(300)


def words_in_turn(stage: Stage) -> None:
    shop(stage, (Sleep(600), *work("a")))
    say(stage, "/flow start", "How is it going?")
    stage.later(601)


def talk(stage: Stage) -> None:
    shop(stage)
    say(stage, "What is this?", "And who are you?")


def talk_at_once(stage: Stage) -> None:
    shop(stage)
    stage.machine.scripts[""].extend([(Sleep(30), Say("First.")), (Say("Second."),)])
    say(stage, "One", "Two")
    stage.later(31)


def talk_then_work(stage: Stage) -> None:
    shop(stage)
    say(stage, "What is this?", "/flow start", "Thank you.")


def choice(stage: Stage) -> None:
    shop(stage)
    stage.add("mill", ticket(1, "Grind"))
    say(stage, "/flow start")
    card = stage.cards(DESK)[-1].id
    stage.say(DESK, Pressed(card=card, says="/bind shop"))


def restart(stage: Stage) -> None:
    shop(stage, (Use("make"), Sleep(60), *work("a")), tickets=2)
    say(stage, "/flow start")
    stage.restart()
    stage.later(30)
    stage.restart()
    stage.later(31)
    stage.restart()


def going_down(stage: Stage) -> None:
    shop(stage, (Use("make"), Sleep(600)))
    say(stage, "/flow start")
    stage.say(HUB, Quiesce(reason="stopped by car down"))
    stage.later(120)
    stage.restart()
    say(stage, "/flow resume")


def permissions(stage: Stage) -> None:
    shop(stage, (Ask("write", "/srv/shop/a.py"), Ask("peep", "/etc/passwd"), *work("a")))
    say(stage, "/flow start")


def news(stage: Stage) -> None:
    shop(stage, (Dispatch("notify", "Halfway", "The parser is done."),))
    say(stage, "/flow start")


def full_disk(stage: Stage) -> None:
    checkout = shop(stage)
    checkout.broken[Inspect] = "git failed: no space left on device"
    say(stage, "/flow start")
    checkout.broken.clear()
    say(stage, "/flow resume")


def full_queue(stage: Stage) -> None:
    shop(stage)
    stage.full.add(GIT)
    say(stage, "/flow start")
    stage.full.clear()
    say(stage, "/flow resume")


def dirty_checkout(stage: Stage) -> None:
    shop(stage).edit("mine.py")
    say(stage, "/flow start")


def missing_agent(stage: Stage) -> None:
    checkout = shop(stage)
    checkout.change(ONE, agent="gemini")
    say(stage, "/flow start")
    checkout.change(ONE, agent="codex")
    say(stage, "/flow resume")


def last_words(stage: Stage) -> None:
    shop(stage, (*work("a"), Quit()), tickets=2)
    say(stage, "/flow start")


def mute_agent(stage: Stage) -> None:
    checkout = shop(stage)
    checkout.change(ONE, agent="mute")
    say(stage, "/flow start")
    stage.later(100)


def stubborn_agent(stage: Stage) -> None:
    shop(stage, (Resist(), Sleep(600)))
    say(stage, "/flow start", "/flow stop")
    stage.later(100)


PLAYS: tuple[Play, ...] = (
    three_tickets,
    question,
    two_starts,
    forgotten_commit,
    never_committed,
    broken_ticket,
    death,
    failure,
    lost_custodian,
    lost_twice,
    stopped_in_turn,
    stopped_while_paused,
    words_in_turn,
    talk,
    talk_at_once,
    talk_then_work,
    choice,
    restart,
    going_down,
    permissions,
    news,
    full_disk,
    full_queue,
    dirty_checkout,
    missing_agent,
    last_words,
    mute_agent,
    stubborn_agent,
)
