"""The program ``car``: the table of its commands, each loaded when it is first used, and the end of every error.

``car --help`` needs nothing but typer. A command returns nothing (done) or leaves by ``typer.Exit`` with its code.
"""

import importlib
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from types import TracebackType
from typing import Annotated, NamedTuple

import typer
from typer._click import Command, Context, HelpFormatter
from typer.core import TyperGroup
from typer.main import get_group

from actors.runtime.place import NoHub
from bridges.cli.complaint import complain
from protocol.errors import CarError, Refused, Unreachable

FAILED, USAGE, REFUSED, UNREACHABLE, INTERRUPTED = 1, 2, 3, 4, 130


class Entry(NamedTuple):
    """Where a command is, and what it does in one line."""

    module: str
    does: str


TABLE = {
    "init": Entry("start", "Make a hub in a folder."),
    "demo": Entry("demo", "Watch three tickets being worked to done, in a scratch folder."),
    "up": Entry("start", "Start CAR in the background."),
    "down": Entry("start", "Pause what runs and end CAR."),
    "restart": Entry("start", "Renew the host; agents go on working meanwhile."),
    "status": Entry("start", "Show processes, repositories and runs."),
    "backup": Entry("backup", "Save the store of the hub in a file."),
    "restore": Entry("backup", "Put back what was saved."),
    "chat": Entry("chat", "Talk to CAR here."),
    "say": Entry("chat", "Say one line and show what is answered."),
    "repo": Entry("repo", "The repositories of the hub: add, list."),
    "flow": Entry("flow", "Work through the tickets: start, status, stop, resume."),
    "ticket": Entry("ticket", "The tickets of this checkout: list, lint, new."),
    "top": Entry("top", "Watch hosts, mailboxes, dead letters and streams."),
    "dead": Entry("dead", "Letters that could not be handled: list, show, retry, drop."),
    "key": Entry("key", "Who may come in: list, rotate, retire, show-config."),
    "nats": Entry("nats", "Look at the NATS server: ls, info, sub."),
}


class Table(TyperGroup):
    """A group whose commands are loaded by name, so that nobody waits for what they do not use."""

    def list_commands(self, ctx: Context) -> list[str]:
        """Return the names in the order of the table."""
        del ctx
        return list(TABLE)

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        """Load a command: of its module's commands the one of this name, else all of them as a group."""
        del ctx
        if cmd_name not in TABLE:
            return None
        group = get_group(importlib.import_module(f"bridges.cli.command.{TABLE[cmd_name].module}").APP)
        return group.commands.get(cmd_name, group)

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Show the table, without loading anything."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.does) for name, entry in TABLE.items()])


APP = typer.Typer(
    cls=Table,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


@APP.callback(invoke_without_command=True)
def car(
    context: typer.Context,
    *,
    show_version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    """CAR runs long work with coding agents, ticket by ticket.

    New here? Type: car demo
    """
    if show_version:
        typer.echo(f"car {version('car')}")
        raise typer.Exit(0)
    if not context.invoked_subcommand:
        typer.echo(context.get_help())
        raise typer.Exit(USAGE)


def main() -> None:
    """Be the program ``car``."""
    sys.excepthook = _confess
    sys.exit(run(sys.argv[1:]))


def run(words: Sequence[str]) -> int:
    """Do what the words say and return the exit code; whatever goes wrong is one sentence on stderr."""
    try:
        code = get_group(APP).main(list(words), prog_name="car", standalone_mode=False)
        sys.stdout.flush()
    except typer.TyperException as error:
        return _complain(_usage(error), USAGE)
    except CarError as error:
        return _complain(str(error), _code(error))
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read us has gone; nobody is to hear of it when Python flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _complain(f"{where}{error.strerror or error}", FAILED)
    return code if isinstance(code, int) else 0


def _code(error: CarError) -> int:
    match error:
        case NoHub():
            return USAGE
        case Refused():
            return REFUSED
        case Unreachable():
            return UNREACHABLE
    return FAILED


def _usage(error: typer.TyperException) -> str:
    said = error.format_message().strip().rstrip(".")
    path = getattr(getattr(error, "ctx", None), "command_path", "") or "car"
    return f"{said[:1].lower()}{said[1:]}, type: {path} --help"


def _complain(sentence: str, code: int) -> int:
    complain(sentence)
    return code


def _confess(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Say of what nobody has foreseen that it is our fault; the traceback is for those who ask for it."""
    if os.environ.get("CAR_TRACEBACK"):
        sys.__excepthook__(kind, error, trace)
        return
    what = " ".join(f"{kind.__name__}: {error}".split())
    sys.stderr.write(f"car: this is a bug of CAR ({what}); CAR_TRACEBACK=1 shows where\n")
