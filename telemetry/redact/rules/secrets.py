"""Rules for secrets that only the name before them gives away: `password=`, `Authorization:`, `--token`."""

# ruff: noqa: RUF001, SIM905 - signs of a typesetter are meant; a list of words reads better as words
from __future__ import annotations

import base64
import binascii
import re
from functools import lru_cache

from telemetry.redact.rules.nobodys import is_nobodys
from telemetry.redact.rules.numbers import ID_KEYS, begins_an_id
from telemetry.redact.rules.people import PERSON_KEYS
from telemetry.redact.rules.placeholder import MARKS, VENDORS, mark
from telemetry.redact.rules.rule import DOUBLY_QUOTED, QUOTED, Rule, only_marks, split_closing
from telemetry.redact.rules.tokens import is_made, usual_share

SECRET = mark("secret")

# Where a key's name starts to smell of a secret; `_is_secret_key` judges the whole name.
_SMELL = (
    r"pass|pwd|pw|secret|token|api[_\-.]?key|apikey|(?:access|private|secret|encrypt\w{0,3}|encryption|sign\w{0,3}"
    r"|master|account|integration|license|"
    r"licence|subscription|service|storage|auth|session|ssh|client|function|host|consumer|shared|deploy"
    r"|instrumentation|hmac|"
    r"rsa|aes|gpg|pgp|ssl|tls)[_\-.]?key|credential|auth|cookie|session|sid|sig|otp|pin|cvv|cvc|salt|mnemonic|"
    r"seed[_\- ]?phrase|recovery|contrase|senha|mot[_\-]?de[_\-]?passe|kennwort|wachtwoord|parola|haslo|sifre"
    r"|geheim|clave|adgangskode|salasana|heslo|lozinka|jelszo|"
    r"conn[a-z]{0,7}[_\-]?str|dsn|jwt|webhook|psk|bearer|accountkey|[ais]key"
)
_FOREIGN = "пароль|密码|密碼|パスワード|비밀번호|şifre|hasło|contraseña|lösenord|jelszó|κωδικός|سيسما"
_STEMS = (
    "password passwords passwd passphrase passcode passwort passord adgangskode salasana "
    "heslo lozinka jelszo secret secrets secrete apikey apitoken secretkey accesskey "
    "privatekey "
    "encryptionkey signingkey masterkey accountkey licensekey licencekey subscriptionkey servicekey storagekey authkey "
    "sessionkey sshkey clientkey functionkey hostkey consumerkey sharedkey deploykey instrumentationkey hmackey token "
    "credential credentials authorization contrasena senha motdepasse kennwort wachtwoord connectionstring connstr pwd "
    "mnemonic seedphrase recoveryphrase recoverycode recoverykey webhookurl accesskeyid accessid secretid sessionid "
    "integrationkey sharedaccesskey privatekeyid"
).split()
_WHOLE = (
    "pass auth cookie cookies session sid sig signature otp pin cvv cvv2 cvc cvc2 salt parola haslo sifre geheim "
    "clave dsn pw "
    "jwt webhook psk bearer tokens dbpass dbpw mysqlpass smtppass ftppass userpass adminpass rootpass sshpass authn "
    "ikey skey akey"
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
        "dsn",
    }
)
# A word behind these says how, or what became of it: `(auth:SIMPLE)`, `Session: established`, `sessionid: 0x14ed63`.
_STATES = frozenset({"auth", "authn", "session", "authorization"})
_STATE = re.compile(r"[A-Z]{2,14}|[A-Z]?[a-z]{2,13}")
_SPECIAL = re.compile(r"[\"'`]?[\[<][/|]{0,2}[A-Za-z_]{1,14}\|?[\]>]?\|?[\"'`]?[,;.)}]*")  # what models call a token
_NAME = re.compile(r"[A-Za-z]+(?:[_.]+[A-Za-z]+)*")
_CALL = re.compile(r"[a-z_]+(?:\.[a-z_]+)+\([a-z_.]*")
_HANDLE = {  # of something within one program; no cookie looks so
    "session": re.compile(r"0x[0-9a-f]{1,16}|\d{1,10}_\d{1,10}", re.IGNORECASE),
    "sessionid": re.compile(r"0x[0-9a-f]{1,16}", re.IGNORECASE),
    "token": re.compile(r"[A-Z]\w*\{[0-9a-f]{5,8}|(?:\w+\.){2,}[A-Z]\w*@[0-9a-f]{5,8}"),
    "dsn": re.compile(r"[245]\.\d\.\d{1,3}"),  # of the status of a mail's delivery
}
# A name that goes on behind such a word is a secret's too, as in `password_super_secure`, unless it says what else.
_ANYWHERE = re.compile(
    r"passw|passphrase|secret|(?:api|private|access)_?key|token(?!i[sz])|credential|db_?pass", re.IGNORECASE
)
_NO_VALUE = frozenset(
    "count counts name names type types length len size sizes field fields file files path paths url uri urls uris "
    "method methods policy policies ttl timeout expiry expires expiration expired lifetime age label header headers "
    "hint reset manager managers provider providers service services store stores vault input inputs form page prefix "
    "suffix limit limits rate index usage used budget endpoint error errors required valid invalid enabled disabled "
    "format algorithm version strength min max total class encryption request requests response bucket buckets stream "
    "parser scope scopes exchange kind source owner status state time at num number check checks validator".split()
)
_GOES_ON = "goes on"
_STRONG = frozenset({"secret", "secrets", "credential", "credentials"})
_SMALL_NUMBER_DIGITS = 3  # `retries per token: 3`
_NUMBERED = frozenset({"sid", "session", "sessionid"})  # within one program, and then by few digits more
_WORD_CHARACTERS = 14  # `invalid token: expected …`
_NO_SECRET = frozenset(
    "value true false null none nil undefined yes no on off nan bool str string bytes optional".split()
)


