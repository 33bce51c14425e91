"""The READMEs: each block runs or says why not, each link leads somewhere, each figure names its command.

What stands behind the three ticks of a block says what becomes of it here:

    sh, python            it is run, in a directory that the blocks of one README share
    sh not run: REASON    it is not
    toml FILE             it is written there, for the blocks below it; a catalog, or what a shipper is told
    toml                  events or fields of a catalog
    text printed          the block before it prints this, but for numbers and random letters
    text                  a drawing, or a form that is no program
"""

from __future__ import annotations

import datetime as dt
import os
import re
import signal
import socket
import subprocess
import sys
import tomllib
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from click import Context
from conftest import wait_until
from endpoint_faults.faults import FAULTS
from fuzz.pool import openers
from hostile_clients.attacks import attacks

from bench.corpus.kinds import KINDS
from bench.exits.rows import ROWS
from telemetry.catalog.lint import lint
from telemetry.catalog.load import parse
from telemetry.cli.commands import commands
from telemetry.shipper.config import read_config
from telemetry.shipper.outcome import Outcome, outcome_of

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = Path(__file__).parent
ROOT = TESTS.parent
ROOMS = ("telemetry", "bench", "tests", "tools")
READMES = [ROOT / "README.md", *sorted(file for room in ROOMS for file in (ROOT / room).rglob("README.md"))]
NAMES = [str(file.relative_to(ROOT)) for file in READMES]
WANTED = {
    "README.md",
    *(f"telemetry/{room}README.md" for room in ("", "catalog/", "collector/", "redact/", "shipper/")),
    "bench/README.md",
    "tests/README.md",
}

