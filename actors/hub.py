"""The hub: knows the repositories, and on which machine each of them lies."""

import posixpath
import re
from dataclasses import dataclass, replace

from actors.runtime.actor import Actor, Budget, Cause, Step
from actors.runtime.effects import Asker, Reply, Send
from protocol.address import Address, token, worker
from protocol.hub import AddRepo, HubView, Quiesce, Quiesced, RepoAdded, RepoEntry
from protocol.message import Message, Query
from protocol.node import Refusal, Undelivered
from protocol.repo import Adopt, PauseFlow
from protocol.session import Place
from protocol.work import Failed, Probe, Probed

REPOS = 250
"""So many repositories fit into one record, and so many letters into one outbox."""
ASKERS = 20
NAME = 64

_ODD = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True, slots=True)
class Adding:
    """Somebody waits until the git worker has looked at a folder."""

    probe: str
    asker: Asker
    node: str
    repo: str


@dataclass(frozen=True, slots=True)
class Hub:
    """Which repositories there are, and which folders are being looked at."""

    repos: tuple[RepoEntry, ...] = ()
    adding: tuple[Adding, ...] = ()


def step(hub: Hub, message: Message, cause: Cause) -> Step[Hub]:
    """Answer one message."""
    match message:
        case AddRepo():
            return _look(hub, message, cause)
        case Probed() | Failed():
            return _looked(hub, message, cause)
        case Undelivered(id=id_, why=why):
            return _lost(hub, id_, why)
        case Quiesce(reason=reason):
            return _quiesce(hub, reason)
    return Step(hub)


def _look(hub: Hub, wish: AddRepo, cause: Cause) -> Step[Hub]:
    """Let the git worker of that machine find the top of the checkout."""
    if wish.repo != _plain(wish.repo):
        said = "a repository's id is made of letters, digits, dots, dashes and underscores, at most 64 of them"
        return Step(hub, (Reply(Refusal(text=f"{said}; try {_plain(wish.repo) or 'repo'}")),))
    if len(hub.adding) >= ASKERS:
        said = f"the hub is looking at {ASKERS} folders already; wait a moment and add this one again"
        return Step(hub, (Reply(Refusal(text=said)),))
    adding = Adding(cause.derive("probe"), cause.asker, wish.place.node, wish.repo)
    git = worker(wish.place.node, "git", "probe")
    probe = Send(git, Probe(path=wish.place.path), id=adding.probe)
    return Step(replace(hub, adding=(*hub.adding, adding)), (probe,))


def _looked(hub: Hub, seen: Probed | Failed, cause: Cause) -> Step[Hub]:
    """Go on with what the worker saw, where somebody still waits for it."""
    adding = next((one for one in hub.adding if one.probe == cause.re), None)
    if not adding:
        return Step(hub)
    hub = _forget(hub, adding)
    if isinstance(seen, Failed):
        return Step(hub, (Reply(Refusal(text=seen.what), to=adding.asker),))
    return _add(hub, adding, Place(node=adding.node, path=seen.path))


def _add(hub: Hub, adding: Adding, place: Place) -> Step[Hub]:
    """Take the checkout in, unless it is there, or its id stands for another one."""
    taken = {one.repo: one for one in hub.repos}
    if known := next((one for one in hub.repos if one.place == place), None):
        there = RepoAdded(repo=known.repo, place=place, fresh=False)
        return Step(hub, (Reply(there, to=adding.asker),))
    if other := taken.get(adding.repo):
        said = f"{other.repo} is already the id of {other.place.path}; choose another one for {place.path}"
        return Step(hub, (Reply(Refusal(text=said), to=adding.asker),))
    if len(hub.repos) >= REPOS:
        said = f"this hub holds {REPOS} repositories, and that is its limit; make another hub for more: car init"
        return Step(hub, (Reply(Refusal(text=said), to=adding.asker),))
    repo = adding.repo or _name(place.path, frozenset(taken))
    repos = tuple(sorted((*hub.repos, RepoEntry(repo=repo, place=place)), key=lambda one: one.repo))
    adopt = Send(_repo(repo), Adopt(place=place))
    return Step(replace(hub, repos=repos), (adopt, Reply(RepoAdded(repo=repo, place=place), to=adding.asker)))


def _name(path: str, taken: frozenset[str]) -> str:
    """Call a repository like its folder, with a number where that name is taken."""
    name = _plain(posixpath.basename(path)) or "repo"
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    return free


def _plain(text: str) -> str:
    """Make of any text what a person can type as one word; a dash at the start would look like an option."""
    return _ODD.sub("-", text).strip("-")[:NAME]


def _lost(hub: Hub, probe: str, why: str) -> Step[Hub]:
    """Tell whoever waited that their machine was not reached."""
    adding = next((one for one in hub.adding if one.probe == probe), None)
    if not adding:
        return Step(hub)
    said = f"nobody on the machine {adding.node} could look at the folder ({why}); add it again in a moment"
    return Step(_forget(hub, adding), (Reply(Refusal(text=said), to=adding.asker),))


def _forget(hub: Hub, adding: Adding) -> Hub:
    return replace(hub, adding=tuple(one for one in hub.adding if one != adding))


def _quiesce(hub: Hub, reason: str) -> Step[Hub]:
    """Let every repository interrupt what it does."""
    pauses = tuple(Send(_repo(one.repo), PauseFlow(reason=reason)) for one in hub.repos)
    return Step(hub, (*pauses, Reply(Quiesced(repos=tuple(one.repo for one in hub.repos)))))


def _repo(repo: str) -> Address:
    return Address("repo", token(repo))


def answer(hub: Hub, _query: Query, _cause: Cause) -> HubView:
    """Show the repositories, in the order of their ids."""
    return HubView(repos=hub.repos)


def _born(_address: Address) -> Hub:
    return Hub()


ACTOR = Actor(kind="hub", state=Hub, born=_born, step=step, answer=answer, budget=Budget(10, 60))