_MEASURES = frozenset("batch cached completion input max min n num output prompt total used".split())


@lru_cache(1024)
def secret_kind(key: str) -> str | None:
    """Return the word that makes a key the name of a secret; None for `monkey`, `token_count`, `auth_method`."""
    words = [word.lower() for word in _WORD.findall(key)]
    while len(words) > 1 and words[-1] in _NEUTRAL and "".join(words[-2:]) not in _STEMS:
        words.pop()
    if any(re.search(_FOREIGN, word) for word in words):
        return "password"
    if words[-1:] == ["tokens"] and not _MEASURES.isdisjoint(words):
        return None
    for size in range(1, min(4, len(words)) + 1):
        joined = "".join(words[-size:])
        if joined in _WHOLE:
            return joined
        if stem := next((stem for stem in _STEMS if joined.endswith(stem)), None):
            return stem
    if _ANYWHERE.search(key) and _NO_VALUE.isdisjoint(words):
        return _GOES_ON
    return None


_BLANKS = r"\s{0,40}+"
_PREFIX = r"(?:[@$]|[A-Za-z][A-Za-z0-9]?)?(?=[\"'`])"  # of a string: `@"…"`, `b'…'`
_TYPE = r"(?:as\s)?(?:\[\]|[*&])?(?:string|str|text|bytes?|char|n?varchar|any|object|rune)\w{0,10}(?:\(\d{1,6}\))?"
_SIGN = r"=>|:{0,3}[?+.|!~]{0,2}={1,3}|:|(?<=\s)-(?=\s[\"'])"
# What closes the key (a quote, an index), and a sign with blanks around it. Before a value in quotes, a declared type
# may stand in between, or an opening bracket or a blank be all.
_SEPARATOR = (
    r"\\*(?:\"\"|''|[\"'`]?)(?:\[\w{0,20}\])?\]?"
    rf"(?:(?:\s{{0,3}}:\s{{0,3}}[\w.<>\[\]|&*?]{{1,40}}(?:(?=\s)|(?<=[\]>?]))|\s{{0,3}}:?\s{{0,3}}(?<=[\s:]){_TYPE}){_BLANKS}:?={_BLANKS}{_PREFIX}"
    rf"|{_BLANKS}(?:{_SIGN}|(?<=[\"']),(?!\s{{0,3}}\\*[\"']\w{{1,40}}\\*[\"']\s{{0,3}}:)){_BLANKS}(?:{_PREFIX})?"
    rf"|\s{{1,40}}->\s{{1,40}}|(?<=\w)[({{]{_BLANKS}{_PREFIX}|(?<=\w)\s{{1,3}}(?=[\"'`][^\s\"'`])(?!'\w\s))"
)
# The first characters of a separator, which most words lack.
_MAY_SEPARATE = r"(?:[^\w\s]|\s++(?:[^\w\s]|as\s|str|text|byte|char|n?varchar|any|object|rune))"
# A value without quotes runs to the next blank: a password may hold any other character. In YAML, a sign for a block or
# a tag may stand before it.
_PLAIN = (
    # A number in groups: an account's, a card's, a telephone's.
    r"[(\[]?(?:\w{1,8}=)?(?:[a-z]{2}\d{2}(?:\ [a-z\d]{4}){2,7}(?:\ [a-z\d]{1,3})?"
    r"|(?=(?:\D{0,2}\d){8})\+?\d{1,6}(?:\ \d{1,7}){1,7})(?![a-z\d])"
    r"|\[[^\[\]\n]{1,300}\]|(?:[|>][+-]?\s+|!{1,2}\w+\s+)?\S+"
)
# What goes on behind the quote that seems to close a value: it was one of the value's own.
_GLUED = r"(?:(?<=[\"'`])(?<![\"'`]{2})(?:[\w/#$%*^~@]|\.(?!\w{1,30}\())\S*)?"
_MORE = r"(?P<more>(?:[^\S\n][^\W\d_]{2,30}(?![^\s,;.!?)])(?!\s?[=:])){1,12}+)?"  # words that may be of a phrase
_TRIPLE_QUOTED = r"\"{3}(?:[^\"]|\"(?!\"\"))*+(?:\"{3})?|'{3}(?:[^']|'(?!''))*+(?:'{3})?"
_ESCAPED_QUOTED = r"\\+\"(?:[^\\]++|\\++(?!\"))*+(?:\\+\")?"
# Of a key's name, so much must be there: the part that many have, or the first letters.
_COMMON = ("key", "pas", "tok", "sec", "pw")
_BEGINNINGS = sorted({next((part for part in _COMMON if part in word), word[:4]) for word in (*_STEMS, *_WHOLE)})
_HINT = "|".join(
    f"{a}(?:{'|'.join(b[1:] for b in _BEGINNINGS if b[0] == a)})" for a in sorted({b[0] for b in _BEGINNINGS})
)
# A key and its separator first, then a hint: a hundred words that are tried at each character would be slow.
_KEY_VALUE = re.compile(
    rf"(?<![\w.-])(?=[\w.-]++{_MAY_SEPARATE})(?=[\w.-]++{_SEPARATOR})(?=[\w.-]*?(?:{_HINT}|{_FOREIGN}))"
    rf"(?P<key>[\w.-]++){_SEPARATOR}(?P<value>{_ESCAPED_QUOTED}|{_TRIPLE_QUOTED}|{DOUBLY_QUOTED}|{QUOTED}{_GLUED}|[<(](?=[\"']){QUOTED}\S*|{_PLAIN}){_MORE}",
    re.IGNORECASE,
)
# A variable's name, and its value in a field of its own: of a container, of a settings file. Others may stand between.
_QUOTE = r"\\{0,8}[\"']?"
_NAME_FIELD = r"(?<![\w-])(?:name|key|variable|field|param(?:eter)?|option|property|setting|attribute|env|id|k|n)"
_VALUE_FIELD = r"(?:val(?:ue)?s?|v|data|content|secret|string|text|default|plaintext|current|new|raw)"
_OTHER_FIELD = (
    rf"(?:\w{{1,40}}{_QUOTE}\s?[:=]\s?(?:\"[^\"\n]{{0,100}}\"|'[^'\n]{{0,100}}'|[\w.-]{{1,60}}+)"
    rf"\s{{0,40}}+[,;]?\s{{0,40}}+{_QUOTE}){{0,3}}"
)
_BETWEEN_FIELDS = rf"{_QUOTE}\s{{0,40}}+(?:[,;]|/>\s{{0,40}}+<)?\s{{0,40}}+{_QUOTE}"
_NAMED_VALUE = re.compile(
    rf"(?P<name>{_NAME_FIELD}(?:{_QUOTE}\s?[:=]\s?{_QUOTE}|>)(?P<key>[\w.-]{{1,100}}+)"
    rf"(?:{_BETWEEN_FIELDS}{_OTHER_FIELD}{_VALUE_FIELD}{_QUOTE}\s?[:=]\s?|{_QUOTE}\s?>"
    rf"|</\w{{1,40}}>\s{{0,40}}+<\w{{1,40}}>))"
    rf"(?P<value>(?<=>)[^<\n]+|{_ESCAPED_QUOTED}|{QUOTED}|{_PLAIN})",
    re.IGNORECASE | re.ASCII,
)
_VALUE_NAMED = re.compile(
    rf"(?P<name>(?<![\w-]){_VALUE_FIELD}{_QUOTE}\s?[:=]\s?)(?P<value>{_ESCAPED_QUOTED}|{QUOTED})"
    rf"(?P<rest>{_BETWEEN_FIELDS}{_OTHER_FIELD}{_NAME_FIELD}{_QUOTE}\s?[:=]\s?{_QUOTE}(?P<key>[\w.-]{{1,100}}+))",
    re.IGNORECASE | re.ASCII,
)
# In a comparison the value may come first.
_COMPARED = re.compile(
    r"(?P<value>\"[^\"\n]{1,200}\"|'[^'\n]{1,200}')(?P<rest>\s{0,3}[!=]={1,2}\s{0,3}(?P<key>[\w.-]{1,100}+))",
    re.ASCII,
)


