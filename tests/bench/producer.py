"""Measures events/s, latency and memory of ``opensea-metrics produce`` between a websocket server and Kafka.

Server, producer and broker run on this machine, each in a process. In the same run, a bare loop receives frames from
the same server. The ratio of the two says more than the figures.

Run: python -m tests.bench.producer [EVENTS=300000], in the repository's root.
"""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import orjson
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from opensea_metrics.producer.envelope import TOPIC
from tests.bench import goals
from tests.parts import kafka
from tests.parts.phoenix import blocks
from tests.parts.ports import free_port

FIREHOSE = 4_100
"""Events/s of all collections together, as measured by others on the live stream."""
SECONDS = 20
_FILL = "x" * 420


def frame(number: int, sent_ns: int) -> bytes:
    """A sale of 1.1 kB. Its time is in the first minutes of a day in the past."""
    text = time.strftime("%H:%M:%S", time.gmtime(number // 1000))
    iso = f"2026-09-15T{text}.{number % 1000:03}000Z"
    slug = f"otters-{number % 400:03}"
    return (
        f'["1",null,"collection:{slug}","item_sold",{{"event_type":"item_sold","version":{number},'
        f'"sent_at":"{iso}","payload":{{"chain":"ethereum","collection":{{"slug":"{slug}"}},'
        f'"event_timestamp":"{iso}","order_hash":"0x{number:064x}","sent_ns":{sent_ns},'
        f'"item":{{"nft_id":"ethereum/0x{number % 400:040x}/{number}","metadata":{{"name":"Otter #{number}",'
        f'"image_url":"https://img.example/{number}.png"}}}},"quantity":1,"sale_price":"1500000000000000000",'
        f'"payment_token":{{"decimals":18,"eth_price":"1.0","symbol":"ETH","usd_price":"2500.0"}},'
        f'"transaction":{{"hash":"0x{number:064x}"}},"protocol_data":"{_FILL}"}}}}]'
    ).encode()


def serve_events(port: int, events: int) -> None:
    """The server. It sends all events as fast as the client reads, or at the firehose's rate."""
    ready = blocks([frame(number, 0) for number in range(events)])

    async def feed(socket: ServerConnection) -> None:
        join_ref, ref, topic, _, payload = orjson.loads(await socket.recv())
        await socket.send(
            orjson.dumps(
                [join_ref, ref, topic, "phx_reply", {"status": "ok", "response": {}}]
            ).decode()
        )
        transport = socket.transport
        if payload.get("event_types") == ["paced"]:
            started = time.monotonic()
            for number in range(0, FIREHOSE * SECONDS, 41):
                batch = [frame(number + index, time.time_ns()) for index in range(41)]
                transport.write(blocks(batch)[0])
                await asyncio.sleep(max(0.0, started + number / FIREHOSE - time.monotonic()))
        else:
            for block in ready:
                transport.write(block)
                while transport.get_write_buffer_size() > 1024 * 1024:
                    await asyncio.sleep(0.001)
        async for _ in socket:  # heartbeats
            pass

    async def main() -> None:
        async with serve(feed, "127.0.0.1", port, compression=None, ping_interval=None):
            print("ready", flush=True)
            await asyncio.Future()

    asyncio.run(main())


def receive(url: str, events: int) -> None:
    """The bare loop that only receives frames."""

    async def main() -> None:
        async with connect(
            url, compression=None, max_queue=(4096, 1024), ping_interval=None
        ) as socket:
            await socket.send('["1","1","collection:*","phx_join",{}]')
            await socket.recv()
            started = time.perf_counter()
            for _ in range(events):
                await socket.recv(decode=False)
            print(events / (time.perf_counter() - started))

    asyncio.run(main())


@contextmanager
def started(*arguments: str, **options: object) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        (sys.executable, *arguments),
        stdout=subprocess.PIPE,
        text=True,
        **options,  # type: ignore[call-overload]
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def produced(folder: Path, url: str, broker: kafka.Broker, events: int, *arguments: str) -> None:
    """Run the producer until all events of the server are in the topic, and print figures."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    if TOPIC in admin.list_topics().topics:
        admin.delete_topics([TOPIC])[TOPIC].result()
        while TOPIC in admin.list_topics().topics:
            time.sleep(0.1)
    # Created in advance with LogAppendTime: the broker then records when it appended each record.
    config = {"message.timestamp.type": "LogAppendTime", "compression.type": "producer"}
    admin.create_topics([NewTopic(TOPIC, 2, 1, config=config)])[TOPIC].result()
    environment = {**os.environ, "OPENSEA_API_KEY": "k", "OPENSEA_STREAM_URL": url}
    command = (
        "-c",
        "from opensea_metrics.deploy.cli import main; main()",
        "produce",
        "--bootstrap",
        broker.bootstrap,
    )
    with started(*command, *arguments, cwd=folder, env=environment) as process:
        began = time.monotonic()
        while broker_end(broker) < events:
            if process.poll() is not None or time.monotonic() - began > 300:
                raise SystemExit(f"{broker_end(broker)} of {events} events arrived")
            time.sleep(0.2)
        status = Path(f"/proc/{process.pid}/status").read_text()
        peak = int(status.split("VmHWM:")[1].split()[0]) // 1024
        ticks = sum(map(int, Path(f"/proc/{process.pid}/stat").read_text().split()[13:15]))
        cpu = ticks / os.sysconf("SC_CLK_TCK")
        process.terminate()
        process.wait(30)
    messages = kafka.read_topic(broker.bootstrap, TOPIC)
    assert len(messages) == events
    received, appended, ends = [], [], []
    for message in messages:
        at = message.timestamp()[1]
        sent = orjson.loads(message.value() or b"")["payload"]["payload"]["sent_ns"] / 1e6
        came = int(dict(message.headers() or [])["received_at"] or 0)
        received.append(came)
        appended.append(at - came)
        ends.append(at - sent if sent else 0)
    span = (
        max(came + wait for came, wait in zip(received, appended, strict=True)) - min(received)
    ) / 1000
    rate, each = events / span, cpu / events * 1e6
    half, most = at_share(appended, 0.5), at_share(appended, 0.99)
    if any(ends):
        print(f"  {rate:,.0f} events/s, {each:.1f} µs of CPU an event, {peak} MB")
        print(f"  received to in Kafka, ms: p50 {half:.0f}, p99 {most:.0f}")
        print(f"  sent by the server to in Kafka, ms: p50 {at_share(ends, 0.5):.0f}, p99 {at_share(ends, 0.99):.0f}")
        return
    goals.show("producer flat out, first received to last in Kafka", rate, 60_000, "events/s", is_least=True)
    goals.show("producer flat out, CPU with its start", each, 18, "µs an event", more=f"{peak} MB")
    goals.show("producer flat out, received to in Kafka, p99", most, 250, "ms", more=f"p50 {half:.0f} ms")


def at_share(values: Sequence[float], share: float) -> float:
    return sorted(values)[int(share * (len(values) - 1))]


def broker_end(broker: kafka.Broker) -> int:
    """The number of records in the topic."""
    return kafka.size_of(broker.bootstrap, TOPIC)


def main(events: int) -> None:
    port = free_port()
    url = f"ws://127.0.0.1:{port}/socket/websocket"
    sizes = [len(frame(number, 0)) for number in range(100)]
    print(f"{events:,} events of {sum(sizes) / len(sizes) / 1000:.2f} kB, {os.cpu_count()} CPUs")
    here = ("-m", "tests.bench.producer")
    with (
        tempfile.TemporaryDirectory() as name,
        kafka.running(Path(name) / "kafka") as broker,
        started(*here, "--serve", str(port), str(events)) as server,
    ):
        assert server.stdout is not None
        server.stdout.readline()
        with started(*here, "--receive", url, str(events)) as bare:
            out, _ = bare.communicate()
        print(f"bare receive loop, frames/s                  {float(out):>9,.0f}")
        print("opensea-metrics produce, as fast as it can")
        produced(Path(name), url, broker, events)
        print(f"opensea-metrics produce, {FIREHOSE:,} events/s for {SECONDS} s")
        produced(Path(name), url, broker, FIREHOSE * SECONDS, "--event-type", "paced")
    own = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"CPU seconds of all processes                 {own.ru_utime + own.ru_stime:>9,.1f}")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--serve", port, events]:
            serve_events(int(port), int(events))
        case ["--receive", url, events]:
            receive(url, int(events))
        case rest:
            main(int((rest or ["300000"])[0].removeprefix("EVENTS=")))
