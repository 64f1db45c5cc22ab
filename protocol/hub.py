"""What may be said to the hub, and what it says: which repositories there are, and on which machines."""

from protocol.message import Command, Event, Part, Query, View
from protocol.session import Place


class AddRepo(Command):
    """Take a git checkout into the hub. Without a ``repo`` id, its folder's name is taken."""

    place: Place
    repo: str = ""


class RepoAdded(Event):
    """The checkout is in the hub; ``fresh`` is false where it had been before."""

    repo: str
    place: Place
    fresh: bool = True


class Quiesce(Command):
    """Interrupt whatever runs, so that CAR can be ended."""

    reason: str


class Quiesced(Event):
    """These repositories were told to interrupt their work."""

    repos: tuple[str, ...] = ()


class DescribeHub(Query):
    """Which repositories are there?"""


class RepoEntry(Part):
    """One repository of the hub."""

    repo: str
    place: Place


class HubView(View):
    """The repositories, in the order of their ids."""

    repos: tuple[RepoEntry, ...] = ()