def _named_value(match: re.Match[str]) -> str | None:
    kind = secret_kind(match["key"])
    if kind is None or not _may_be_secret(kind, match["value"], "="):
        return None
    return match["name"] + _hide_value(match["value"])


def _value_named(match: re.Match[str]) -> str | None:
    kind = secret_kind(match["key"])
    if kind is None or not _may_be_secret(kind, match["value"], "="):
        return None
    return match["name"] + _hide_value(match["value"]) + match["rest"]


def _compared(match: re.Match[str]) -> str | None:
    kind = secret_kind(match["key"])
    if kind is None or not _may_be_secret(kind, match["value"], "="):
        return None
    return _hide_value(match["value"]) + match["rest"]


def _key_value(match: re.Match[str]) -> str | None:
    kind = secret_kind(match["key"].rstrip(".-")[-_KEY_CHARACTERS:])
    value, more = match["value"], match["more"] or ""
    if kind in _WEAK and _LIST.fullmatch(value):
        value, blank, others = value.partition(" ")
        more = blank + others + more
    before = match[0][: match.start("value") - match.start()]
    sign = before[len(match["key"]) :]
    if kind is None and (declared := _DECLARED.match(sign)):  # `content-type: secret := …`
        kind = secret_kind(declared[1])
    is_phrase = bool(more) and sign[-1].isspace() and kind not in _WEAK
    if kind is None or _begins_another(kind, match) or not (is_phrase or _may_be_secret(kind, value, before)):
        return None
    if sign.rstrip().endswith(",") and _is_listed(kind, value):
        return None
    if not _SIGNS.search(sign) and kind in _WEAK - _STRONG:
        return None
    if kind == _GOES_ON and not (value[0] in "\"'`" and "=" in sign) and not _CHOSEN.search(value):
        return None
    if more and (not sign[-1].isspace() or kind in _WEAK or not value.isalpha() or value.lower() in _REQUIRED):
        return before + _hide_value(value) + more
    return before + _hide_value(value)


