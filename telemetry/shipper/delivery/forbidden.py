"""Patterns that must never be in an upload, whatever the redactor did: private keys, and tokens with a maker's mark.

They are a second opinion and share nothing with the rules that redact. Each expression demands more than the rule that
redacts the same kind: what the tripwire stops is a fault, not a matter of taste.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_COUNTED_CHARACTERS = 8


class Forbidden(NamedTuple):
    """A kind of secret that must never leave.

    Attributes:
        kind: its name in logs and status.
        expression: a pattern for `re`, without look-around, so that hyperscan can take it too.
        example: an example that the self-test plants.
    """

    kind: str
    expression: str
    example: str

    @property
    def prefilter(self) -> str:
        """The expression for hyperscan, with shorter repetitions, which compile in half the time."""
        return re.sub(
            r"\{(\d+)(,?)\}", lambda count: f"{{{min(int(count[1]), _COUNTED_CHARACTERS)}{count[2]}}}", self.expression
        )

    def is_in(self, value: str) -> bool:
        """Tell whether it stands in a value, as a word of its own."""
        return re.search(rf"(?<![A-Za-z0-9]){self.expression}", value) is not None


_TOKENS = {
    r"(?:AKIA|ASIA)[A-Z2-7]{16}": "AKIAQ3EGUTESTCANARY2",
    r"gh[pousr]_[A-Za-z0-9]{36}": "ghp_" + "c4NaRy" * 6,
    r"github_pat_[A-Za-z0-9_]{40}": "github_pat_" + "c4NaRyXy" * 5,
    r"glpat-[A-Za-z0-9_\-]{20}": "glpat-" + "c4NaRyXyZ_" * 2,
    r"xox[abprs]-[A-Za-z0-9\-]{20}": "xoxb-" + "1234567890" * 2,
    r"AIza[A-Za-z0-9_\-]{35}": "AIza" + "c4NaRyX" * 5,
    r"[sr]k_live_[A-Za-z0-9]{16}": "sk_live_" + "c4NaRyXy" * 2,
    r"sk-(?:ant|proj)-[A-Za-z0-9_\-]{20}": "sk-ant-" + "c4NaRyXyZ_" * 2,
    r"npm_[A-Za-z0-9]{36}": "npm_" + "c4NaRy" * 6,
    r"pypi-AgEI[A-Za-z0-9_\-]{16}": "pypi-AgEI" + "c4NaRyXy" * 2,
    r"SG\.[A-Za-z0-9_\-]{20}": "SG." + "c4NaRyXyZ_" * 2,
    r"hvs\.[A-Za-z0-9_\-]{20}": "hvs." + "c4NaRyXyZ_" * 2,
    r"dapi[0-9a-f]{32}": "dapi" + "0a1b2c3d" * 4,
    r"hf_[A-Za-z0-9]{30}": "hf_" + "c4NaRy" * 5,
    r"dop_v1_[0-9a-f]{40}": "dop_v1_" + "0a1b2c3d" * 5,
    r"dckr_pat_[A-Za-z0-9_\-]{20}": "dckr_pat_" + "c4NaRyXyZ_" * 2,
    r"shpat_[0-9a-f]{32}": "shpat_" + "0a1b2c3d" * 4,
    r"glsa_[A-Za-z0-9]{30}": "glsa_" + "c4NaRy" * 5,
    r"AGE-SECRET-KEY-1[A-Z0-9]{40}": "AGE-SECRET-KEY-1" + "C4N4RYXY" * 5,
    r"AccountKey=[A-Za-z0-9+/]{40}": "AccountKey=" + "c4NaRy/+" * 5,
    r"eyJ[A-Za-z0-9_\-]{8,}\.eyJ[A-Za-z0-9_\-]{8,}\.": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjNE5hUnkifQ.c2lnbmF0dXJl",
}

FORBIDDEN = (
    Forbidden("pem", r"-{4,5} ?BEGIN [A-Z]", "-----BEGIN RSA PRIVATE KEY-----\nMIIEc4NaRy"),
    *(Forbidden("token", expression, example) for expression, example in _TOKENS.items()),
)
