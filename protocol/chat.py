"""What people say in a chat, and what they are shown there."""

from typing import Literal

from protocol.address import Address
from protocol.message import Command, Event, Part, Query, View
from protocol.session import Place


class Said(Command):
    """A person wrote a line. ``place`` is the checkout or folder from where they speak, where that is known."""

    birth = True
    text: str
    place: Place | None = None


class Pressed(Command):
    """A person pressed a button of a card; ``says`` is what the button says for them."""

    birth = True
    card: str
    says: str
    place: Place | None = None


class Left(Command):
    """Nobody listens in this room any more."""


class Choice(Part):
    """One button under a card: it says ``says``, as if it had been typed."""

    label: str
    says: str


Tone = Literal["plain", "working", "good", "question", "bad"]


class Card(Event):
    """What a room is shown. A card of the same ``id`` and a higher ``revision`` replaces the old one.

    ``live`` is an actor whose words are shown below the card as they come. ``final`` is true where this card ends
    what the person has asked for; ``refused`` where that was not done, for a reason that it says.
    """

    id: str
    revision: int
    text: str
    tone: Tone = "plain"
    choices: tuple[Choice, ...] = ()
    live: Address | None = None
    final: bool = False
    refused: bool = False


class DescribeRoom(Query):
    """What does this room work with?"""


class RoomView(View):
    """The repository that the room was bound to (or nothing), and the runs that it follows."""

    repo: str = ""
    runs: tuple[str, ...] = ()