def _is_listed(kind: str, value: str) -> bool:
    """Tell whether a value behind a comma is one more name of a list: `'token', 'clear-cookie', 'drop-query'`."""
    bare = value.rstrip(",;").strip("\"'`")
    return (
        value in {"and", "or"}
        or secret_kind(bare) is not None
        or (kind in _WEAK and _HYPHENED.fullmatch(bare) is not None)
    )


_LIST = re.compile(r"\[\s?[\"']?[\w.-]+[\"']?(?:, [\"']?[\w.-]+[\"']?)+\s?\]")  # `tokens: [1, 2, 3]`
COMMANDS = (
    r"mysql\w{0,9}|mariadb\w{0,9}|sshpass|curl|wget|mongo\w{0,9}|smbclient|redis-cli|psql|sqlcmd|sqlplus"
    r"|(?:docker|podman) login"
)
_HYPHENED = re.compile(r"[a-z]+(?:-[a-z]+)+")


def _begins_another(kind: str, match: re.Match[str]) -> bool:
    """Tell whether something else that is private begins where a value should, and would lose its head to this rule."""
    value = match["value"]
    inner = _MEMBER.match(match.string, match.start("value"))
    if inner and secret_kind(inner["key"]):  # `credentials: {'api_key': …}`
        return True
    if _OTHER_PRIVATE.match(match.string, match.start("value")):  # `token=phone=800 4743`, `token=amy [at] …`
        return True
    other = _OTHER_KEY.match(match.string, match.start("value"))
    if other and secret_kind(other["key"]):  # `sid=pin: 5113`
        return True
    if _OPTIONS.match(match.string, match.start("value")):  # `password: mysql -u root …`
        return True
    if _SHARE.match(value) or _PERSON.match(match.string, match.start("value")):  # a path goes on behind a blank
        return True
    return begins_an_id(match.string, match.start("value")) or (
        kind in _WEAK and _COMMAND.match(match.string, match.start("value")) is not None
    )


