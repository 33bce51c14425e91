"""Supply of what texts are searched with, opened when the first catalog is read that has something for it to do.

Compiling what it searches with takes seconds of a processor's time on a machine that has not done it before, as each
new container is; a catalog without free text has no use for it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from telemetry.catalog.field_types import EXCEPTION, Treatment, declares, is_free_text, type_of
from telemetry.catalog.matcher import matcher_of
from telemetry.paths import cache_dir
from telemetry.redact.free_text import FreeTextRedactor
from telemetry.redact.scanner import ScannerUnavailableError
from telemetry.shipper.canaries import prove

if TYPE_CHECKING:
    from telemetry.catalog.field_types import FieldType
    from telemetry.catalog.model import Catalog
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
        """Return the redactor, opened if need be; None where the catalog needs none, or there is none to be had.

        If the catalog has many templates of messages, the scan for them is opened, too.
        """
        for event in catalog.events.values():
            for field in event.fields.values():
                if type_of(field).treatment is Treatment.MATCHED:
                    matcher_of(field.templates).open_scan(cache_dir())
        if self._redactor is None and not self.are_dropped and declares(catalog, _is_searched):
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
            self._names.tell(self._redactor.look_for)


def _is_searched(row: FieldType) -> bool:
    """Return whether values of a type are searched: texts for all that may not leave, errors for own names."""
    return is_free_text(row) or row.python == EXCEPTION
