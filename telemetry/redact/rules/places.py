"""Rules for where things lie: URLs and paths."""

# ruff: noqa: SIM905 - a list of words reads better as words
from __future__ import annotations

import re

from telemetry.redact.rules.introduces import introduces
from telemetry.redact.rules.numbers import begins_an_id
from telemetry.redact.rules.placeholder import ALL_MARKS, MARKS, mark
from telemetry.redact.rules.rule import Rule, split_closing

HOST = mark("host")
PATH = mark("path")

_KNOWN_SCHEMES = frozenset(
    "http https ftp ftps sftp ssh git svn hg ws wss s3 s3a gs abfs abfss wasb wasbs hdfs webhdfs file tcp udp tls ssl "
    "unix grpc grpcs smb nfs rsync telnet rtmp rtsp sip sips docker oci dns ipc inproc thrift zk consul etcd vault "
    "otlp statsd syslog".split()
)
# A quote or bracket before it says where it ends. A URL has no quotes; what follows one is read on its own.
_URL = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]{0,30}+):///?(?P<rest>(?<=<http://)[^\n<>]{1,500}(?=>)|(?<=<https://)[^\n<>]{1,500}(?=>)"
    r"|[^\s\"<>`]+)",
    re.IGNORECASE | re.ASCII,
)
_SCP = re.compile(
    r"(?<![\w@.-])[\w.+-]{1,64}@[\w.-]{2,253}:(?!\d+(?:\s|$))(?=[^\s:]*(?:/|\.git))[^\s\"'<>`]+", re.ASCII
)


def _url(match: re.Match[str]) -> str | None:
    scheme = match["scheme"].lower()
    rest = match["rest"]
    before = match.string[match.start() - 1 : match.start()]
    if before == "'" and "'" in rest:
        rest = rest[: rest.index("'")]
    after = match["rest"][len(rest) :] or split_closing(rest)[1]
    name = split_closing(match["rest"])[0]
    if name.isalpha() and name.isupper():  # `PROTO://ADDR`
        return None
    if scheme == "file":
        return PATH + after
    if scheme.rpartition("+")[2] not in _KNOWN_SCHEMES:
        return mark("url") + after
    return f"{scheme}://{HOST}/{PATH}{after}"


URLS = (
    Rule(
        "url",
        (r"[a-z0-9+.\-]:/[!-~]",),
        _URL,
        _url,
        "GET https://amy:pw@shop.example/orders/17?key=1#x.",
        "GET https://[host]/[path].",
    ),
    Rule(
        "url",
        (r"[a-z0-9_.+\-]@[a-z0-9_.\-]{2,253}:[^\s]",),
        _SCP,
        lambda match: f"ssh://{HOST}/{PATH}{split_closing(match[0])[1]}",
        "clone git@git.example:team/repo.git failed",
        "clone ssh://[host]/[path] failed",
    ),
)

# ---- Paths. No list of roots: any absolute path of a known shape goes, whatever its first directory is called.