_OPTIONS = re.compile(rf"(?:{COMMANDS})\s+-", re.IGNORECASE)
_COMMAND = re.compile(rf"(?:{COMMANDS})\s|--?[a-z][\w-]*\s", re.IGNORECASE)
_PERSON = re.compile(rf"\\*[\"']?(?:{PERSON_KEYS}|to|from)\\*[\"']?(?::\s|=\\*[\"'])", re.IGNORECASE)
_OTHER_PRIVATE = re.compile(
    rf"\\*[\"']?(?:{ID_KEYS}|tel(?:efon|ephone)?|phone|mobile|cell|fax|msisdn|e?-?mail|iban)\\*[\"']?(?::\s|=)"
    r"|(?:to=|mailto:)?[\w.+-]{1,64}\s[\[({]\s?(?:at|@)\s?[\])}]",
    re.IGNORECASE,
)
_OTHER_KEY = re.compile(r"\\*[\"']?(?P<key>[^\W\d]\w{1,30})\\*[\"']?(?::\s|\s?:?=\s?[\"'`])")
_DECLARED = re.compile(r":\s{1,3}(\w{2,40})\s{1,3}:?=")
_MEMBER = re.compile(r"[{(\[]\s?\\*[\"'](?P<key>\w{2,40})\\*[\"']\s?:")
_SHARE = re.compile(r"(?:\w{1,20}=)?(?:\\{1,2}[\w.?-]+\\\w|[A-Za-z]:[\\/]\w)")
_SIGNS = re.compile(r"[=:,-]")
_CHOSEN = re.compile(r"\d[^\W\d]|[^\W\d]\d|[a-z][A-Z][a-z]*[A-Z]|\w[#$%^&*!~{}]+\w|[a-z]{3}-[a-z]{3,}-[a-z]{3}")


def _may_be_secret(kind: str, value: str, before: str) -> bool:
    bare = split_closing(value)[0].strip("\"'`\\([{")
    if not bare or bare.lower() in _NO_SECRET or only_marks(bare) or is_nobodys(bare, dated=kind in _WEAK):
        return False
    if _is_code(kind, value, bare):
        return False
    if bare.isdigit():
        fewest = _SMALL_NUMBER_DIGITS + 2 * (kind in _NUMBERED)
        return kind != "tokens" and (len(bare) > fewest or kind.startswith("cv"))
    prose = before.endswith(" ") and "=" not in before and value[0] not in "\"'`\\"
    # `PASS: Approximate memory`: what became of a test.
    is_word = bare.islower() or (bare.istitle() and before.startswith("PASS:"))
    return not (prose and kind in _WEAK and bare.isalpha() and is_word and len(bare) <= _WORD_CHARACTERS)


