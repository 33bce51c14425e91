"""`telemetry catalog templates`: what a program says, out of its source, as the lines of a `message` field."""

from __future__ import annotations

import ast
import tomllib
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from telemetry.catalog.load import inspect
from telemetry.catalog.messages import collect
from telemetry.cli.catalog import catalog

if TYPE_CHECKING:
    from pathlib import Path

CATALOG = """
[catalog]
product = "acme-db"
version = 1
[events.failed]
purpose = "see what fails"
owner = "o"
expires = "2099-12-31"
sensitivity = "technical"
[events.failed.fields]
"""


def templates(source: str) -> list[str]:
    return [message.template for message in collect([("a.py", ast.parse(source))]).messages.get("a.py", [])]


@pytest.mark.parametrize(
    ("source", "template"),
    [
        ('log.info("all is well")', "all is well"),
        ('logging.warning("100% {full}")', "100% {{full}}"),
        ('log.info("no route to %s", host)', "no route to {host}"),
        ('log.log(10, "no route to %s", self.peer.host)', "no route to {host}"),
        ('log.info("level %d took %.2f ms", level, ms)', "level {level:int} took {ms:number} ms"),
        ('log.info("%(n)d of %(all)i rows", {"n": done, "all": rows})', "{done:int} of {rows:int} rows"),
        ('log.info("100%% full of %s", x.name)', "100% full of {name}"),
        ('log.info("up to %5d rows and %05d more", rows, more)', "up to {rows} rows and {more:int} more"),
        ('log.info("at 0x%x in %*s", at, 7, name)', "at 0x{at} in {name}"),
        ('log.info("took {} of {:.1f} s", a, total)', "took {a} of {total:number} s"),
        ('log.error("took {0!r} of {limit:d}".format(x["spent"], limit=9))', "took {spent} of {limit:int}"),
        ('log.error("took {:>5} of {:,}".format(a, b))', "took {a} of {b}"),
        ('log.error("used {:.0%} of disk".format(share))', "used {share:number}% of disk"),
        (
            'log.error(f"level {level:d} of {len(rows)} took {ms:.3f} ms")',
            "level {level:int} of {rows_count} took {ms:number} ms",
        ),
        ('log.error(f"no {x!r:>5} of {y:{width}} for {get_host()}")', "no {x} of {y} for {host}"),
        ('log.error(f"{{{x}}} is no such thing")', "{{{x}}} is no such thing"),
        ('raise ValueError("no such table: " + name)', "no such table: {name}"),
        ('raise ValueError("no such table: %s" % name) from None', "no such table: {name}"),
        ('raise ValueError("no %s in %s" % (x, y))', "no {x} in {y}"),
        ('raise acme.NoTableError(42, f"no such table: {name}")', "no such table: {name}"),
        ('raise acme.NoTable(f"no such table: {name}")', "no such table: {name}"),
        ('assert rows, f"no rows in {table}"', "no rows in {table}"),
        ('raise acme.NoTableError(message="no such table")', "no such table"),
        ('return TypeError("must be a table")'.replace("return ", "x = "), "must be a table"),
        ('warnings.warn("this will go away")', "this will go away"),
        ('def f(x):\n    msg = f"no such table: {x}"\n    raise ValueError(msg)', "no such table: {x}"),
        ('class E(Exception):\n    def __init__(self, x):\n        super().__init__(f"no such {x}")', "no such {x}"),
        ('raise ValueError(_("no such table"))', "no such table"),
        ('log.info("a %s%s of it", x, y)', "a {x} of it"),
        ('log.info("copy %s to %s", path, path)', "copy {path} to {path_2}"),
        ('log.info("%s failed: %s", camelCaseName, e)', "{camel_case_name} failed: {error}"),
        ('log.info("got %s and %s", 1 + 2, *rest)', "got {value} and {rest}"),
        ('log.info("two\\nlines")', "two\nlines"),
        ('log.info("took %d%d rows", a, b)', "took {a} rows"),
        ('log.info("took %d0 rows", a)', "took {a}0 rows"),
    ],
)
def test_what_is_filled_in_becomes_a_hole_of_the_type_that_its_format_says(source: str, template: str) -> None:
    assert templates(source) == [template]


