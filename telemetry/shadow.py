"""Search for files of the host's in the place of modules that telemetry needs: a `json.py` beside its script, say.

Python looks there first, so `import json` loads that file, and a later failure does not name it. Nothing is imported
here beyond what the interpreter itself has loaded before it ran the script.
"""

from __future__ import annotations

import os
import sys

from telemetry.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_PACKAGES = ("zmq", "msgspec")
_LIBRARY = os.path.dirname(os.__file__)  # noqa: PTH120 pathlib may be one of them


def check_shadows(fault: BaseException) -> None:
    """Check whether such a file is the reason for a fault.

    Raises:
        ConfigError: there is one; the text names each.
    """
    found = {name: file for name, file in _loaded(fault) if _is_shadow(name, file)}
    if found:
        files = "; ".join(f"{file} hides the module {name}" for name, file in found.items())
        raise ConfigError(f"can't load what telemetry needs because {files}: rename it") from None


def _loaded(fault: BaseException) -> Iterator[tuple[str, str]]:
    """Yield names and files of the modules that are loaded, and of those whose loading failed."""
    traceback = fault.__traceback__
    while traceback is not None:
        yield from _named(traceback.tb_frame.f_globals)
        traceback = traceback.tb_next
    for module in list(sys.modules.values()):
        yield from _named(getattr(module, "__dict__", {}))


def _named(attributes: dict[str, Any]) -> Iterator[tuple[str, str]]:
    name, file = attributes.get("__name__"), attributes.get("__file__")
    if type(name) is str and type(file) is str:
        yield name, file


def _is_shadow(name: str, file: str) -> bool:
    if name in _PACKAGES:
        return os.path.basename(file) == f"{name}.py"  # noqa: PTH119 as above
    return name in sys.stdlib_module_names and not _is_of_library(file)


def _is_of_library(file: str) -> bool:
    """Tell whether a module's file is the library's own; an extension counts as such wherever it lies."""
    return not file.endswith(".py") or os.path.realpath(file).startswith(os.path.realpath(_LIBRARY) + os.sep)
