"""What a flow run remembers, and how it describes itself.

``errands`` are the open commands of a survey; ``turn`` is the turn at hand, or one that is over and not settled yet.
"""

from dataclasses import dataclass

from actors.flow.turn import Job, Stand, Turn
from actors.runtime.actor import Cause
from protocol import flow, work
from protocol.address import Address
from protocol.agent import Usage
from protocol.message import Query
from protocol.session import Place

NOWHERE, LIMITS, NOTHING, NONE, FREE = Place(node="", path=""), flow.Limits(), Stand(head=""), work.Collected(), Usage()


@dataclass(frozen=True, slots=True)
class Run:
    """What a run remembers.

    ``spent`` counts the turns since a person last raised the limit; ``asked`` is why to pause when the turn has ended;
    ``replies`` are those that no agent has worked with yet, and ``notes`` those that are not in the history yet.
    """

    me: Address
    status: flow.Status = "starting"
    repo: str = ""
    place: Place = NOWHERE
    agent: str = ""
    limits: flow.Limits = LIMITS
    started_at: str = ""
    since: str = ""
    begun: bool = False
    code: flow.Code | None = None
    reason: str = ""
    body: str = ""
    asked: str = ""
    errands: tuple[tuple[str, str], ...] = ()
    start: str = ""
    tree: Stand = NOTHING
    measure: Stand = NOTHING
    collected: work.Collected = NONE
    job: Job | None = None
    turn: Turn | None = None
    session: Address | None = None
    turns: int = 0
    spent: int = 0
    dispatches: int = 0
    noted: int = 0
    notes: tuple[str, ...] = ()
    replies: tuple[str, ...] = ()
    done: int = 0
    total: int = 0
    last: Usage = FREE
    usage: Usage = FREE

    @property
    def working(self) -> bool:
        """Tell whether an agent has the turn."""
        return self.turn is not None and not self.turn.over


def answer(run: Run, _query: Query, _cause: Cause) -> flow.RunView:
    """Say how it stands with the run."""
    return flow.RunView(
        run=run.me.key,
        repo=run.repo,
        status=run.status,
        code=run.code,
        reason=run.reason,
        body=run.body,
        ticket=run.job.path if run.job else "",
        title=run.job.title if run.job else "",
        agent=run.job.agent if run.job else run.agent,
        session=run.session,
        done=run.done,
        total=run.total,
        turns=run.turns,
        started_at=run.started_at,
        since=run.since,
        usage=run.usage,
        commits=run.tree.commits,
        diffstat=run.tree.diffstat,
    )
