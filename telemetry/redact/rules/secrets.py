"""Rules for secrets that only a name before them gives away: `password=`, `Authorization:`, `--token`."""

# ruff: noqa: SIM905 - a list of words reads better as words
from __future__ import annotations

import base64
import binascii
import re
from functools import lru_cache

from telemetry.redact.rules.placeholder import mark
from telemetry.redact.rules.rule import QUOTED, Rule, only_marks, split_closing

SECRET = mark("secret")

# Where a key's name starts to smell of a secret; `_is_secret_key` judges the whole name.
_SMELL = (
    r"pass|pwd|pw|secret|token|api[_\-.]?key|apikey|(?:access|private|secret|encrypt\w{0,3}|encryption|sign\w{0,3}|master|account|license|"
    r"licence|subscription|service|storage|auth|session|ssh|client|function|host|consumer|shared|deploy|instrumentation|hmac|"
    r"rsa|aes|gpg|pgp|ssl|tls)[_\-.]?key|credential|auth|cookie|session|sid|sig|otp|pin|cvv|cvc|salt|mnemonic|"
    r"seed[_\- ]?phrase|recovery|contrase|senha|mot[_\-]?de[_\-]?passe|kennwort|wachtwoord|parola|haslo|sifre"
    r"|geheim|clave|adgangskode|salasana|heslo|lozinka|jelszo|"
    r"conn[a-z]{0,7}[_\-]?str|dsn|jwt|webhook|psk|bearer|accountkey"
)
_FOREIGN = "пароль|密码|密碼|パスワード|비밀번호|şifre|hasło|contraseña|lösenord|jelszó|κωδικός|سيسما"
_STEMS = (
    "password passwords passwd passphrase passcode passwort passord adgangskode salasana "
    "heslo lozinka jelszo secret secrets apikey apitoken secretkey accesskey "
    "privatekey "
    "encryptionkey signingkey masterkey accountkey licensekey licencekey subscriptionkey servicekey storagekey authkey "
    "sessionkey sshkey clientkey functionkey hostkey consumerkey sharedkey deploykey instrumentationkey hmackey token "
    "credential credentials authorization contrasena senha motdepasse kennwort wachtwoord connectionstring connstr pwd "
    "mnemonic seedphrase recoveryphrase recoverycode recoverykey webhookurl accesskeyid secretid sessionid "
    "sharedaccesskey privatekeyid"
).split()
_WHOLE = (
    "pass auth cookie cookies session sid sig signature otp pin cvv cvv2 cvc cvc2 salt parola haslo sifre geheim "
    "clave dsn pw "
    "jwt webhook psk bearer tokens dbpass dbpw mysqlpass smtppass ftppass userpass adminpass rootpass sshpass authn"
).split()
_NEUTRAL = frozenset(
    "value text hash hashed new old current confirm confirmation plain plaintext raw string header env param "
    "digest enc "
    "encrypted base64 b64 again repeat default prod dev test staging 1 2 3 1st 2nd".split()
)
_WORD = re.compile(r"[A-Z]+(?![^\W\d_A-Z])|[A-Z]?[^\W\d_A-Z]+|\d+")
_KEY_CHARACTERS = 80  # of a key, the end says what it is
_WEAK = frozenset(
    {
        "auth",
        "session",
        "cookie",
        "cookies",
        "signature",
        "sig",
        "pass",
        "token",
        "pin",
        "sid",
        "salt",
        "tokens",
        "authorization",
        "recoverycode",
        "webhook",
        "bearer",
        "secret",
        "secrets",
        "credential",
        "credentials",
        "authn",
        "otp",
    }
)
_SMALL_NUMBER_DIGITS = 3  # `retries per token: 3`
_WORD_CHARACTERS = 14  # `invalid token: expected …`
_NO_SECRET = frozenset(
    "value true false null none nil undefined yes no on off nan bool str string bytes optional".split()
)


@lru_cache(1024)
def secret_kind(key: str) -> str | None:
    """The word that makes a key's name the name of a secret; None for `monkey`, `token_count`, `auth_method`."""
    words = [word.lower() for word in _WORD.findall(key)]
    while len(words) > 1 and words[-1] in _NEUTRAL and "".join(words[-2:]) not in _STEMS:
        words.pop()
    if any(re.search(_FOREIGN, word) for word in words):
        return "password"
    for size in range(1, min(4, len(words)) + 1):
        joined = "".join(words[-size:])
        if joined in _WHOLE:
            return joined
        if stem := next((stem for stem in _STEMS if joined.endswith(stem)), None):
            return stem
    return None


