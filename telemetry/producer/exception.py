"""Reduction of an exception to its type and the frames of the program's own packages.

Its text never leaves the host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType

MAX_FRAMES = 20

# As the interpreter knows them: a class may have attributes of these names that are anything, and run anything.
_ancestors: Callable[[type], tuple[type, ...]] = type.__dict__["__mro__"].__get__
_module_of: Callable[[type], object] = type.__dict__["__module__"].__get__
_name_of: Callable[[type], str] = type.__dict__["__name__"].__get__
_traceback_of: Callable[[BaseException], TracebackType | None] = BaseException.__dict__["__traceback__"].__get__


def reduce_exception(error: BaseException, packages: tuple[str, ...]) -> str:
    """Write an exception as `Type` or `Type@module:function:line;...`, innermost frame last.

    A type that is neither built in nor of `packages` is named by its nearest ancestor that is: the catalog's owner did
    not ask for the class names of third parties. Frames outside `packages` are left out.

    Args:
        error: the exception; its message, notes and causes are not read.
        packages: the top-level package names of the host's own code.
    """
    known = next(t for t in _ancestors(type(error)) if _owned(_module_of(t), ("builtins", *packages)))
    traceback = _traceback_of(error)
    frames = [_place(frame, line) for frame, line in _walk(traceback) if _owned(_module(frame), packages)]
    return "@".join(filter(None, (_name_of(known), ";".join(frames[-MAX_FRAMES:]))))


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
    name = dict.get(frame.f_globals, "__name__")
    return name if type(name) is str else ""


def _owned(module: object, packages: tuple[str, ...]) -> bool:
    return type(module) is str and module.partition(".")[0] in packages
