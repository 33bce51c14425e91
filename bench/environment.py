"""Environments of their own, under `.venv`, for what is too heavy for it or does not get on with it."""

from __future__ import annotations

import subprocess
import venv
from typing import TYPE_CHECKING

from bench.measure import progress
from bench.site import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def made_from(requirements: Path) -> Path:
    """The Python of the environment with these pins; it is made on the first call, and anew when they have changed.

    Args:
        requirements: a file whose folder gives the environment its name.
    """
    name = requirements.parent.name
    home = ROOT / ".venv" / "share" / name
    python, noted = home / "bin" / "python", home / "made-from"
    wanted = requirements.read_text()
    if not noted.exists() or noted.read_text() != wanted:
        progress(f"making an environment for bench/{name} (once; a minute or two)")
        venv.create(home, clear=True, with_pip=True)
        install = ["-m", "pip", "install", "-qq", "--disable-pip-version-check", "-r"]
        subprocess.run([str(python), *install, str(requirements)], check=True)
        noted.write_text(wanted)
    return python
