"""The producer's counts, as a line for people and as metrics for Prometheus."""

from __future__ import annotations

import shutil
import time
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from opensea_metrics.core.errors import OpenSeaMetricsError, os_reason
from opensea_metrics.producer.sinks import Sink, now_ms

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the histogram of latencies, in seconds."""


class PortError(OpenSeaMetricsError):
    """The metrics cannot be served at the requested port."""


class Latency:
    """Seconds from an event's arrival to its acknowledgement, as counts per bucket of BOUNDS."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds


def quantile(counts: list[int], share: float) -> float | None:
    """The upper bound, in seconds, of the bucket with that quantile; None without observations."""
    wanted = share * sum(counts)
    for bound, count in zip((*BOUNDS, float("inf")), counts, strict=True):
        wanted -= count
        if count and wanted <= 0:
            return bound
    return None


@dataclass
class Stats:
    """The counts of the connection to the stream since the start. The sink counts the rest."""

    received: int = 0
    duplicates: int = 0
    connections: int = 0
    joined: int = 0
    silences: int = 0
    last_event_ms: int = 0
    """Event time of the latest event to arrive (epoch ms); 0 before the first."""
    latency: Latency = field(default_factory=Latency)

    @property
    def reconnects(self) -> int:
        return max(0, self.connections - 1)

    @property
    def lag_seconds(self) -> float | None:
        """The seconds between the latest event's time and now; None before the first event."""
        return (now_ms() - self.last_event_ms) / 1000 if self.last_event_ms else None


class StatusLine:
    """Text such as ``4,103 events/s · newest 10:31:02 UTC · lag 1.2 s · …``. Rates cover the time since the previous
    line. If events go to files, ``folder`` is on the disk that holds these files.
    """

    def __init__(self, stats: Stats, sink: Sink, folder: Path | None = None) -> None:
        self._stats, self._sink, self._folder = stats, sink, folder
        self._at, self._received = time.monotonic(), stats.received
        self._latency = list(stats.latency.counts)

    def text(self) -> str:
        stats, sink = self._stats, self._sink
        now, received, latency = time.monotonic(), stats.received, list(stats.latency.counts)
        rate = (received - self._received) / max(now - self._at, 1e-9)
        lag = stats.lag_seconds
        p99 = quantile([b - a for a, b in zip(self._latency, latency, strict=True)], 0.99)
        self._at, self._received, self._latency = now, received, latency
        return " · ".join(
            (
                f"{rate:,.0f} events/s" if stats.joined else "not joined",
                *self._newest(),
                f"lag {lag:,.1f} s" if lag is not None else "lag –",
                *self._free(),
                f"queue {sink.queued:,}",
                f"delivered {sink.delivered:,}",
                f"dead {sink.dead_letters:,}",
                f"duplicates {stats.duplicates:,}",
                f"reconnects {stats.reconnects:,}",
                *([f"ack p99 ≤ {p99 * 1000:,.0f} ms"] if p99 is not None else []),
            )
        )


    def _newest(self) -> list[str]:
        last = self._stats.last_event_ms
        return [f"newest {time.strftime('%H:%M:%S', time.gmtime(last / 1000))} UTC"] if last else []

    def _free(self) -> list[str]:
        folder = self._folder
        if folder is None or not folder.exists():
            return []
        return [f"disk {shutil.disk_usage(folder).free / 1e9:,.1f} GB free"]


class _Collector(Collector):
    def __init__(self, stats: Stats, sink: Sink) -> None:
        self._stats, self._sink = stats, sink

    def collect(self) -> Iterator[Metric]:
        stats, sink = self._stats, self._sink
        for name, text, count in (
            ("received", "Frames that have an event or should have one", stats.received),
            ("delivered", "Records and dead letters that are safe in the sink", sink.delivered),
            ("duplicates", "Events dropped because they were seen before", stats.duplicates),
            ("dead_letters", "Frames that could not become records", sink.dead_letters),
            ("connections", "Connections opened to the stream", stats.connections),
            ("silences", "Warnings because no event came for a long time", stats.silences),
        ):
            yield CounterMetricFamily(f"opensea_producer_{name}", text, value=count)
        for name, text, value in (
            ("queue", "Records and dead letters that are not safe in the sink yet", sink.queued),
            ("channels_joined", "Channels that are joined", stats.joined),
            ("lag_seconds", "Age of the latest event by its own time", stats.lag_seconds or 0),
        ):
            yield GaugeMetricFamily(f"opensea_producer_{name}", text, value=value)
        total, buckets = 0, []
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), stats.latency.counts, strict=True):
            total += count
            buckets.append((bound, total))
        yield HistogramMetricFamily(
            "opensea_producer_ack_latency_seconds",
            "From an event's arrival to its acknowledgement",
            buckets=buckets,
            sum_value=stats.latency.total,
        )


def serve(stats: Stats, sink: Sink, port: int, host: str = "0.0.0.0") -> int:
    """Serve the metrics at ``http://<host>:<port>/metrics`` from a thread, and return the port.

    Port 0 means a free port. Raises PortError.
    """
    registry = CollectorRegistry()
    registry.register(_Collector(stats, sink))
    try:
        server, _ = start_http_server(port, host, registry)
    except OSError as error:
        raise PortError(
            f"Cannot serve metrics at port {port}: {os_reason(error)}. Choose another --metrics-port."
        ) from error
    return int(server.server_port)
