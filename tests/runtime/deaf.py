"""A host whose acknowledgements are lost on their way: what it has done comes again."""

import asyncio
from dataclasses import dataclass, replace

from actors.runtime.ports import Delivery, Intake, Leave, Ports, Take
from protocol.address import Address


@dataclass
class Deaf:
    """Mail that is never acknowledged where it was said to ``whom``, while ``lost`` is set."""

    intake: Intake
    whom: Address
    lost: asyncio.Event

    async def run(self, take: Take, leave: Leave) -> None:
        def hand(delivery: Delivery) -> None:
            async def settle() -> None:
                if delivery.mail.to != self.whom or not self.lost.is_set():
                    await delivery.settle()

            take(replace(delivery, settle=settle))

        await self.intake.run(hand, leave)


def deaf(ports: Ports, whom: Address, lost: asyncio.Event) -> Ports:
    """Return ports whose intake is deaf."""
    return replace(ports, intake=Deaf(ports.intake, whom, lost))