@pytest.mark.parametrize("name", ["pid", "user_id", "port", "account", "ssn", "pin"])
def test_a_number_whose_name_smells_is_a_bare_hole(name: str) -> None:
    assert templates(f'log.info("closed %d at last", {name})') == [f"closed {{{name}}} at last"]


@pytest.mark.parametrize(
    "source",
    [
        'log.info("%s: %s", a, b)',
        'log.info(f"{a}")',
        "log.info(message)",
        "log.info()",
        'print("all is well")',
        'd.get("info")',
        'raise ValueError("")',
        'raise ValueError("broken {".format(1))',
    ],
)
def test_what_says_nothing_or_is_no_message_is_left_out(source: str) -> None:
    assert templates(source) == []


def test_a_message_counts_once_whatever_its_holes_are_called_and_a_variable_may_hold_several() -> None:
    source = (
        'log.info("no %s here", a)\nlog.info(f"no {b} here")\nm = "one is up" if x else "two are up"\nraise XError(m)'
    )
    assert templates(source) == ["no {a} here", "one is up", "two are up"]


def test_a_hole_that_is_a_whole_number_in_one_message_and_any_in_another_is_a_number_in_both() -> None:
    source = 'log.info("took %d ms", ms)\nlog.info("waited %.1f ms", ms)'
    assert templates(source) == ["took {ms:number} ms", "waited {ms:number} ms"]


SOURCE = """
import logging
log = logging.getLogger(__name__)
def run(host, level, ms):
    log.info("no route to %s", host)
    log.info("compaction of level %d took %.1f ms", level, ms)
    log.info("a \\"quoted\\" back\\\\slash, \\x7f and \\u202e \\U0001F600 {} }")
    raise RuntimeError(f"can't read {host!r}")
"""


def run(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(catalog, ["templates", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def test_the_lines_are_a_field_that_a_catalog_loads_and_say_where_each_stands(tmp_path: Path) -> None:
    (tmp_path / "acme" / "tests").mkdir(parents=True)
    (tmp_path / "acme" / "net.py").write_text(SOURCE)
    (tmp_path / "acme" / "tests" / "test_net.py").write_text('raise ValueError("of a test")')
    code, lines, said = run(tmp_path / "acme")
    assert (code, said) == (0, "")
    assert '  # acme/net.py\n  "no route to {host}",  # 5\n' in lines
    (file := tmp_path / "acme.toml").write_text(CATALOG + lines)
    found, faults = inspect(file)
    assert faults == []
    assert found is not None
    assert found.events["failed"].fields["detail"].templates == (
        "no route to {host}",
        "compaction of level {level:int} took {ms:number} ms",
        'a "quoted" back\\slash, \x7f and \u202e \U0001f600 {{}} }}',
        "can't read {host}",
    )
    assert list(found.events["failed"].fields) == ["detail", "detail_level", "detail_ms"]
    assert tomllib.loads(lines)["detail"]["purpose"] == "TODO"  # check objects to it: somebody has to say


def test_a_file_that_is_no_python_is_passed_over_and_named(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("def (")
    (tmp_path / "good.py").write_text('raise ValueError("all is lost")')
    (tmp_path / "latin.py").write_bytes('# coding: latin-1\nraise ValueError("völlig leer")'.encode("latin-1"))
    code, lines, said = run(tmp_path, "--output", tmp_path / "lines.toml")
    assert (code, lines) == (1, "")
    assert said == f"{tmp_path / 'bad.py'}: is skipped: it can't be read as Python (SyntaxError)\n"
    written = (tmp_path / "lines.toml").read_text(encoding="utf-8")
    assert ("all is lost" in written, "völlig leer" in written) == (True, True)
