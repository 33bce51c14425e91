"""Files of tables on this machine, each safe on disk once it is closed, which pyiceberg leaves to the system.

Iceberg's catalog must name nothing that a power cut takes away.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pyiceberg.io.pyarrow import PyArrowFileIO

from telemetry.files import sync_directory

if TYPE_CHECKING:
    from types import TracebackType

_LOCAL = "file://"


def make_safe(path: Path) -> None:
    """Block until a file, and its name in its directory, are safe on disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
    sync_directory(path.parent)


class DurableFiles(PyArrowFileIO):  # type: ignore[misc] # it is of an optional extra, which is not looked into
    """File system of tables; pyiceberg finds it by the setting `py-io-impl`."""

    def new_output(self, location: str) -> Any:
        """Return a file to be written; that of data is made safe by its writer."""
        output = super().new_output(location)
        return output if location.endswith(".parquet") else _Output(output, Path(location.removeprefix(_LOCAL)))


class _Output:
    """A file to be written, which pyiceberg makes, looks at and measures."""

    def __init__(self, output: Any, path: Path) -> None:
        self._output = output
        self._path = path
        self.location: str = output.location

    def __len__(self) -> int:
        return len(self._output)

    def exists(self) -> bool:
        return bool(self._output.exists())

    def to_input_file(self) -> Any:
        return self._output.to_input_file()

    def create(self, overwrite: bool = False) -> _Stream:  # noqa: FBT001, FBT002 pyiceberg's signature
        return _Stream(self._output.create(overwrite), self._path)


class _Stream:
    """An open file, whose end blocks until it is safe."""

    def __init__(self, stream: Any, path: Path) -> None:
        self.write = stream.write
        self.tell = stream.tell
        self.flush = stream.flush
        self._stream = stream
        self._path = path

    @property
    def closed(self) -> bool:
        return bool(self._stream.closed)

    def close(self) -> None:
        if not self._stream.closed:
            self._stream.close()
            make_safe(self._path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.close()