# A directory may have blanks in its name if a separator follows; a last name goes on over capitalised words if it has
# no ending yet, and over any few words if an ending follows.
_WORDS_ON = r"(?:(?<![,.;:!?)\]])(?<!\.\w{2})(?<!\.\w{3})(?<!\.\w{4})\ (?=[A-Z])(?!HTTP/\d)[^\s\\/:*?\"'<>|,;]+){0,3}"
_TO_ENDING = r"(?:\ [\w()'&-]+){1,3}\.[A-Za-z]\w{1,4}(?![\w-])"
_WIN_PARTS = r"(?:[^\s\\/:*?\"<>|]++(?:\ (?!\.)[^\s\\/:*?\"<>|~$%]++){0,5}[\\/]{1,8})*"
_WIN_LAST = rf"(?:[^\s\\/:*?\"<>|.]*{_TO_ENDING}|[^\s\\/:*?\"<>|]*{_WORDS_ON})"
_WINDOWS = re.compile(
    r"(?=[A-Za-z]:[\\/]|\\\\)(?:(?<=\")[A-Za-z]:[\\/][^\"\n]*(?=\")|(?<=')[A-Za-z]:[\\/][^'\n]*(?=')|"
    r"(?:(?<![\w+*\\])\\{2,8}[?.]\\{1,4}(?:UNC\\{1,4})?(?:[A-Za-z]:)?[\\/]{0,4}"
    r"|(?<![A-Za-z0-9])[A-Za-z]:(?=[\\/](?!/))[\\/]{1,8}"
    # Right behind a word or a number, unless each separator may begin an escape.
    r"|(?<=[a-z0-9])(?=[A-Z]:\\{1,8}(?:(?![nrtbfux])[\w .$-]{1,60}\\"
    r"|[\w .$-]{1,60}\\{1,8}(?![nrtbfux\\])))[A-Z]:\\{1,8}"
    r"|(?<![\\A-Za-z0-9])(?<![A-Za-z0-9]_)\\{2,8}(?=[\w.$-]{2,}\\{1,4}[\w$.%-]))"
    rf"{_WIN_PARTS}{_WIN_LAST})"
)
_VARIABLE = re.compile(
    r"(?i:%(?:[A-Za-z_][A-Za-z0-9_()]{1,30}%(?=[\\/])"
    r"|(?:USERPROFILE|APPDATA|LOCALAPPDATA|HOME|HOMEPATH|HOMEDRIVE|TEMP|TMP|PUBLIC|PROGRAM\w{4,20}|SYSTEMROOT|WINDIR|USERNAME"
    r"|USERDOMAIN|COMPUTERNAME|ONEDRIVE)%)"
    r"|\$(?:env:\w{2,30}(?=[\\/])|\{?(?:HOME|USERPROFILE|TMPDIR|PWD|XDG_\w{3,20})\}?(?![\w]))"
    r"|(?<![\w~])~[\w.-]{0,40}(?=[\\/]))"
    rf"(?:[\\/]{{1,4}}{_WIN_PARTS}{_WIN_LAST})?"
)
# Behind a quote, to the same quote on the line; else over blanks only where a separator follows them.
_OTHER_MARKS = re.sub(f"[{mark('ip')}{mark('mac')}{mark('card')}{mark('iban')}{mark('phone')}]", "", ALL_MARKS)
_POSIX_NAME = rf"[^\s\"'<>|/`{_OTHER_MARKS}]"  # a name may have a number in it
# `-I/usr/include` is an option and a path.
_START = (
    rf"(?:(?<![\w.~)\]<*/\\{MARKS}-])|(?<=[\s\"'`,;=(\[]-[A-Za-z])|(?<=\A-[A-Za-z])"
    # Behind another path or a word, and behind a sign alone.
    r"|(?<=\s\[\])(?=/\w)|(?<=\w)(?=//\w[^\s/]{0,80}/)|(?<=\w/)(?=\.\.?/)|(?<=\s-)"
    # Between brackets and stars a closing tag and a pattern of files may stand too.
    r"|(?<=<)(?=\.{0,2}/{1,3}[^\s<>/]{1,120}/)|(?<=\*\*)(?=\.{0,2}/[^\s*]{2,200}\*\*)|(?<=[^*/]\*)(?=\.{0,2}/[^\s*]{2,200}\*(?![*\w/]))"
    # The same sign on both sides.
    r"|(?:(?<=[^\w/]_)|(?<=[^\w/]__))(?=\.{0,2}/\S{2,200}_(?!\w))|(?<=--)(?=\.{0,2}/\S{2,200}--)|(?<=\s--)(?=/[^\s/]{1,80}/))"
)
_POSIX_BARE = (
    rf"{_START}(?:(?:\.{{1,2}}/)+|/{{1,3}})(?=[.~$@%+-]?\w)(?:{_POSIX_NAME}*(?:\ (?!\.|HTTP/\d|(?:and|or|to|in|on|at|is"
    rf"|was)\b)[\w.()'&-]+){{0,2}}(?:\ \d{{1,5}}){{0,4}}/)*"
    rf"(?:[^\s\"'<>|/`.{_OTHER_MARKS}]*{_TO_ENDING}|{_POSIX_NAME}*{_WORDS_ON})"
)
_QUOTED_PATH = "|".join(rf"(?<={quote})(?:\.{{0,2}}/)+[\w.~$@%+-][^\n{quote}]*(?={quote})" for quote in "\"'`")
_POSIX = re.compile(rf"(?=\.{{0,2}}/)(?:{_QUOTED_PATH}|{_POSIX_BARE})")  # the cheapest test first
_RELATIVE = re.compile(
    rf"(?<![\w./@:~{MARKS}+-])(?<!at[)\]}}])(?!(?<=\w[\"'])@)(?:[\w.@+~-]{{1,120}}/)+[\w.@+~-]{{0,120}}\.(?P<extension>[a-z][a-z0-9]{{0,5}})(?![\w/@-])"
    r"(?:\.[\w.-]*+(?<!\.)(?!/))?+(?!\.\w)",
    re.IGNORECASE | re.ASCII,
)
# From the working directory or the drive's root: names and, at the end, an ending; `\d+\w` has none.
_RELATIVE_WINDOWS = re.compile(
    r"(?<![\w./@:~\\+%$\]-])(?!@)(?:[A-Za-z]:(?=\w)|\.{1,2}\\{1,4}|\\{1,4})?(?:[\w.@+~-]{2,120}+\\{1,4})+[\w@+~-][\w.@+~-]{0,119}"
    r"\.[a-z][a-z0-9]{0,5}(?![\w\\-])(?:/[^\s\"'<>,;]*)?",
    re.IGNORECASE | re.ASCII,
)
_LINE_NUMBER = re.compile(r":\d+(?::\d+)?:?\Z")
_PROCESS = re.compile(r"\[\d{1,7}\Z")  # `/usr/sbin/gmetad[1682]: …`
# As Java writes one, with a port and the class that says so: `/10.1.2.3:80:Main$Loop@17`.
_ADDRESS = re.compile(r"/(?P<address>\d{1,3}(?:\.\d{1,3}){3})(?:\Z|[:\s\])][^/]*\Z)", re.ASCII)
# A part of a program on a phone: `com.acme.app/.ui.Start`.
_PACKAGED = re.compile(r"(?:android|cn|com|de|edu|io|net|org)(?:\.\w+)+/\.?(?:\w+\.)+[A-Z]\w", re.ASCII)


