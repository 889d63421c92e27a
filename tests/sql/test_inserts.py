"""What INSERT … VALUES takes and refuses: each outcome was observed on a real 7.9.1."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator

import pytest

from opensea_metrics.core.errors import Place, SqlError
from opensea_metrics.core.types import BYTES, DATE, TIME, TIMESTAMP
from opensea_metrics.deploy.client import KsqlClient, KsqlError
from opensea_metrics.deploy.embedded import server
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.changes import applied
from opensea_metrics.sql.language.statements.parser import parse_script
from opensea_metrics.sql.language.values.coercion import stored
from tests.embedded.conformance import Run

STREAM = (
    "CREATE STREAM {0} (k VARCHAR KEY, i INT, b BIGINT, d DOUBLE, e DECIMAL(4,2), t VARCHAR, y BYTES, da DATE,"
    " ti TIME, ts TIMESTAMP, bo BOOLEAN, ar ARRAY<DATE>, ai ARRAY<INT>, mp MAP<VARCHAR,TIMESTAMP>, mi"
    " MAP<VARCHAR,INT>, st STRUCT<f DATE, g INT>, ad ARRAY<DECIMAL(4,2)>, ay ARRAY<BYTES>, ss"
    " ARRAY<STRUCT<a DATE>>, h ARRAY<STRUCT<key VARCHAR, value BYTES>> HEADERS)"
    " WITH (KAFKA_TOPIC='{0}', VALUE_FORMAT='JSON', PARTITIONS=1);"
)
TABLE = (
    "CREATE TABLE {0}T (k VARCHAR PRIMARY KEY, i INT) WITH (KAFKA_TOPIC='{0}T', VALUE_FORMAT='JSON', PARTITIONS=1);"
)
SOURCE = (
    "CREATE SOURCE TABLE {0}R (k VARCHAR PRIMARY KEY, i INT) WITH (KAFKA_TOPIC='{0}T', VALUE_FORMAT='JSON',"
    " PARTITIONS=1);"
)

TAKEN = [
    ("da", "'2020'"), ("da", "'2020-01'"), ("da", "' 2020-01-02 '"), ("da", "'2020-' + '01-02'"), ("da", "NULL"),
    ("ti", "'10:11'"), ("ti", "'10:11:12.123456789'"),
    ("ts", "'2020-02-30'"), ("ts", "'2020-02-30T10:00:00'"), ("ts", "'2020'"), ("ts", "'2020-01-01T10'"),
    ("ts", "'2020-01-01T24:00'"), ("ts", "'2020-01-01T10:00:00.123+0100'"),
    ("y", "'aGVsbG8='"), ("y", "'aGVsbG8'"), ("y", "''"),
    ("i", "2147483647"), ("i", "-2147483648"), ("i", "- 2147483648"), ("i", "- -2147483648"),
    ("i", "2147483647 + 1"), ("i", "CAST(99999999999 AS INT)"), ("i", "CAST(' +1' AS INT)"), ("i", "5/2"),
    ("i", "-(-5)"), ("i", "(5)"), ("i", "LEN('abc')"), ("i", "CAST(NULL AS INT)"),
    ("b", "9223372036854775807"), ("b", "-9223372036854775808"), ("b", "9223372036854775807 + 1"), ("b", "1"),
    ("d", "1"), ("d", "1.5"), ("d", "9223372036854775807"), ("d", "123456789012345678901234567890.5"), ("d", "1e0/0"),
    ("d", "1e-400"),
    ("e", "12.34"), ("e", "12.3"), ("e", "12"), ("e", "-12.34"), ("e", "012.34"), ("e", "12.340"), ("e", "00012"),
    ("e", "12.34 + 1"), ("e", "1 + 1"), ("e", "CAST('1.234' AS DECIMAL(4,2))"),
    ("bo", "true"), ("t", "'x'"), ("t", "CAST(1 AS VARCHAR)"), ("t", "CASE WHEN true THEN 'a' END"),
    ("ar", "ARRAY['2020-01-01', NULL]"), ("ai", "ARRAY[1, 2]"), ("ai", "ARRAY[1, NULL]"), ("ad", "ARRAY[12.34]"),
    ("ad", "ARRAY[1]"), ("ay", "ARRAY['aGVsbG8=']"), ("mp", "MAP('a' := '2020-01-01')"),
    ("mp", "MAP('a' := '2020-01-01T10:00:00+0100', 'b' := NULL)"),
    ("st", "STRUCT(f := '2020-01-01', g := 1)"), ("st", "STRUCT(f := '2020-01-01')"), ("st", "STRUCT(h := 1)"),
    ("ss", "ARRAY[STRUCT(a := '2020-01-01'), NULL]"),
    ("i", "CASE WHEN true THEN 1 ELSE 1/0 END"), ("i", "ARRAY[1, 2][5]"), ("i", "ABS(CAST(NULL AS INT))"),
    ("bo", "(1 = 1)"), ("t", "'x' + CAST(NULL AS VARCHAR)"), ("i", f"{'0' * 5000}1"),
    ("rowtime", "9223372036854775807"), ("rowtime", "0"), ("k", "NULL"),
    ("i", "CASE WHEN 1=2 THEN 1/0 ELSE 5 END"), ("i", "CASE WHEN TRUE AND FALSE THEN 1/0 ELSE 3 END"),
    ("i", "CASE WHEN 1=1 THEN 1 WHEN 1/0=1 THEN 2 END"), ("i", "CASE WHEN 1=2 AND 1/0=1 THEN 1 ELSE 2 END"),
    ("i", "CASE WHEN 1=1 OR 1/0=1 THEN 1 ELSE 2 END"), ("i", "CASE WHEN 1=2 THEN 1 END"),
    ("i", "CASE WHEN 1=CAST(NULL AS INT) THEN 1/0 ELSE 2 END"), ("i", "CASE WHEN 1=1 THEN NULL ELSE 1 END"),
    ("i", "CASE WHEN LEN('a')=2 THEN 1/0 ELSE 1 END"), ("i", "1/(7/2)"), ("i", "-7 % 2"),
    ("e", "CASE WHEN 'a'='b' THEN 1.555 ELSE 2.000 END"),
]  # fmt: skip
REFUSED = [
    ("da", "§'2020-99-99'"), ("da", "§'2020-02-30'"), ("da", "§'2020-02-3'"), ("da", "§''"),
    ("da", "§'2020-01-02T10:00:00'"), ("da", "§20200101"), ("da", "CAST(§'2020-99-99' AS DATE)"),
    ("da", "§'2020-' + '99-99'"), ("da", "§'10000-01-01'"), ("ti", "§'25:00'"), ("ti", "§'10'"), ("ti", "§'24:00'"),
    ("ti", "§'10:11:12.1234567890'"), ("ts", "§'2020-99-99'"), ("ts", "§'2020-01-01 10:00:00'"), ("ts", "§'x'"),
    ("ts", "§12345"), ("ts", "CAST(§'2020-99-99' AS TIMESTAMP)"), ("y", "§'not base64!'"), ("y", "§'a'"), ("y", "§5"),
    ("i", "§2147483648"), ("i", "-§2147483649"), ("i", "-(§2147483648)"), ("i", "§1.5"), ("i", "§'1'"), ("i", "§1e0"),
    ("i", "§true"), ("i", "CAST(§'x' AS INT)"), ("i", "CAST(§'2147483648' AS INT)"), ("i", "CAST(§'1.5' AS INT)"),
    ("i", "CAST(§'  ' AS INT)"), ("i", "§1/0"), ("i", "§1 % 0"), ("i", "CAST(§'x' AS INT) + 1"),
    ("i", "§2147483648 - 1"), ("b", "§9223372036854775808"), ("b", "-§9223372036854775809"), ("b", "§1.0"),
    ("b", "§'1'"), ("d", "§'1'"), ("d", "§1e400"), ("d", "-§1e400"), ("d", "CAST(§'x' AS DOUBLE)"), ("d", "§1.0/0"),
    ("e", "§100"), ("e", "§12.345"), ("e", "§123.4"), ("e", "§99.999"), ("e", "§1e1"), ("e", "-§100"),
    ("e", "§'12.34'"), ("e", "§9999999999"), ("e", "§100 + 1"), ("e", "CAST(§'123.4' AS DECIMAL(4,2))"),
    ("e", "CAST(§'x' AS DECIMAL(4,2))"), ("e", "CAST(§123.4 AS DECIMAL(4,2))"), ("bo", "§'true'"), ("bo", "§1"),
    ("t", "§1"), ("ar", "ARRAY['2020-01-01', §'2020-02-30']"), ("ai", "§ARRAY[1, 2147483648]"), ("ai", "§ARRAY[]"),
    ("ai", "§ARRAY[NULL]"), ("ai", "ARRAY[CAST(§'x' AS INT)]"), ("ad", "ARRAY[§123.4]"), ("ad", "ARRAY[1, §12.345]"),
    ("ay", "ARRAY['aGVsbG8=', §'not base64!']"), ("mp", "MAP('a' := §'2020-99-99')"),
    ("mp", "§MAP(1 := '2020-01-01')"), ("mp", "§MAP()"), ("mi", "§MAP('a' := NULL)"), ("mi", "§MAP(NULL := 1)"),
    ("mi", "MAP('a' := 1, §'a' := 2)"), ("st", "STRUCT(g := 1, f := §'2020-99-99')"),
    ("st", "§STRUCT(f := '2020-01-01', g := 2147483648)"),
    ("ss", "ARRAY[STRUCT(a := '2020-01-01'), STRUCT(a := §'2020-99-99')]"), ("rowtime", "-§1"), ("rowtime", "§1 - 2"),
    ("rowtime", "§NULL"), ("rowtime", "§'2020-01-01'"), ("h", "ARRAY[STRUCT(key := 'a', value := 'aGVsbG8=')]"),
    ("i", "COALESCE(§1/0, 1)"), ("i", "ABS(CAST(§'x' AS INT))"), ("i", "LEN(CAST(§1/0 AS VARCHAR))"),
    ("i", "CASE WHEN §1/0 = 1 THEN 1 ELSE 2 END"), ("st", "STRUCT(g := §1/0)"), ("i", "§1 + CAST(NULL AS INT)"),
    ("i", "CASE WHEN 1=1 THEN §1/0 END"), ("i", "CASE WHEN 1=2 THEN 1 ELSE §1/0 END"), ("i", "§1/(2/3)"),
    ("i", "CASE WHEN 1=2 THEN 1 WHEN §1/0=1 THEN 2 END"), ("i", "CASE WHEN 1=1 AND §1/0=1 THEN 1 ELSE 2 END"),
    ("i", "CASE WHEN CAST(§NULL AS BOOLEAN) THEN 1 ELSE 2 END"), ("e", "§CASE WHEN 'a'='a' THEN 1.555 END"),
    ("i", "CASE WHEN CAST(NULL AS INT) IS NULL THEN §1/0 END"), ("st", "§STRUCT(g := 1, g := 2)"),
    ("i", "(§NOT true)"), ("i", "§nope"), ("i", "-§TRUE"), ("i", "-§'5'"),
    ("e", "CAST(§1 AS DECIMAL(0,0))"), ("e", "CAST(§1 AS DECIMAL(2,3))"),
    ("bo", "§1 = 1"), ("bo", "§1 IN (1, 2)"), ("bo", "(NOT (§1/0 = 1))"), ("i", f"CAST(§'{'9' * 5000}' AS INT)"),
]  # fmt: skip
"""Column and value; § marks where the error is said to be, if not at the beginning of the statement."""
COMPUTED = [
    "CASE WHEN LEN('a')=1 THEN 1/0 END", "CASE WHEN 2 IN (1, 2) THEN 1/0 ELSE 2 END", "1/(LEN('a') - 1)",
    "CASE WHEN 2 BETWEEN 1 AND 3 THEN 1/0 ELSE 2 END", "CASE WHEN 'a' LIKE 'a%' THEN 1/0 ELSE 2 END",
    "ABS(1/(LEN('a') - 1))",
]  # fmt: skip
"""Values that pass the check of files, as only a server computes what makes them fail."""
OTHERS = [
    ("T (k, i) VALUES (NULL, 1)", "The primary key column K is NULL"),
    ("T (i) VALUES (1)", "Value for primary key column(s) K is required"),
    ("R (k, i) VALUES ('a', 1)", "Cannot insert values into read-only table"),
]


def statement(name: str, column: str, value: str) -> str:
    return f"INSERT INTO {name} ({column}) VALUES ({value});"


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    made = Catalog()
    for number, text in enumerate((STREAM, TABLE, SOURCE)):
        (parsed,) = parse_script(text.format("s"), "given")
        made = applied(made, parsed, number)
    return made


def check(catalog: Catalog, text: str) -> None:
    (parsed,) = parse_script(text, "V002__more.sql")
    assert applied(catalog, parsed, 9) is catalog


@pytest.mark.parametrize(("column", "value"), TAKEN)
def test_values_that_ksqldb_takes_pass_the_check(catalog: Catalog, column: str, value: str) -> None:
    check(catalog, statement("s", column, value))


@pytest.mark.parametrize(("column", "marked"), REFUSED)
def test_values_that_ksqldb_refuses_are_refused_with_their_place(
    catalog: Catalog, column: str, marked: str
) -> None:
    text = statement("s", column, marked)
    with pytest.raises(SqlError) as caught:
        check(catalog, text.replace("§", ""))
    assert caught.value.place == Place("V002__more.sql", 1, text.find("§") + 1 or 1)
    assert caught.value.hint or "Invalid numeric literal" in caught.value.message


@pytest.mark.parametrize("value", COMPUTED)
def test_what_only_a_server_computes_passes_the_check(catalog: Catalog, value: str) -> None:
    check(catalog, statement("s", "i", value))


def test_a_column_among_the_values_is_refused_as_one(catalog: Catalog) -> None:
    with pytest.raises(SqlError, match="Unsupported column reference in insert value: NOPE") as caught:
        check(catalog, statement("s", "t", "nope"))
    assert "single quotes" in (caught.value.hint or "")


@pytest.mark.parametrize(("rest", "message"), OTHERS)
def test_targets_that_ksqldb_refuses(catalog: Catalog, rest: str, message: str) -> None:
    with pytest.raises(SqlError) as caught:
        check(catalog, f"INSERT INTO s{rest};")
    assert message in str(caught.value)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[KsqlClient, str]]:
    """A server with the stream and the tables, and their prefix."""
    name = f"ins_{secrets.token_hex(3)}"
    with server.running(tmp_path_factory.mktemp("data")) as embedded:
        url = os.environ.get("KSQLDB_URL") or embedded
        client = KsqlClient(url)
        for text in (STREAM, TABLE, SOURCE):
            client.execute(text.format(name))
        yield client, name
        Run(url.rstrip("/"), is_real="KSQLDB_URL" in os.environ, prefix=name.upper()).clean_up()


def test_a_server_takes_and_refuses_the_same(served: tuple[KsqlClient, str]) -> None:
    client, name = served
    texts = [statement(name, *case) for case in TAKEN]
    texts += [statement(name, *case).replace("§", "") for case in REFUSED]
    texts += [f"INSERT INTO {name}{rest};" for rest, _ in OTHERS]
    texts += [statement(name, "i", value) for value in COMPUTED]
    taken = []
    for text in texts:
        try:
            client.ask(text)
        except KsqlError:
            continue
        taken.append(text)
    assert taken == texts[: len(TAKEN)]


def test_a_refused_value_keeps_the_embedded_server_from_carrying_out_the_request(
    served: tuple[KsqlClient, str],
) -> None:
    client, name = served
    if not client.info().is_embedded:
        pytest.skip("ksqlDB carries out the statements before an INSERT that it refuses")
    made = STREAM.format(f"{name}_2")
    with pytest.raises(KsqlError, match="Expected type DATE for field `DA` but got STRING"):
        client.ask(f"{made} INSERT INTO {name} (da) VALUES (CONCAT('2020-', '99-99'));")
    assert f"{name}_2".upper() not in json.dumps(client.ask("SHOW STREAMS;"))


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (DATE, "2020-05-26", 18408), (TIME, "10:11", 36660000), (TIMESTAMP, "2020-02-30", 1582934400000),
        (BYTES, "aGVsbG8", "aGVsbG8="),
    ],
)  # fmt: skip
def test_what_is_stored(kind: object, text: str, value: object) -> None:
    assert stored(kind, text) == value  # type: ignore[arg-type]
