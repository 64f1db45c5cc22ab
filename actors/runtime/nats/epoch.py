"""Epochs: each time that a store begins anew, so does what is counted in it, and the streams say from where on.

The sequences of a stream go on rising over all its epochs, so what was handled before stays known as handled. What is
new bears the name of its own epoch, so that no id is made twice where the same sequence is counted a second time.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from protocol.errors import Unreadable

LIST = "car-epochs"
"""The key in the metadata of a stream: ``a1b2:1 c3d4:5021``, each epoch with the first sequence that is its own."""
SINGLE = "car-epoch"
"""The key of earlier versions: the name of the only epoch."""


class Epoch(NamedTuple):
    """One epoch of a stream, and the first sequence that belongs to it."""

    name: str
    first: int


@dataclass(frozen=True, slots=True)
class Epochs:
    """All epochs of one stream, the oldest first; there is at least one."""

    all: tuple[Epoch, ...]

    @property
    def newest(self) -> str:
        """Return the name of the epoch that counts now."""
        return self.all[-1].name

    def of(self, seq: int) -> str:
        """Return the name of the epoch that a sequence belongs to."""
        for name, first in reversed(self.all):
            if seq >= first:
                return name
        return self.all[0].name

    def knows(self, name: str) -> bool:
        """Tell whether the stream has had an epoch of this name."""
        return any(one.name == name for one in self.all)

    def begun(self, name: str, first: int) -> "Epochs":
        """Return the epochs with a new one, from a sequence on; one that has begun already is left as it is."""
        return self if self.knows(name) else Epochs((*self.all, Epoch(name, first)))

    @property
    def metadata(self) -> dict[str, str]:
        """Return what a stream says of this; hosts of earlier versions find the oldest epoch."""
        return {LIST: str(self), SINGLE: self.all[0].name}

    def __str__(self) -> str:
        """Write it as ``read_text`` reads it."""
        return " ".join(f"{name}:{first}" for name, first in self.all)


def begun(name: str = "", first: int = 1) -> Epochs:
    """Return the epochs of a stream that is made now; without a name it gets one that nobody else has."""
    return Epochs((Epoch(name or secrets.token_hex(4), first),))


def read_epochs(metadata: Mapping[str, object]) -> Epochs:
    """Read the metadata of a stream; one that says nothing has a single epoch without a name."""
    text, single = metadata.get(LIST), metadata.get(SINGLE)
    if isinstance(text, str) and text:
        return read_text(text)
    return Epochs((Epoch(single if isinstance(single, str) else "", 1),))


def read_text(text: str) -> Epochs:
    """Read a list of epochs; raise ``Unreadable`` where it is none."""
    epochs = []
    for word in text.split(" "):
        name, colon, first = word.rpartition(":")
        if not colon or not first.isdecimal():
            raise Unreadable(f"{text!r} is no list of epochs, such as {'a1b2:1 c3d4:5021'!r}")
        epochs.append(Epoch(name, int(first)))
    return Epochs(tuple(epochs))


class Head(BaseModel):
    """How far a stream had come: its epochs, as its metadata says them, and its last sequence."""

    model_config = ConfigDict(frozen=True)
    epochs: str
    last: int


@dataclass(frozen=True, slots=True)
class Anew:
    """What is to begin anew when a host starts: the name of the epoch (nothing, as a rule) and the heads of before.

    A stream that has to be made again goes on above its old head: records may remember sequences up to there.
    """

    epoch: str = ""
    heads: Mapping[str, Head] = field(default_factory=dict)

    def made(self, stream: str) -> Epochs:
        """Return the epochs of a stream that is made now."""
        head = self.heads.get(stream) if self.epoch else None
        return read_text(head.epochs).begun(self.epoch, head.last + 1) if head else begun(self.epoch)

    def grown(self, epochs: Epochs, last: int) -> Epochs:
        """Return the epochs of a stream that is there and ends at ``last``."""
        return epochs.begun(self.epoch, last + 1) if self.epoch else epochs


NOTHING = Anew()
"""The rule: the store goes on as it is."""
