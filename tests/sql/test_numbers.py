"""Numbers of thousands of digits are refused with a place, wherever a statement has a number."""

from __future__ import annotations

import pytest

from opensea_metrics.core.errors import SqlError
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.changes import applied
from opensea_metrics.sql.language.statements.parser import parse_statement

LONG = "9" * 5_000
DECLARED = "CREATE STREAM h (a INT KEY) WITH (KAFKA_TOPIC='h', VALUE_FORMAT='JSON', {}, PARTITIONS=1);"
WINDOW = DECLARED.format("WINDOW_TYPE='TUMBLING', WINDOW_SIZE='{}'")
SELECTED = "CREATE STREAM h AS SELECT {} AS x FROM v;"
GROUPED = "CREATE TABLE h AS SELECT a, COUNT(*) AS n FROM v WINDOW {} GROUP BY a;"
AGGREGATED = "CREATE TABLE h AS SELECT a, {} AS n FROM v GROUP BY a;"


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    given = "CREATE STREAM v (a INT) WITH (KAFKA_TOPIC='v', VALUE_FORMAT='JSON', PARTITIONS=1);"
    return applied(Catalog(), parse_statement(given), 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (DECLARED.format(f"REPLICAS={LONG}"), "Invalid value 9+ for property REPLICAS"),
        (DECLARED.format(f"REPLICAS='{LONG}'"), "Invalid value 9+ for property REPLICAS"),
        (DECLARED.format(f"RETENTION_MS='-{LONG}'"), "Invalid value -9+ for property RETENTION_MS"),
        (WINDOW.format(f"{LONG} HOURS"), "Configuration WINDOW_SIZE is invalid: Invalid duration: '9+ HOURS'"),
        (WINDOW.format("² HOURS"), "Configuration WINDOW_SIZE is invalid: Invalid duration: '² HOURS'"),
        (WINDOW.format("0 HOURS"), "Size must be positive"),
        (GROUPED.format("TUMBLING (SIZE 0 HOURS)"), "Size must be positive"),
        (GROUPED.format(f"TUMBLING (SIZE {LONG} HOURS)"), "a whole number"),
        (GROUPED.format(f"TUMBLING (SIZE 1 HOUR, GRACE PERIOD {LONG} HOURS)"), "a whole number"),
        (SELECTED.format(LONG), "Invalid numeric literal: 9+"),
        (SELECTED.format(f"CAST(a AS DECIMAL({LONG}, 1))"), "a whole number"),
        (SELECTED.format(f"ARRAY[a][{LONG}]"), "Invalid numeric literal: 9+"),
        (AGGREGATED.format(f"TOPK(a, {LONG})"), "Invalid numeric literal: 9+"),
        (AGGREGATED.format(f"TOP_BY_KEY('x', 1E0, 'y', {LONG})"), "Invalid numeric literal: 9+"),
        (AGGREGATED.format("TOP_BY_KEY('x', 1E0, 'y', 1.5)"), "Function 'top_by_key' does not accept parameters"),
        (AGGREGATED.format("TOP_BY_KEY('x', 1E0, 'y', 1E0)"), "Function 'top_by_key' does not accept parameters"),
    ],
    ids=lambda value: value[:90] if LONG not in value else value.replace(LONG, "N")[:90],
)  # fmt: skip
def test_a_number_that_is_refused(catalog: Catalog, text: str, message: str) -> None:
    with pytest.raises(SqlError, match=message) as caught:
        applied(catalog, parse_statement(text), 2)
    assert caught.value.place is not None
