"""Who may do what on the server: one account for hosts and their streams, and one for each of all others.

Whatever a server answers goes to the subject that the asker names, and streams keep what comes there: within one
account whoever may store anything could have the answer stored as anybody's record or mail. So only hosts are in the
account with the streams. All others import from it, subject by subject, what they may say and hear, and the answers
stay with them. Subjects have the same names on both sides: a server without accounts does for whoever trusts all.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

CAR = "CAR"
"""The account of the hosts and the streams."""
API = "$JS.API."
_OWN_API = "car.api."
"""Each account has an API of its own, which knows no streams and would answer first: that of the streams is called so
there. Whoever connects need not know; but what is refused is refused under this name."""
BRIDGES = ("telegram", "web")
"""Bridges of networks: one consumer for all cards of each, which bears its name and is made by the hosts."""


@dataclass(frozen=True, slots=True)
class User:
    """One key and what it may do.

    What it ``says`` is answered once at most, what it ``pulls`` by many messages. Hosts say what it ``hears``, and ask
    what it ``serves``. ``never`` are exceptions of what it says and pulls.
    """

    name: str
    says: tuple[str, ...] = ()
    pulls: tuple[str, ...] = ()
    hears: tuple[str, ...] = ()
    serves: tuple[str, ...] = ()
    never: tuple[str, ...] = ()

    @property
    def account(self) -> str:
        """Return the account of this user."""
        return CAR if self.name in _INSIDE else f"CAR_{self.name.upper()}"

    @property
    def inbox(self) -> str:
        """Return the subjects on which it is answered."""
        return f"_INBOX_{self.name}.>"


def _bridge(name: str) -> User:
    """Return what the bridge of a network may do: speak in its rooms, and show the cards that go there."""
    return User(
        name,
        says=(
            f"car.said_{name}.chat_{name}.*",
            f"car.shown.{name}.*",
            f"{API}DIRECT.GET.SHOWN.car.shown.{name}.*",
            f"{API}CONSUMER.INFO.OUT.{name}",
            f"{API}CONSUMER.RESET.OUT.{name}",
            f"$JS.ACK.OUT.{name}.>",
        ),
        pulls=(f"{API}CONSUMER.MSG.NEXT.OUT.{name}",),
        hears=("car.live.>",),
    )


HOST = User(
    "host",
    says=("car.>", f"{API}>", "$JS.ACK.>", "$KV.>", "$SRV.>", "_R_.>", "_INBOX_host.>", "_INBOX_cli.>"),
    hears=("car.>", "$KV.>", "$SRV.>", "$JS.EVENT.>"),
)
CUSTODIAN = User(
    "custodian",
    says=(
        "car.proc.*.out",
        "car.proc.*.err",
        "car.said_custodian.session.*",
        "car.dead.work.*",
        f"{API}CONSUMER.CREATE.WORK.>",
        f"{API}CONSUMER.INFO.WORK.*",
        f"{API}CONSUMER.RESET.WORK.*",
        "$JS.ACK.WORK.>",
        f"{API}DIRECT.GET.PROC.>",
    ),
    pulls=(f"{API}CONSUMER.MSG.NEXT.WORK.*", f"{API}DIRECT.GET.PROC"),
    hears=("car.proc.*.in",),
    serves=("car.ask.custodian.*",),
)
CLI = User(
    "cli",
    says=(
        "car.said_cli.hub.*",
        "car.said_cli.repo.*",
        "car.said_cli.run.*",
        "car.said_cli.chat_cli.*",
        "car.ask.>",
        "car.shown.cli.*",
        f"{API}DIRECT.GET.SHOWN.car.shown.cli.*",
        f"{API}CONSUMER.CREATE.OUT.*.car.out.cli.*",
        f"{API}CONSUMER.INFO.OUT.*",
        f"{API}CONSUMER.RESET.OUT.*",
        "$JS.ACK.OUT.>",
    ),
    pulls=(f"{API}CONSUMER.MSG.NEXT.OUT.*", f"{API}DIRECT.GET.EVENT"),
    hears=("car.live.>", "car.event.>"),
    # The rooms of terminals have consumers of their own, which they make; their names begin with cli-, but permissions
    # know whole tokens only, so the names that are not theirs are taken out. Whoever makes a consumer says where it
    # delivers to, be it into another stream: the terminal is the operator's, who may command everything anyway.
    never=tuple(
        subject
        for bridge in BRIDGES
        for subject in (
            f"{API}CONSUMER.*.OUT.{bridge}",
            f"{API}CONSUMER.MSG.NEXT.OUT.{bridge}",
            f"{API}CONSUMER.CREATE.OUT.{bridge}.>",
            f"$JS.ACK.OUT.{bridge}.>",
        )
    ),
)
OPS = User(
    "ops",
    says=(
        f"{API}INFO",
        f"{API}STREAM.NAMES",
        f"{API}STREAM.LIST",
        f"{API}STREAM.INFO.*",
        f"{API}CONSUMER.NAMES.*",
        f"{API}CONSUMER.LIST.*",
        f"{API}CONSUMER.INFO.*.*",
    ),
    pulls=("$SRV.>",),
)
"""People with the ``nats`` tool: they see how it stands, and change nothing. What is stored they do not read."""
EAR = User("ear", hears=("car.>", "$JS.EVENT.>"))
"""People who listen. What comes from other accounts is heard only among the hosts, so it is there; and it is mute, so
that nothing is answered to it."""
USERS = (HOST, CUSTODIAN, CLI, *map(_bridge, BRIDGES), OPS, EAR)
_INSIDE = ("host", "ear")
_DENIED = re.compile(r'permissions violation for (publish|subscription) to "([^"]+)"')


def denied(text: str) -> tuple[str, str] | None:
    """Return what the server has refused (``publish`` or ``subscription``) and its subject, where an error says so.

    The library says it in small letters, so the subject comes in small letters.
    """
    found = _DENIED.search(text.lower())
    if found is None:
        return None
    subject = found[2]
    return found[1], f"{API.lower()}{subject.removeprefix(_OWN_API)}" if subject.startswith(_OWN_API) else subject


def accounts(keys: Mapping[str, tuple[str, ...]], bound: int = 0) -> str:
    """Return the accounts as a server is configured with them.

    ``keys`` are the public keys of each user; ``bound`` is how many bytes the streams may take (0: all that there are).
    """
    inner = "\n".join((_hosts(keys, bound), *(_guest(user, keys[user.name]) for user in USERS if user.account != CAR)))
    return f"accounts {{\n{inner}\n  SYS {{}}\n}}\nsystem_account: SYS\n"


def _hosts(keys: Mapping[str, tuple[str, ...]], bound: int) -> str:
    limit = f"{{ max_file: {bound} }}" if bound else "enabled"
    inside = [row for user in USERS if user.account == CAR for row in _rows(user, keys[user.name])]
    served = [_import("service", user.account, one) for user in USERS for one in user.serves]
    return (
        f"  {CAR} {{\n    jetstream: {limit}\n"
        f"{_block('users', inside)}{_block('exports', _exports())}{_block('imports', served)}  }}"
    )


def _exports() -> list[str]:
    """Return what hosts give away, each subject to those who may have it and to nobody else."""
    given: dict[tuple[str, str, str], list[str]] = {}
    for user in USERS:
        if user.account != CAR:
            given.update({key: [*given.get(key, ()), user.account] for key in _wanted(user)})
    return [
        f'{{ {kind}: "{subject}", accounts: [{", ".join(names)}]{extra} }}'
        for (kind, subject, extra), names in given.items()
    ]


def _wanted(user: User) -> list[tuple[str, str, str]]:
    once = [("service", subject, "") for subject in user.says]
    often = [("service", subject, ", response_type: stream") for subject in user.pulls]
    return [*once, *often, *(("stream", subject, "") for subject in (*user.hears, user.inbox))]


def _guest(user: User, keys: tuple[str, ...]) -> str:
    imports = [_import(kind, CAR, subject) for kind, subject, _ in _wanted(user)]
    exports = [f'{{ service: "{subject}", accounts: [{CAR}] }}' for subject in user.serves]
    return (
        f'  {user.account} {{\n    mappings: {{ "{API}>": "{_OWN_API}>" }}\n'
        f"{_block('users', _rows(user, keys))}{_block('exports', exports)}{_block('imports', imports)}  }}"
    )


def _import(kind: str, account: str, subject: str) -> str:
    renamed = f', to: "{_abroad(subject)}"' if subject.startswith(API) else ""
    return f'{{ {kind}: {{ account: {account}, subject: "{subject}" }}{renamed} }}'


def _abroad(subject: str) -> str:
    """Return what a subject is called outside of the account of the streams."""
    return f"{_OWN_API}{subject.removeprefix(API)}" if subject.startswith(API) else subject


def _rows(user: User, keys: tuple[str, ...]) -> list[str]:
    """Return a user for each of its keys."""
    name = str if user.account == CAR else _abroad
    answers = "\n        allow_responses: true" if user.serves else ""
    may = _listed(tuple(map(name, (*user.says, *user.pulls))))
    never = _listed(tuple(map(name, user.never)))
    says = f"allow: [{may}]" if may else 'deny: [">"]'
    says += f", deny: [{never}]" if never else ""
    hears = _listed((*user.hears, *user.serves, user.inbox))
    permissions = f"publish: {{ {says} }}\n        subscribe: {{ allow: [{hears}] }}{answers}"
    return [f"{{ nkey: {key}, permissions: {{\n        {permissions} }} }}" for key in keys]


def _block(name: str, rows: list[str]) -> str:
    inner = "".join(f"      {row}\n" for row in rows)
    return f"    {name}: [\n{inner}    ]\n" if rows else ""


def _listed(subjects: tuple[str, ...]) -> str:
    return ", ".join(f'"{subject}"' for subject in subjects)