_SEPARATOR = r"\\*[\"']?\]?(?:\s{0,3}(?:=>|:=|={1,3}|:|(?<=[\"']),)\s{0,3}|\s{1,3}->\s{1,3})"
# A value without quotes runs to the next blank: a password may hold any other character. In YAML, a sign for a block or
# a tag may stand before it.
_PLAIN = r"(?:[|>][+-]?\s+|!{1,2}\w+\s+)?\S+"
_TRIPLE_QUOTED = r"\"{3}(?:[^\"]|\"(?!\"\"))*+(?:\"{3})?|'{3}(?:[^']|'(?!''))*+(?:'{3})?"
_ESCAPED_QUOTED = r"\\+\"(?:[^\\]++|\\++(?!\"))*+(?:\\+\")?"
_BEGINNINGS = sorted({word[:3] for word in (*_STEMS, *_WHOLE)})
_HINT = "|".join(
    f"{a}(?:{'|'.join(b[1:] for b in _BEGINNINGS if b[0] == a)})" for a in sorted({b[0] for b in _BEGINNINGS})
)
# A key and its separator first, then a hint: a hundred words that are tried at each character would be slow.
_KEY_VALUE = re.compile(
    rf"(?<![\w.-])(?=[\w.-]++{_SEPARATOR})(?=[\w.-]*?(?:{_HINT}|{_FOREIGN}))"
    rf"(?P<key>[\w.-]++){_SEPARATOR}(?P<value>{_ESCAPED_QUOTED}|{_TRIPLE_QUOTED}|{QUOTED}|{_PLAIN})",
    re.IGNORECASE,
)
# A variable's name, and its value in a field of its own: of a container, of a settings file.
_NAMED_VALUE = re.compile(
    r"(?P<name>(?<![\w-])(?:name|key|variable)\\{0,8}[\"']?\s?[:=]\s?\\{0,8}[\"']?(?P<key>[\w.-]{1,100}+)\\{0,8}[\"']?"
    r"(?:\s{0,40}+[,;]?\s{0,40}+\\{0,8}[\"']?value\\{0,8}[\"']?\s?[:=]\s?|\s?>))"
    rf"(?P<value>(?<=>)[^<\n]+|{_ESCAPED_QUOTED}|{QUOTED}|{_PLAIN})",
    re.IGNORECASE | re.ASCII,
)


def _named_value(match: re.Match[str]) -> str | None:
    kind = secret_kind(match["key"])
    if kind is None or not _may_be_secret(kind, match["value"], "="):
        return None
    return match["name"] + _hide_value(match["value"])


def _key_value(match: re.Match[str]) -> str | None:
    kind = secret_kind(match["key"].rstrip(".-")[-_KEY_CHARACTERS:])
    value = match["value"]
    if kind is None or not _may_be_secret(kind, value, match[0][: match.start("value") - match.start()]):
        return None
    return match[0][: match.start("value") - match.start()] + _hide_value(value)


def _may_be_secret(kind: str, value: str, before: str) -> bool:
    bare = split_closing(value)[0].strip("\"'`\\([{")
    if not bare or bare.lower() in _NO_SECRET or only_marks(bare):
        return False
    if bare.isdigit():
        return kind != "tokens" and (len(bare) > _SMALL_NUMBER_DIGITS or kind.startswith("cv"))
    prose = before.endswith(" ") and "=" not in before and value[0] not in "\"'`\\"
    return not (prose and kind in _WEAK and bare.isalpha() and bare.islower() and len(bare) <= _WORD_CHARACTERS)


def _hide_value(value: str) -> str:
    """Keep quotes and closing punctuation, so that the line still reads; what is between them goes."""
    if value[0] in "\"'`":
        closed = len(value) > 1 and value[-1] == value[0]
        return value[0] + SECRET + (value[0] if closed else "")
    if escaped := re.match(r"\\+\"", value):
        return escaped[0] + SECRET + (escaped[0] if len(value) > escaped.end() and value.endswith('"') else "")
    return SECRET + re.sub(r"[^,;)\]}>]", "", split_closing(value)[1][-1:])


