"""Measures pull queries by key: requests a second, and how long they take, with 1, 20 and 50 clients at once.

The embedded server runs in a process of its own. With KSQLDB_URL the same requests are sent to a real server too.
Each client has one connection of HTTP/1.1, and asks for a random key of a table, again and again.

Run: [KEYS=1000] [SECONDS=5] [KSQLDB_URL=http://…] python -m tests.bench.lookups
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import secrets
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from tests.bench.server_process import served

CLIENTS = (1, 20, 50)
_STATEMENTS = """
CREATE STREAM {0}_s (k VARCHAR KEY, v INT) WITH (KAFKA_TOPIC='{0}_s', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE TABLE {0}_t AS SELECT k, COUNT(*) AS n, SUM(v) AS s FROM {0}_s GROUP BY k EMIT CHANGES;
"""


def _prepare(url: str, keys: int) -> str:
    """Create a table with a row for each key, and return its name."""
    name = f"bench_{secrets.token_hex(3)}"
    with httpx.Client(base_url=url, timeout=300) as client:
        properties = {"auto.offset.reset": "earliest"}
        reply = client.post("/ksql", json={"ksql": _STATEMENTS.format(name), "streamsProperties": properties})
        assert reply.status_code == 200, reply.text
        rows = [{"K": f"k{number}", "V": number} for number in range(keys)]
        with httpx.Client(base_url=url, http1=False, http2=True, timeout=300) as h2:
            body = "\n".join(map(json.dumps, [{"target": f"{name}_s"}, *rows]))
            assert h2.post("/inserts-stream", content=body).text.count("ok") == keys
        last = {"sql": f"SELECT * FROM {name}_t WHERE k = 'k{keys - 1}';"}
        while len(client.post("/query-stream", json=last).text.splitlines()) < 2:
            time.sleep(0.2)
    return f"{name}_t"


async def _client(url: str, table: str, keys: int, until: float, seed: int, times: list[float]) -> None:
    """Ask until a time (monotonic), and add the seconds that each request took to ``times``."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    chosen = random.Random(seed)
    while time.monotonic() < until:
        key = f"k{chosen.randrange(keys)}"
        body = json.dumps({"sql": f"SELECT * FROM {table} WHERE k = '{key}';"}).encode()
        head = f"POST /query-stream HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {len(body)}\r\n\r\n"
        begun = time.perf_counter()
        writer.write(head.encode() + body)
        reply = await _body(reader)
        times.append(time.perf_counter() - begun)
        assert f'["{key}",'.encode() in reply, reply
    writer.close()


async def _body(reader: asyncio.StreamReader) -> bytes:
    """The body of a reply of HTTP/1.1."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b"content-length:" in head:
        return await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
    body = b""
    while size := int(await reader.readline(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)
    return body


async def _measured(url: str, table: str, keys: int, clients: int, seconds: float) -> list[float]:
    times: list[float] = []
    until = time.monotonic() + seconds
    await asyncio.gather(*(_client(url, table, keys, until, seed, times) for seed in range(clients)))
    return sorted(times)


def _report(name: str, url: str, keys: int, seconds: float) -> None:
    table = _prepare(url, keys)
    asyncio.run(_measured(url, table, keys, 10, 2))  # warms up
    for clients in CLIENTS:
        times = asyncio.run(_measured(url, table, keys, clients, seconds))
        p50, p99 = (1000 * times[int(len(times) * part)] for part in (0.5, 0.99))
        rate = len(times) / seconds
        print(f"{name:9} {clients:3} clients: {rate:6,.0f} requests/s, p50 {p50:6.1f} ms, p99 {p99:6.1f} ms")


def main() -> None:
    keys = int(os.environ.get("KEYS", "1000"))
    seconds = float(os.environ.get("SECONDS", "5"))
    with tempfile.TemporaryDirectory() as folder, served(Path(folder), "--no-dashboard") as (url, _):
        _report("embedded", url, keys, seconds)
    if real := os.environ.get("KSQLDB_URL"):
        _report("ksqlDB", real.rstrip("/"), keys, seconds)


if __name__ == "__main__":
    main()
