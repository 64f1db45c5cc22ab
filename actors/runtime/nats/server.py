"""The embedded nats-server of a hub: its configuration, its users, its address.

Loopback is open to every user of the machine, so nobody is anonymous: the host, the custodian and the terminal each
have a key of their own in a 0600 file and may use only the subjects that they need. Each has its own inbox prefix;
a refused publish is seen by the server and in the log, the publisher sees a timeout.
"""

import os
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

import nkeys

from actors.runtime.nats.link import Login
from actors.runtime.place import Hub
from actors.runtime.settings import read_settings
from protocol.errors import Refused

CONFIG, ADDRESS = "server.conf", "nats.url"
RESERVE = 2_000_000_000
"""Bytes of the disk that the store leaves free."""
SMALLEST = 64_000_000


@dataclass(frozen=True, slots=True)
class User:
    """One key and what it may do."""

    name: str
    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


HOST = User(
    "host",
    ("car.>", "$JS.API.>", "$JS.ACK.>", "$KV.>", "_INBOX_cli.>", "_INBOX_custodian.>", "_INBOX_host.>"),
    ("car.>", "_INBOX_host.>"),
)
CUSTODIAN = User(
    "custodian",
    (
        "car.proc.*.out",
        "car.proc.*.err",
        "car.mail.session.*",
        "car.dead.work.*",
        "$JS.API.CONSUMER.CREATE.WORK.>",
        "$JS.API.CONSUMER.MSG.NEXT.WORK.*",
        "$JS.API.CONSUMER.RESET.WORK.*",
        "$JS.API.CONSUMER.INFO.WORK.*",
        "$JS.ACK.WORK.>",
        "$JS.API.DIRECT.GET.PROC",
        "$JS.API.DIRECT.GET.PROC.>",
        "_INBOX_host.>",
    ),
    ("_INBOX_custodian.>", "car.proc.*.in", "car.ask.custodian.*"),
)
CLI = User(
    "cli",
    (
        "car.mail.hub.*",
        "car.mail.repo.*",
        "car.mail.run.*",
        "car.mail.chat_cli.*",
        "car.ask.>",
        "$JS.API.DIRECT.GET.EVENT",
        "$JS.API.CONSUMER.CREATE.OUT.*.car.out.cli.*",
        "$JS.API.CONSUMER.MSG.NEXT.OUT.*",
        "$JS.API.CONSUMER.RESET.OUT.*",
        "$JS.API.CONSUMER.INFO.OUT.*",
        "$JS.ACK.OUT.>",
    ),
    ("_INBOX_cli.>", "car.live.>", "car.event.>"),
)
USERS = (HOST, CUSTODIAN, CLI)


def equip(hub: Hub) -> None:
    """Make the keys and the configuration of the embedded server where they are missing."""
    for user in USERS:
        seed = hub.nats / f"{user.name}.seed"
        if not seed.exists():
            made = nkeys.encode_seed(secrets.token_bytes(32), nkeys.PREFIX_BYTE_USER)  # type: ignore[no-untyped-call]
            _private(seed, bytes(made))
    _configure(hub, _port(hub) or _free())


def settle(hub: Hub) -> None:
    """Before a start: keep the port if it is free, else take another, so that nobody else's server is talked to."""
    port = _port(hub)
    if port is None or not _is_free(port):
        port = _free()
    _configure(hub, port)


def login(hub: Hub, name: str) -> Login:
    """Return where the server of a hub is, and who we are there."""
    if url := read_settings(hub.root).url:
        return Login(url, name)
    try:
        return Login((hub.run / ADDRESS).read_text().strip(), name, (hub.nats / f"{name}.seed").read_text().strip())
    except OSError as error:
        raise Refused(f"the hub in {hub.root} has no server yet, type: car up") from error


def _configure(hub: Hub, port: int) -> None:
    users = ",\n".join(_user(hub, user) for user in USERS)
    store, room = hub.nats / "store", _room(hub.nats)
    text = f"""# Written by car; it is written again at every start.
listen: "127.0.0.1:{port}"
server_name: "car-{hub.token}"
max_payload: 8MB
jetstream {{
  store_dir: "{store}"
  sync_interval: always
  max_file_store: {room}
}}
accounts {{
  CAR {{
    jetstream: {{ max_file: {room} }}
    users: [
{users}
    ]
  }}
  SYS {{ users: [] }}
}}
system_account: SYS
"""
    _private(hub.nats / CONFIG, text.encode())
    _private(hub.run / ADDRESS, f"nats://127.0.0.1:{port}\n".encode())


def _user(hub: Hub, user: User) -> str:
    pair = nkeys.from_seed((hub.nats / f"{user.name}.seed").read_bytes())  # type: ignore[no-untyped-call]
    publish = ", ".join(f'"{subject}"' for subject in user.publish)
    subscribe = ", ".join(f'"{subject}"' for subject in user.subscribe)
    return (
        f"      {{ nkey: {pair.public_key.decode()}, permissions: {{\n"
        f"          publish: {{ allow: [{publish}] }}\n"
        f"          subscribe: {{ allow: [{subscribe}] }} }} }}"
    )


def _room(folder: Path) -> int:
    """Return how many bytes the store may have: what it has and what is free, less the reserve."""
    disk = os.statvfs(folder)
    used = sum(one.stat().st_size for one in folder.rglob("*") if one.is_file())
    free = disk.f_bavail * disk.f_frsize
    return max(used + free - min(RESERVE, free // 10), SMALLEST)


def _port(hub: Hub) -> int | None:
    try:
        return int((hub.run / ADDRESS).read_text().rpartition(":")[2])
    except (OSError, ValueError):
        return None


def _is_free(port: int) -> bool:
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _free() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _private(path: Path, data: bytes) -> None:
    """Write a file that only we may read, whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_bytes(data)
    draft.replace(path)
