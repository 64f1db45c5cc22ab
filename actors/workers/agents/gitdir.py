"""Where git keeps what belongs to a checkout: in its folder ``.git``, or where a file of that name says."""

from os.path import normpath
from pathlib import Path

from protocol.errors import WorkFailed


def find_gitdirs(dot_git: str) -> tuple[str, ...]:
    """Return the folders that a commit writes to; of a worktree these are the one that all share, and its own."""
    path = Path(dot_git)
    if not path.is_file():
        return (dot_git,)
    try:
        own = _named(path.parent, path.read_text().removeprefix("gitdir:"))
        common = own / "commondir"
        # A sandbox may shut the inner one although the outer one is open, so that each is named.
        return (str(_named(own, common.read_text())), str(own)) if common.is_file() else (str(own),)
    except (OSError, UnicodeDecodeError) as error:
        raise WorkFailed(f"{dot_git} does not say where git keeps this checkout: {error}") from error


def _named(folder: Path, text: str) -> Path:
    return Path(normpath(folder / text.strip()))
