"""A proxy that disturbs HTTP, and runs of the migration tool through it."""

from __future__ import annotations

import http.client
import json
import os
import random
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from opensea_metrics.deploy import commands
from opensea_metrics.deploy.client import ClientError, KsqlClient
from opensea_metrics.deploy.client.snapshot import look
from opensea_metrics.deploy.migrations.errors import MigrationError
from opensea_metrics.deploy.migrations.record.lock import is_lock
from opensea_metrics.deploy.migrations.record.records import VersionState
from opensea_metrics.deploy.migrations.record.store import RECORD_NAMES, RecordStore

FAULTS = (
    "refused",  # the connection is closed before anything is read
    "reset before",  # the request is read and lost
    "reset after",  # carried out, and the reply is lost
    "slow",
    "stalled",  # carried out, and the reply comes after the client's time-out
    "500 before",  # busy: not carried out
    "500 after",  # carried out, and an error is said
    "503",
    "truncated",
    "not JSON",
)


class Proxy:
    """Passes requests on to ``upstream``, and disturbs a part of them as ``chance`` has it."""

    def __init__(self, upstream: str, timeout: float) -> None:
        self.upstream = urlsplit(upstream).netloc
        self.timeout = timeout  # the client's, in seconds
        self.chance: random.Random | None = None  # None: nothing is disturbed
        self.share = 0.0
        self.seen: list[str] = []

    def draw(self) -> str | None:
        """The fault for the next request."""
        if self.chance is None or self.chance.random() >= self.share:
            return None
        weights = [1 if each == "stalled" else 8 for each in FAULTS]
        fault = self.chance.choices(FAULTS, weights)[0]
        self.seen.append(fault)
        return fault


