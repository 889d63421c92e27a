"""The commands ``produce`` and ``replay`` as a user meets them."""

from __future__ import annotations

import json
import signal
import subprocess
import urllib.request
from pathlib import Path

import pytest

from opensea_metrics.producer.envelope import DEAD_LETTER_TOPIC, TOPIC
from opensea_metrics.producer.settings import (
    KafkaSettings,
    SettingsError,
    StreamSettings,
    checked_url,
)
from tests.parts import phoenix
from tests.parts.kafka import Broker, read_topic
from tests.parts.phoenix import KEY, Behaviour, Session
from tests.parts.ports import free_port
from tests.producer.events import COMMAND, ended, event, number_of, producing, run_command, until
from tests.producer.files import files, lines

JUNK = b'["1",null,"collection:otters","item_sold",{"no":"time"}]'


async def mixed(session: Session) -> None:
    """Events 0 to 99, one of them again, and one frame that is none."""
    for number in (*range(50), 7, *range(50, 100)):
        each = event(number)
        await session.send(each.kind, each.payload, each.topic)
    await session.raw(JUNK)


def error_of(process: subprocess.Popen[str], folder: Path) -> str:
    process.wait(60)
    return (folder / "stderr").read_text()


def scraped(port: int) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    text: str = opener.open(f"http://127.0.0.1:{port}/metrics", timeout=30).read().decode()
    return text


def test_into_an_archive(tmp_path: Path) -> None:
    port = free_port()
    with (
        phoenix.running(Behaviour(mixed)) as server,
        producing(
            tmp_path, server.url, "--sink", "archive", "--data-dir", "data", "--roll-seconds", "0.3",
            "--metrics-port", str(port),
        ) as process,
    ):  # fmt: skip
        until(lambda: len(list(lines(tmp_path / "data", TOPIC))) == 100, "files after some time")
        until(lambda: len(files(tmp_path / "data", DEAD_LETTER_TOPIC)) == 1, "dead letters, too")
        until(lambda: "\nopensea_producer_delivered_total 101.0\n" in scraped(port), "all counted")
        assert "\nopensea_producer_duplicates_total 1.0\n" in scraped(port)
        code, out = ended(process)
    assert (code, out) == (
        0, "102 events received: 101 delivered, of which 1 dead letters; 1 duplicates dropped; "
        "0 reconnects\n",
    )  # fmt: skip
    assert sorted(lines(tmp_path / "data", TOPIC)) == sorted(event(n).record for n in range(100))
    (letter,) = map(json.loads, lines(tmp_path / "data", DEAD_LETTER_TOPIC))
    assert letter["frame"] == JUNK.decode()
    assert letter["reason"].startswith("no event time")
    error = (tmp_path / "stderr").read_text()
    assert "joined" in error
    assert KEY not in error


def test_what_an_archive_holds_is_published_by_sigterm(tmp_path: Path) -> None:
    with (
        phoenix.running(Behaviour(mixed)) as server,
        producing(tmp_path, server.url, "--sink", "archive", "--roll-seconds", "999") as process,
    ):
        until(lambda: list(tmp_path.rglob(".*.tmp")) != [], "a file in the making")
        code, _ = ended(process)
    assert code == 0
    kept = sorted(map(number_of, lines(tmp_path / ".opensea-metrics", TOPIC)))
    assert kept == list(range(len(kept)))
    assert len(kept) > 0


def test_duplicates_are_kept_on_demand(tmp_path: Path) -> None:
    arguments = ("--sink", "archive", "--roll-seconds", "0.2", "--dedup-seconds", "0")
    with (
        phoenix.running(Behaviour(mixed)) as server,
        producing(tmp_path, server.url, *arguments) as process,
    ):
        data = tmp_path / ".opensea-metrics"
        until(lambda: len(list(lines(data, TOPIC))) == 101, "all events")
        assert ended(process)[0] == 0


def test_a_refused_key_is_one_clear_error(tmp_path: Path) -> None:
    with (
        phoenix.running(Behaviour()) as server,
        producing(tmp_path, server.url, "--sink", "archive", key="wrong-key") as process,
    ):
        error = error_of(process, tmp_path)
        assert len(server.handshakes) == 1
    assert process.returncode == 1
    host = server.url.split("/")[2]
    assert error == (
        f"error: {host} refuses the API key (HTTP 401). Check OPENSEA_API_KEY, in the environment "
        "or in .env.\n"
    )


def test_no_key_is_one_clear_error(tmp_path: Path) -> None:
    with producing(tmp_path, "ws://127.0.0.1:1/", key="") as process:
        error = error_of(process, tmp_path)
    assert process.returncode == 1
    assert error.startswith("error: There is no API key: set OPENSEA_API_KEY")


