"""Programs in one piece: archives, and frozen interpreters. What takes long to make is made once."""

from __future__ import annotations

import shutil
import subprocess
import zipapp as zipapps
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from bench.launchers.place import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.launchers.place import Place

_making = Lock()

MAIN = "import app\napp.main()\n"
FROZEN_MAIN = "import telemetry\ntelemetry.freeze_support()\nimport app\napp.main()\n"


def zipapp(place: Place) -> None:
    """The program alone; all else is installed."""
    place.run(place.python, _archive(place, place.directory / "program"))


def zipapp_with_telemetry(place: Place) -> None:
    """The program and telemetry; libraries in C can't be read from an archive, and are installed."""
    program = place.directory / "program"
    shutil.copytree(ROOT / "telemetry", program / "telemetry", ignore=shutil.ignore_patterns("__pycache__"))
    place.run(place.python, "-P", _archive(place, program))


def vendored(place: Place) -> None:
    """The program puts the directory of its packages on `sys.path` itself, and the interpreter knows of none."""
    file = place.directory / "start.py"
    file.write_text(f"import sys\nsys.path[:0] = [{str(packages(place))!r}]\n" + MAIN)
    place.run(_bare_python(place), "-s", file)


def shiv(place: Place) -> None:
    """An archive that unpacks itself into a directory of the user's."""
    file = place.directory / "app.shiv"
    found = _with_program(place)
    _make(place, "-m", "shiv", "--site-packages", found, "-e", "app:main", "--python", _bare_python(place), "-o", file)
    place.environment["SHIV_ROOT"] = str(place.directory / "shiv")
    place.run(file)


def pex(*options: str) -> Callable[[Place], None]:
    """An archive or directory that runs itself in one of PEX's ways."""

    def launch(place: Place) -> None:
        file = place.directory / "app.pex"
        _make(place, "-m", "pex", "-D", _with_program(place), "-e", "app:main", *options, "-o", file)
        place.environment["PEX_ROOT"] = str(place.directory / "pex")
        place.run(place.python, file)

    return launch


def pyinstaller(form: str) -> Callable[[Place], None]:
    """A frozen program, which is its own interpreter, and starts itself as the shipper."""

    def launch(place: Place) -> None:
        (place.directory / "main.py").write_text(FROZEN_MAIN)
        quiet = ("--noconfirm", "--log-level", "ERROR", "--distpath", place.directory / "dist")
        found = ("--paths", ROOT, "--collect-submodules", "telemetry", "--collect-data", "telemetry")
        _make(place, "-m", "PyInstaller", form, *quiet, *found, "--name", "acme", place.directory / "main.py")
        program = place.directory / "dist" / "acme"
        place.run(program / "acme" if program.is_dir() else program)

    return launch


def packages(place: Place) -> Path:
    """A directory with telemetry and what it needs, as pip would install them there."""
    directory = place.bundles / "packages"
    with _making:
        if not directory.exists():
            pinned = (ROOT / "tools" / "requirements.txt").read_text().splitlines()
            pins = place.bundles / "pins.txt"  # without the hashes: with any, pip would want one of our own directory
            pins.write_text("\n".join(line.partition(" ")[0] for line in pinned if "==" in line))
            quiet = ("-m", "pip", "install", "-qq", "--disable-pip-version-check", "--target")
            _make(place, *quiet, place.bundles / "unfinished", "-c", pins, ROOT)
            (place.bundles / "unfinished").rename(directory)
    return directory


def _with_program(place: Place) -> Path:
    """The same, and the program in it."""
    directory = place.directory / "all"
    shutil.copytree(packages(place), directory)
    shutil.copy(place.app, directory)
    return directory


def _archive(place: Place, program: Path) -> Path:
    program.mkdir(exist_ok=True)
    shutil.copy(place.app, program)
    (program / "__main__.py").write_text(MAIN)
    zipapps.create_archive(program, place.directory / "app.pyz")
    place.app.unlink()
    return place.directory / "app.pyz"


def _bare_python(place: Place) -> Path:
    """The interpreter that the environment was made from, without the environment's packages."""
    return Path(place.python).resolve()


def _make(place: Place, *arguments: str | Path) -> None:
    made = subprocess.run(
        [place.python, *map(str, arguments)],
        cwd=place.directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout[-2000:]
