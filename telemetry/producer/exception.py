"""An exception as it may leave the host: its type and the frames of the program's own packages, never its text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType, TracebackType

MAX_FRAMES = 20


def reduce_exception(error: BaseException, packages: tuple[str, ...]) -> str:
    """Write an exception as `Type` or `Type@module:function:line;...`, innermost frame last.

    A type that is neither built in nor of `packages` is named by its nearest ancestor that is: a third party's class
    name says nothing that the catalog's owner asked for. Frames outside `packages` are left out.

    Args:
        error: the exception; its message, notes and causes are not read.
        packages: top-level package names of the host's own code.
    """
    known = next(t for t in type(error).__mro__ if t.__module__ == "builtins" or _owned(t.__module__, packages))
    frames = [_place(frame, line) for frame, line in _walk(error.__traceback__) if _owned(_module(frame), packages)]
    return "@".join(filter(None, (known.__name__, ";".join(frames[-MAX_FRAMES:]))))


def _walk(traceback: TracebackType | None) -> list[tuple[FrameType, int]]:
    frames = []
    while traceback is not None:
        frames.append((traceback.tb_frame, traceback.tb_lineno))
        traceback = traceback.tb_next
    return frames


def _place(frame: FrameType, line: int) -> str:
    # A lambda or a comprehension is called `<lambda>`, `<listcomp>`: no identifier.
    return f"{_module(frame)}:{frame.f_code.co_name.strip('<>')}:{line}"


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _owned(module: str, packages: tuple[str, ...]) -> bool:
    return module.partition(".")[0] in packages
