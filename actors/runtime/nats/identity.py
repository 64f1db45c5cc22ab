"""Who speaks: known by the subject, which only one key may write to, and never by a header.

What a host says is believed as it is. Of what a door or a custodian says, the body, the ids and the person's own id on
that network are believed, and all that a header could claim beside them is dropped or refused.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import replace

from protocol.address import Address
from protocol.envelope import Envelope, Letter
from protocol.errors import Unreadable
from protocol.message import Event, Message, known
from protocol.node import Unwatch, Watch

HOSTS = "mail"
"""The voice of the hosts."""
SAID = "said_"
LONGEST = 200
"""Characters of the name of a person."""
_DOOR = re.compile(r"[a-z][a-z_]*")
_ID = re.compile(r"[!-~]{1,200}")
"""What may be an id: nothing that is not seen, and no more than a record can hold sixteen of."""
_INBOX = re.compile(r"_INBOX_([a-z_]+)(\.[A-Za-z0-9_-]+)+")
"""What may be an inbox: a blank in it would break the wire of the host that answers."""
_INFO = "Nats-Request-Info"


class Forged(Unreadable):
    """Somebody claims what is not theirs. No host of any version will believe it."""


def believe(voice: str, envelope: Envelope) -> Envelope:
    """Return what is to be believed of an envelope that came under a voice; raise ``Forged`` where it claims more."""
    if voice == HOSTS:
        return envelope
    if not voice.startswith(SAID) or not _DOOR.fullmatch(door := voice.removeprefix(SAID)):
        raise Unreadable(f"nobody speaks with the voice {voice!r}")
    for one in envelope.letters:
        if not _ID.fullmatch(one.id):
            raise Forged(f"{door} may not call a message {one.id[:40]!r}: an id is short and has no blanks")
    return _custodian(envelope) if door == "custodian" else _door(door, envelope)


def voice_of(headers: Mapping[str, str]) -> str:
    """Return the voice of whoever asks: the server itself names the account from which a question came, if another."""
    try:
        account = json.loads(headers.get(_INFO, "{}"))["acc"]
    except (ValueError, KeyError, TypeError):
        return HOSTS
    return f"{SAID}{str(account).removeprefix('CAR_').lower()}"


def private_id(seed: str, id_: str) -> str:
    """Return the id by which a server knows a message again, such that nobody without our key can have said it before.

    The server knows ids for a whole stream, whoever says them: one that others can guess could be used up by them, and
    the message itself would be taken for a repeat and dropped.
    """
    return f"{id_}:{hmac.new(seed.encode(), id_.encode(), hashlib.sha256).hexdigest()[:16]}" if seed else id_


def _door(door: str, envelope: Envelope) -> Envelope:
    """Believe a door: it has no record, so no marks and timers, answers nobody, and says wishes of its people."""
    if envelope.person and not (envelope.person.startswith(f"{door}:") and len(envelope.person) <= LONGEST):
        raise Forged(f"{door} may not speak for {envelope.person[:80]!r}: its people are called {door}:…")
    inbox = _INBOX.fullmatch(envelope.inbox)
    if envelope.inbox and not (inbox and inbox[1] == door):
        raise Forged(f"{door} may not have {envelope.inbox[:80]!r} answered, only inboxes of its own")
    for one in envelope.letters:
        if _is(one, Event, Watch, Unwatch):
            raise Forged(f"{door} may not say {one.name}: a door says what people wish, not what happened")
    return Envelope(
        sender=Address("door", door),
        letters=tuple(replace(one, id=f"{door}-{one.id}", re="") for one in envelope.letters),
        person=envelope.person,
        inbox=envelope.inbox,
    )


def _custodian(envelope: Envelope) -> Envelope:
    """Believe a custodian: it tells what became of processes and of what it was told, as a worker of a machine."""
    sender = envelope.sender
    node, _, rest = sender.key.partition(".")
    name = rest.partition(".")[0]
    is_custody = name == "custody" or re.fullmatch(rf"{re.escape(node)}-\d+-\d+", name)
    if sender.kind != "work" or sender.key.count(".") != 2 or not is_custody:  # noqa: PLR2004  # node, worker, key
        raise Forged(f"a custodian may not speak as {sender}")
    for one in envelope.letters:
        if not _is(one, Event) and _message(one):
            raise Forged(f"a custodian may not say {one.name}: it tells what happened, and wishes nothing")
    return replace(envelope, person="", inbox="", mark=None, fire=None)


def _is(one: Letter, *kinds: type[Message]) -> bool:
    found = _message(one)
    return found is not None and issubclass(found, kinds)


def _message(one: Letter) -> type[Message] | None:
    """Return the class of a message; where it is of a newer version, whoever opens it says so."""
    try:
        return known(one.name)
    except Unreadable:
        return None
