"""Rules for PEM and other key files. A key without its END goes, too, up to the end of the text."""

from __future__ import annotations

import re

from telemetry.redact.rules.placeholder import mark
from telemetry.redact.rules.rule import Rule, always

KEY = mark("key")

_PEM = re.compile(r"-{4,5} ?BEGIN[ A-Z0-9]{0,64}[\s\S]*?(?:-{4,5} ?END [A-Z0-9 ]{0,60}-{4,5}|\Z)")
_PUTTY = re.compile(r"PuTTY-User-Key-File-\d[\s\S]*")
_SSH_PUBLIC = re.compile(r"(?:ssh-(?:rsa|dss|ed25519)|ecdsa-sha2-nistp\d{3})(?:-cert\S{0,30})? AAAA[\w+/=]+(?: \S+)?")
_DER = re.compile(r"(?:MII[A-Za-z0-9+/]{40}|b3BlbnNzaC1rZXktdjE)[\w+/=\s\\]*(?:@[\w.-]+)?")
_BASE64_LINE = re.compile(r"\A\s*+(?=[^a-z]*[a-z])(?=[^A-Z]*[A-Z])(?=\D*\d)[A-Za-z0-9+/]{48,}={0,2}\s*\Z")

KEYS = (
    Rule(
        "key",
        (r"---- ?BEGIN",),
        _PEM,
        always(KEY),
        r"loaded -----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKC",
        "loaded [key]",
    ),
    Rule(
        "key",
        (r"PuTTY-User-Key-File-",),
        _PUTTY,
        always(KEY),
        "PuTTY-User-Key-File-2: ssh-rsa Comment: rsa-key",
        "[key]",
    ),
    Rule(
        "key",
        (r"(?:ssh-|ecdsa-sha2-)[a-z0-9.@\-]{3,50} AAAA",),
        _SSH_PUBLIC,
        always(KEY),
        "added ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ amy@laptop",
        "added [key]",
    ),
    Rule(
        "key",
        (r"MII[a-z0-9+/]{40}", r"b3BlbnNzaC1rZXktdjE"),
        _DER,
        always(KEY),
        "der MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7 cut",
        "der [key]",
    ),
    Rule(
        "key",  # one line out of the body of a PEM file
        (r"[a-z0-9+/]{48}[^a-z0-9+/]",),
        _BASE64_LINE,
        always(KEY),
        "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJCrze8SNFZ4kKvN7xI0VniQ",
        "[key]",
    ),
)
