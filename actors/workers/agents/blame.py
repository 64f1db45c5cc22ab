"""What is behind an error that an agent tells, and the sentence that tells people how to mend it."""

import re

from pydantic import JsonValue

from actors.workers.agents.words import title
from protocol.agent import Trouble

_STATUS: dict[int, Trouble] = {
    400: "bug",
    401: "auth",
    402: "quota",
    403: "auth",
    404: "bug",
    408: "network",
    413: "context",
    429: "quota",
}
_SAYS: dict[Trouble, str] = {
    "context": r"context (window|length)|maximum context|prompt is too long|too many tokens",
    "quota": r"rate.?limit|usage limit|quota|billing|insufficient (funds|credit)|too many requests|\b429\b",
    "auth": r"unauthori[sz]ed|authenticat|api.?key|credential|log.?in\b|sign.?in\b|forbidden|\b40[13]\b",
    "network": r"network|connect|time.?out|timed out|unreachable|overloaded|fetch failed|\b50[0-9]\b",
}
"""Words that give a trouble away, tried in this order."""
_NAMES: dict[str, Trouble] = {
    "contextWindowExceeded": "context",
    "sessionBudgetExceeded": "quota",
    "usageLimitExceeded": "quota",
    "rateLimitExceeded": "quota",
    "flexUnavailable": "network",
    "serverOverloaded": "network",
    "internalServerError": "network",
    "policyCapacityUnavailable": "network",
    "httpConnectionFailed": "network",
    "responseStreamConnectionFailed": "network",
    "responseStreamDisconnected": "network",
    "responseTooManyFailedAttempts": "network",
    "unauthorized": "auth",
    "cyberPolicy": "refused",
    "misalignmentPolicyViolation": "refused",
    "inferenceHookDenied": "refused",
    "tooManyDenials": "refused",
    "sandboxError": "sandbox",
}
"""Codex's own words for it."""
_WALL = re.compile(r"\s*bwrap: |\s*sandbox-exec: sandbox_apply|.*(bubblewrap is unavailable|\bLandlock)", re.IGNORECASE)
"""What a sandbox prints, before anything else, when it cannot be set up."""
_MEND: dict[Trouble, str] = {
    "auth": "Sign the agent in, or give it its key.",
    "quota": "Wait until the limit is lifted, or choose another model.",
    "network": "Wait a little, or see whether this machine reaches the model.",
    "context": "Make the ticket smaller.",
    "refused": "Ask for it in other words.",
}


def blame(said: str, status: int | None = None) -> Trouble:
    """Return what is behind an error: by its HTTP status where that is known, else by its words."""
    if status is not None:
        return _STATUS.get(status, "network" if status >= 500 else "bug")  # noqa: PLR2004 - HTTP: the server's fault
    return next((trouble for trouble, signs in _SAYS.items() if re.search(signs, said, re.IGNORECASE)), "bug")


def blame_named(info: JsonValue, said: str) -> Trouble:
    """Return what is behind an error of Codex's: by the HTTP status where it names one, else by its own word for it."""
    match info:
        case str():
            return _NAMES.get(info) or blame(said)
        case dict() if info:
            word, more = next(iter(info.items()))
            status = more.get("httpStatusCode") if isinstance(more, dict) else None
            return blame(said, status) if isinstance(status, int) else _NAMES.get(word) or blame(said)
    return blame(said)


def is_wall(said: str) -> bool:
    """Find out whether a command says, instead of anything of its own, that its sandbox cannot be set up."""
    return _WALL.match(said) is not None


def sentence(said: str, trouble: Trouble) -> str:
    """Say what an agent has said, and how to mend it; how to try again is for those to say who know what was tried."""
    what = title(said, 400).rstrip(".:") or "it gave no reason"
    return f"The agent failed: {what}. {_MEND.get(trouble, '')}".rstrip()
