"""Digests by the interpreter's own SHA-256: `hashlib` loads OpenSSL, which takes a tenth of all that `init` does."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import sha256
else:
    try:
        if sys.version_info >= (3, 12):
            from _sha2 import sha256
        else:
            from _sha256 import sha256
    except ImportError:  # an interpreter that was built without its own
        from hashlib import sha256


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of `data`, in hexadecimal."""
    return sha256(data).hexdigest()
