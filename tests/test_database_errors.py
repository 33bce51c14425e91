"""What databases quote of names and data in their messages goes; messages about other things stay.

Each message is worded as the database words it. All names and data in them hold `zq`.
"""

# ruff: noqa: E501 - messages of a line each
from __future__ import annotations

import pytest

from telemetry.redact.text import TextRedactor

REDACTOR = TextRedactor()
MESSAGES = r"""
ERROR:  relation "zqpay.staff" does not exist at character 15
ERROR:  relation zqpay.staff does not exist
ERROR:  column "zqpay" does not exist
ERROR:  column zqt.zqpay does not exist
ERROR:  column reference "zqpay" is ambiguous
HINT:  Perhaps you meant to reference the column "zqt.zqpay" or the column "zqu.zqid".
ERROR:  null value in column "zqpay" of relation "zqstaff" violates not-null constraint
DETAIL:  Failing row contains (1, zqamy, null).
ERROR:  duplicate key value violates unique constraint "zqstaff_pkey"
DETAIL:  Key (zqid)=(17) already exists.
DETAIL:  Key (zqdept_id)=(zq17) is not present in table "zqdept".
ERROR:  insert or update on table "zqstaff" violates foreign key constraint "zqfk"
ERROR:  new row for relation "zqstaff" violates check constraint "zqpay_check"
ERROR:  invalid input syntax for type integer: "zqamy"
ERROR:  date/time field value out of range: "zq2024-13-01"
ERROR:  invalid input value for enum zqmood: "zqsad"
ERROR:  value "zq999" is out of range for type integer
ERROR:  permission denied for table zqstaff
ERROR:  permission denied for schema zqpay
ERROR:  must be owner of table zqstaff
ERROR:  function zqpay(integer) does not exist
ERROR:  operator does not exist: zqmood = integer
ERROR:  type "zqmood" does not exist
ERROR:  missing FROM-clause entry for table "zqt"
ERROR:  table name "zqt" specified more than once
ERROR:  cannot drop table zqstaff because other objects depend on it
DETAIL:  view zqpay_view depends on table zqstaff
FATAL:  role "zqamy" does not exist
FATAL:  database "zqpayroll" does not exist
FATAL:  password authentication failed for user "zqamy"
ERROR:  trigger "zqtrg" for relation "zqstaff" already exists
ERROR:  schema "zqpay" already exists
ERROR:  unterminated quoted string at or near "'zqamy"
ERROR 1146 (42S02): Table 'zqpay.zqstaff' doesn't exist
ERROR 1054 (42S22): Unknown column 'zqpay' in 'field list'
ERROR 1062 (23000): Duplicate entry 'zqamy-17' for key 'zqstaff.PRIMARY'
ERROR 1064 (42000): You have an error in your SQL syntax; check the manual that corresponds to your MySQL server version for the right syntax to use near 'zqamy = 1' at line 1
ERROR 1049 (42000): Unknown database 'zqpay'
ERROR 1045 (28000): Access denied for user 'zqamy'@'zqhost' (using password: YES)
ERROR 1142 (42000): SELECT command denied to user 'zqamy'@'zqhost' for table 'zqstaff'
ERROR 1452 (23000): Cannot add or update a child row: a foreign key constraint fails (`zqpay`.`zqstaff`, CONSTRAINT `zqfk` FOREIGN KEY (`zqdept`) REFERENCES `zqdepts` (`zqid`))
ERROR 1366 (HY000): Incorrect integer value: 'zqamy' for column 'zqpay' at row 1
ERROR 1406 (22001): Data too long for column 'zqname' at row 1
ERROR 1292 (22007): Incorrect datetime value: 'zq2024' for column 'zqd' at row 1
ERROR 1364 (HY000): Field 'zqpay' doesn't have a default value
ERROR 1305 (42000): FUNCTION zqpay.zqf does not exist
ERROR 1072 (42000): Key column 'zqcol' doesn't exist in table
ORA-00942: table or view "ZQPAY"."ZQSTAFF" does not exist
ORA-00001: unique constraint (ZQPAY.ZQSTAFF_PK) violated
ORA-01400: cannot insert NULL into ("ZQPAY"."ZQSTAFF"."ZQNAME")
ORA-00904: "ZQPAY": invalid identifier
ORA-02291: integrity constraint (ZQPAY.ZQFK) violated - parent key not found
ORA-12899: value too large for column "ZQPAY"."ZQSTAFF"."ZQNAME" (actual: 30, maximum: 20)
ORA-06550: line 1, column 7: PLS-00201: identifier 'ZQPAY.ZQF' must be declared
Msg 208, Level 16, State 1: Invalid object name 'zqpay.zqstaff'.
Msg 207, Level 16, State 1: Invalid column name 'zqpay'.
Msg 2627: Violation of PRIMARY KEY constraint 'PK_zqstaff'. Cannot insert duplicate key in object 'dbo.zqstaff'. The duplicate key value is (zqamy, 17).
Msg 547: The INSERT statement conflicted with the FOREIGN KEY constraint "FK_zqdept". The conflict occurred in database "zqpayroll", table "dbo.zqdept", column 'zqid'.
Msg 515: Cannot insert the value NULL into column 'zqpay', table 'zqdb.dbo.zqstaff'; column does not allow nulls. INSERT fails.
Msg 245: Conversion failed when converting the varchar value 'zqamy' to data type int.
Msg 18456: Login failed for user 'zqamy'.
Msg 4060: Cannot open database "zqpayroll" requested by the login. The login failed.
Msg 102: Incorrect syntax near 'zqamy'.
Msg 2812: Could not find stored procedure 'zqpay'.
Msg 8152: String or binary data would be truncated in table 'zqdb.dbo.zqstaff', column 'zqname'. Truncated value: 'zqamy'.
Msg 229: The SELECT permission was denied on the object 'zqstaff', database 'zqpay', schema 'dbo'.
sqlite3.OperationalError: no such table: zqstaff
sqlite3.OperationalError: no such column: zqt.zqpay
sqlite3.OperationalError: table zqstaff has no column named zqpay
sqlite3.OperationalError: near "zqamy": syntax error
sqlite3.OperationalError: unrecognized token: "zq1amy"
sqlite3.IntegrityError: UNIQUE constraint failed: zqstaff.zqemail
sqlite3.IntegrityError: NOT NULL constraint failed: zqstaff.zqpay
sqlite3.IntegrityError: CHECK constraint failed: zqpay_check
sqlite3.OperationalError: ambiguous column name: zqpay
sqlite3.OperationalError: no such function: zqf
sqlite3.OperationalError: table zqstaff already exists
sqlite3.OperationalError: index zqidx already exists
Catalog Error: Table with name zqstaff does not exist!
Did you mean "zqstaffs"?
Binder Error: Referenced column "zqpay" not found in FROM clause!
Candidate bindings: "zqname", "zqid"
Binder Error: Table "zqt" does not have a column named "zqpay"
Constraint Error: Duplicate key "zqid: 17" violates primary key constraint.
Constraint Error: NOT NULL constraint failed: zqstaff.zqpay
Conversion Error: Could not convert string 'zqamy' to INT32
Parser Error: syntax error at or near "zqamy"
Code: 60. DB::Exception: Table zqpay.zqstaff does not exist. (UNKNOWN_TABLE)
Code: 47. DB::Exception: Unknown expression identifier `zqpay` in scope SELECT zqpay FROM zqstaff. (UNKNOWN_IDENTIFIER)
Code: 47. DB::Exception: Missing columns: 'zqpay' while processing query: 'SELECT zqpay FROM zqstaff', required columns: 'zqpay'. (UNKNOWN_IDENTIFIER)
Code: 81. DB::Exception: Database zqpay does not exist. (UNKNOWN_DATABASE)
Code: 62. DB::Exception: Syntax error: failed at position 8 ('zqamy'): zqamy FROM x. Expected one of: token
Code: 516. DB::Exception: zqamy: Authentication failed: password is incorrect, or there is no user with such name.
Code: 27. DB::Exception: Cannot parse input: expected ',' before: 'zqamy': (at row 1)
ERROR: Failed to run the query Caused by: Catalog error: table or source not found: zqstaff
Caused by these errors (recent errors listed first): 1: Catalog error 2: table or source not found: zqstaff
Failed to bind expression: zqpay + 1 Caused by: Item not found: Invalid column: zqpay
Catalog error: relation not found: zqstaff
Invalid column: zqpay
secret not found: zqsecret
Item not found: Invalid table: zqt
ERROR: Failed to prepare the statement Caused by: sql parser error: expected an expression, found: zqamy
org.apache.spark.sql.AnalysisException: [TABLE_OR_VIEW_NOT_FOUND] The table or view `zqpay`.`zqstaff` cannot be found.
[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column or function parameter with name `zqpay` cannot be resolved. Did you mean one of the following? [`zqname`, `zqid`].
SQL compilation error: Object 'ZQPAY.ZQSTAFF' does not exist or not authorized.
SQL compilation error: error line 1 at position 7 invalid identifier 'ZQPAY'
Not found: Table zqproj:zqds.zqstaff was not found in location US
Unrecognized name: zqpay at [1:8]
line 1:8: Column 'zqpay' cannot be resolved
line 1:15: Table 'zqcat.zqpay.zqstaff' does not exist
org.postgresql.util.PSQLException: ERROR: relation "zqstaff" does not exist Position: 15
E11000 duplicate key error collection: zqdb.zqstaff index: zqemail_1 dup key: { zqemail: "zqamy" }
ns not found zqdb.zqstaff
""".strip().splitlines()