_HEADER = re.compile(
    r"(?P<name>(?<![\w-])(?:(?:proxy-)?authorization|x-[a-z-]{0,30}(?:token|key|auth)|(?:set-)?cookie2?)\s{0,2}:\s{0,2})"
    r"(?P<value>[^\n\"']+)",
    re.IGNORECASE,
)
_SCHEME = re.compile(
    r"(?P<name>(?<![\w-])(?:bearer|basic|digest|negotiate|ntlm|apikey)\s{1,3})(?P<value>[\w.~+/=-]{6,})",
    re.IGNORECASE | re.ASCII,
)
_OPTION = re.compile(
    rf"(?<![\w-])(?P<name>--?(?P<key>[a-zA-Z][\w-]{{0,60}})\s{{1,3}})(?P<value>{QUOTED}|[^\s-]\S*)", re.ASCII
)
_CLIENT = re.compile(
    r"\b(?:mysql\w{0,9}|mariadb\w{0,9}|sshpass|curl|wget|mongo\w{0,9}|smbclient|redis-cli|psql|sqlcmd|sqlplus"
    r"|(?:docker|podman) login)\b[^\n]*",
    re.IGNORECASE,
)
_CLIENT_VALUE = re.compile(r"(\s-(?:[pPuUa]|-user|-pass)[\s=]?)[^\s-]\S*")
_ELEMENT = re.compile(
    r"(?P<name><(?P<key>[a-zA-Z][\w:.-]{0,60})(?:\s[^<>]{0,200})?>)(?P<value>(?:<!\[CDATA\[)?[^<\n]+)", re.ASCII
)
_PROSE = re.compile(
    r"(?P<name>\b(?:password|passwd|passphrase|passcode|pwd|api key|secret)\s(?:is|was|of"
    r"|to)\s{1,2})(?P<value>\S+)",
    re.IGNORECASE,
)
# Names of two words, with a sign behind them.
_SPACED_NAME = (
    r"(?:(?:api|access|secret|signing|encryption|private|licen[cs]e|master|account) key|mot de passe|connection string)"
    r"(?: provided| given)?[\"']?\s{0,2}[:=]"
)
_SPACED = re.compile(rf"(?P<name>(?<![\w-]){_SPACED_NAME}\s{{0,2}})(?P<value>{QUOTED}|\S+)", re.IGNORECASE)
# Of a `.netrc` file, and of a server's settings.
_SETTING = re.compile(
    r"(?P<name>(?<![\w-])(?:requirepass|masterauth|(?P<machine>machine\s{1,3}\S{1,253}\s{1,3})login\s{1,3}(?P<user>\S{1,64})\s{1,3}password)\s{1,3})(?P<value>\S+)",
    re.IGNORECASE,
)
_PHRASE = re.compile(
    r"(?P<name>(?:passphrase|mnemonic|seed[ _-]?phrase|recovery[ _-]?phrase)[\"']?\s?[:=]\s?)(?P<value>[^\n]+)",
    re.IGNORECASE,
)
_NO_HEADER = frozenset("header headers field fields".split())  # `a Set-Cookie: header`
_REQUIRED = frozenset(
    "required invalid incorrect wrong missing expired empty too not set weak the a be unset unknown correct "
    "valid null none "
    "being stored hashed and or in on for authenticate connect use disk rejected only supported changed reset "
    "updated accepted ok optional "
    "provided given needed used allowed disabled enabled never always already no an this that hidden masked".split()
)


def _keep_name(match: re.Match[str]) -> str | None:
    if only_marks(match["value"]) or match["value"].partition(" ")[0].strip(".,;") in _NO_HEADER:
        return None
    return match["name"] + SECRET


def _client(match: re.Match[str]) -> str:
    return _CLIENT_VALUE.sub(rf"\g<1>{SECRET}", match[0])


def _keep_key(match: re.Match[str]) -> str | None:
    kind = secret_kind(match["key"])
    if kind is None or not _may_be_secret(kind, match["value"], "="):
        return None
    return match["name"] + SECRET


