"""Sample events: repeatable, in OpenSea's form, with what real ones have."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path

import orjson
from typer.testing import CliRunner

from opensea_metrics.deploy import cli
from opensea_metrics.producer import sample
from opensea_metrics.producer.envelope import TOPIC, DeadLetter, Record, decode
from opensea_metrics.producer.sample import BUNDLED_EVENTS, BUNDLED_START, HOUR
from tests.producer.files import lines


def bundled_records() -> list[Record]:
    return [found for found in map(decode, sample.bundled()) if isinstance(found, Record)]


def test_the_bundled_sample_is_what_the_generator_makes() -> None:
    assert list(sample.bundled()) == list(sample.bundled_frames())


def test_the_bundled_sample_covers_two_hours() -> None:
    times = [each.timestamp_ms for each in bundled_records()]
    assert len(list(sample.bundled())) == BUNDLED_EVENTS
    assert min(times) == BUNDLED_START
    assert BUNDLED_START + 2 * HOUR - 60_000 < max(times) < BUNDLED_START + 2 * HOUR


def test_it_has_what_real_events_have() -> None:
    records = bundled_records()
    kinds = Counter(each.event for each in records)
    assert {"item_sold", "item_transferred", "item_listed", "item_received_bid", "collection_offer",
            "trait_offer", "item_cancelled", "item_metadata_updated"} <= set(kinds)  # fmt: skip
    assert kinds["item_sold"] > 500
    assert len({each.key for each in records}) > 200
    assert len({each.chain for each in records}) >= 4
    assert None in {each.key for each in records}
    times = [each.timestamp_ms for each in records]
    assert times != sorted(times), "some come late"
    identities = Counter(each.identity for each in records if each.event == "item_listed")
    assert max(identities.values()) == 2, "some come twice"
    letters = [found for found in map(decode, sample.bundled()) if isinstance(found, DeadLetter)]
    assert len({each.reason.split(":")[0] for each in letters}) >= 2


def test_a_sale_brings_its_transfer() -> None:
    records = [orjson.loads(each.value) for each in bundled_records()]
    hashes = {
        kind: {each["payload"]["payload"]["transaction"]["hash"] for each in records if each["event"] == kind
               and "transaction" in each["payload"]["payload"]}
        for kind in ("item_sold", "item_transferred")
    }  # fmt: skip
    assert len(hashes["item_sold"]) > 500
    assert len(hashes["item_sold"] - hashes["item_transferred"]) <= 1, "only the end is cut off"


def test_the_same_arguments_make_the_same_events(tmp_path: Path) -> None:
    for name in ("a", "b"):
        counts = sample.write_sample(tmp_path / name, 2_000, seed=3)
        assert counts.read == 2_000
    first, second = (list(lines(tmp_path / name, TOPIC)) for name in ("a", "b"))
    assert first == second
    assert list(islice(sample.frames(100, 4, 0, 1000, 0.1), 9)) != list(
        islice(sample.frames(100, 3, 0, 1000, 0.1), 9)
    )


def test_a_day_is_covered() -> None:
    frames = sample.frames(5_000, 1, sample.DAY_START, 24 * HOUR, 0.06)
    times = [found.timestamp_ms for found in map(decode, frames) if isinstance(found, Record)]
    assert max(times) - min(times) > 23.5 * HOUR
    sold = sum(isinstance(found := decode(frame), Record) and found.event == "item_sold"
               for frame in sample.frames(5_000, 1, sample.DAY_START, 24 * HOUR, 0.06))  # fmt: skip
    assert 0.05 < sold / 5_000 < 0.07


def test_the_command_writes_the_day_before_today_or_a_given_day(tmp_path: Path) -> None:
    now = 1_789_516_799_999  # 2026-09-15T23:59:59.999Z
    assert sample.day_before(now) == 1_789_344_000_000  # 2026-09-14T00:00Z
    assert sample.day_before(now + 1) == 1_789_430_400_000
    given = CliRunner().invoke(
        cli.whole_app(), ["sample", "--events", "40", "--day", "2026-02-28", "--data-dir", str(tmp_path)]
    )
    assert given.exit_code == 0, given.output
    times = [orjson.loads(line)["event_time"] for line in lines(tmp_path, TOPIC)]
    assert 1_772_236_800_000 <= min(times) < max(times) < 1_772_323_200_000
