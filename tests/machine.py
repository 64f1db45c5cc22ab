"""A machine of the stage: its workers, its custodian, its agents, and who listens to them."""

import re
from collections import defaultdict, deque
from collections.abc import Callable
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
from tests.player import Deed, Die, Person, Player, Quit, Say, Vanish, work

NODE = "n1"
AGENTS = ("demo", "codex", "mute")

_TICKET = re.compile(r"<CAR_CURRENT_TICKET_FILE>\npath: (.+)\n")


class Machine:
    """Does what it is commanded.

    ``scripts`` are turns yet to be played, ``news`` is what the custodian has to tell; ``ears`` are those processes to
    which somebody listens, and the last of their lines that is told.
    """

    def __init__(self, describe: Callable[[Address], SessionView], post: Callable[[Address, Envelope], None]) -> None:
        self.checkouts: dict[str, Checkout] = {}
        self.scripts: dict[str, deque[tuple[Deed, ...]]] = defaultdict(deque)
        self.prompts: list[StartTurn] = []
        self.players: dict[str, Player] = {}
        self.ears: dict[str, int] = {}
        self.news: deque[tuple[Address, Envelope]] = deque()
        self.custodians = 1
        self._describe = describe
        self._post = post

    @property
    def custodian(self) -> str:
        return f"custodian-{self.custodians}"

    @property
    def alive(self) -> list[str]:
        return [proc for proc, player in self.players.items() if player.alive]

    def add(self, name: str, *tickets: Ticket) -> Checkout:
        """Make a checkout with these tickets."""
        path = f"/srv/{name}"
        self.checkouts[path] = Checkout(path, {one.path: one for one in tickets})
        return self.checkouts[path]

    # workers

    def serves(self, to: Address) -> bool:
        """Tell whether anybody reads this queue: nobody does for a custodian that is dead."""
        name = to.key.split(".")[1]
        return not name.startswith("custodian-") or name == self.custodian

    def do(self, command: Work, asker: Address) -> Event:  # one for each command
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
            case Quit():
                self._exit(proc, 0)
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
            self.players[command.proc] = Player(role, self._script, mute="mute" in command.argv[0])
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
        return [proc for proc, told in self.ears.items() if told < len(self.players[proc].lines)]

    def hear(self, proc: str, most: int) -> None:
        """Tell what the next lines say, as one read brings them; a line may say nothing that anybody needs."""
        chunk = self.players[proc].lines[self.ears[proc] :][:most]
        self.ears[proc] += len(chunk)
        if facts := tuple(fact for line in chunk for fact in line):
            self._inform(proc, facts)

    def restart(self) -> None:
        """Forget who listened: a new host listens to those who live, from where their sessions are."""
        self.ears.clear()
        for proc in self.alive:
            self._listen(proc, self.players[proc].role.session)

    def _listen(self, proc: str, session: Address) -> bool:
        if proc not in self.ears:
            view = self._describe(session)
            if view.proc != proc or not view.driver:
                return False
            self.ears[proc] = view.heard
        return True

    def _attach(self, proc: str, session: Address) -> Attached:
        """Listen, and tell all that was said until now before it is said that somebody listens."""
        if self._listen(proc, session):
            self.hear(proc, len(self.players[proc].lines))
            if self.ears[proc]:
                self._inform(proc, ())
        return Attached(proc=proc)

    def _inform(self, proc: str, facts: tuple[Fact, ...]) -> None:
        line = self.ears[proc]
        told = (*facts, Caught(proc=proc, line=line))
        letters = tuple(letter(fact, f"{proc}.{line}.{index}") for index, fact in enumerate(told))
        self._post(self.players[proc].role.session, Envelope(worker(NODE, "agents", proc), letters))
