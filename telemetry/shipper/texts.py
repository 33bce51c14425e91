"""The redactor of free text, opened when the first catalog is read that has something for it to do.

Compiling what it searches with takes seconds of a processor's time on a machine that has not done it before, as each
new container is; a catalog without free text has no use for it.
"""

from __future__ import annotations

import logging
from itertools import chain
from typing import TYPE_CHECKING

from telemetry.catalog.field_types import EXCEPTION, Treatment, type_of
from telemetry.paths import cache_dir
from telemetry.redact.free_text import FreeTextRedactor
from telemetry.redact.scanner import ScannerUnavailableError
from telemetry.shipper.canaries import prove

if TYPE_CHECKING:
    from telemetry.catalog.model import Catalog, Field
    from telemetry.shipper.delivery.tripwire import Tripwire
    from telemetry.shipper.encode.format import Format
    from telemetry.shipper.own_names import OwnNames

log = logging.getLogger("telemetry.shipper")


class Texts:
    """The redactor of free text of one shipper, or none yet.

    Args:
        names: the names to take out of texts; the redactor is told of later ones.
        tripwire: tests the redactor before it is used; the tripwire itself is tested at once.
        format_: the format of the uploads.

    Attributes:
        are_dropped: whether a redactor was needed and can't be had: free text is dropped then, and counted.
    """

    def __init__(self, names: OwnNames, tripwire: Tripwire, format_: Format) -> None:
        self.are_dropped = False
        self._names = names
        self._tripwire = tripwire
        self._format = format_
        self._redactor: FreeTextRedactor | None = None
        prove(names.known, None, tripwire, format_)

    def redactor_for(self, catalog: Catalog) -> FreeTextRedactor | None:
        """Return the redactor, opened if need be; None where the catalog needs none, or there is none to be had."""
        fields = chain.from_iterable(event.fields.values() for event in catalog.events.values())
        if self._redactor is None and not self.are_dropped and any(map(_is_searched, fields)):
            self._open()
        return self._redactor

    def _open(self) -> None:
        redactor = None
        try:
            redactor = FreeTextRedactor(self._names.known, cache_dir())
        except ScannerUnavailableError as fault:
            log.warning("free text is dropped: %s", fault)
        self._redactor = prove(self._names.known, redactor, self._tripwire, self._format)
        if self._redactor is None:
            self.are_dropped = True
        else:
            self._names.tell(self._redactor.know)


def _is_searched(field: Field) -> bool:
    """Tell whether a field's values are searched for private data: a text for all of it, an error for own names."""
    row = type_of(field)
    return row.treatment is Treatment.SCANNED or row.python == EXCEPTION
