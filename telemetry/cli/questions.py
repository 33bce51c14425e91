"""Saved questions: a directory of SQL files, each a SELECT that is asked again and again by its name."""

from __future__ import annotations

from pathlib import Path

import click

from telemetry.errors import ConfigError
from telemetry.terminal import did_you_mean

_MARK = "@"

questions_option = click.option(
    "--questions",
    type=click.Path(path_type=Path),
    envvar="TELEMETRY_QUESTIONS",
    default=Path("questions"),
    help="The directory of saved questions, NAME.sql each, asked as @NAME; or set TELEMETRY_QUESTIONS. `questions` "
    "if not given.",
)


def read_question(said: str, directory: Path) -> str:
    """Return a statement as it is, and of `@NAME` the content of the file `NAME.sql` in a directory.

    Raises:
        ConfigError: there is no such file, or it can't be read; it names those that there are.
    """
    if not said.startswith(_MARK):
        return said
    name, known = said.removeprefix(_MARK), saved_questions(directory)
    if name not in known:
        hint = did_you_mean(name, known) or f"; there are {', '.join(known) or 'none'}"
        raise ConfigError(f"{directory} has no saved question {name!r}{hint}: save it as {directory / name}.sql")
    try:
        return known[name].read_text("utf-8-sig")
    except (OSError, ValueError) as fault:
        why = fault.strerror if isinstance(fault, OSError) else "it is no text in UTF-8"
        raise ConfigError(f"{known[name]}: {why}") from None


def saved_questions(directory: Path) -> dict[str, Path]:
    """Return the files of the saved questions in a directory by their names, in order; none if it can't be read."""
    try:
        return {path.stem: path for path in sorted(directory.glob("*.sql"))}
    except OSError:
        return {}