def _is_code(kind: str, value: str, bare: str) -> bool:
    """Tell whether a value is a method, a state or a name in a program: `auth:SIMPLE`, `token=eos_token`."""
    if kind in _WEAK and (_SPECIAL.fullmatch(value) or re.search(rf"(?:[_.]|\A){kind}\Z", bare, re.IGNORECASE)):
        return _NAME.fullmatch(bare.strip("[]<>/|")) is not None
    if kind in _HANDLE and _HANDLE[kind].fullmatch(bare):
        return True
    plain = value[0] not in "\"'`\\"
    return plain and bool(_CALL.fullmatch(bare) or (kind in _STATES and _STATE.fullmatch(bare)))


def _hide_value(value: str) -> str:
    """Replace a value, but for its quotes and closing punctuation, so that the line still reads."""
    if value[0] in "\"'`":
        closed = len(value) > 1 and value[-1] == value[0]
        return value[0] + SECRET + (value[0] if closed else "")
    if value[0] == "[" and value[-1] == "]":
        return SECRET
    if escaped := re.match(r"\\+\"", value):
        return escaped[0] + SECRET + (escaped[0] if len(value) > escaped.end() and value.endswith('"') else "")
    return SECRET + re.sub(r"[^,;)\]}>]", "", split_closing(value)[1][-1:])


