"""Rules for connection strings: all of one goes but its driver, because host and database names are private too."""

from __future__ import annotations

import re

from telemetry.redact.rules.placeholder import mark
from telemetry.redact.rules.rule import Rule, always, split_closing

_SCHEMES = {
    "postgres": "postgres postgresql cockroachdb redshift risingwave",
    "mysql": "mysql mariadb",
    "mongodb": "mongodb",
    "redis": "redis rediss valkey",
    "amqp": "amqp amqps rabbitmq",
    "kafka": "kafka",
    "mssql": "mssql sqlserver jtds",
    "oracle": "oracle",
    "sqlite": "sqlite",
    "clickhouse": "clickhouse clickhouses",
    "cassandra": "cassandra",
    "snowflake": "snowflake",
    "ldap": "ldap ldaps",
    "nats": "nats",
    "mqtt": "mqtt mqtts",
}
_DRIVER_OF = {scheme: driver for driver, schemes in _SCHEMES.items() for scheme in schemes.split()}
_ANY_SCHEME = "|".join(_DRIVER_OF)
# A quote before it says where it ends; without one, a password may hold any character but a blank.
_TO_END = r"(?:(?<=\")[^\s\"]+|(?<=')[^\s']+|(?<=`)[^\s`]+|(?<![\"'`])\S+)"
_DSN_URL = re.compile(
    rf"(?=[a-z]{{2,13}}+(?:\+[\w+-]{{1,30}}+)?:)(?=(?:jdbc:)?(?:(?P<scheme>{_ANY_SCHEME})(?:\+[\w+-]{{1,30}})?:(?://|thin:|oci:)|jdbc:\w))"
    rf"{_TO_END}",
    re.IGNORECASE | re.ASCII,
)
_JDBC = re.compile(r"jdbc:(\w+)", re.IGNORECASE)


def _dsn_url(match: re.Match[str]) -> str | None:
    if match[0].endswith("://"):  # a scheme that is spoken of
        return None
    jdbc = _JDBC.match(match[0])
    scheme = match["scheme"] or (jdbc[1] if jdbc else "")
    return mark(f"dsn:{_DRIVER_OF.get(scheme.lower(), 'other')}") + split_closing(match[0])[1]


_PAIR_VALUE = r"(?:'(?:[^'\\]|\\.)*+'?|[^\s'\"]{1,256}+)"  # bounded, for each key may begin one
_LIBPQ_KEY = (
    "host|hostaddr|port|dbname|user|password|passfile|sslmode|sslcert|sslkey|sslrootcert|options|application_name|"
    "connect_timeout|client_encoding|target_session_attrs|service"
)
_LIBPQ = re.compile(rf"(?<![\w.-])(?:(?:{_LIBPQ_KEY})\s?=\s?{_PAIR_VALUE}(?:\s+(?=\w+\s?=))?+){{2,}}+", re.IGNORECASE)
_LIBPQ_KEYS = re.compile(r"(dbname|host|user|password)\w*\s?=", re.IGNORECASE)


def _libpq(match: re.Match[str]) -> str | None:
    keys = set(map(str.lower, _LIBPQ_KEYS.findall(match[0])))
    if "dbname" not in keys and ("host" not in keys or keys == {"host"}):
        return None
    return mark("dsn:postgres") + ("" if match[0].endswith("'") else split_closing(match[0])[1])


_ODBC_KEY = (
    "server|data source|address|addr|network address|initial catalog|database|driver|dsn|uid|user id|user|username|pwd|"
    "password|account ?name|account ?key|shared ?access ?key(?:name)?|shared ?access ?signature|endpoint|entitypath|"
    "default ?endpoints ?protocol|endpoint ?suffix|integrated security|trusted_connection|encrypt|port|hostname|"
    "blobendpoint|provider|instrumentation ?key|ingestionendpoint"
)
_ODBC_VALUE = (
    r"(?:\{[^}]{0,200}+(?:\}\}[^}]{0,200}+){0,9}+\}?"
    r"|\"[^\"]{0,400}+\"?|'[^']{0,400}+'?|[^;\s]*(?:\ [^;=\n]{1,60}(?=;))?)"
)
_ODBC = re.compile(
    rf"(?<![\w-])(?=[a-z])(?:{_ODBC_KEY})\s?=\s?{_ODBC_VALUE};\s?(?:[a-z][\w .]{{0,40}}=\s?{_ODBC_VALUE}(?:;\s?|$"
    rf"|(?=[\s)\]])))+"
    rf"|(?<![\w-])(?P<alone>(?:{_ODBC_KEY})\s?=\s?[^;\s]++(?!;))",  # read once, not again from each key within
    re.IGNORECASE,
)


def _odbc(match: re.Match[str]) -> str | None:
    if match["alone"]:
        return None
    kind = "azure" if re.search(r"account ?key|shared ?access|core\.windows", match[0], re.IGNORECASE) else "odbc"
    return mark(f"dsn:{kind}") + (" " if match[0].endswith(" ") else "")


# Oracle's easy connect: a user and a password before the address.
_EASY = re.compile(r"(?<![^\s\"'=(,:])[^\s/\"'=(,:]{1,64}+/[^\s\"']{1,128}?@(?://)?[\w.-]{1,253}:\d{2,5}/[\w.$-]+")

CONNECTION_STRINGS = (
    Rule(
        "dsn",
        (rf"(?:{_ANY_SCHEME})(?:\+[a-z0-9_+\-]{{1,30}})?:(?://|thin:|oci:)", r"jdbc:[a-z0-9_]"),
        _DSN_URL,
        _dsn_url,
        "dial postgresql://amy:p@ss:w/rd!@db1,db2/sales?sslmode=off: refused",
        "dial [dsn:postgres]: refused",
    ),
    Rule(
        "dsn",
        (r"@(?://)?[a-z0-9_.\-]+:[0-9]{2,5}/[a-z0-9_.$\-]",),
        _EASY,
        always(mark("dsn:oracle")),
        "open amy/p;w@//db1:1521/sales",
        "open [dsn:oracle]",
    ),
    Rule(
        "dsn",
        (
            r"[^a-z0-9_.\-](?:dbname|host|hostaddr)\s?=",
            r"[^a-z0-9_.\-](?:user|password)\s?=\s?(?:'[^\xff]*'|[^\s'\"]+)\s+[a-z0-9_]+\s?=",
        ),
        _LIBPQ,
        _libpq,
        r"connect host=db1 dbname=sales user=amy password='a b\'c'",
        "connect [dsn:postgres]",
        weight=8,  # its keys are asked for again
    ),
    Rule(
        "dsn",
        (rf"[^a-z0-9_\-](?:{_ODBC_KEY})\s?=\s?(?:[{{\"'][^\xff]*|[^;\s]*(?: [^;=\n]{{1,60}})?);\s?[a-z]",),
        _ODBC,
        _odbc,
        "open Driver={ODBC 18};Server=db1;UID=amy;PWD={a;b};",
        "open [dsn:odbc]",
    ),
)
