"""A machine of the stage: its workers, its custodian, its agents, and who listens to them."""

import re
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from protocol.address import Address, worker
from protocol.agent import (
    Attach,
    Attached,
    Caught,
    Detach,
    Detached,
    Fact,
    Find,
    Found,
    StartTurn,
    Tell,
    Told,
)
from protocol.envelope import Envelope, letter
from protocol.message import Event
from protocol.node import End, Exited, Heeded, Spawn, Spawned, SpawnFailed
from protocol.session import SessionView
from protocol.work import Failed, Probe, Ticket, Work
from tests.checkout import Checkout
from tests.player import Deed, Die, Person, Player, Say, Vanish, work

NODE = "n1"
AGENTS = ("demo", "codex")

_TICKET = re.compile(r"<CAR_CURRENT_TICKET_FILE>\npath: (.+)\n")

Post = tuple[Address, Envelope]


@dataclass
class Ear:
    """Somebody who listens to a process: the lines that are told, and whether silence is told too."""

    told: int
    eager: bool = False


class Machine:
    """Does what it is commanded. ``news`` is what its custodian has to tell; ``scripts`` are turns yet to be played."""

    def __init__(self, describe: Callable[[Address], SessionView]) -> None:
        self.checkouts: dict[str, Checkout] = {}
        self.scripts: dict[str, deque[tuple[Deed, ...]]] = defaultdict(deque)
        self.prompts: list[StartTurn] = []
        self.players: dict[str, Player] = {}
        self.ears: dict[str, Ear] = {}
        self.news: deque[Post] = deque()
        self.custodians = 1
        self._describe = describe

    @property
    def custodian(self) -> str:
        return f"custodian-{self.custodians}"

    @property
    def alive(self) -> list[str]:
        return [proc for proc, player in self.players.items() if player.alive]

    def add(self, name: str, *tickets: Ticket) -> Checkout:
        """Make a checkout with these tickets."""
        path = f"/work/{name}"
        self.checkouts[path] = Checkout(path, {one.path: one for one in tickets})
        return self.checkouts[path]

    # workers

    def serves(self, to: Address) -> bool:
        """Tell whether anybody reads this queue: nobody does for a custodian that is dead."""
        name = to.key.split(".")[1]
        return not name.startswith("custodian-") or name == self.custodian

    def do(self, command: Work, asker: Address) -> Event:  # noqa: PLR0911  # one for each command
        match command:
            case Find(agent=agent):
                if agent not in AGENTS:
                    return Failed(what=f"no program of the agent {agent} is installed")
                return Found(agent=agent, driver="acp", argv=(f"car-{agent}-agent",))
            case Spawn():
                return self._spawn(command, asker)
            case End(proc=proc):
                self._exit(proc, 0)
                return Heeded(proc=proc)
            case Attach(proc=proc):
                return self._attach(proc, asker)
            case Detach(proc=proc):
                self.ears.pop(proc, None)
                return Detached(proc=proc)
            case Tell(proc=proc, number=number):
                if not self._listen(proc, asker):
                    return Failed(what=f"the process {proc} is not of {asker}")
                self.players[proc].hear(command)
                return Told(proc=proc, number=number)
        path = command.path if isinstance(command, Probe) else getattr(command, "checkout", "")
        checkout = self.checkouts.get(path)
        return checkout.do(command) if checkout else Failed(what=f"{path} is no git checkout")

    # custody

    def lose(self) -> None:
        """Let the custodian die with everybody in its custody; a new one tells it."""
        lost = self.alive
        self.custodians += 1
        for proc in lost:
            self._exit(proc, -9, lost=True)

    def act(self, proc: str, now: datetime) -> None:
        """Let an agent do its next deed."""
        match self.players[proc].act(now):
            case Die(code=code, err=err):
                self._exit(proc, code, err)
            case Vanish():
                self.lose()

    def ready(self, now: datetime) -> list[str]:
        """Return the agents that have something to do now."""
        return [proc for proc, player in self.players.items() if player.ready(now)]

    def awaited(self) -> list[datetime]:
        """Return when those who sleep wake up."""
        return [player.until for player in self.players.values() if player.alive and player.until]

    def _spawn(self, command: Spawn, asker: Address) -> Event:
        found = self.players.get(command.proc)
        if found and not found.alive:
            return SpawnFailed(proc=command.proc, why="this process has ended already")
        if not found:
            role = Person(command.proc, asker, self.checkouts[command.cwd])
            self.players[command.proc] = Player(role, self._script)
        pid = 100 + list(self.players).index(command.proc)
        return Spawned(proc=command.proc, custodian=self.custodian, pid=pid, born=1)

    def _exit(self, proc: str, code: int, err: str = "", *, lost: bool = False) -> None:
        player = self.players.get(proc)
        if player and player.alive:
            player.alive = False
            exited = Exited(proc=proc, code=code, lines=len(player.lines), err=err, lost=lost)
            me = worker(NODE, "custody", proc)
            self.news.append((player.role.session, Envelope(me, (letter(exited, f"{proc}.exited"),))))

    def _script(self, turn: StartTurn) -> tuple[str, tuple[Deed, ...]]:
        self.prompts.append(turn)
        found = _TICKET.search(turn.text)
        path = found[1] if found else ""
        waiting = self.scripts[path]
        if waiting:
            return path, waiting.popleft()
        return path, work(path[-6:-3]) if path else (Say(f"You said: {turn.text}"),)

    # listening

    def behind(self) -> list[str]:
        """Return the processes of which somebody has not told everything yet."""
        return [proc for proc, ear in self.ears.items() if ear.told < len(self.players[proc].lines)]

    def tell(self, proc: str, most: int) -> Post | None:
        """Return what is told of the next lines, as one read brought them."""
        ear, lines = self.ears[proc], self.players[proc].lines
        chunk = lines[ear.told : ear.told + most]
        ear.told += len(chunk)
        facts = tuple(fact for line in chunk for fact in line)
        return self._inform(proc, facts, ear.told) if facts or ear.eager else None

    def restart(self) -> None:
        """Forget who listened: a new host listens to those who live, from where their sessions are."""
        self.ears.clear()
        for proc in self.alive:
            self._listen(proc, self.players[proc].role.session)

    def _listen(self, proc: str, session: Address) -> Ear | None:
        if proc in self.ears:
            return self.ears[proc]
        view = self._describe(session)
        if view.proc != proc or not view.driver:
            return None
        self.ears[proc] = Ear(view.heard)
        return self.ears[proc]

    def _attach(self, proc: str, session: Address) -> Attached:
        known = proc in self.ears
        ear = self._listen(proc, session)
        if ear and known:
            ear.eager = True
            if ear.told:
                self.news.append(self._inform(proc, (), ear.told))
        return Attached(proc=proc)

    def _inform(self, proc: str, facts: tuple[Fact, ...], line: int) -> Post:
        told = (*facts, Caught(proc=proc, line=line))
        letters = tuple(letter(fact, f"{proc}.{line}.{index}") for index, fact in enumerate(told))
        return self.players[proc].role.session, Envelope(worker(NODE, "agents", proc), letters)
