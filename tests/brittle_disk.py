"""A file system that does what a real one may: it tears, loses what was not synced, fills up, fails, turns read-only.

It lies over a real directory. What a process does there happens at once, as in a kernel's cache; beside it is kept what
a power cut would leave: of a file, what stood in it at its last fsync, with any of the writes and truncations since,
each whole, in part or not at all; of a directory, the names that were there when it was last synced, with any of the
changes since. A rename may show the new name before it loses the old one, never neither. What a failed fsync was to
make durable is never durable: kernels report such a failure once.

The calls of `os` are replaced, not a seam of the spool's own: whatever the code does to the disk is seen, also what
forgets to go through a seam.
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
import posix
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

    import pytest

CALLS = ("open", "write", "fsync", "ftruncate", "replace", "unlink", "mkdir", "read")
"""What can be made to fail; `open` is that of a file to be made or written, `read` that of one to be read."""

CHANGING = frozenset(CALLS) - {"read", "fsync"}
"""What a read-only file system refuses."""


class _Edit(NamedTuple):
    """A write at an offset, or a truncation to it."""

    offset: int
    data: bytes | None


class _File:
    """What is durable of a file, and what was done since."""

    def __init__(self, durable: bytes = b"") -> None:
        self.durable = durable
        self.edits: list[_Edit] = []
        self.doomed = False  # since an fsync of it has failed

    def sync(self) -> None:
        data = bytearray(self.durable)
        for edit in self.edits:
            _apply(edit, data, edit.data)
        self.durable, self.edits = bytes(data), []

    def after_power_cut(self, random: Random) -> bytes:
        data = bytearray(self.durable)
        for edit in self.edits:
            fate = random.choice(["whole", "whole", "torn", "lost"])
            if fate != "lost":
                _apply(
                    edit,
                    data,
                    edit.data and edit.data[: random.randint(0, len(edit.data))] if fate == "torn" else edit.data,
                )
        return bytes(data)


class PowerCut(BaseException):
    """The end of the process, at a call that is not done any more."""


class _Change:
    """A name in a directory that stands for a file now, or for nothing; a name's loss by a rename needs the new one."""

    def __init__(self, within: _Directory, name: str, node: _Node | None, needs: _Change | None = None) -> None:
        self.within = within
        self.name = name
        self.node = node
        self.needs = needs
        self.is_durable = False


class _Directory:
    """What names are durable, and what was done since."""

    def __init__(self) -> None:
        self.durable: dict[str, _Node] = {}
        self.changes: list[_Change] = []

    def sync(self) -> None:
        changes, self.changes = self.changes, []
        for change in changes:
            change.is_durable = True
            _set(self.durable, change)
        for change in changes:
            if change.needs and not change.needs.is_durable:
                change.needs.within.sync()

    def now(self, name: str) -> _Node | None:
        return next((change.node for change in reversed(self.changes) if change.name == name), self.durable.get(name))


_Node = _File | _Directory


