"""The statement of docs/change-between-windows.md, run over sales and compared with sums of hours."""

from __future__ import annotations

import json
import random
import re
from collections import defaultdict
from pathlib import Path

from opensea_metrics.deploy.embedded.trial import TrialRecord, run

PAGE = Path(__file__).parents[2] / "docs/change-between-windows.md"
SALES = "CREATE STREAM sales (collection VARCHAR, usd DOUBLE) WITH (KAFKA_TOPIC='sales', VALUE_FORMAT='JSON');"
HOUR = 3_600_000
START = 1_789_466_400_000


def test_a_window_and_the_window_before() -> None:
    statement, _ = re.findall(r"```sql\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    chosen = random.Random(11)
    sales = [(chosen.choice("abc"), START + chosen.randrange(8 * HOUR), chosen.randrange(100)) for _ in range(60)]
    sums: defaultdict[tuple[str, int], float] = defaultdict(float)
    for collection, time, usd in sales:
        sums[collection, time - time % HOUR] += usd
    records = [
        TrialRecord("sales", json.dumps({"collection": collection, "usd": usd}), timestamp=time)
        for collection, time, usd in sales
    ]
    result = run([SALES, statement], records, {"sales": 1})
    assert result.refusal is None
    hours = {(collection, hour + after) for collection, hour in sums for after in (0, HOUR)}
    assert {
        (row["COLLECTION"], row["WS"]): (row["USD_VOLUME"], row["USD_VOLUME_BEFORE"])
        for row in result.rows["USD_CHANGE_1_HOUR"]
    } == {(collection, hour): (sums[collection, hour], sums[collection, hour - HOUR]) for collection, hour in hours}
    assert all(row["WE"] == row["WS"] + HOUR for row in result.rows["USD_CHANGE_1_HOUR"])
