"""Starts of a plain interpreter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.launchers.place import PACKAGES

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.launchers.place import Place


def plain(place: Place) -> None:
    """As everybody does."""
    place.run(place.python, place.app)


def module(place: Place) -> None:
    """By `-m`."""
    place.run(place.python, "-m", "app")


def text(place: Place) -> None:
    """By `-c`."""
    place.run(place.python, "-c", "import app; app.main()")


def stdin(place: Place) -> None:
    """By a pipe, so that there is no file."""
    place.run(place.python, "-", stdin=place.app.read_text())


def options(*said: str) -> Callable[[Place], None]:
    """With the interpreter's own options."""
    return lambda place: place.run(place.python, *said, place.app)


def without_site(place: Place) -> None:
    """Without site: what it would have found is told."""
    place.environment["PYTHONPATH"] = PACKAGES
    place.run(place.python, "-S", place.app)


def linked(place: Place) -> None:
    """By a link of another name, outside of the environment whose packages it is told."""
    link = place.directory / "acme"
    link.symlink_to(place.python)
    place.environment["PYTHONPATH"] = PACKAGES
    place.run(link, place.app)


def script(place: Place) -> None:
    """By a script that names its interpreter."""
    file = place.directory / "acme-server"
    file.write_text(f"#!{place.python}\nimport app\napp.main()\n")
    file.chmod(0o755)
    place.run(file)


def runpy(place: Place) -> None:
    """By another program's `runpy`."""
    place.run(place.python, "-c", f"import runpy; runpy.run_path({str(place.app)!r}, run_name='__main__')")
