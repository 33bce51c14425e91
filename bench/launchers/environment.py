"""`python -m bench.launchers.environment`: makes the environment of the launchers, and prints its Python."""

from __future__ import annotations

import subprocess
from pathlib import Path

from bench.environment import made_from
from bench.site import ROOT


def main() -> None:
    """Make it unless it stands; telemetry is found there by a path file, as an editable install has it."""
    python = made_from(Path(__file__).with_name("requirements.txt"))
    where = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = subprocess.run(where, capture_output=True, text=True, check=True).stdout.strip()
    Path(packages, "telemetry.pth").write_text(f"{ROOT}\n")
    print(python)


if __name__ == "__main__":
    main()