def _handler(proxy: Proxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            fault = proxy.draw()
            if fault == "refused":
                return self._reset()
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if fault == "reset before":
                return self._reset()
            if fault == "500 before":
                return self._send(500, _error(50000, "Could not write the statement 'x' into the"))
            if fault == "503":
                return self._send(503, _error(50301, "Timed out while waiting for a previous"))
            if fault == "slow":
                time.sleep(0.05)
            status, reply = self._pass_on(body)
            if fault == "reset after":
                return self._reset()
            if fault == "500 after":
                return self._send(500, _error(50000, "Something has gone wrong"))
            if fault == "not JSON":
                return self._send(502, b"<html>Bad Gateway</html>")
            if fault == "stalled":
                time.sleep(proxy.timeout * 1.2)
            if fault == "truncated":
                self._send(status, reply[: len(reply) // 2], announced=len(reply))
                return self._reset()
            return self._send(status, reply)

        do_POST = do_GET

        def _pass_on(self, body: bytes) -> tuple[int, bytes]:
            # One connection for each of the client's: the server is not to be disturbed.
            upstream = getattr(self, "_upstream", None)
            if upstream is None:
                upstream = self._upstream = http.client.HTTPConnection(proxy.upstream, timeout=60)
            headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host",)}
            try:
                upstream.request(self.command, self.path, body, headers)
                reply = upstream.getresponse()
            except (http.client.HTTPException, OSError):  # kept alive for too long
                upstream.close()
                upstream.request(self.command, self.path, body, headers)
                reply = upstream.getresponse()
            return reply.status, reply.read()

        def _send(self, status: int, body: bytes, announced: int | None = None) -> None:
            try:
                self.send_response(status)
                self.send_header("Content-Length", str(announced or len(body)))
                self.end_headers()
                self.wfile.write(body)
            except OSError:
                self.close_connection = True  # the client has gone: its time-out

        def _reset(self) -> None:
            linger = struct.pack("ii", 1, 0)  # closed with RST instead of FIN
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:
                pass
            finally:
                if getattr(self, "_upstream", None) is not None:
                    self._upstream.close()

    return Handler


def _error(code: int, message: str) -> bytes:
    return json.dumps({"@type": "generic_error", "error_code": code, "message": message}).encode()


@contextmanager
def proxied(upstream: str, timeout: float) -> Iterator[tuple[str, Proxy]]:
    """A running proxy: its URL, and what governs it."""
    proxy = Proxy(upstream, timeout)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(proxy))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


# Small migrations of every kind that leaves a trace; all read OMF_RAW, which V001 makes.
RAW = """
CREATE STREAM omf_raw (id VARCHAR KEY, coll VARCHAR, price DOUBLE)
  WITH (KAFKA_TOPIC='omf.raw', PARTITIONS=1, VALUE_FORMAT='JSON');
"""
PIECES = (
    "CREATE STREAM omf_a{n} AS SELECT id, coll FROM omf_raw WHERE price > {n} EMIT CHANGES;",
    "CREATE STREAM omf_b{n} (x VARCHAR) WITH (KAFKA_TOPIC='omf.b{n}', PARTITIONS=1,"
    " VALUE_FORMAT='JSON');",
    "CREATE STREAM omf_c{n} AS SELECT id, coll, price FROM omf_raw EMIT CHANGES;\n"
    "INSERT INTO omf_c{n} SELECT id, coll, price * 2 AS price FROM omf_raw EMIT CHANGES;",
    "SET 'auto.offset.reset' = 'earliest';\n"
    "CREATE TABLE omf_d{n} AS SELECT coll, COUNT(*) AS n FROM omf_raw GROUP BY coll EMIT CHANGES;",
    "CREATE STREAM omf_e{n} (x VARCHAR) WITH (KAFKA_TOPIC='omf.e{n}', PARTITIONS=1,"
    " VALUE_FORMAT='JSON');\nALTER STREAM omf_e{n} ADD COLUMN y INT;",
    "CREATE STREAM omf_f{n} (x VARCHAR) WITH (KAFKA_TOPIC='omf.f{n}', PARTITIONS=1,"
    " VALUE_FORMAT='JSON');\nDROP STREAM omf_f{n};",
    "CREATE STREAM omf_g{n} (x VARCHAR) WITH (KAFKA_TOPIC='omf.g{n}', PARTITIONS=1,"
    " VALUE_FORMAT='JSON');\nDROP STREAM omf_g{n} DELETE TOPIC;",
    "CREATE STREAM omf_h{n} (x VARCHAR) WITH (KAFKA_TOPIC='omf.h{n}', PARTITIONS=1,"
    " VALUE_FORMAT='JSON');\nCREATE OR REPLACE STREAM omf_h{n} (x VARCHAR, y INT)"
    " WITH (KAFKA_TOPIC='omf.h{n}', VALUE_FORMAT='JSON');",
)


def _projects() -> list[dict[str, str]]:
    """One or two of the pieces in migrations of their own, beside the first."""
    chosen = [(piece,) for piece in PIECES] + list(zip(PIECES, reversed(PIECES), strict=True))[:4]
    return [
        {
            "V001__raw.sql": RAW,
            **{f"V{n:03}__m.sql": each.format(n=n) for n, each in enumerate(pieces, 2)},
        }
        for pieces in chosen
    ]


def end_state(client: KsqlClient) -> Mapping[str, Any]:
    """What there is on a server and in the record, without what differs from run to run."""
    server = look(client, describe=None)
    names = sorted(n for n in server.sources if n not in RECORD_NAMES and not is_lock(n))
    recorded = RecordStore(client).read()
    return {
        "sources": [
            (n, server.described[n].columns, len(server.described[n].write_queries)) for n in names
        ],
        "queries": sorted(s for q in server.queries.values() for s in q.sinks if s not in RECORD_NAMES),
        "topics": sorted(each for each in server.topics if not each.endswith(tuple(RECORD_NAMES))),
        "versions": [
            (each.version, each.state, each.checksum, each.previous)
            for each in recorded.versions
            if each.state is not VersionState.PENDING
        ],
        "statements": [
            (each.version, each.number, each.state, each.text, each.target_existed)
            for each in recorded.statements
            if each.in_effect
        ],
        "private": [n for n in server.sources if n.startswith("OPENSEA_METRICS_DELETES")],
    }


def client_of(url: str, timeout: float) -> KsqlClient:
    """A client that does not wait long."""
    return KsqlClient(url, timeout=timeout, patience=10 * timeout, wait=0.01)


# A real server takes seconds for a statement: who was cut off must be dead for longer than that.
SITE = commands.Site(ttl=10.0 if os.environ.get("KSQLDB_URL") else 0.4)
Run = Callable[[KsqlClient, Path], None]


def until_done(run: Run, client: KsqlClient, root: Path) -> None:
    """Run as a user would: again, after an error that says so."""
    errors = []
    for _ in range(40):
        try:
            run(client, root)
        except (ClientError, MigrationError) as error:
            errors.append(str(error))
            time.sleep(SITE.ttl / 8)
        else:
            return
    raise AssertionError(f"no run of 40 came to its end: {errors[-5:]}")


def disturbed(url: str, seeds: range, timeout: float = 1.0) -> list[str]:
    """Apply and roll back through a disturbing proxy, an own schedule for each; gives what is wrong.

    Each is compared with the same run undisturbed. Two schedules a seed.
    """
    direct = client_of(url, timeout)
    projects = _projects()
    expected: dict[str, Mapping[str, Any]] = {}
    before = end_state(direct)
    with proxied(url, timeout) as (through, proxy):
        client = client_of(through, timeout)
        for seed in seeds:
            chance = random.Random(seed)
            files = chance.choice(projects)
            with tempfile.TemporaryDirectory() as directory:
                root = _written(files, Path(directory))
                key = json.dumps(files)
                if key not in expected:
                    # The lock of the last disturbed run may still have to expire.
                    until_done(_apply, direct, root)
                    expected[key] = end_state(direct)
                    until_done(_roll_back, direct, root)
                for run, wanted in ((_apply, expected[key]), (_roll_back, before)):
                    proxy.chance, proxy.share = chance, chance.uniform(0.02, 0.15)
                    proxy.seen = []
                    try:
                        until_done(run, client, root)
                    except AssertionError as error:
                        return [f"seed {seed}, {run.__name__}, after {proxy.seen}: {error}"]
                    finally:
                        proxy.chance = None
                    found = end_state(direct)
                    differing = {k: (found[k], wanted[k]) for k in found if found[k] != wanted[k]}
                    if differing:  # what follows would build on it
                        return [f"seed {seed}, {run.__name__}, after {proxy.seen}: {differing}"]
    return []


def _written(files: Mapping[str, str], root: Path) -> Path:
    (root / "migrations").mkdir()
    (root / "settings.yml").write_text("{}\n")
    for name, text in files.items():
        (root / "migrations" / name).write_text(text)
    return root


def _apply(client: KsqlClient, root: Path) -> None:
    commands.apply(client, root, site=SITE)


def _roll_back(client: KsqlClient, root: Path) -> None:
    commands.rollback(client, lambda _: True, root, target=0, site=SITE)
