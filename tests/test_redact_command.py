"""`telemetry redact` as a process on pipes."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time

import pytest

from telemetry.redact.text import MAX_TEXT_BYTES

RUN = "import sys; from telemetry.cli.redact import main; sys.exit(main(sys.argv[1:]))"


def command(*arguments: str, code: str = RUN) -> list[str]:
    return [sys.executable, "-c", code, *arguments]


def run(given: bytes, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command(*arguments), input=given, capture_output=True, check=False, timeout=60)


def read_line(stream: int, seconds: float = 30.0) -> bytes:
    line, deadline = b"", time.monotonic() + seconds
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([stream], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"no whole line in time, only {line!r}"
        line += os.read(stream, 1)
    return line


def test_each_line_in_is_one_line_out() -> None:
    done = run(b"at 10.1.2.3\n\nclean\r\nlast amy@shop.de")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"at [ip]\n\nclean\r\nlast [email]\n", b"")


def test_empty_input_gives_empty_output() -> None:
    assert run(b"").stdout == b""


def test_a_line_that_decodes_to_two_stays_one() -> None:
    assert run(b"amy%40shop.de%0Abob%40shop.de\n").stdout.count(b"\n") == 1


def test_bytes_that_are_no_utf8_are_replaced() -> None:
    assert run(b"a\xff\xfe 10.1.2.3\n").stdout == "a\ufffd\ufffd [ip]\n".encode()


def test_a_line_that_would_be_dropped_says_so() -> None:
    given = b"x" * (MAX_TEXT_BYTES + 1)
    assert run(given + b"\nclean\n").stdout == b"[dropped]\nclean\n"
    assert json.loads(run(given, "--json").stdout) == {"text": None, "rules": ["oversize"]}


def test_json_has_text_and_rules_of_each_line() -> None:
    lines = run("at 10.1.2.3 amy@shop.de\ngröße".encode(), "--json").stdout.splitlines()
    assert [json.loads(line) for line in lines] == [
        {"text": "at [ip] [email]", "rules": ["email", "ip"]},
        {"text": "größe", "rules": []},
    ]


def test_many_lines_come_out_in_order() -> None:
    given = b"".join(b"line %d at 10.1.2.%d\n" % (n, n % 250) for n in range(30_000))
    wanted = b"".join(b"line %d at [ip]\n" % n for n in range(30_000))
    assert run(given).stdout == wanted


def test_a_line_without_end_is_read_in_bounded_memory() -> None:
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (700 << 20, 700 << 20))\n"
        "import sys; from telemetry.cli.redact import main; sys.exit(main([]))"
    )
    with subprocess.Popen(command(code=code), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        for _ in range(1000):
            process.stdin.write(b"x" * (1 << 20))
        process.stdin.write(b"\nat 10.1.2.3\n")
        process.stdin.close()
        assert process.stdout.read() == b"[dropped]\nat [ip]\n"
    assert process.returncode == 0


def test_a_slow_pipe_gets_each_line_as_it_comes() -> None:
    with subprocess.Popen(command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdin
        assert process.stdout
        for number in range(3):
            process.stdin.write(b"%d at 10.1.2.3\n" % number)
            assert read_line(process.stdout.fileno()) == b"%d at [ip]\n" % number
        process.stdin.close()
    assert process.returncode == 0


def test_a_reader_that_leaves_ends_it_like_any_filter() -> None:
    with subprocess.Popen(
        command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write(b"first\n")
        read_line(process.stdout.fileno())
        process.stdout.close()
        process.stdin.write(b"second\n")
        process.stdin.close()
        assert process.stderr.read() == b""
    assert process.returncode == -signal.SIGPIPE


def test_without_a_scanner_it_exits_with_3_and_prints_no_line() -> None:
    code = "import sys; sys.modules['hyperscan'] = None\n" + RUN
    done = subprocess.run(command(code=code), input=b"at 10.1.2.3\n", capture_output=True, check=False, timeout=60)
    assert done.returncode == 3
    assert done.stdout == b""
    assert done.stderr.startswith(b"telemetry redact: hyperscan can't be imported")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("heavy", ["requests", "zmq", "msgspec", "rich", "duckdb"])
def test_it_loads_no_heavy_module(heavy: str) -> None:
    code = f"import sys; from telemetry.cli.redact import main; main([]); sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run(command(code=code), input=b"", check=False, timeout=60).returncode == 0
