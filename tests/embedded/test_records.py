"""Records of topics become rows: runs ``records.yml`` on the embedded server, and on a real one at KSQLDB_URL."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from contextlib import closing

import pytest

from opensea_metrics.deploy.embedded.queries.client_queries import TransientQuery
from opensea_metrics.sql.language.statements.parser import parse_script
from tests.embedded.conformance import Run
from tests.embedded.inside import Inside, inside
from tests.embedded.records import CASES, Case, as_json

QUERY = "SELECT *, ROWTIME AS event_time FROM {};"

each_case = pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    with inside(tmp_path_factory.mktemp("data")) as started:
        yield started


def read(server: Inside, case: Case, name: str) -> list[object]:
    """The rows of a case whose topic exists already."""
    server.done(case.declaration(name, name))
    (statement,) = parse_script(QUERY.format(name), "statement")
    with closing(TransientQuery(server.engine, statement, {})) as query:
        return as_json(query.rows())


@each_case
@pytest.mark.parametrize("compressed", [True, False])
def test_rows_of_a_file(server: Inside, case: Case, compressed: bool) -> None:
    name = f"case_{CASES.index(case)}_{compressed}".lower()
    folder = server.data / "topics" / name
    folder.mkdir(parents=True)
    text = b"".join(line + b"\n" for line in case.lines)
    (folder / f"a.json{'.gz' * compressed}").write_bytes(gzip.compress(text) if compressed else text)
    assert read(server, case, name) == case.rows


@pytest.fixture(scope="module")
def real() -> Iterator[Run]:
    if not (url := os.environ.get("KSQLDB_URL")):
        pytest.skip("KSQLDB_URL is not set")
    run = Run(url.rstrip("/"), is_real=True)
    yield run
    run.clean_up()


@each_case
def test_rows_of_a_real_server(real: Run, case: Case) -> None:
    name = f"RUN_{CASES.index(case)}"
    # With the format KAFKA, INSERT VALUES writes the bytes themselves.
    real.execute(
        f"CREATE STREAM {name}_TEXT (v BYTES) WITH (KAFKA_TOPIC='{name}', VALUE_FORMAT='KAFKA', PARTITIONS=1);"
    )
    real.execute(case.declaration(name, name))
    for line in case.lines:
        real.execute(f"INSERT INTO {name}_TEXT (v) VALUES (TO_BYTES('{line.hex()}', 'hex'));")
    rows = real.rows(QUERY.format(name))
    assert rows == case.rows
