"""What a room has been shown, kept by the server: a card that comes again has no second effect, however late it comes.

A room's cards come from one actor, in order, each envelope with the mark of the write that it was said by. So one place
in that order tells what was shown. It is kept after a card is surely shown and before the card is acknowledged: where a
bridge is cut between the two, at most that one card is shown again. Beside it stand the proofs of the cards that were
shown last, so that their next versions replace them also after a restart.
"""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from actors.runtime.nats.layout import SHOWN
from actors.runtime.nats.link import Link
from actors.runtime.ports import Conflict
from bridges.vigil import patiently
from protocol.address import Address
from protocol.chat import Card
from protocol.envelope import Envelope, Mark
from protocol.errors import Refused, Unreadable

KEPT = 200
"""Cards of a room whose proofs are kept. The one that was shown longest ago is forgotten first, be it progress or a
question: it is not shown again, but its next version comes as a new card."""

log = structlog.get_logger()

Show = Callable[[Card, str], Awaitable[str]]
"""Shows a card in the place of the one with this proof (or nothing), and returns the proof that it is there."""


class Proof(BaseModel):
    """That one card was shown: which version of it, and how its network calls it."""

    model_config = ConfigDict(frozen=True)

    revision: int
    proof: str = ""


class Shown(BaseModel):
    """How far a room has been shown its cards: up to card ``number`` of what write ``revision`` of ``epoch`` said."""

    model_config = ConfigDict(frozen=True)

    epoch: str = ""
    revision: int = 0
    number: int = 0
    cards: dict[str, Proof] = {}


class Place(NamedTuple):
    """Where a card stands: the mark of its envelope (where there is one), and its number in there from 1 on."""

    mark: Mark | None
    number: int


def is_new(shown: Shown, place: Place, card: Card) -> bool:
    """Tell whether a card was not shown yet. The revisions of a room that was left begin anew, so its marks tell it."""
    if place.mark is None:
        known = shown.cards.get(card.id)
        return known is None or card.revision > known.revision
    before = (shown.revision, shown.number) if place.mark.epoch == shown.epoch else (0, 0)
    return (place.mark.revision, place.number) > before


def after(shown: Shown, place: Place, card: Card, proof: str) -> Shown:
    """Return what is known when a card was shown."""
    others = {id_: one for id_, one in shown.cards.items() if id_ != card.id}
    newest = list({**others, card.id: Proof(revision=card.revision, proof=proof)}.items())[-KEPT:]
    if place.mark is None:
        return shown.model_copy(update={"cards": dict(newest)})
    return Shown(epoch=place.mark.epoch, revision=place.mark.revision, number=place.number, cards=dict(newest))


class Wall:
    """The cards of one room on their way to people."""

    def __init__(self, link: Link, out_: Address, show: Show) -> None:
        """Show the cards that go to an address; what was shown before is read first."""
        self._link = link
        self._room = out_
        self._show = show
        self._shown = Shown()
        self._sequence = 0

    async def read(self) -> None:
        """Read what was shown before."""
        self._shown, self._sequence = await patiently(self._stored)

    async def hang(self, envelope: Envelope) -> None:
        """Show what is new in an envelope, and keep of each card that it was shown."""
        for number, letter in enumerate(envelope.letters, 1):
            try:
                card = letter.open()
            except Unreadable as error:
                log.warning("a card cannot be read", room=str(self._room), error=str(error))
                continue
            place = Place(envelope.mark, number)
            if isinstance(card, Card) and is_new(self._shown, place, card):
                self._shown = after(self._shown, place, card, await self._present(card))
                await patiently(self._keep)

    async def _present(self, card: Card) -> str:
        """Show one card, however long its network is away; one that is refused holds up no other."""
        known = self._shown.cards.get(card.id)
        try:
            return await patiently(lambda: self._show(card, known.proof if known else ""))
        except Refused as error:
            log.warning("a card was refused", room=str(self._room), card=card.id, error=str(error))
            return known.proof if known else ""

    async def _keep(self) -> None:
        headers = {"Nats-Expected-Last-Subject-Sequence": str(self._sequence)}
        try:
            ack = await self._link.store(self._subject, self._shown.model_dump_json().encode(), headers)
        except Conflict:
            stored, self._sequence = await self._stored()
            # It is ours where an answer was lost, and nobody's where it was too old to be kept.
            if self._sequence and stored != self._shown:
                raise Refused(f"somebody else shows the cards of {self._room} now") from None
            if not self._sequence:
                await self._keep()
        else:
            self._sequence = ack.seq

    async def _stored(self) -> tuple[Shown, int]:
        kept = await self._link.last(SHOWN, self._subject)
        if kept is None:
            return Shown(), 0
        try:
            return Shown.model_validate_json(kept.data), kept.seq
        except ValidationError as error:
            # To show nothing any more would be worse than to show a card twice.
            log.warning("it is not known what a room was shown", room=str(self._room), error=str(error))
            return Shown(), kept.seq

    @property
    def _subject(self) -> str:
        return f"car.shown.{self._room.key}"