def _scheme(match: re.Match[str]) -> str | None:
    value, closing = split_closing(match["value"])
    if match["name"].lower().startswith("basic"):
        try:
            sure = b":" in base64.b64decode(value + closing + "==")
        except (binascii.Error, ValueError):
            sure = False
    else:
        sure = len(value) >= 24 or any(c.isdigit() for c in value) or re.search(r"[a-z][A-Z]", value) is not None  # noqa: PLR2004 - longer than a word
    return match["name"] + SECRET if sure else None


def _spaced(match: re.Match[str]) -> str | None:
    kind = "password" if match["name"].lower().startswith("mot") else "token"
    return match["name"] + _hide_value(match["value"]) if _may_be_secret(kind, match["value"], " ") else None


def _setting(match: re.Match[str]) -> str:
    name = f"{match['machine']}login {mark('user')} password " if match["user"] else match["name"]
    return name + SECRET


def _prose(match: re.Match[str]) -> str | None:
    value, closing = split_closing(match["value"])
    if value.strip("\"'").lower() in _REQUIRED or not value or only_marks(value):
        return None
    return match["name"] + SECRET + closing


SECRETS = (
    Rule(
        "secret",
        (r"(?:authorization|x-[a-z\-]{0,30}(?:token|key|auth)|cookie2?)\s{0,2}:",),
        _HEADER,
        _keep_name,
        "sent Authorization: Digest username=amy, response=0a",
        "sent Authorization: [secret]",
    ),
    Rule(
        "secret",
        (r"(?:bearer|basic|digest|negotiate|ntlm|apikey)\s{1,3}[a-z0-9_.~+/=\-]{6}",),
        _SCHEME,
        _scheme,
        "with Bearer 0123abcd4567 twice",
        "with Bearer [secret] twice",
    ),
    Rule(
        "secret",
        (r"(?:passphrase|mnemonic|(?:seed|recovery)[ _\-]?phrase)[\"']?\s?[:=]",),
        _PHRASE,
        _keep_name,
        "mnemonic: correct horse battery staple",
        "mnemonic: [secret]",
    ),
    Rule(
        "secret",
        (rf"(?:name|key|variable)\\*[\"']?\s?[:=]\s?\\*[\"']?[a-z0-9_.\-]*(?:{_SMELL})",),
        _NAMED_VALUE,
        _named_value,
        '"name": "DB_PASSWORD", "value": "hunter2"',
        '"name": "DB_PASSWORD", "value": "[secret]"',
    ),
    Rule(
        "secret",
        (_SPACED_NAME,),
        _SPACED,
        _spaced,
        "Incorrect API key provided: 17amy.",
        "Incorrect API key provided: [secret]",
    ),
    Rule(
        "secret",
        (r"(?:requirepass|masterauth)\s", r"login\s{1,3}[^\s]{1,64}\s{1,3}password\s"),
        _SETTING,
        _setting,
        "machine db1 login amy password hunter2",
        "machine db1 login [user] password [secret]",
    ),
    Rule(
        "secret",
        (rf"(?:{_SMELL})[a-z0-9_.\-]*\\*[\"']?\]?\s*(?:[=:,]|->)",),
        _KEY_VALUE,
        _key_value,
        "set db_password='hunter2' token_count=12",
        "set db_password='[secret]' token_count=12",
    ),
    Rule(
        "secret",
        (rf"-[a-z0-9_\-]*(?:{_SMELL})[a-z0-9_\-]*\s",),
        _OPTION,
        _keep_key,
        "run --db-password hunter2 --fast",
        "run --db-password [secret] --fast",
    ),
    Rule(
        "secret",
        (r"\s-[pua]", r"\s--(?:user|pass)"),
        _CLIENT,
        _client,
        "ran mysql -h db -phunter2",
        "ran mysql -h db -p[secret]",
    ),
    Rule(
        "secret",
        (rf"<[a-z0-9_:.\-]*(?:{_SMELL})[a-z0-9_:.\-]*[\s>]",),
        _ELEMENT,
        _keep_key,
        "<password>hunter2</password>",
        "<password>[secret]</password>",
    ),
    Rule(
        "secret",
        (r"(?:password|passwd|passphrase|passcode|pwd|api key|secret)\s(?:is|was|of|to)\s",),
        _PROSE,
        _prose,
        "my password is hunter2.",
        "my password is [secret].",
    ),
)
