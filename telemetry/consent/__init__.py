"""Consent: the rules by which it is decided whether anything is collected, and the user's choice.

`decide` holds the rules, `stored` the user's choice on disk, `notice` the text shown to the user, `product` the names
of products; `evaluate` puts them together for the host. Standard library only, and nothing heavy: the host imports it.
"""

from telemetry.consent.decide import Decision, State, decide, strictest
from telemetry.consent.evaluate import evaluate, reconsider
from telemetry.consent.notice import NOTICE_VERSION, show_notice
from telemetry.consent.product import check_product, find_product, known_products
from telemetry.consent.stored import ConsentError, Stored, read_stored, store_choice, store_notice

__all__ = [
    "NOTICE_VERSION",
    "ConsentError",
    "Decision",
    "State",
    "Stored",
    "check_product",
    "decide",
    "evaluate",
    "find_product",
    "known_products",
    "read_stored",
    "reconsider",
    "show_notice",
    "store_choice",
    "store_notice",
    "strictest",
]