def test_a_taken_archive_is_one_clear_error(tmp_path: Path) -> None:
    arguments = ("--sink", "archive", "--roll-seconds", "0.2")
    with (
        phoenix.running(Behaviour(mixed)) as server,
        producing(tmp_path, server.url, *arguments) as first,
    ):
        until(lambda: files(tmp_path / ".opensea-metrics", TOPIC) != [], "the first writes")
        with producing(tmp_path, server.url, *arguments) as second:
            error = error_of(second, tmp_path)
        assert second.returncode == 1
        assert "Another process writes into" in error
        assert ended(first)[0] == 0


def test_topics_need_settings_of_the_sql(tmp_path: Path) -> None:
    (tmp_path / "sql/migrations").mkdir(parents=True)
    (tmp_path / "sql/settings.yml").write_text("partitions: many\n")
    done = subprocess.run(
        (*COMMAND, "replay", "--sink", "kafka"),
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "error: sql/settings.yml has no whole number named partitions.\n"


@pytest.mark.parametrize(
    "url",
    [
        "http://x/",
        "wss://",
        "x",
        "wss://h:x/",
        "wss://a..b/",
        f"wss://h/p?token={KEY}",
        "wss://user:password@h/",
        "wss://h/#x",
    ],
)
def test_urls_that_are_none_or_hold_a_key(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        checked_url(url)
    assert KEY not in str(caught.value)


def test_good_urls() -> None:
    for url in ("wss://stream-api.opensea.io/socket/websocket", "ws://[::1]:80/x"):
        assert checked_url(url) == url


def test_replay_into_kafka_and_back_out_of_its_archive(broker: Broker, tmp_path: Path) -> None:
    out = run_command(
        tmp_path, "replay", "--sink", "kafka", "--bootstrap", broker.bootstrap, "--to-now"
    )
    assert out == "6000 frames: 5985 records, 10 dead letters, 5 control frames\n"
    messages = read_topic(broker.bootstrap, TOPIC)
    assert len(messages) >= 5_985
    as_it_is = subprocess.run(
        (*COMMAND, "replay", "--sink", "kafka", "--bootstrap", broker.bootstrap),
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "note: the oldest event is from 2026-09-15" in as_it_is.stderr
    assert "for 2 DAYS of event time" in as_it_is.stderr
    out = run_command(tmp_path, "replay", "--data-dir", "a")
    out = run_command(tmp_path, "replay", "a", "--data-dir", "b")
    assert out == "5985 frames: 5985 records, 0 dead letters, 0 control frames\n"
    assert sorted(lines(tmp_path / "a", TOPIC)) == sorted(lines(tmp_path / "b", TOPIC))


def test_a_replay_is_stopped_and_goes_on(tmp_path: Path) -> None:
    process = subprocess.Popen(
        (*COMMAND, "replay", "--data-dir", "data", "--speed", "50"),
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    until(lambda: files(tmp_path / "data", TOPIC) != [], "some events are replayed")
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert error == "stopped before the end: resume with --resume\n"
    first = int(out.split()[0])
    assert 0 < first < 6_000
    out = run_command(tmp_path, "replay", "--data-dir", "data", "--resume")
    assert int(out.split()[0]) == 6_000 - first
    run_command(tmp_path, "replay", "--data-dir", "whole")
    assert sorted(lines(tmp_path / "data", TOPIC)) == sorted(lines(tmp_path / "whole", TOPIC))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("nope.ndjson",), "nope.ndjson: No such file"),
        (("--speed", "0"), "the speed must be greater than 0"),
        ((".opensea-metrics", "--data-dir", ".opensea-metrics"), "itself"),
    ],
)
def test_replays_that_make_no_sense(
    tmp_path: Path, arguments: tuple[str, ...], complaint: str
) -> None:
    run_command(tmp_path, "replay")
    done = subprocess.run(
        (*COMMAND, "replay", *arguments), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


def test_every_variable_is_explained_in_the_example_of_env() -> None:
    text = (Path(__file__).parents[2] / ".env.example").read_text()
    for settings in (StreamSettings, KafkaSettings):
        prefix = settings.model_config["env_prefix"]
        for name in settings.model_fields:
            assert f"{prefix}{name}".upper() + "=" in text


def test_secrets_are_read_from_env_files_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENSEA_API_KEY", raising=False)
    (tmp_path / ".env").write_text("OPENSEA_API_KEY=hidden-1\nKAFKA_SASL_PASSWORD=hidden-2\nX=y\n")
    stream, kafka = StreamSettings(), KafkaSettings(security_protocol="SASL_SSL")
    assert stream.api_key.get_secret_value() == "hidden-1"
    assert kafka.client()["sasl.password"] == "hidden-2"
    assert "hidden" not in f"{stream!r} {kafka!r} {stream} {kafka.model_dump()}"