class BrittleDisk:
    """The file system under `root`, which must be empty. Use as many processes' worth of lives as you like, in turn.

    Attributes:
        refusals: by call, the `errno` that it fails with from now on.
        room_bytes: how much may still be written before the disk is full; None for no limit.
        fuse: after how many calls more `PowerCut` is raised, by that call and all after it; None for never.
        calls: how many calls changed something, or tried to.
    """

    def __init__(self, root: Path, random: Random, patch: pytest.MonkeyPatch) -> None:
        self.refusals: dict[str, int] = {}
        self.room_bytes: int | None = None
        self.fuse: int | None = None
        self.calls = 0
        self._root = root
        self._random = random
        self._tree = _Directory()
        self._nodes: dict[int, _Node] = {root.stat().st_ino: self._tree}
        self._opened: set[int] = set()
        self._real: dict[str, Callable[..., Any]] = {
            name: getattr(os, name)
            for name in ("open", "close", "write", "fsync", "ftruncate", "replace", "unlink", "mkdir")
        }
        self._real_reading = io.open
        for name in self._real:
            for module in (os, posix):  # who goes around patches of `os` calls these
                patch.setattr(module, name, getattr(self, f"_{name}"))
        patch.setattr(io, "open", self._open_to_read)

    # What befalls it.

    def heal(self) -> None:
        """All faults end."""
        self.refusals, self.room_bytes = {}, None

    def turn_read_only(self) -> None:
        self.refusals = dict.fromkeys(CHANGING, errno.EROFS)

    def kill(self) -> None:
        """The process is gone: its descriptors are closed and its locks let go."""
        for file in self._opened:
            self._real["close"](file)
        self._opened = set()
        self.fuse = None

    def cut_power(self) -> None:
        """The process is gone, and of what was not synced any part."""
        self.kill()
        self.heal()
        left = self._left()
        for path in list(self._root.iterdir()):
            shutil.rmtree(path) if path.is_dir() else self._real["unlink"](path)
        self._tree = _Directory()
        self._nodes = {self._root.stat().st_ino: self._tree}
        for path in sorted(left, key=lambda path: len(path.parts)):
            self._restore(path, left[path])

    def _left(self) -> dict[Path, bytes | None]:
        """By path, the data of each file; None for a directory."""
        directories = {self._root: self._tree}
        directories |= dict(_directories(self._root, self._tree))
        survive = _survivors(
            [change for directory in directories.values() for change in directory.changes], self._random
        )
        left: dict[Path, bytes | None] = {}
        for path, directory in directories.items():
            if path != self._root and path not in left:
                continue
            names = dict(directory.durable)
            for change in directory.changes:
                if change in survive:
                    _set(names, change)
            for name, node in names.items():
                left[path / name] = None if isinstance(node, _Directory) else node.after_power_cut(self._random)
        return left

    def _restore(self, path: Path, data: bytes | None) -> None:
        if data is None:
            self._real["mkdir"](path, 0o700)
        else:
            file = self._real["open"](path, os.O_WRONLY | os.O_CREAT, 0o600)
            self._real["write"](file, data)
            self._real["close"](file)
        node = _Directory() if data is None else _File(data)
        self._nodes[path.stat().st_ino] = node
        parent = self._nodes[path.parent.stat().st_ino]
        assert isinstance(parent, _Directory)
        parent.durable[path.name] = node

    # The calls.

    def _open(self, path: Any, flags: int, mode: int = 0o777, **options: Any) -> int:
        if not self._has(path):
            return int(self._real["open"](path, flags, mode, **options))
        writes = flags & (os.O_WRONLY | os.O_RDWR)
        is_new = bool(flags & os.O_CREAT) and not os.path.lexists(path)
        if writes or is_new:
            self._refuse("open")
        elif not flags & os.O_DIRECTORY:
            self._refuse("read")
        if is_new and self.room_bytes == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        file = int(self._real["open"](path, flags, mode, **options))
        self._opened.add(file)
        if is_new:
            self._nodes[os.fstat(file).st_ino] = made = _File()
            self._change(path, made)
        elif flags & os.O_TRUNC:
            self._edit(file, _Edit(0, None))
        return file

    def _open_to_read(self, path: Any, *arguments: Any, **options: Any) -> Any:
        if self._has(path):
            self._refuse("read")
        return self._real_reading(path, *arguments, **options)

    def _close(self, file: int) -> None:
        self._opened.discard(file)
        self._real["close"](file)

    def _write(self, file: int, data: Any) -> int:
        if file not in self._opened:
            return int(self._real["write"](file, data))
        self._refuse("write")
        taken = bytes(data)
        offset = size_bytes = os.fstat(file).st_size
        if not fcntl.fcntl(file, fcntl.F_GETFL) & os.O_APPEND:
            offset = os.lseek(file, 0, os.SEEK_CUR)
        if self.room_bytes is not None and offset + len(taken) > size_bytes:  # what is written over takes no more room
            if not self.room_bytes:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            taken = taken[: self.room_bytes]
            self.room_bytes -= len(taken)
        self._edit(file, _Edit(offset, taken))
        return int(self._real["write"](file, taken))

    def _ftruncate(self, file: int, length: int) -> None:
        self._refuse("ftruncate")
        self._edit(file, _Edit(length, None))
        self._real["ftruncate"](file, length)

    def _fsync(self, file: int) -> None:
        node = self._nodes[os.fstat(file).st_ino]
        if "fsync" in self.refusals and isinstance(node, _File):
            node.doomed = True
        self._refuse("fsync")
        if isinstance(node, _Directory) or not node.doomed:
            node.sync()

    def _replace(self, source: Any, target: Any) -> None:
        if self._has(source):
            self._refuse("replace")
            node = self._parent(source).now(Path(source).name)
        self._real["replace"](source, target)
        if self._has(source):
            appears = self._change(target, node)
            self._change(source, None, appears)

    def _unlink(self, path: Any, **options: Any) -> None:
        if self._has(path) and os.path.lexists(path):
            self._refuse("unlink")
        self._real["unlink"](path, **options)
        if self._has(path):
            self._change(path, None)

    def _mkdir(self, path: Any, mode: int = 0o777, **options: Any) -> None:
        if self._has(path) and not os.path.lexists(path):
            self._refuse("mkdir")
        self._real["mkdir"](path, mode, **options)
        if self._has(path):
            self._nodes[Path(path).stat().st_ino] = made = _Directory()
            self._change(path, made)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """What is done within is the test's own, and meets no fault."""
        fuse, refusals, self.fuse, self.refusals = self.fuse, self.refusals, None, {}
        yield
        self.fuse, self.refusals = fuse, refusals

    def _refuse(self, call: str) -> None:
        self.calls += 1
        if self.fuse is not None:
            self.fuse -= 1
            if self.fuse < 0:
                raise PowerCut
        if (code := self.refusals.get(call)) is not None:
            raise OSError(code, os.strerror(code))

    def _has(self, path: Any) -> bool:
        return isinstance(path, str | Path) and Path(path).is_relative_to(self._root) and Path(path) != self._root

    def _parent(self, path: Any) -> _Directory:
        parent = self._nodes[Path(path).parent.stat().st_ino]
        assert isinstance(parent, _Directory)
        return parent

    def _change(self, path: Any, node: _Node | None, needs: _Change | None = None) -> _Change:
        parent = self._parent(path)
        change = _Change(parent, Path(path).name, node, needs)
        parent.changes.append(change)
        return change

    def _edit(self, file: int, edit: _Edit) -> None:
        node = self._nodes[os.fstat(file).st_ino]
        assert isinstance(node, _File)
        node.edits.append(edit)


def _apply(edit: _Edit, data: bytearray, written: bytes | None) -> None:
    """Do to `data` a write, as far as it was `written`, or a truncation; a hole before a write reads as zeros."""
    if written is None:
        del data[edit.offset :]
        return
    data.extend(bytes(max(0, edit.offset - len(data))))
    data[edit.offset : edit.offset + len(written)] = written


def _set(names: dict[str, _Node], change: _Change) -> None:
    if change.node is None:
        names.pop(change.name, None)
    else:
        names[change.name] = change.node


def _directories(path: Path, directory: _Directory) -> Iterator[tuple[Path, _Directory]]:
    found = dict(directory.durable)
    for change in directory.changes:
        if isinstance(change.node, _Directory):
            found[change.name] = change.node
    for name, node in found.items():
        if isinstance(node, _Directory):
            yield path / name, node
            yield from _directories(path / name, node)


def _survivors(changes: list[_Change], random: Random) -> set[_Change]:
    """Any of the changes, but no name is lost by a rename whose new name is not there."""
    survive: set[_Change] = set()
    for change in changes:
        if random.random() < 0.5:
            survive.add(change)
    while lame := {c for c in survive if c.needs and not c.needs.is_durable and c.needs not in survive}:
        survive -= lame
    return survive
