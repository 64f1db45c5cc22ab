"""A host of the version before, in a process of its own: what was invented since is unknown there."""

import asyncio
import sys

from actors.runtime.nats.link import Login, connect
from actors.runtime.nats.ports import open_house
from actors.runtime.nats.roster import new_lease
from actors.runtime.supervisor import Supervisor
from tests.runtime.purse import ONE


async def play(url: str) -> None:
    """Play until killed."""
    link = await connect(Login(url, "old"))
    house = await open_house(link, new_lease("n", {"purse": 1}, "1.0"))
    sys.stdout.write(f"{house.roster.me.name}\n")
    sys.stdout.flush()
    await Supervisor({"purse": ONE}, house.ports).run()


if __name__ == "__main__":
    asyncio.run(play(sys.argv[1]))
