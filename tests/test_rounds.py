"""Beginning and ending leaves nothing behind; `python -m bench rounds` does a thousand."""

from __future__ import annotations

from bench.site import site

ROUNDS = 50


def test_fifty_rounds_of_init_and_close_leave_no_thread_descriptor_process_or_object() -> None:
    with site() as place:
        left = place.run("bench.rounds", place.endpoint, ROUNDS)
    assert {name: left[name][0] for name in ("threads", "descriptors", "children", "rounds not confirmed")} == {
        "threads": 0,
        "descriptors": 0,
        "children": 0,
        "rounds not confirmed": 0,
    }
    assert left["objects"][0] < ROUNDS
