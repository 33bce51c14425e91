"""Bodies, headers and rates as the collector judges them: pure, without a server."""

from __future__ import annotations

import io
import tracemalloc

import pytest
import zstandard
from starlette.datastructures import Headers

from telemetry.collector.body import MAX_LINE_BYTES, find_fault
from telemetry.collector.judge import Refusal, Upload, bearer_of, judge
from telemetry.collector.limits import Bucket, check_tokens
from telemetry.errors import ConfigError
from telemetry.receipt import BATCH_HEADER, CATALOG_HEADER, CONSENT_HEADER

MOST = 1 << 20
LINE = b'{"event": "started", "time": "2026-01-01T00:00:00Z", "session": "s1", "n": 1, "ok": true, "x": null}\n'
GOOD = zstandard.compress(LINE * 100)
HEADERS = {
    BATCH_HEADER: "0123456789abcdef0123456789abcdef",
    CONSENT_HEADER: "level=on; basis=host; notice=0; deployment=cloud",
    CATALOG_HEADER: "acme-db/3",
    "Content-Type": "application/x-ndjson",
    "Content-Encoding": "zstd",
}


def status_of(body: bytes, suffix: str = ".ndjson.zst", most: int = MOST) -> int:
    fault = find_fault(io.BytesIO(body), suffix, most)
    return 200 if fault is None else fault.status


def headers_of(*more: tuple[str, str]) -> Headers:
    pairs = [*HEADERS.items(), *more]
    return Headers(raw=[(name.lower().encode(), value.encode()) for name, value in pairs])


def test_a_zip_bomb_is_refused_and_takes_no_memory() -> None:
    bomb = zstandard.compress(bytes(256 << 20), 1)
    assert len(bomb) < 100_000

    tracemalloc.start()
    assert status_of(bomb, ".pb.zst", 128 << 20) == 413
    assert tracemalloc.get_traced_memory()[1] < 80 << 20
    tracemalloc.stop()


def test_a_body_of_the_largest_size_decompressed_is_taken_and_one_byte_more_is_not() -> None:
    assert status_of(GOOD, most=len(LINE) * 100) == 200
    assert status_of(GOOD, most=len(LINE) * 100 - 1) == 413


@pytest.mark.parametrize("cut", [0, 1, 4, 5, 9, len(GOOD) // 2, len(GOOD) - 1])
def test_a_body_cut_off_anywhere_is_refused(cut: int) -> None:
    assert status_of(GOOD[:cut]) == 400


def _lying(frame: bytes, claimed_bytes: int) -> bytes:
    """The same frame, whose header gives another content size, in eight bytes."""
    parameters = zstandard.get_frame_parameters(frame)
    header_bytes = zstandard.frame_header_size(frame)
    assert parameters.content_size == len(LINE)
    return frame[:4] + b"\xe0" + claimed_bytes.to_bytes(8, "little") + frame[header_bytes:]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(GOOD + GOOD, id="two-frames"),
        pytest.param(zstandard.compress(b"") * 100_000, id="a-hundred-thousand-empty-frames"),
        pytest.param(GOOD + b"\0", id="a-byte-more"),
        pytest.param(b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"skip" + GOOD, id="a-frame-to-be-skipped"),
        pytest.param(_lying(zstandard.compress(LINE), 5), id="content-size-too-small"),
        pytest.param(_lying(zstandard.compress(LINE), 2**63), id="content-size-of-exabytes"),
        pytest.param(b"\x28\xb5\x2f\xfd\x00\xff\x01\x00\x00", id="a-window-of-terabytes"),
        pytest.param(b"\x28\xb5\x2f\xfd\x01\x58\x07\x01\x00\x00", id="a-dictionary"),
        pytest.param(LINE, id="not-compressed"),
    ],
)
def test_a_body_that_is_not_one_whole_zstd_frame_is_refused(body: bytes) -> None:
    assert status_of(body) == 400


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"[1]", id="a-list"),
        pytest.param(b'{"a": 1}{"b": 2}', id="two-on-a-line"),
        pytest.param(b'{"a":\n1}', id="one-on-two-lines"),
        pytest.param(b'{"a": {"b": 1}}', id="nested"),
        pytest.param(b'{"a": ' + b"[" * 100_000, id="deep"),
        pytest.param(b'{"a": "\xff"}', id="no-text"),
        pytest.param(b'{"a": "\\ud800"}', id="half-a-character"),
        pytest.param(b'{"a": NaN}', id="not-a-number"),
        pytest.param(b'{"a": 1e999}', id="beyond-a-float"),
        pytest.param(b'{"a": ' + b"9" * 5000 + b"}", id="a-number-of-5000-digits"),
        pytest.param(b'{"a": "', id="cut"),
    ],
)
def test_a_line_that_a_query_could_not_read_is_refused(line: bytes) -> None:
    assert status_of(LINE + line + b"\n" + LINE, ".ndjson") == 400
    assert status_of(LINE + line, ".ndjson") == 400


def test_a_line_without_an_end_is_refused_before_it_fills_the_memory() -> None:
    assert status_of(b'{"a": "' + b"x" * (2 * MAX_LINE_BYTES), ".ndjson", 1 << 30) == 413


def test_what_a_shipper_sends_is_taken() -> None:
    stream = zstandard.ZstdCompressor(level=1).compressobj()
    blocks = [stream.compress(LINE) + stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK) for _ in range(50)]
    assert status_of(b"".join(blocks) + stream.flush()) == 200
    assert status_of(LINE + b"\n" + LINE[:-1], ".ndjson") == 200
    assert status_of(b"\x0a\x01x", ".pb") == 200


@pytest.mark.parametrize("name", [BATCH_HEADER, CONSENT_HEADER, CATALOG_HEADER, "Content-Type", "Content-Encoding"])
def test_a_header_that_stands_twice_is_refused(name: str) -> None:
    assert isinstance(judge(headers_of()), Upload)
    judged = judge(headers_of((name, HEADERS[name])))
    assert isinstance(judged, Refusal)
    assert judged.status == 400


def test_what_two_servers_would_read_differently_is_refused() -> None:
    judged = judge(headers_of(("Transfer-Encoding", "chunked"), ("Content-Length", "5")))
    assert isinstance(judged, Refusal)
    assert judged.status == 400


def test_headers_have_a_bound_in_number_and_size() -> None:
    for more in ([(f"x-{n}", "") for n in range(100)], [("x", "y" * (16 << 10))]):
        judged = judge(headers_of(*more))
        assert isinstance(judged, Refusal)
        assert judged.status == 431


def test_any_of_several_tokens_is_good_and_each_is_known() -> None:
    tokens = check_tokens("old\n new\n", "file")
    assert [
        bearer_of(headers_of(("Authorization", f"Bearer {word}")), tokens) for word in ("old", "new", "ne", "")
    ] == [
        0,
        1,
        None,
        None,
    ]


@pytest.mark.parametrize("text", ["", " \n", "s\u00e9cret"])
def test_an_error_about_tokens_does_not_name_one(text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        check_tokens(text, "file")
    assert "cret" not in str(raised.value)


def test_who_sends_too_much_waits_until_it_is_paid_back() -> None:
    bucket = Bucket(100)
    assert bucket.wait_seconds(1000.0) == 0.0
    bucket.charge(1200)  # 10 seconds' worth may come at once
    assert bucket.wait_seconds(1000.0) == pytest.approx(2.0)
    assert bucket.wait_seconds(1001.0) == pytest.approx(1.0)
    assert bucket.wait_seconds(1002.0) == 0.0