_INTRODUCES = re.compile(r"\s?[:=]\s?\S|\s(?:no|nr|number)\b")
_OPTIONAL = re.compile(r"[\w>.!]\[\Z")  # `<address>[/mask]`, `[bold]…[/bold]`


def _relative(match: re.Match[str]) -> str | None:
    return None if _PACKAGED.match(match.string, match.start()) else PATH


def _relative_windows(match: re.Match[str]) -> str | None:
    r"""Confirm a relative path of Windows, unless each of its separators may begin an escape: `failed\nmodule.py`."""
    return PATH if re.match(r"\.|[A-Za-z]:", match[0]) or re.search(r"\\(?![nrtbf\\])", match[0]) else None


def _path(match: re.Match[str]) -> str | None:
    body, closing = split_closing(match[0])
    body, closing = (match[0], "") if not body else (body, closing)
    if body.startswith("//") and body[2:].isupper() and body[2:].isalpha():  # of `PROTO://ADDR`
        return None
    if closing.startswith("]") and _OPTIONAL.search(match.string, max(0, match.start() - 2), match.start()):
        return None if body[1:].isalpha() else PATH + closing
    if (address := _ADDRESS.match(body)) and max(map(int, address["address"].split("."))) < 256:  # noqa: PLR2004 - a byte
        return None
    number = _PROCESS.search(body) if closing.startswith("]") else _LINE_NUMBER.search(body)
    if number and ":" not in body[: number.start()]:  # else it is an address's
        body, closing = body[: number.start()], body[number.start() :] + closing
    last = body.rpartition("/")[2]
    end = match.start() + len(body)
    if last and (
        begins_an_id(match.string, end - len(last)) or (introduces(last) and _INTRODUCES.match(match.string, end))
    ):  # `/17/user: amy`
        return f"{PATH}/{last}{closing}"
    name = body.lstrip("./")
    # `/s` is a unit and `/4096` a size; one segment of three characters or more is a place.
    if "/" not in name and (len(name) < 3 or name.isdigit()) and body.startswith("/"):  # noqa: PLR2004 - explained above
        return None
    return PATH + closing


PATHS = (
    Rule(
        "path",
        (r"[a-z]:\\", r"[a-z]:/[^/]", r"[\"'][a-z]:/", r"\\\\[?.a-z0-9_$\-]"),
        _WINDOWS,
        lambda match: PATH + split_closing(match[0])[1],
        r"open C:\Documents and Settings\amy\tax.xls: denied",
        "open [path]: denied",
    ),
    Rule(
        "path",
        (
            r"%[a-z_][a-z0-9_()]{1,30}%",
            r"\$(?:env:|\{?(?:HOME|USERPROFILE|TMPDIR|PWD|XDG_))",
            r"~[a-z0-9_.\-]{0,40}[\\/]",
        ),
        _VARIABLE,
        lambda match: PATH + split_closing(match[0])[1],
        r"read %USERPROFILE%\notes.txt twice",
        "read [path] twice",
    ),
    Rule(
        "path",
        (
            r"[^a-z0-9<*]/{1,3}[a-z0-9_.~$@%+\-]",
            r"[a-z0-9_]//[a-z0-9_]",
            r"[^a-z0-9_]-[a-z]/{1,3}[a-z0-9_.~$@%+\-]",
            r"<\.{0,2}/{1,3}[a-z0-9_.~$@%+\-][^\s<>/]{0,120}/",
            r"\*\.{0,2}/[a-z0-9_.~$@%+\-][^\s*]{1,200}\*",
        ),
        _POSIX,
        _path,
        'File "/srv/amy smith/app.py", line 3',
        'File "[path]", line 3',
        pace=3,
    ),
    Rule(
        "path",
        (r"[a-z0-9_.@+~\-]/[a-z0-9_.@+~\-]{0,120}\.[a-z]",),
        _RELATIVE,
        _relative,
        "wrote clients/acme/plan.docx",
        "wrote [path]",
        pace=3,
    ),
    Rule(
        "path",
        (r"[a-z0-9_.@+~\-]\\{1,4}[a-z0-9_.@+~\-]{1,120}\.[a-z]",),
        _RELATIVE_WINDOWS,
        _relative_windows,
        r"wrote clients\acme\plan.docx",
        "wrote [path]",
    ),
)
