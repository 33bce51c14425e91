"""The timer, which tells how long something took: as the field `duration_ms` of an event, or as a number observed."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from telemetry.native import perf_counter

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

P = ParamSpec("P")
R = TypeVar("R")

Timed = Callable[[str, float, dict[str, Any]], None]


class Timer:
    """Context manager and decorator that tells the milliseconds that its block or call took, in whatever way it ends.

    As a decorator it serves any number of threads, recursion and `async def` functions; in a `with`, also `async with`,
    one block at a time.
    """

    __slots__ = ("_fields", "_name", "_started", "_timed")

    def __init__(self, timed: Timed, name: str, fields: dict[str, Any]) -> None:
        self._timed = timed
        self._name = name
        self._fields = fields

    def __enter__(self) -> Self:
        self._started = perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._timed(self._name, (perf_counter() - self._started) * 1e3, self._fields)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Return `function` with each of its calls timed."""
        from inspect import iscoroutinefunction  # noqa: PLC0415 `import telemetry` must cost next to nothing

        if iscoroutinefunction(function):

            @wraps(function)
            async def timed_coroutine(*args: P.args, **kwargs: P.kwargs) -> Any:
                with Timer(self._timed, self._name, self._fields):
                    return await function(*args, **kwargs)

            return timed_coroutine  # type: ignore[return-value] # R is a coroutine here, which mypy can't know

        @wraps(function)
        def timed(*args: P.args, **kwargs: P.kwargs) -> R:
            with Timer(self._timed, self._name, self._fields):
                return function(*args, **kwargs)

        return timed