@pytest.mark.parametrize("message", MESSAGES)
def test_no_name_and_no_value_is_left_of_a_databases_message(message: str) -> None:
    found = REDACTOR.redact([message])
    assert found
    assert "zq" not in (found[0].text or "").lower()


def test_of_a_message_what_it_is_about_stays() -> None:
    kept = {
        'ERROR:  relation "pay.staff" does not exist': "ERROR:  relation [table] does not exist",
        "no such table: staff": "no such table: [table]",
        "ERROR:  permission denied for table staff": "ERROR:  permission denied for table [table]",
        "Table pay.staff does not exist. (UNKNOWN_TABLE)": "Table [table] does not exist. (UNKNOWN_TABLE)",
        "UNIQUE constraint failed: staff.email": "UNIQUE constraint failed: [table]",
        "Unknown column 'pay' in 'field list'": "Unknown column [table] in 'field list'",
        "Conversion failed when converting the varchar value 'amy' to data type int.": (
            "Conversion failed when converting the varchar value [id] to data type int."
        ),
        "Catalog error: table or source not found: staff": "Catalog error: table or source not found: [table]",
    }
    found = REDACTOR.redact(list(kept))
    assert [found[index].text for index in range(len(kept))] == list(kept.values())


SURVIVORS = [
    "table or view does not exist",
    "the column does not exist, the table is empty",
    "No module named 'yaml'",
    "'NoneType' object has no attribute",
    "garbage collection: 5 ms, index: 3 levels",
    "values (in ms) and one value (of many)",
    "file not found, key not found in cache",
    "invalid column count, invalid object state",
    "depends on the table size; cannot drop the connection",
    "constraint failed on merge",
    "identifier expected, object expected",
    "before the end of the string",
    "column 7 of 12 is out of range",
    "connection closed, source not found",
    "no such file or directory",
    "type mismatch: expected int, found float",
]


@pytest.mark.parametrize("text", SURVIVORS)
def test_other_messages_survive(text: str) -> None:
    assert REDACTOR.redact([text]) == {}
