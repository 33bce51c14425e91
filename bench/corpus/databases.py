"""Planted statements, names out of drivers' errors, and exceptions that carry what people own."""

# ruff: noqa: S608 - SQL is what is planted
from __future__ import annotations

from typing import TYPE_CHECKING

from bench.corpus.canary import Canary
from bench.corpus.words import ENDINGS, FIRST, FOLDERS, LAST, characters, company_host, lower, name

if TYPE_CHECKING:
    from random import Random


def statement(dice: Random) -> Canary:
    """SQL in capitals and small letters, of many classes, whole and cut; every name and literal is private."""
    table, column, other = (f"{dice.choice(LAST)}_{lower(dice, 4)}" for _ in range(3))
    literal = f"{dice.choice(FIRST)} {dice.choice(LAST)}"
    number = dice.randrange(10**5, 10**8)
    text = dice.choice(
        (
            f"SELECT {column}, {other} FROM {table} WHERE {column} = '{literal}' AND {other} > {number}",
            f"select {column} from {table} where {other} = {number} order by {column}",
            f"SELECT * FROM {table} JOIN {other} ON {table}.{column} = {other}.{column}",
            f"INSERT INTO {table} ({column}, {other}) VALUES ({number}, '{literal}')",
            f"insert into {table} values ({number}, '{literal}')",
            f"UPDATE {table} SET {column} = '{literal}' WHERE {other} = {number}",
            f"delete from {table} where {column} = '{literal}'",
            f"CREATE TABLE {table} ({column} varchar(20), {other} int)",
            f"CREATE MATERIALIZED VIEW {table} AS SELECT {column} FROM {other}",
            f"WITH {table} AS (SELECT {column} FROM {other}) SELECT {column} FROM {table}",
            f"ALTER USER {table} IDENTIFIED BY '{literal}'",
            f"COPY {table} ({column}) FROM STDIN",
            f"GRANT SELECT ON {table} TO {other}",
            f"DROP TABLE {table}",
            f"CREATE SECRET {table} WITH (backend = 'meta') AS '{literal}'",
            f"SELECT {column} FROM {table} WHERE {other} = '{literal[:6]}",
            f"SELECT /* {literal} */ {column} FROM {table} -- {other}",
        )
    )
    parts = tuple(part for part in (table, column, other, literal, str(number)) if part in text)
    return Canary(text, (*parts, *((literal[:6],) if literal[:6] in text else ())))


def driver_error(dice: Random) -> Canary:
    """Errors of PostgreSQL, MySQL, SQLite, SQL Server and others that quote names and rows."""
    table, column = f"{dice.choice(LAST)}_{lower(dice, 4)}", f"{dice.choice(FIRST)}_{lower(dice, 3)}"
    row = f"{dice.choice(FIRST)} {dice.choice(LAST)}"
    text = dice.choice(
        (
            f'relation "{table}" does not exist',
            f'column "{column}" of relation "{table}" does not exist',
            f"column {table}.{column} does not exist",
            f'duplicate key value violates unique constraint "{table}_{column}"',
            f"Key ({column})=({row}) already exists.",
            f"Duplicate entry '{row}' for key '{table}.{column}'",
            f"Table '{table}.{column}' doesn't exist",
            f"Unknown column '{column}' in 'field list'",
            f"no such table: {table}",
            f"no such column: {table}.{column}",
            f"UNIQUE constraint failed: {table}.{column}",
            f"Invalid object name '{table}'.",
            f'role "{column}" does not exist',
            f'database "{table}" does not exist',
            f'schema "{table}" does not exist',
            f"syntax error at or near '{column}'",
            f'invalid input syntax for type integer: "{row}"',
            f'null value in column "{column}" of relation "{table}" violates not-null constraint',
            f"permission denied for table {table}",
            f"Catalog Error: Table with name {table} does not exist!",
            f"Unknown database '{table}'",
            f"collection '{table}' not found",
        )
    )
    parts = tuple(part for part in (table, column, row) if part in text)
    return Canary(text, parts)


def exception(dice: Random) -> Canary:
    """Messages of exceptions as Python and its libraries write them, with what they quote."""
    path = f"/{dice.choice(FOLDERS)}/{name(dice)}/{dice.choice(LAST)}.{dice.choice(ENDINGS)}"
    where, who = company_host(dice), name(dice)
    number = f"10.{dice.randrange(1, 250)}.{dice.randrange(1, 250)}.7"
    text, part = dice.choice(
        (
            (f"FileNotFoundError: [Errno 2] No such file or directory: '{path}'", path),
            (f"PermissionError: [Errno 13] Permission denied: '{path}'", path),
            (f'  File "{path}", line 12, in main', path),
            (f"ModuleNotFoundError: No module named 'x' ({path})", path),
            (f"HTTPSConnectionPool(host='{where}', port=443): Max retries exceeded", where),
            (f"HTTPConnectionPool(host='{number}', port=80): Read timed out.", number),
            (f"Failed to resolve '{where}' ([Errno -2] Name or service not known)", where),
            (f"ConnectionRefusedError: [Errno 111] Connect call failed ('{number}', 5432)", number),
            (f'FATAL:  password authentication failed for user "{who}"', who),
            (f"Access denied for user '{who}'@'{where}' (using password: YES)", who),
            (f'connection to server at "{where}" ({number}), port 5432 failed', where),
            (f"404 Client Error: Not Found for url: https://{where}/{who}", f"{where}/{who}"),
            (f'yaml.scanner.ScannerError: while scanning a token\n  in "{path}", line 3, column 1', path),
            (f"git clone git@{where}:{who}/{characters(dice, 'abcdef', 6)}.git failed", f"{where}:{who}"),
        )
    )
    return Canary(text, (part,))
