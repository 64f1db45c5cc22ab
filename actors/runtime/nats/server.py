"""The embedded nats-server of a hub: its configuration, its address, and who may come in.

Loopback is open to every user of the machine, so nobody is anonymous: each has a key of their own in a 0600 file, and
an account with the subjects that they need (``users.py``). What is refused is seen by the server and in the log.
"""

import re
import signal
import socket

from actors.runtime import process
from actors.runtime.nats.keyring import complete, keys, seed_of, write
from actors.runtime.nats.link import Login
from actors.runtime.nats.space import space
from actors.runtime.nats.users import accounts
from actors.runtime.place import Hub
from actors.runtime.settings import read_settings
from protocol.errors import Refused

CONFIG, ADDRESS = "server.conf", "nats.url"
_BOUND = re.compile(r"^ *max_file_store: (\d+)$", re.MULTILINE)
_NAMES_SOMEBODY = re.compile(r"//[^/]*@")


def equip(hub: Hub) -> None:
    """Make the keys and the configuration of the embedded server where they are missing."""
    complete(hub)
    _configure(hub, _port(hub) or _free(), space(hub.nats))


def settle(hub: Hub) -> None:
    """Before a start: keep the port if it is free, else take another, so that nobody else's server is talked to."""
    port = _port(hub)
    if port is None or not _is_free(port):
        port = _free()
    complete(hub)
    _configure(hub, port, space(hub.nats))


def readmit(hub: Hub) -> bool:
    """Have the keys of today count, and no others; tell whether a server is at work that has been told.

    Whoever came in with a key that counts no more is thrown out. A server that is away hears of it at its start.
    """
    config = hub.nats / CONFIG
    if not config.exists():
        return False
    bound = _BOUND.search(config.read_text())
    # A server that runs takes neither another port nor other bounds.
    _configure(hub, _port(hub) or _free(), int(bound[1]) if bound else space(hub.nats))
    server = process.read(hub.run, "server")
    return server is not None and process.send(server.who, signal.SIGHUP)


def show_accounts(hub: Hub) -> str:
    """Return the accounts for the configuration of a server that is not ours; there are no secrets in it."""
    complete(hub)
    return accounts(_public(hub))


def login(hub: Hub, name: str) -> Login:
    """Return where the server of a hub is, and who we are there."""
    if url := read_settings(hub.root).url:
        return Login(url, name, "" if _NAMES_SOMEBODY.search(url) else _seed(hub, name))
    try:
        return Login((hub.run / ADDRESS).read_text().strip(), name, seed_of(hub, name).read_text().strip())
    except OSError as error:
        raise Refused(f"the hub in {hub.root} has no server yet, type: car up") from error


def _seed(hub: Hub, name: str) -> str:
    """Return the seed of a user where there is one; a server that lets in everybody does not ask for it."""
    seed = seed_of(hub, name)
    return seed.read_text().strip() if seed.exists() else ""


def _configure(hub: Hub, port: int, bound: int) -> None:
    text = f"""# Written by car; it is written again at every start.
listen: "127.0.0.1:{port}"
server_name: "car-{hub.token}"
max_payload: 8MB
jetstream {{
  store_dir: "{hub.nats / "store"}"
  sync_interval: always
  max_file_store: {bound}
}}
{accounts(_public(hub), bound)}"""
    write(hub.nats / CONFIG, text.encode())
    write(hub.run / ADDRESS, f"nats://127.0.0.1:{port}\n".encode())


def _public(hub: Hub) -> dict[str, tuple[str, ...]]:
    return {one.name: (one.key, *one.old) for one in keys(hub)}


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
