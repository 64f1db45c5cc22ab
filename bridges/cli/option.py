"""The options that many commands share."""

from pathlib import Path
from typing import Annotated

import typer

HubPath = Annotated[
    Path | None,
    typer.Option("--hub", metavar="PATH", help="The hub; else CAR_HUB, else the nearest folder above that has one."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
RepoId = Annotated[
    str,
    typer.Option("--repo", metavar="ID", help="The repository; else the one around this folder, else the only one."),
]
