"""Digests in a host: those of hashlib, without OpenSSL."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest

from telemetry.digest import sha256_hex

WITHOUT_ITS_OWN = "sys.modules['_sha256'] = sys.modules['_sha2'] = None"


def test_a_digest_is_that_of_hashlib() -> None:
    for data in (b"", b"catalog", bytes(range(256)) * 1000):
        assert sha256_hex(data) == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(("before", "loads_openssl"), [("pass", False), (WITHOUT_ITS_OWN, True)])
def test_openssl_is_loaded_only_where_the_interpreter_has_no_sha_256_of_its_own(
    before: str, *, loads_openssl: bool
) -> None:
    code = (
        f"import sys; {before}\n"
        "import telemetry.client\n"  # what `init` loads
        "from telemetry.producer import channel, link, site\n"
        "from telemetry.catalog.copies import digest_of\n"
        "print(digest_of(b'catalog'), '_hashlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [hashlib.sha256(b"catalog").hexdigest(), str(loads_openssl)]
