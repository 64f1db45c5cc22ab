"""A real git checkout with tickets, for the tests that let an agent work in it."""

import subprocess
from pathlib import Path


def git(path: Path, *args: str) -> str:
    done = subprocess.run(["git", *args], cwd=path, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def checkout(path: Path, *bodies: str, agent: str = "demo") -> Path:
    """Make a checkout with one commit and one ticket for each body."""
    path.mkdir(parents=True)
    (path / "README.md").write_text("# shop\n")
    git(path, "init", "-q", "-b", "main")
    for key, value in {"user.name": "Ann", "user.email": "ann@example.invalid", "commit.gpgsign": "false"}.items():
        git(path, "config", key, value)
    git(path, "add", "-A")
    git(path, "commit", "-qm", "first")
    add_tickets(path, *bodies, agent=agent)
    return path


def add_tickets(path: Path, *bodies: str, agent: str) -> None:
    """Give a checkout one ticket for each body."""
    tickets = path / ".codex-autorunner" / "tickets"
    tickets.mkdir(parents=True)
    (tickets.parent / ".gitignore").write_text("*\n")
    for number, body in enumerate(bodies, 1):
        head = f"---\nagent: {agent}\ndone: false\ntitle: Ticket {number}\n---\n"
        (tickets / f"TICKET-{number:03}.md").write_text(f"{head}\n{body}\n")


def demo(*steps: str) -> str:
    """Return the body of a ticket for the demo agent."""
    return "\n".join(["```demo", *steps, "```"])


def subjects(path: Path) -> list[str]:
    """Return the subjects of all commits, oldest first."""
    return git(path, "log", "--reverse", "--format=%s").splitlines()