BLOCK = re.compile(r"^```(?P<says>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
SAYS = re.compile(r"sh|python|toml( [a-z]+\.toml)?|text( printed)?|sh not run: \S.*")
HEAD = '[catalog]\nproduct = "acme-db"\nversion = 1\n'
TODAY = dt.date(2026, 11, 24)
PORTS = ("4380", "4381", "4382", "4383")
RANDOM = re.compile(r"\b[0-9a-f]{16,}\b|\d+([.:T-]\d+)*Z?")
RUN_SECONDS = 120


class Block(NamedTuple):
    """A block of a README: what stands behind its ticks, its text, and the number of its first line."""

    says: str
    text: str
    line: int


def blocks(file: Path) -> list[Block]:
    text = file.read_text(encoding="utf-8")
    return [
        Block(found["says"].strip(), found["text"], text.count("\n", 0, found.start()) + 1)
        for found in BLOCK.finditer(text)
    ]


def prose(file: Path) -> str:
    return BLOCK.sub("", file.read_text(encoding="utf-8"))


def test_each_room_that_has_one_has_its_readme() -> None:
    assert set(NAMES) >= WANTED


@pytest.mark.parametrize("file", READMES, ids=NAMES)
def test_each_block_says_what_it_is(file: Path) -> None:
    assert file.read_text(encoding="utf-8").count("\n```") == 2 * len(blocks(file))
    assert [block for block in blocks(file) if not SAYS.fullmatch(block.says)] == []


def test_the_readme_at_the_top_stays_short() -> None:
    assert len(prose(ROOT / "README.md").split()) < 1400


# What runs.


class Reader:
    """Somebody who does what a README says, block by block, in a directory of their own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._ports = dict(zip(PORTS, _free_ports(len(PORTS)), strict=True))
        self._started: list[int] = []
        self.printed = ""

    def follow(self, block: Block) -> None:
        kind, _, file = block.says.partition(" ")
        text = re.sub("|".join(PORTS), lambda found: self._ports[found[0]], block.text)
        if kind == "toml":
            self._write(text, file)
        elif block.says == "text printed":
            assert _constant(self.printed) == _constant(text)
        elif block.says == "python":
            self._run([sys.executable, "-c", text])
        elif block.says == "sh":
            pids = self._directory / "pids"
            self._run(["bash", "-euc", f"{text}\njobs -p > {pids}"])
            started = [int(pid) for pid in pids.read_text().split()]
            self._started += started
            for port in re.findall("|".join(self._ports.values()), text) if started else []:
                wait_until(lambda port=port: _is_open(port))  # type: ignore[misc] # a default

    def leave(self) -> None:
        """End what the blocks have started; each of it must still be there."""
        gone = []
        for pid in self._started:
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                gone.append(pid)
        assert gone == []

    def _write(self, text: str, file: str) -> None:
        """A catalog, whole or a part of one, must please a reviewer; all else is what a shipper is told."""
        written = self._directory / (file or "part.toml")
        written.write_text(text if file else HEAD + text)
        if isinstance(tomllib.loads(written.read_text())["catalog"], dict):
            assert lint(parse(written.read_bytes(), written), TODAY) == []
        else:
            read_config(written)

    def _run(self, command: list[str]) -> None:
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        printed = (
            self._directory / f"printed-{len([*self._directory.iterdir()])}"
        )  # what was started prints on into its own
        with printed.open("wb") as out:
            done = subprocess.run(
                command,
                cwd=self._directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=RUN_SECONDS,
                check=False,
            )
        self.printed = printed.read_text().replace(str(self._directory), "/home/you")
        assert done.returncode == 0, self.printed


def _constant(printed: str) -> str:
    """What is printed each time: without numbers, random letters, and the widths that come of them."""
    return re.sub(r"\s+", " ", RANDOM.sub("#", printed)).strip()


def _free_ports(number: int) -> list[str]:
    with ExitStack() as taken:
        found = [taken.enter_context(closing(socket.create_server(("127.0.0.1", 0)))) for _ in range(number)]
        return [str(each.getsockname()[1]) for each in found]


def _is_open(port: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(port))) == 0


@pytest.fixture
def reader(home: Path, tmp_path: Path) -> Iterator[Reader]:
    assert home.exists()
    (tmp_path / "acme.toml").write_text(
        next(block.text for block in blocks(ROOT / "README.md") if "acme" in block.says)
    )
    one = Reader(tmp_path)
    yield one
    one.leave()


@pytest.mark.parametrize(
    "file", [file for file in READMES if blocks(file)], ids=lambda file: str(file.relative_to(ROOT))
)
def test_what_a_readme_says_to_do_can_be_done(file: Path, reader: Reader) -> None:
    for block in blocks(file):
        reader.follow(block)


@pytest.mark.parametrize("file", READMES, ids=NAMES)
def test_what_is_not_run_names_a_test_or_why(file: Path) -> None:
    for block in blocks(file):
        why = block.says.partition("not run: ")[2]
        assert all((ROOT / named).is_file() for named in re.findall(r"tests/\w+\.py", why))


# What leads somewhere.


def _anchors(file: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", prose(file), re.MULTILINE)
    return {re.sub(r"[^a-z0-9_ -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("file", READMES, ids=NAMES)
def test_each_link_leads_somewhere(file: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(file)):
        where, _, anchor = target.partition("#")
        found = (file.parent / where).resolve() if where else file
        assert found.exists(), target
        assert not anchor or anchor in _anchors(found), target


@pytest.mark.parametrize("file", READMES, ids=NAMES)
def test_each_file_that_is_named_is_there(file: Path) -> None:
    named = re.findall(rf"`((?:{'|'.join(ROOMS)})/[\w./-]*)`", prose(file))
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_readme_is_reached_from_the_top() -> None:
    reached, new = set[Path](), {ROOT / "README.md"}
    while new:
        reached |= new
        targets = {
            (file.parent / to).resolve() for file in new for to in re.findall(r"\]\(([^)#\s]+\.md)", prose(file))
        }
        new = targets - reached
    assert {file.resolve() for file in READMES} <= reached


@pytest.mark.parametrize("file", READMES, ids=NAMES)
def test_each_test_that_is_named_is_there(file: Path) -> None:
    for tests, name in re.findall(r"\b(test_\w+\.py)(?:::(\w+))?", file.read_text(encoding="utf-8")):
        assert re.search(rf"^(async )?def {name}" if name else "", (TESTS / tests).read_text(), re.MULTILINE), tests


def test_the_table_of_commands_has_each_command() -> None:
    table = prose(ROOT / "telemetry/README.md").partition("## Commands")[2].partition("\n## ")[0]
    told = {name for row in re.findall(r"`telemetry ([^`]*)`", table) for name in re.split(r"[ |\\]+", row)}
    assert {*commands.list_commands(Context(commands))} <= told


THEN = {
    "deletes it": Outcome.DELIVERED,
    "sends halves": Outcome.SPLIT,
    "pauses": Outcome.PAUSED,
    "tries again": Outcome.RETRY,
}


def test_the_collectors_contract_has_every_reply_and_what_a_shipper_makes_of_it() -> None:
    rows = re.findall(r"^\| (\d[^|]*)\|[^|]*\| ([^|,]*)", prose(ROOT / "telemetry/collector/README.md"), re.MULTILINE)
    told = {int(status): then.strip() for replies, then in rows for status in re.findall(r"\b[2-5]\d\d\b", replies)}
    assert {status: outcome_of(status, "application/json") for status in told} == {
        status: THEN[then] for status, then in told.items()
    }
    sources = "".join(file.read_text() for file in (ROOT / "telemetry/collector").glob("*.py"))
    given = re.findall(
        r"(?:Refusal|_UnfitError|answer)\((\d{3}),|return (\d{3})$|found = (\d{3})$", sources, re.MULTILINE
    )
    assert {int(status) for found in given for status in found if status} == {*told}


# Figures.

MEASURED = re.compile(r"\d (?:µs|%|ms|events/s|KiB a|kB a)|\d %")
COMMAND = re.compile(r"`(?:python -m bench ([a-z]+)|(tools/[a-z-]+)|pytest tests/)")


def tables(file: Path) -> Iterator[tuple[str, list[str]]]:
    """Each table's rows, and the paragraphs of its section before it."""
    for section in re.split(r"^#+ .*$", prose(file), flags=re.MULTILINE):
        for found in re.finditer(r"(?:^\|.*\n?)+", section, re.MULTILINE):
            yield section[: found.start()], found[0].splitlines()[2:]


@pytest.mark.parametrize("file", READMES, ids=NAMES)
def test_each_measured_figure_in_a_table_names_its_command(file: Path) -> None:
    for before, rows in tables(file):
        measured = [row for row in rows if MEASURED.search(row)]
        unnamed = [row for row in measured if not (COMMAND.search(row) or "| the same" in row)]
        assert not unnamed or COMMAND.search(before), unnamed[0]


@pytest.mark.parametrize("file", READMES, ids=NAMES)
def test_each_command_that_gives_a_figure_is_there(file: Path) -> None:
    known = re.search(r'NAMES = \(\s+"(.*)"', (ROOT / "bench/__main__.py").read_text())
    for bench, tool, *_ in COMMAND.findall(prose(file)):
        assert not bench or (known and bench in known[1].split()), bench
        assert not tool or (ROOT / tool).is_file(), tool


COUNTS = {
    r"(\d+) kinds of clients": len(attacks("")),
    r"clients that want to take a collector down, of (\d+) kinds": len(attacks("")),
    r"endpoint, a proxy or the network misbehaves, in (\d+) ways": len(FAULTS),
    r"faults of the endpoint, each with its outcome \| (\d+)": len(FAULTS),
    r"ways in which a host ends \| (\d+)": len(ROWS),
    r"Programs that end in (\d+) ways": len(ROWS),
    r"[Vv]alues of (\d+) (?:private )?kinds": len(KINDS),
    r"mutated inputs to (\d+) readers": len(openers(Path("unopened"))),
}
"""How often READMEs say that something is tried, and how many of it there are."""


@pytest.mark.parametrize("said", COUNTS)
def test_as_many_are_tried_as_is_said(said: str) -> None:
    told = [number for file in READMES for number in re.findall(said, " ".join(prose(file).split()))]
    assert {*told} == {str(COUNTS[said])}


# The picture.


def test_the_picture_is_what_its_script_draws(tmp_path: Path) -> None:
    drawn = tmp_path / "flow.svg"
    subprocess.run([sys.executable, ROOT / "tools/flow.py", drawn], check=True)
    picture = drawn.read_text(encoding="utf-8")
    assert picture == (ROOT / "telemetry/flow.svg").read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in picture
