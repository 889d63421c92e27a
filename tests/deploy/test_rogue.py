"""The command trusts no server: every wrong reply is one error that names server and request."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from opensea_metrics.deploy import cli
from opensea_metrics.deploy.cli import doctor, server_access
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.commands import Site
from opensea_metrics.deploy.doctor import connect, schema_registry, spark, web
from opensea_metrics.deploy.doctor.checks import Check, Unreachable
from tests.deploy.projects import THREE
from tests.deploy.rogue import ANSWERS, serving
from tests.deploy.stub import Write

MOST = 4 << 20  # bytes of a reply, so that the large ones are soon too large
OF_A_PROJECT = (
    ("validate",), ("plan",), ("apply",), ("rollback", "--yes"), ("status",), ("diff",),
    ("baseline", "1"), ("adopt",), ("repair", "--yes"),
)  # fmt: skip
QUERIES = (
    ("query", "SHOW TABLES"), ("query", "DESCRIBE t"), ("query", "SELECT a FROM t"),
    ("query", "SELECT a FROM t EMIT CHANGES"),
)  # fmt: skip
EVERY = (*OF_A_PROJECT, ("unlock",), ("doctor",))
NO_ERROR = {("half a surrogate", "SELECT a FROM t")}
"""A table without rows: JSON allows half a surrogate, and it is not shown."""
FOR_ALL = ("an empty list", "names that are numbers", "HTML")


SLOW = {"slow headers", "a slow body", "a slow start"}
"""Only these answers are waited for in vain. The others end, but on a busy machine perhaps not soon."""


@pytest.fixture
def timeout(name: str) -> float:
    """Seconds for an answer."""
    return 0.6 if name in SLOW else 60


@pytest.fixture(autouse=True)
def _small_and_hasty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, timeout: float) -> None:
    for module in ("limits", "rows", "http"):
        monkeypatch.setattr(f"opensea_metrics.deploy.client.{module}.REPLY_BYTES", MOST)
    monkeypatch.setattr("opensea_metrics.deploy.client.transport.ROWS_BYTES", MOST)
    monkeypatch.setattr("opensea_metrics.deploy.client.transport.CLOSING", 0.3)
    hasty = partial(KsqlClient, timeout=timeout, patience=0.3, wait=0.01)
    monkeypatch.setattr(server_access, "KsqlClient", hasty)
    monkeypatch.setattr(server_access, "site", lambda *_: Site(ttl=0.3))
    monkeypatch.setattr(doctor, "TIMEOUT", timeout)
    monkeypatch.setattr(doctor, "PATIENCE", 0.3)
    monkeypatch.chdir(tmp_path)


def cases() -> list[tuple[str, tuple[str, ...]]]:
    """Queries with every answer, other verbs in turns, and some answers with all verbs."""
    others = itertools.cycle(EVERY)
    chosen: list[tuple[str, tuple[str, ...]]] = []
    for name in ANSWERS:
        chosen += [(name, verb) for verb in QUERIES if (name, verb[1]) not in NO_ERROR]
        chosen += [(name, verb) for verb in (EVERY if name in FOR_ALL else itertools.islice(others, 2))]
    return chosen


@pytest.mark.parametrize(
    ("name", "verb"), cases(), ids=lambda part: part if isinstance(part, str) else " ".join(part)
)
def test_a_wrong_reply(
    name: str,
    verb: tuple[str, ...],
    write_project: Write,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    project = ("--sql", str(write_project(THREE))) if verb in OF_A_PROJECT else ()
    with serving(ANSWERS[name]) as url:
        monkeypatch.setattr(sys, "argv", ["opensea-metrics", *verb, *project, "--server", url])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    out, err = capsys.readouterr()
    assert ended.value.code == 1, out + err
    assert "Traceback" not in out + err
    assert "s3cret" not in out + err
    assert "\x1b[2J" not in out + err
    message = " ".join(out.split()) if verb == ("doctor",) else err
    assert url in message
    assert any(request in message for request in ("POST /ksql (", "POST /query (", "GET /")), message
    if verb != ("doctor",):
        assert err.startswith("error: ")


PARTS: dict[str, Callable[[str], list[Check]]] = {
    "connect": connect.examine,
    "schema registry": lambda url: schema_registry.examine(url, ["a"]),
    "spark": lambda url: spark.examine("spark://127.0.0.1:7077", url),
}
NO_ERROR_OF_PARTS = {("connect", "an object"), ("schema registry", "an empty list")}
"""The part is there, and lacks what is looked for."""


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("part", PARTS)
def test_a_wrong_reply_of_another_part(
    name: str, part: str, timeout: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "TIMEOUT", timeout)
    monkeypatch.setattr(web, "REPLY_BYTES", MOST)
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)
    with serving(ANSWERS[name]) as url:
        if (part, name) in NO_ERROR_OF_PARTS:
            assert any(check.verdict == "warning" for check in PARTS[part](url))
            return
        with pytest.raises(Unreachable) as caught:
            PARTS[part](url)
    assert str(caught.value).startswith(url)
    assert "s3cret" not in str(caught.value)