_HEADER = re.compile(
    r"(?P<name>(?<![\w-])(?:(?:proxy-)?authorization|x-[a-z-]{0,30}(?:token|key|auth|art-api)"
    r"|(?:set-)?cookie2?)\s{0,2}:\s{0,2})"
    r"(?P<value>[^\s\"'][^\n\"']*)",
    re.IGNORECASE,
)
_SCHEME = re.compile(
    r"(?P<name>(?:(?<![\w-])|(?<=[^\w-]_)|(?<=[^\w-]__))(?:bearer|basic|digest|negotiate|ntlm|apikey)\s{1,3})(?P<value>[\w.~+/=-]{6,}(?:\?[^\s\"'<>]*)?)",
    re.IGNORECASE | re.ASCII,
)
_OPTION = re.compile(
    rf"(?:(?<![\w-])|(?:(?<=[_-]{{2}})|(?<=\W_)|(?<=\A_)|(?<=\b\d))(?=--\w))(?P<name>--?(?P<key>[a-zA-Z][\w-]{{0,60}})(?:\s{{1,3}}|\+))(?P<value>{QUOTED}|[^\s-]\S*)",
    re.ASCII,
)
_CLIENT = re.compile(rf"\b(?:{COMMANDS})\b(?:[^\\\n]++|\\[\s\S])*+", re.IGNORECASE)
_CLIENT_VALUE = re.compile(
    rf"(\s-(?:[pPuUa](?:\s{{1,40}}|=)?|-(?:proxy-)?(?:user|pass)[\w-]{{0,12}}(?:\s{{1,40}}|=)))(?:{QUOTED}|[^\s-]\S*)"
)
_ELEMENT = re.compile(
    r"(?P<name><(?P<key>[a-zA-Z][\w:.-]{0,60})(?:\s[^<>]{0,200})?>\s{0,200}+)(?P<value>(?:<!\[CDATA\[)?[^<\n]+)",
    re.ASCII,
)
_WORDS_FOR_ONE = (
    r"password|passwd|passphrase|passcode|pwd|api key|secret|passwort|kennwort|mot de passe|contrase(?:ñ|n)a|senha"
    r"|wachtwoord|has(?:ł|l)o|l(?:ö|o)senord|parola|пароль|пароля"
)
_PROSE = re.compile(
    rf"(?P<name>\b(?:{_WORDS_FOR_ONE})\s(?:(?:is|was|of|to|ist|war|lautet|lautete|auf|est|es|é|è|era|étant|jest|är|—|–"
    rf"|-)(?: now| jetzt| désormais)?:?)\s{{1,2}})(?P<value>{QUOTED}{_GLUED}|{_PLAIN})"
    r"|(?P<asian>(?:密码|密碼|口令|パスワード|暗証番号|비밀번호|암호)[^\x00-\x7f]{0,4}\s?[:=]?\s?[「『\"']?)(?P<word>[!-~]{3,})",
    re.IGNORECASE,
)
# Names of two words, with a sign behind them.
_SPACED_NAME = (
    r"(?:(?:api|access|secret|signing|encryption|private|licen[cs]e|master|account) key|mot de passe|connection string)"
    r"(?: provided| given)?[\"']?\s{0,2}[:=]"
)
_SPACED = re.compile(
    rf"(?P<name>(?<![\w-]){_SPACED_NAME}\s{{0,2}})(?P<value>{QUOTED}|\[[^\[\]\n]{{1,300}}\]|\S+)", re.IGNORECASE
)
# Of a `.netrc` file, and of a server's settings.
_SETTING = re.compile(
    r"(?P<name>(?<![\w-])(?:requirepass|masterauth"
    r"|(?P<machine>machine\s{1,3}\S{1,253}\s{1,3})login\s{1,3}(?P<user>\S{1,64})\s{1,3}password)\s{1,3})(?P<value>\S+)",
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
    if is_nobodys(value):
        return None
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
    if match["word"]:
        return match["asian"] + SECRET if not only_marks(match["word"]) else None
    value, closing = split_closing(match["value"])
    if value.strip("\"'").lower() in _REQUIRED or not value or only_marks(value):
        return None
    return match["name"] + SECRET + closing


# A name and a password, as programs write them in brackets: `auth=("amy", "hunter2")`; or a name before what was found.
_PAIR = re.compile(
    r"(?P<key>(?<![A-Za-z])(?:\w{0,30}_)?(?:auth|basic_?auth|HTTP\w{0,8}Auth|login|creds?|credentials?)\\*[\"']?\s?[=:]?\s?"
    r"|(?<![\w)\]]))[(\[]\s?(?P<q>[\"'])(?P<user>[^\"'\n]{1,80})(?P=q),\s?"
    r"(?P<p>[\"'])(?P<password>[^\"'\n]{1,200})(?P=p)\s?(?P<close>[)\]])",
    re.IGNORECASE | re.ASCII,
)
_PERSON_WORD = re.compile(PERSON_KEYS, re.IGNORECASE)
_FOUND = re.compile(f"[{SECRET}{''.join(mark(f'secret:{vendor}') for vendor in VENDORS)}]")


def _pair(match: re.Match[str]) -> str | None:
    user, password = match["user"], match["password"]
    if not (match["key"] or _FOUND.fullmatch(password)) or only_marks(user) or is_nobodys(user):
        return None
    if secret_kind(user) or secret_kind(password) or _PERSON_WORD.fullmatch(user):  # names of keys
        return None
    opening = match[0][len(match["key"]) : match.start("user") - match.start()]
    hidden = password if only_marks(password) else SECRET
    return f"{match['key']}{opening}{mark('user')}{match['q']}, {match['p']}{hidden}{match['p']}{match['close']}"


# Behind `key=` and `id:` stands what a machine made, or a word.
_MADE = re.compile(
    rf"(?P<name>(?<![A-Za-z])[\w.-]{{0,40}}?(?:key|id|pat"
    rf"|code)\\*[\"']?{_BLANKS}(?:{_SIGN}){_BLANKS}\\*[\"']?)(?P<value>[^\s\"'<>,;&)}}\\\]{MARKS}]{{8,200}})",
    re.IGNORECASE | re.ASCII,
)


_ONE_CASE = re.compile(r"(?=\D*\d)(?=(?:\d*[a-z]){6})(?!0x)(?![a-f\d]*\Z)[a-z\d]{8,40}", re.IGNORECASE)
_USUAL_SHARE = 0.34  # of pairs of letters
_COUNTED = re.compile(r"(?:[a-z]{1,12}_)?\d{8,13}(?:_(?:[a-z]|\d{1,6})){1,6}")  # `job_1445144423722_0020_m_000002`


def _made(match: re.Match[str]) -> str | None:
    value, closing = split_closing(match["value"])
    made = is_made(value) or (_ONE_CASE.fullmatch(value) is not None and usual_share(value.lower()) <= _USUAL_SHARE)
    return match["name"] + SECRET + closing if made and not (_COUNTED.fullmatch(value) or is_nobodys(value)) else None


SECRETS = (
    Rule(
        "secret",
        (
            r"(?:auth|login|creds?|credentials?)\\*[\"']?\s?[=:]?\s?[(\[]\s?[\"']",
            r"[\"'],\s?[\"']\[secret[^\n]{0,20}[\"']\s?[)\]]",
        ),
        _PAIR,
        _pair,
        'get(url, auth=("amy", "hunter2"))',
        'get(url, auth=("[user]", "[secret]"))',
    ),
    Rule(
        "secret",
        (r"(?:authorization|x-[a-z\-]{0,30}(?:token|key|auth|art-api)|cookie2?)\s{0,2}:",),
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
        (
            (
                rf"(?:name|key|variable|field|param|parameter|option|property|setting|attribute|env|id|k"
                rf"|n)\\*[\"']?(?:\s?[:=]\s?|>)\\*[\"']?[a-z0-9_.\-]*(?:{_SMELL})"
            ),
        ),
        _NAMED_VALUE,
        _named_value,
        '"name": "DB_PASSWORD", "value": "hunter2"',
        '"name": "DB_PASSWORD", "value": "[secret]"',
    ),
    Rule(
        "secret",
        (
            (
                rf"(?:name|key|variable|field|param|parameter|option|property|setting|attribute|env|id|k"
                rf"|n)\\*[\"']?\s?[:=]\s?\\*[\"']?[a-z0-9_.\-]*(?:{_SMELL})"
            ),
        ),
        _VALUE_NAMED,
        _value_named,
        'value="hunter2" name="DB_PASSWORD"',
        'value="[secret]" name="DB_PASSWORD"',
    ),
    Rule(
        "secret",
        (r"(?:key|id|pat|code)\\*[\"']?\s*(?:[?+.|!~:]*=|[:,]|=>)\s*\\*[\"']?[^\s\"'<>,;&)}\\\]]{8}",),
        _MADE,
        _made,
        "algolia ID=844XQV5S",
        "algolia ID=[secret]",
    ),
    Rule(
        "secret",
        (rf"[\"']\s{{0,3}}[!=]={{1,2}}\s{{0,3}}[a-z0-9_.\-]*(?:{_SMELL})",),
        _COMPARED,
        _compared,
        "if 'hunter2' == password",
        "if '[secret]' == password",
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
        (
            rf"(?:{_SMELL})[a-z0-9_.\-]*\\*[\"'`]{{0,2}}(?:\[[a-z0-9_]*\])?\]?\s*(?:[?+.|!~:]*=|[:,]|-[>\s])",
            (
                rf"(?:{_SMELL})[a-z0-9_.\-]*\s+(?:as\s)?[\[\]*&]{{0,2}}(?:string|str|text|byte|char|n?varchar|any"
                rf"|object"
                rf"|rune)[a-z0-9_()]*\s*:?="
            ),
            rf"(?:{_SMELL})[a-z0-9_.\-]*(?:[({{]\s*[@$a-z0-9]*|\s+)[\"'`]",
        ),
        _KEY_VALUE,
        _key_value,
        "using db_password='hunter2' token_count=12",
        "using db_password='[secret]' token_count=12",
    ),
    Rule(
        "secret",
        (rf"-[a-z0-9_\-]*(?:{_SMELL})[a-z0-9_\-]*[\s+]",),
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
        (
            (
                r"(?:password|passwd|passphrase|passcode|pwd|api key|secret|passwort|kennwort|passe|contrase[a-z]a"
                r"|contrasena|senha"
                r"|wachtwoord|haslo|losenord|parola)\s(?:is|was|of|to|ist|war|lautet|lautete|auf|est|es|era"
                r"|jest)(?: now"
                r"| jetzt)?:?\s"
            ),
        ),
        _PROSE,
        _prose,
        "my password is hunter2.",
        "my password is [secret].",
    ),
)
