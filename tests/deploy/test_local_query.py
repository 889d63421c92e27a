"""SELECTs that a pull query cannot answer: what the server does, what this tool does, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from opensea_metrics.core.errors import SqlError
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.demo import wait_until_read
from opensea_metrics.deploy.embedded.server import running
from opensea_metrics.deploy.query import TooManyRows, answer
from opensea_metrics.deploy.query.emptiness import _unread, why_empty
from opensea_metrics.deploy.query.moments import time_columns
from opensea_metrics.deploy.replies import Offsets

SALES = [
    ("a", "eth", 10, 3.5, 60_000), ("b", "eth", 7, None, 61_000), ("a", "base", 1, 2.0, 120_000),
    ("c", None, 2_147_483_647, 1.0, 120_001), (None, "eth", 4, 8.0, 180_000),
]  # fmt: skip


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KsqlClient]:
    """A server with five sales, a windowed table of them, and a stream of chains."""
    with running(tmp_path_factory.mktemp("data")) as url:
        client = KsqlClient(url)
        client.execute(
            "CREATE STREAM sales (slug VARCHAR, chain VARCHAR, items INT, usd DOUBLE, top ARRAY<STRUCT<k VARCHAR>>)"
            " WITH (KAFKA_TOPIC='sales', PARTITIONS=1, VALUE_FORMAT='JSON');"
            "CREATE STREAM chains (id VARCHAR, name VARCHAR, fee DECIMAL(5, 2), since TIMESTAMP)"
            " WITH (KAFKA_TOPIC='chains', PARTITIONS=1, VALUE_FORMAT='JSON');"
            "CREATE TABLE volume AS SELECT slug, AS_VALUE(slug) AS name, SUM(usd) AS usd, COUNT(*) AS sales"
            " FROM sales WINDOW TUMBLING (SIZE 1 MINUTE) GROUP BY slug EMIT CHANGES;"
        )
        for slug, chain, items, usd, time in SALES:
            values = ", ".join("NULL" if v is None else repr(v) for v in (slug, chain, items, usd, time))
            client.execute(
                "INSERT INTO sales (slug, chain, items, usd, ROWTIME, top)"
                f" VALUES ({values}, ARRAY[STRUCT(k := 'x')]);"
            )
        client.execute(
            "INSERT INTO chains (id, name, fee, since) VALUES ('eth', 'Ethereum', 0.25, '2015-07-30T00:00:00');"
        )
        client.execute("INSERT INTO chains (id, name, fee) VALUES ('sol', 'Solana', 1.5);")
        wait_until_read(client, 30)
        yield client


def rows(client: KsqlClient, sql: str) -> list[list[Any]]:
    return [list(row) for row in answer(client, sql).rows.values]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT slug, usd FROM sales WHERE usd IS NOT NULL ORDER BY usd DESC LIMIT 2", [[None, 8.0], ["a", 3.5]]),
        ("SELECT slug, items FROM sales ORDER BY slug, 2 DESC LIMIT 3", [["a", 10], ["a", 1], ["b", 7]]),
        ("SELECT usd FROM sales ORDER BY usd LIMIT 5", [[1.0], [2.0], [3.5], [8.0], [None]]),
        ("SELECT usd FROM sales ORDER BY usd DESC NULLS FIRST LIMIT 2", [[None], [8.0]]),
        ("SELECT usd * 2 AS twice FROM sales ORDER BY twice DESC LIMIT 1", [[16.0]]),
        ("SELECT 2, usd FROM sales WHERE usd > 2 ORDER BY 1, 'x', usd DESC", [[2, 8.0], [2, 3.5]]),
        # ksqlDB leaves out rows whose group key is NULL; its SUM of no values is 0.
        (
            "SELECT chain, COUNT(*) AS n, SUM(usd) AS usd FROM sales GROUP BY chain ORDER BY n DESC",
            [["eth", 3, 11.5], ["base", 1, 2.0]],
        ),
        ("SELECT COUNT(*), COUNT(usd), SUM(usd), AVG(items) FROM sales WHERE slug = 'nobody'", [[0, 0, 0.0, 0.0]]),
        ("SELECT slug FROM sales GROUP BY slug HAVING COUNT(*) > 1", [["a"]]),
        ("SELECT LCASE(slug) AS l, MAX(usd) FROM sales GROUP BY l ORDER BY l LIMIT 1", [["a", 3.5]]),
        # Java's arithmetic: an INTEGER wraps around, a division of integers cuts, and text + NULL is 'null'.
        ("SELECT items + 1 FROM sales WHERE slug = 'c' ORDER BY 1", [[-2_147_483_648]]),
        ("SELECT items / 4 FROM sales WHERE slug = 'a' ORDER BY ROWTIME", [[2], [0]]),
        ("SELECT 'x' + chain FROM sales WHERE slug = 'c' ORDER BY 1", [["xnull"]]),
        ("SELECT TRANSFORM(top, e => e->k + slug) FROM sales WHERE slug = 'b' ORDER BY slug", [[["xb"]]]),
        # The windows of a table; the server compares WINDOWSTART with the text.
        (
            "SELECT slug, WINDOWSTART, usd FROM volume WHERE WINDOWSTART >= '1970-01-01T00:02:00' ORDER BY usd DESC",
            [["a", 120_000, 2.0], ["c", 120_000, 1.0]],
        ),
        ("SELECT * FROM volume ORDER BY usd DESC LIMIT 1", [["a", 60_000, 120_000, "a", 3.5, 1]]),
        (
            "SELECT s.slug, c.name, c.fee, c.since FROM sales s LEFT JOIN chains c ON s.chain = c.id"
            " WHERE s.slug IN ('b', 'c') ORDER BY s.slug",
            [["b", "Ethereum", 0.25, "2015-07-30T00:00:00.000"], ["c", None, None, None]],
        ),
        (
            "SELECT s.slug, c.id FROM sales s RIGHT JOIN chains c ON s.chain = c.id AND s.usd > 5 ORDER BY c.id",
            [[None, "eth"], [None, "sol"]],
        ),
        # Of a LEFT JOIN the right side's condition is checked after the join.
        (
            "SELECT s.slug FROM sales s LEFT JOIN chains c ON s.chain = c.id WHERE c.id IS NULL ORDER BY 1",
            [["a"], ["c"]],
        ),
        (
            "SELECT a.*, b.usd FROM volume a JOIN volume b ON a.slug = b.slug AND a.usd < b.usd",
            [["a", 120_000, 180_000, "a", 2.0, 1, 3.5]],
        ),
        (
            "SELECT slug, ROW_NUMBER() OVER (PARTITION BY slug ORDER BY usd DESC) AS r FROM sales"
            " WHERE slug IS NOT NULL ORDER BY slug, r",
            [["a", 1], ["a", 2], ["b", 1], ["c", 1]],
        ),
        (
            "SELECT usd, SUM(usd) OVER (ORDER BY usd ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS two,"
            " LAG(usd) OVER (ORDER BY usd) AS before FROM sales WHERE usd > 0 ORDER BY usd",
            [[1.0, 1.0, None], [2.0, 3.0, 1.0], [3.5, 5.5, 2.0], [8.0, 11.5, 3.5]],
        ),
        (
            "SELECT chain, RANK() OVER (ORDER BY SUM(usd) DESC) AS place FROM sales GROUP BY chain ORDER BY place",
            [["eth", 1], ["base", 2]],
        ),
    ],
)  # fmt: skip
def test_rows(client: KsqlClient, sql: str, expected: list[list[Any]]) -> None:
    assert rows(client, sql) == expected


@pytest.mark.parametrize(
    ("sql", "note"),
    [
        ("SELECT * FROM sales", None),
        ("SELECT `order` FROM (x)", None),
        ("SELECT usd FROM sales WHERE slug = 'ORDER BY' ORDER BY usd", "sorted here, 0 rows pulled"),
        ("SELECT usd FROM sales WHERE slug = 'a' ORDER BY usd LIMIT 1", "sorted here, 2 rows pulled"),
        ("SELECT MAX(usd) FROM sales", "grouped here, 5 rows pulled"),
        (
            "SELECT s.slug, RANK() OVER (ORDER BY COUNT(*)) FROM sales s JOIN chains c ON s.chain = c.id"
            " GROUP BY s.slug ORDER BY 1",
            "joined, grouped, ranked and sorted here, 7 rows pulled",
        ),
    ],
)
def test_the_note_says_what_was_done_here(client: KsqlClient, sql: str, note: str | None) -> None:
    if "(x)" in sql:
        with pytest.raises(Exception, match=r"mismatched|yntax"):
            answer(client, sql)
    else:
        assert answer(client, sql).note == note


def test_a_column_that_is_called_like_a_clause(client: KsqlClient) -> None:
    client.execute(
        "CREATE STREAM IF NOT EXISTS words (over INT, `order` INT)"
        " WITH (KAFKA_TOPIC='words', PARTITIONS=1, VALUE_FORMAT='JSON');"
    )
    answered = answer(client, "SELECT over, `order` FROM words;")
    assert ([column.name for column in answered.rows.columns], answered.note) == (["OVER", "order"], None)


def test_the_limit_of_rows_is_an_error(client: KsqlClient) -> None:
    assert len(rows(client, "SELECT slug FROM volume ORDER BY slug")) == 4
    with pytest.raises(TooManyRows, match=r"VOLUME has more than 2 rows .*\n.*WHERE WINDOWSTART >= "):
        answer(client, "SELECT slug FROM volume ORDER BY slug LIMIT 1", limit=2)
    with pytest.raises(TooManyRows, match=r"AND ROWTIME >= "):
        answer(client, "SELECT slug FROM sales WHERE items > 0 ORDER BY slug LIMIT 1", limit=4)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT slugg FROM sales ORDER BY 1", r"1:8: SELECT column 'SLUGG' cannot be resolved.\n.*did you mean SLUG"),
        ("SELECT slug FROM sale ORDER BY 1", r"1:18: SALE does not exist\n.*did you mean SALES"),
        ("SELECT slug, usd FROM sales GROUP BY slug", "1:14: USD is neither in GROUP BY nor inside an aggregate"),
        ("SELECT MAX(SUM(usd)) FROM sales", "cannot be nested"),
        ("SELECT LATEST_BY_OFFSET(usd) FROM sales", "needs offsets"),
        ("SELECT usd FROM sales ORDER BY 2", "ORDER BY 2: the query has columns 1 to 1"),
        ("SELECT usd FROM sales ORDER BY", "Expecting an expression"),
        ("SELECT NTILE(1, 2) OVER () FROM sales", "NTILE takes 1 argument, not 2"),
        ("SELECT CONCAT(slug, 'x') OVER () FROM sales", "CONCAT cannot have an OVER clause"),
        ("SELECT usd FROM sales EMIT CHANGES ORDER BY usd", "EMIT cannot be in a query that is"),
        ("SELECT id FROM sales s JOIN sales s ON s.slug = s.slug", "two sources of the query have one name"),
        ("SELECT slug FROM sales a JOIN sales b ON a.slug = b.slug", "'SLUG' is ambiguous"),
        ("SELECT usd FROM sales HAVING usd GROUP BY slug", "yntax"),
        ("DROP STREAM sales", "a query is a SELECT"),
        ("SELECT usd FROM sales ORDER BY (SELECT 1)", "does not have this expression"),
    ],
)
def test_mistakes_have_a_place_and_a_remedy(client: KsqlClient, sql: str, message: str) -> None:
    with pytest.raises(SqlError, match=message):
        answer(client, sql)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT * FROM volume", {"WINDOWSTART", "WINDOWEND"}),
        ("SELECT * FROM later", {"WINDOWSTART", "WINDOWEND", "WS", "NEWEST"}),
        ("SELECT * FROM changes", {"WS"}),
        ("SELECT * FROM moved", {"BEGUN"}),
        ("SELECT c.*, ws + 1 AS next, ws - ws AS none FROM changes c ORDER BY next", {"WS", "NEXT"}),
        ("SELECT MAX(ROWTIME) AS a, COUNT(*) AS b, MIN(n) FROM changes", {"A"}),
        ("SELECT LAG(ROWTIME) OVER (ORDER BY usd) AS before FROM sales", {"BEFORE"}),
        ("SELECT a.*, b.n FROM changes a JOIN changes b ON a.slug = b.slug", {"A_WS"}),
        ("SELECT STRINGTOTIMESTAMP(slug, 'yyyy') AS now, CASE WHEN n > 1 THEN ws END AS w FROM changes", {"NOW", "W"}),
    ],
)
def test_columns_that_hold_times(client: KsqlClient, sql: str, expected: set[str]) -> None:
    client.execute(
        "CREATE TABLE IF NOT EXISTS later WITH (KAFKA_TOPIC='later') AS SELECT slug, WINDOWSTART AS ws,"
        " MAX(ROWTIME) AS newest, COUNT(*) AS n FROM sales WINDOW TUMBLING (SIZE 1 MINUTE) GROUP BY slug EMIT CHANGES;"
        "CREATE STREAM IF NOT EXISTS changes (slug VARCHAR, ws BIGINT, n BIGINT)"
        " WITH (KAFKA_TOPIC='later', VALUE_FORMAT='JSON');"
        "CREATE STREAM IF NOT EXISTS moved WITH (KAFKA_TOPIC='moved') AS SELECT slug, ws AS begun, n FROM changes;"
    )
    columns = answer(client, sql).rows.columns
    assert time_columns(client, sql, columns) == expected


def test_why_there_are_no_rows(client: KsqlClient) -> None:
    client.execute(
        "CREATE STREAM IF NOT EXISTS quiet (a INT) WITH (KAFKA_TOPIC='quiet', PARTITIONS=1, VALUE_FORMAT='JSON');"
        "CREATE STREAM IF NOT EXISTS echo AS SELECT * FROM quiet;"
    )
    assert why_empty(client, "SELECT * FROM quiet") == "no rows: nothing in the topic quiet"
    assert why_empty(client, "SELECT * FROM echo WHERE a > 1") == "no rows: nothing in the topic quiet"
    assert why_empty(client, "SELECT * FROM volume WHERE WINDOWSTART > '2030-01-01'") == "no rows in this window"
    assert why_empty(client, "SELECT * FROM sales WHERE usd > 100") == "no row meets the condition in WHERE"
    (writer,) = (query.id for query in client.queries() if "VOLUME" in query.sinks)
    client.execute(f"PAUSE {writer};")
    try:
        paused = f"no rows: the query {writer} into VOLUME is paused"
        assert why_empty(client, "SELECT * FROM volume WHERE usd > 100") == paused
    finally:
        client.execute(f"RESUME {writer};")
    described = client.describe("VOLUME", extended=True)
    behind = replace(described, offsets=(Offsets("g", "sales", 0, 10, 4), Offsets("g", "sales", 1, 20, 8)))
    assert _unread(behind) == "no rows yet: VOLUME is still reading, 40 % done (12 of 30 records)"
    assert why_empty(client, "SELECT what") == "no rows"


def test_a_name_cannot_leave_the_quotes(client: KsqlClient) -> None:
    client.execute(
        "CREATE STREAM evil (`a\"; DROP TABLE x; --` VARCHAR, `_off` INT, rowid INT)"
        " WITH (KAFKA_TOPIC='evil', PARTITIONS=1, VALUE_FORMAT='JSON');"
        "INSERT INTO evil (`a\"; DROP TABLE x; --`, `_off`, rowid) VALUES ('it''s', 5, 6);"
    )
    try:
        assert rows(client, "SELECT * FROM evil ORDER BY `_off`, '''; SELECT 1; --'") == [["it's", 5, 6]]
        grouped = "SELECT e.`_off`, MAX(`a\"; DROP TABLE x; --`) FROM evil e GROUP BY `_off`"
        assert rows(client, grouped) == [[5, "it's"]]
    finally:
        client.execute("DROP STREAM evil DELETE TOPIC;")
