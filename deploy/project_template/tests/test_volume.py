"""The statements of ``sql/`` on an embedded server."""

import time
from pathlib import Path

from opensea_metrics import KsqlClient, apply, running

SQL = Path(__file__).parents[1] / "sql"
SALE = """
INSERT INTO raw_events (event_time, event, payload) VALUES ({time}, '{event}', STRUCT(payload := STRUCT(
  collection := STRUCT(slug := '{slug}'), sale_price := '{wei}',
  payment_token := STRUCT(decimals := '18', usd_price := '2000'))));
"""
ETHER = 10**18


def test_the_volume_is_the_sum_of_the_sales_in_a_window(tmp_path: Path) -> None:
    with running(tmp_path) as url:
        client = KsqlClient(url)
        apply(client, SQL)
        for at, event, slug, wei in (
            (0, "item_sold", "doodles", ETHER),
            (59_999, "item_sold", "doodles", 2 * ETHER),
            (60_000, "item_sold", "doodles", 4 * ETHER),  # the next minute
            (0, "item_listed", "doodles", 8 * ETHER),  # not a sale
            (0, "item_sold", "azuki", ETHER),
        ):
            client.execute(SALE.format(time=1_750_000_020_000 + at, event=event, slug=slug, wei=wei))
        query = "SELECT sales, usd_volume FROM volume_1_minute WHERE collection = 'doodles';"
        expected = [(1, 8000.0), (2, 6000.0)]
        for _ in range(100):
            rows = sorted((row["SALES"], row["USD_VOLUME"]) for row in client.pull(query))
            if rows == expected:
                break
            time.sleep(0.1)
        assert rows == expected
