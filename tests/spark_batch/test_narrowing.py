"""What is left out of statements because nobody reads it, and what must not be."""

from __future__ import annotations

from dataclasses import replace

from opensea_metrics.core.types import BIGINT, StructType
from opensea_metrics.spark_batch.narrowing import guards, narrowed, paths_read
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.changes import applied
from opensea_metrics.sql.language.statements.parser import parse_script

SCRIPT = """
CREATE STREAM raw (ts BIGINT, kind VARCHAR, unread VARCHAR, number INTEGER,
  body STRUCT<name VARCHAR, other VARCHAR, count BIGINT, tags ARRAY<VARCHAR>,
    token STRUCT<symbol VARCHAR, price VARCHAR>, maker STRUCT<address VARCHAR, nick VARCHAR>>)
  WITH (KAFKA_TOPIC='raw', VALUE_FORMAT='JSON', PARTITIONS=1, TIMESTAMP='ts');
CREATE STREAM flat WITH (KAFKA_TOPIC='flat', VALUE_FORMAT='JSON') AS
  SELECT body->name AS name, body->other AS other, body->token->price AS price, kind FROM raw EMIT CHANGES;
CREATE STREAM rows WITH (KAFKA_TOPIC='rows', VALUE_FORMAT='JSON') AS
  SELECT body->token AS token, EXPLODE(body->tags) AS item FROM raw EMIT CHANGES;
CREATE TABLE counted WITH (KAFKA_TOPIC='counted', VALUE_FORMAT='JSON') AS
  SELECT name, COUNT(*) AS n FROM flat WINDOW TUMBLING (SIZE 1 HOUR) WHERE price > '' GROUP BY name EMIT CHANGES;
CREATE TABLE tokens WITH (KAFKA_TOPIC='tokens', VALUE_FORMAT='JSON') AS
  SELECT token->symbol AS symbol, COUNT(*) AS n FROM rows WINDOW TUMBLING (SIZE 1 HOUR)
  GROUP BY token->symbol EMIT CHANGES;
"""


def test_what_is_left() -> None:
    catalog = Catalog()
    for number, statement in enumerate(parse_script(SCRIPT, "script.sql")):
        catalog = applied(catalog, statement, number)
    made = narrowed(catalog, "raw", [catalog.sources["COUNTED"], catalog.sources["TOKENS"]])
    columns = {
        query.sink: [each.column.name for each in query.analysis.projections]
        for query in made.queries.values()
    }
    # ITEM is read by nobody, but makes rows.
    assert columns["FLAT"] == ["NAME", "PRICE"]
    assert columns["ROWS"] == ["TOKEN", "ITEM"]
    raw = made.sources["RAW"]
    assert [column.name for column in raw.columns] == ["TS", "NUMBER", "BODY"]
    body = {column.name: column.type for column in raw.columns}["BODY"]
    assert isinstance(body, StructType)
    # TOKEN is read as a whole by one of them; of MAKER one field tells whether it is an object.
    assert [name for name, _ in body.fields] == ["NAME", "COUNT", "TAGS", "TOKEN", "MAKER"]
    assert body.field("COUNT") == BIGINT
    assert str(body.field("TOKEN")) == "STRUCT<`SYMBOL` STRING, `PRICE` STRING>"
    assert str(body.field("MAKER")) == "STRUCT<`ADDRESS` STRING>"
    readers = [query for query in made.queries.values() if query.analysis.source.name == "RAW"]
    assert all(query.analysis.source == raw for query in readers)
    read = set().union(*(paths_read(query.analysis, query.analysis.source) for query in readers))
    assert read == {"ts", "body.name", "body.token.price", "body.token", "body.tags"}


READERS = """
CREATE STREAM flat (kind VARCHAR, name VARCHAR, price DOUBLE, note VARCHAR)
  WITH (KAFKA_TOPIC='flat', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE TABLE all_rows WITH (KAFKA_TOPIC='a', VALUE_FORMAT='JSON') AS
  SELECT kind, SUM(price) AS total FROM flat WINDOW TUMBLING (SIZE 1 HOUR) GROUP BY kind EMIT CHANGES;
CREATE TABLE unnamed WITH (KAFKA_TOPIC='b', VALUE_FORMAT='JSON') AS
  SELECT note, COUNT(*) AS n FROM flat WINDOW TUMBLING (SIZE 1 HOUR)
  WHERE kind = 'sale' AND name IS NULL GROUP BY note EMIT CHANGES;
CREATE TABLE sampled WITH (KAFKA_TOPIC='d', VALUE_FORMAT='JSON') AS
  SELECT note, COUNT(*) AS n FROM flat WHERE RANDOM() < 0.5 AND kind = 'sale' GROUP BY note EMIT CHANGES;
CREATE STREAM moves WITH (KAFKA_TOPIC='c', VALUE_FORMAT='JSON') AS
  SELECT name, note FROM flat WHERE kind = 'move' OR kind = 'burn' EMIT CHANGES;
"""


def test_columns_that_are_only_needed_in_some_rows() -> None:
    catalog = Catalog()
    for number, statement in enumerate(parse_script(READERS, "readers.sql")):
        catalog = applied(catalog, statement, number)
    flat, readers = catalog.sources["FLAT"], {query.sink: query.analysis for query in catalog.queries.values()}
    # PRICE is needed in all rows, and KIND selects the rows. NAME selects rows too, but only among sales.
    sampled = readers.pop("SAMPLED")
    needed = guards(flat, readers.values())
    assert needed.keys() == {"NAME", "NOTE"}
    for guarded in needed.values():
        assert [guard.reader for guard in guarded] == [readers["UNNAMED"], readers["MOVES"]]
        assert [guard.condition.sql() for guard in guarded] == [
            "\"KIND\" = 'sale'", "\"KIND\" = 'move' OR \"KIND\" = 'burn'",
        ]
    # Of a reader with a single condition, the columns in it are needed in all rows.
    assert guards(flat, [readers["MOVES"]]).keys() == {"NAME", "NOTE"}
    assert guards(flat, [readers["ALL_ROWS"]]) == {}
    # Readers of a stream with a timestamp of its own leave out further rows.
    assert guards(replace(flat, timestamp="PRICE"), readers.values()) == {}
    # RANDOM() selects other rows each time.
    assert guards(flat, [sampled]) == {}
