"""Numbers for people and for Prometheus."""

from __future__ import annotations

import re
import socket
import urllib.request
from pathlib import Path

import pytest

from opensea_metrics.producer import metrics
from opensea_metrics.producer.envelope import DeadLetter
from opensea_metrics.producer.metrics import PortError, Stats, StatusLine, quantile
from opensea_metrics.producer.sinks import now_ms
from tests.producer.test_replay import ListSink


def observed(*seconds: float) -> Stats:
    stats = Stats(received=1_000, duplicates=3, connections=4, joined=1)
    for each in seconds:
        stats.latency.observe(each)
    return stats


def with_letters() -> ListSink:
    sink = ListSink()
    for _ in range(2):
        sink.dead(DeadLetter("why", b"junk"))
    return sink


def test_quantiles_are_bounds_of_buckets() -> None:
    stats = observed(*[0.02] * 99, 0.3)
    assert quantile(stats.latency.counts, 0.5) == 0.025
    assert quantile(stats.latency.counts, 0.99) == 0.025
    assert quantile(stats.latency.counts, 0.999) == 0.5
    assert quantile(observed(1_000.0).latency.counts, 0.5) == float("inf")
    assert quantile(observed().latency.counts, 0.99) is None


def test_status_line() -> None:
    stats, sink = observed(0.02), with_letters()
    line = StatusLine(stats, sink)
    stats.received += 500
    stats.last_event_ms = now_ms() - 5_000
    stats.latency.observe(0.2)
    text = line.text()
    assert re.search(r" events/s · newest \d\d:\d\d:\d\d UTC · lag 5\.\d s · queue", text)
    assert text.endswith(
        "queue 0 · delivered 2 · dead 2 · duplicates 3 · reconnects 3 · ack p99 ≤ 250 ms"
    )
    again = line.text()
    assert again.startswith("0 events/s")
    assert "p99" not in again, "nothing was acknowledged since the line before"
    in_files = StatusLine(stats, sink, Path()).text()
    assert re.search(r" · lag [\d.]+ s · disk [\d,.]+ GB free · queue", in_files)
    stats.joined = 0
    assert line.text().startswith("not joined · ")


def test_prometheus_reads_the_numbers() -> None:
    port = metrics.serve(observed(0.02, 0.2, 99.0), with_letters(), 0, "127.0.0.1")
    url = f"http://127.0.0.1:{port}/metrics"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    text = opener.open(url, timeout=30).read().decode()
    for line in (
        "opensea_producer_received_total 1000.0",
        "opensea_producer_duplicates_total 3.0",
        "opensea_producer_dead_letters_total 2.0",
        "opensea_producer_connections_total 4.0",
        "opensea_producer_delivered_total 2.0",
        "opensea_producer_queue 0.0",
        "opensea_producer_channels_joined 1.0",
        'opensea_producer_ack_latency_seconds_bucket{le="0.025"} 1.0',
        'opensea_producer_ack_latency_seconds_bucket{le="0.25"} 2.0',
        'opensea_producer_ack_latency_seconds_bucket{le="+Inf"} 3.0',
        "opensea_producer_ack_latency_seconds_count 3.0",
    ):
        assert f"\n{line}\n" in text, line


def test_a_port_that_is_taken_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(PortError, match="--metrics-port"):
            metrics.serve(Stats(), ListSink(), taken.getsockname()[1], "127.0.0.1")
