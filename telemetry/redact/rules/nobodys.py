"""Values that concern nobody whatever stands before them: times, versions, platforms, objects as programs write them.

Where a key or a word introduces what is private (`host=`, `table "`), a template may have been filled in with one of
these. A plain number or a word is none of them: a table, a machine or a password may be called so.
"""

from __future__ import annotations

import re

_TIME = r"\d\d:\d\d:\d\d(?:[.,]\d{1,9})?"
_DATE = r"(?:19|20)\d\d-(?:0[1-9]|1[0-2])-[0-3]\d"
_MADE = re.compile(
    r"none|true|false|null|nan|\(null\)|<\w+>|\{\w*\}?|%[sdrvqwx]|%\(\w+\)s"
    rf"|{_TIME}|{_DATE}[t ](?:{_TIME}(?:z|[+-]\d\d:?\d\d)?|\d\d(?::\d\d)?)"
    r"|0x[0-9a-f]{1,12}|(?-i:[A-Z])\w{0,60}(?:Error|Exception|Warning)|[a-z]{1,20}_[a-z_]{1,40}=\d{1,9}"
    r"|[+-]?\d{1,6}\.\d{2,9}|\d{1,3}(?:\.\d{1,2})?%|\d{1,3}(?:,\d{3})+"
    r"|v\d{1,4}(?:\.\d{1,5}){1,3}(?:-?(?:alpha|beta|rc|dev|post)\.?\d*)?"
    r"|(?:x86_64|amd64|aarch64|arm64|armv\d\w*|i[3-6]86|riscv64|ppc64le|s390x)-[\w-]{3,40}|cp\d{2,3}-\w{2,8}-\w{3,40}"
    r"|(?:[\w.]{1,80}[.$])?[a-z]\w{0,40}@(?=\d|[a-f]+\d)[0-9a-f]{3,8}",
    re.IGNORECASE | re.ASCII,
)
_DATED = re.compile(rf"{_DATE}|(?:19|20)\d\d(?:0[1-9]|1[0-2])[0-3]\d-(?:[01]\d|2[0-3])[0-5]\d[0-5]\d", re.ASCII)
_QUOTES = "\"'`\\"


def is_nobodys(value: str, *, dated: bool = True) -> bool:
    """Tell whether a value, quoted or not, is a time, a version, a measure, a platform, an object or a memory address.

    Args:
        value: the text behind a key or a word.
        dated: whether a date alone counts, too; it may be somebody's day of birth.
    """
    bare = value.strip(_QUOTES)
    return _MADE.fullmatch(bare) is not None or (dated and _DATED.fullmatch(bare) is not None)
