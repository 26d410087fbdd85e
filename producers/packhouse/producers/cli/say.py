"""Lines of the command line. What came from others is shown, and never commands the terminal."""

from __future__ import annotations

import click

from packhouse.schemas.text import visible, visible_json


def say(line: str, *, err: bool = False) -> None:
    """A line for people."""
    click.echo(visible(line), err=err)


def say_json(document: str) -> None:
    """A JSON document for programs."""
    click.echo(visible_json(document))
