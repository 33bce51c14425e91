"""Planted keys, tokens, passwords and connection strings."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from bench.corpus.canary import Canary
from bench.corpus.words import (
    ALPHANUMERIC,
    FIRMS,
    FIRST,
    HEX,
    LAST,
    characters,
    company_host,
    lower,
    machine,
    name,
    password,
    upper,
)

if TYPE_CHECKING:
    from random import Random

_URL_SAFE = ALPHANUMERIC + "-_"
_BASE64 = ALPHANUMERIC + "+/"

# Makers' own forms: a template of lengths and alphabets. a: letters and digits, h: hex, u: capitals and digits,
# U: capitals and 2-7, s: URL-safe, b: base64, d: digits, l: small letters and digits.
_TOKENS = {
    "aws": ("AKIA{U16}", "ASIA{U16}"),
    "github": ("ghp_{a36}", "gho_{a36}", "ghs_{a36}", "github_pat_{a22}_{a59}"),
    "gitlab": ("glpat-{s20}", "gldt-{s20}", "glrt-{s20}", "GR1348941{s20}"),
    "slack": ("xoxb-{d12}-{d12}-{a24}", "xoxp-{d12}-{d12}-{d12}-{h32}", "xapp-1-{u11}-{d13}-{h64}"),
    "slack webhook": ("https://hooks.slack.com/services/T{u8}/B{u10}/{a24}",),
    "google": ("AIza{s35}", "GOCSPX-{s28}", "ya29.{s120}", "1//0{s60}"),
    "stripe": ("sk_live_{a24}", "rk_test_{a24}", "pk_live_{a24}", "whsec_{a32}"),
    "openai": ("sk-{a48}", "sk-proj-{s74}T3BlbkFJ{s74}"),
    "anthropic": ("sk-ant-api03-{s93}AA", "sk-ant-admin01-{s93}AA"),
    "npm": ("npm_{a36}",),
    "pypi": ("pypi-AgEIcHlwaS5vcmc{s80}",),
    "sendgrid": ("SG.{s22}.{s43}",),
    "twilio": ("SK{h32}", "AC{h32}"),
    "azure": ("{a3}8Q~{s34}",),
    "vault": ("hvs.{s95}", "hvb.{s140}", "s.{a24}"),
    "databricks": ("dapi{h32}", "dapi{h32}-2"),
    "hugging face": ("hf_{a34}",),
    "digitalocean": ("dop_v1_{h64}", "doo_v1_{h64}"),
    "docker": ("dckr_pat_{s27}",),
    "shopify": ("shpat_{h32}", "shpss_{h32}"),
    "grafana": ("glsa_{a32}_{h8}", "glc_{b60}"),
    "sentry": ("sntrys_{b60}", "sntryu_{h64}"),
    "atlassian": ("ATATT3{s186}",),
    "telegram": ("{d9}:AA{s33}",),
    "discord": ("MT{a22}.{s6}.{s27}",),
    "mailgun": ("key-{h32}",),
    "new relic": ("NRAK-{u27}", "NRJS-{h19}"),
    "age": ("AGE-SECRET-KEY-1{u58}",),
    "1password": ("ops_eyJ{b200}", "A3-{u6}-{u11}-{u5}-{u5}-{u5}"),
    "alibaba": ("LTAI{a20}",),
    "artifactory": ("AKCp{a69}",),
    "doppler": ("dp.pt.{a43}",),
    "dynatrace": ("dt0c01.{u24}.{u64}",),
    "easypost": ("EZAK{a54}",),
    "facebook": ("EAAC{a120}",),
    "fly.io": ("fo1_{s43}", "fm2_{b100}"),
    "linear": ("lin_api_{a40}",),
    "planetscale": ("pscale_tkn_{s43}", "pscale_pw_{s43}"),
    "postman": ("PMAK-{h24}-{h34}",),
    "pulumi": ("pul-{h40}",),
    "rubygems": ("rubygems_{h48}",),
    "square": ("EAAA{s60}", "sq0csp-{s43}"),
    "supabase": ("sbp_{h40}",),
    "terraform": ("{a14}.atlasv1.{s64}",),
    "mailchimp": ("{h32}-us12",),
    "heroku": ("HRKU-AA{s58}",),
    "notion": ("ntn_{d11}{a35}", "secret_{a43}"),
    "cloudflare": ("v1.0-{h24}-{h146}",),
    "brevo": ("xkeysib-{h64}-{a16}",),
    "perplexity": ("pplx-{a48}",),
    "groq": ("gsk_{a52}",),
    "replicate": ("r8_{a37}",),
    "figma": ("figd_{s40}",),
    "okta": ("00{s40}",),
    "prefect": ("pnu_{l36}",),
    "readme": ("rdme_{l70}",),
    "typeform": ("tfp_{s59}",),
    "adobe": ("p8e-{l32}",),
    "harness": ("pat.{s22}.{h24}.{a20}",),
    "sourcegraph": ("sgp_{h40}",),
    "vercel": ("vck_{a56}",),
    "clojars": ("CLOJARS_{l60}",),
    "airtable": ("pat{a14}.{h64}",),
}
_ALPHABETS = {
    "a": ALPHANUMERIC,
    "h": HEX,
    "u": "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
    "U": "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
    "s": _URL_SAFE,
    "b": _BASE64,
    "d": "0123456789",
    "l": "abcdefghijklmnopqrstuvwxyz0123456789",
}


def token(dice: Random) -> Canary:
    """Tokens in the form of sixty makers."""
    form = dice.choice(_TOKENS[dice.choice(list(_TOKENS))])
    text = ""
    for piece in form.split("{"):
        size, closed, rest = piece.partition("}")
        text += (_end_well(dice, size) if closed else "") + (rest if closed else piece)
    around = dice.choice(("{}", "'{}'", "({})", "token {} expired", "x={}", "{},", "{}.", "Authorization: token {}"))
    return Canary(around.format(text), (text.removeprefix("https://"),))


def _end_well(dice: Random, size: str) -> str:
    return characters(dice, _ALPHABETS[size[0]], int(size[1:]) - 1) + characters(dice, _ALPHABETS[size[0]][:10], 1)


def jwt(dice: Random) -> Canary:
    """JSON web tokens, signed, unsigned and encrypted."""
    header = {"alg": dice.choice(("HS256", "RS256", "ES256")), "typ": "JWT", "kid": characters(dice, HEX, 8)}
    claims = {"sub": name(dice), "iss": company_host(dice), "iat": dice.randrange(10**9, 2 * 10**9)}
    signed = [_part(json.dumps(header)), _part(json.dumps(claims)), characters(dice, _URL_SAFE, 43)]
    encrypted = [
        _part('{"alg":"RSA-OAEP","enc":"A256GCM"}'),
        *(characters(dice, _URL_SAFE, n) for n in (86, 16, 60, 22)),
    ]
    text = ".".join(dice.choice((signed, signed, encrypted, [*signed[:2], ""])))
    around = dice.choice(("{}", "Bearer {}", "Authorization: Bearer {}", "'{}'", "jwt={}", "?access_token={}", "({})"))
    return Canary(around.format(text), (text.rstrip("."),))


def _part(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def key(dice: Random) -> Canary:
    """Key files: whole, cut, on one line, without their header; public keys with their owner; PGP, PuTTY."""
    body = "MII" + characters(dice, _BASE64, 400)
    lines = "\n".join(body[at : at + 64] for at in range(0, len(body), 64))
    kind = dice.choice(
        ("RSA PRIVATE KEY", "PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY", "ENCRYPTED PRIVATE KEY")
    )
    pem = f"-----BEGIN {kind}-----\n{lines}\n-----END {kind}-----"
    pgp = f"-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: 1\n\n{lines}\n=abcd\n-----END PGP PRIVATE KEY BLOCK-----"
    text = dice.choice(
        (
            pem,
            pem[: dice.randrange(60, len(pem) - 40)],
            pem.replace("\n", "\\n"),
            pem.replace("\n", " "),
            pgp,
            f"PuTTY-User-Key-File-2: ssh-rsa\nEncryption: none\nComment: {name(dice)}\nPrivate-Lines: 8\n{lines}",
            f"ssh-rsa AAAAB3NzaC1yc2E{characters(dice, _BASE64, 200)} {name(dice)}@{machine(dice)}",
            body,
            body[3:].replace("MII", "abc"),
            f"MC4CAQAwBQYDK2VwBCIEI{characters(dice, _BASE64, 43)}",
        )
    )
    return Canary(text, (text.replace("-----BEGIN ", "").partition("-----")[2] or text,))


def dsn(dice: Random) -> Canary:
    """Connection strings of every family of drivers; all but the driver is private."""
    who, secret, where, base = name(dice), password(dice), company_host(dice), f"{dice.choice(FIRMS)}_{lower(dice, 5)}"
    quoted = secret.replace("\\", "\\\\").replace("'", "\\'")
    braced = "{" + secret + ";}}" + "}"
    key64 = characters(dice, _BASE64, 86) + "=="
    scheme = dice.choice(
        (
            "postgres",
            "postgresql",
            "mysql",
            "mariadb",
            "mongodb",
            "mongodb+srv",
            "redis",
            "rediss",
            "amqp",
            "amqps",
            "mssql+pyodbc",
            "postgresql+asyncpg",
            "clickhouse",
            "cockroachdb",
            "oracle",
            "sqlserver",
            "snowflake",
            "nats",
            "mqtt",
            "ldap",
            "kafka",
        )
    )
    url = dice.choice(
        (
            f"{who}:{secret}@{where}/{base}",
            f"{who}:{secret}@{where}:5432,{machine(dice)}:5432/{base}?sslmode=require",
            f":{secret}@{where}/0",
            f"{who}@{where}/{base}",
        )
    )
    others = (
        f"host={where} port=5432 dbname={base} user={who} password='{quoted}'",
        f"user={who} password={secret.replace(chr(39), 'x')} host={where} dbname={base}",
        f"jdbc:sqlserver://{where};databaseName={base};user={who};password={secret.replace(';', 'x')}",
        f"jdbc:oracle:thin:{who}/{secret.replace('@', 'x')}@{where}:1521:{base}",
        f"jdbc:postgresql://{where}/{base}?user={who}&password={secret}",
        f"Driver={{ODBC Driver 18}};Server={where};Database={base};UID={who};PWD={braced};",
        f"Data Source={where};Initial Catalog={base};User ID={who};Password={secret.replace(';', 'x')};Encrypt=True",
        f"DefaultEndpointsProtocol=https;AccountName={base[:9]};AccountKey={key64};EndpointSuffix=core.windows.net",
        f"Endpoint=sb://{where}/;SharedAccessKeyName={base};SharedAccessKey={key64[:43]}=",
        f'org.apache.kafka.common.security.plain.PlainLoginModule required username="{who}" password="{quoted}";',
        f"{who}/{secret.replace('@', 'x').replace('/', 'y')}@//{where}:1521/{base}",
        f"sqlite:////home/{who}/{base}.db",
    )
    if dice.random() < 0.5:
        return Canary(f"{scheme}://{url}", (url,))
    text = dice.choice(others)
    return Canary(text, (*[part for part in (who, secret, where, base) if part in text], *_long(key64, text)))


def _long(part: str, text: str) -> tuple[str, ...]:
    return (part[:40],) if part[:40] in text else ()


def secret(dice: Random) -> Canary:
    """Passwords behind the words that say so: keys in any style and language, headers, options, XML, prose."""
    value = password(dice)
    plain = characters(dice, ALPHANUMERIC, dice.randrange(8, 20))
    phrase = " ".join(dice.choices(FIRST + LAST, k=6))
    bare = value.translate(str.maketrans(",;&", "xyz"))
    form, held = dice.choice(
        (
            ("password={}", bare),
            ("db_password: {}", bare),
            ("DB_PASSWORD={}", bare),
            ("dbPassword={}", bare),
            ('"client_secret": "{}"', value),
            ("{{'api_key': '{}'}}", value),
            ('\\"passwd\\": \\"{}\\"', plain),
            ("X-Api-Key: {}", plain),
            ("Authorization: Basic {}", base64.b64encode(f"{name(dice)}:{value}".encode()).decode()),
            ("Authorization: Bearer {}", plain + "7"),
            ("Cookie: session={}; theme=dark", plain),
            ("Set-Cookie: sid={}; HttpOnly", plain),
            ("--password {}", value),
            ("--token={}", plain),
            ("mysql -u root -p{}", plain),
            ("curl -u admin:{}", plain),
            ("<password>{}</password>", plain),
            ("passphrase='{}'", phrase),
            ("mnemonic: {}", phrase),
            ("Kennwort: {}", bare),
            ("contraseña={}", bare),
            ("mot_de_passe={}", bare),
            ("пароль: {}", bare),
            ("密码={}", bare),
            ("my password is {}", plain + "5"),
            ("aws_secret_access_key = {}", characters(dice, _BASE64, 40)),
            ('"private_key_id": "{}"', characters(dice, HEX, 40)),
            ("pwd => '{}'", value),
            ("AccountKey={}", characters(dice, _BASE64, 86)),
            ("?api_key={}&page=2", plain),
            ("token={}", plain),
            ("PGPASSWORD={} psql", plain),
            ("redis-cli -a {}", plain),
            ("sshpass -p {} ssh", plain),
            ("secret := `{}`", value.replace("`", "x")),
            ("otp={}", "".join(dice.choices("123456789", k=6))),
            ("pin: {}", "".join(dice.choices("123456789", k=4))),
            ("snowflake_pw={}", bare),
            ("webhook_secret: {}", upper(dice, 20)),
        )
    )
    return Canary(form.format(held), (held,))
