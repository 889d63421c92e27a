"""Every kind of request gets ksqlDB's reply: the cases of replies/*.yml.

A file has statements that are carried out first (``given``), queries that must have a number of rows before the cases
begin (``await``), and cases. A case has a request (``ksql``, ``query_stream``, ``query``, ``get`` or ``post``) and the
expected ``status``, ``type`` (the content type) and ``reply``. The reply may contain the patterns of
``conformance.differences``.

Each expectation was observed on a real 7.9.1. It is checked there again if KSQLDB_URL is set. If the embedded server
deliberately answers differently, ``embedded`` has its answer. ``without`` says why a case cannot run on a server.
``configured`` has properties that the server must have, because the reply depends on them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.embedded.conformance import Case, Run, differences
from tests.embedded.conftest import SERVERS
from tests.parts.yaml_files import read_yaml

FILES = {
    path.stem: read_yaml(path)
    for path in sorted((Path(__file__).parent / "replies").glob("*.yml"))
}
CASES = [
    pytest.param(kind, name, case, id=f"{kind}-{name}-{case['name']}")
    for kind in SERVERS
    for name, file in FILES.items()
    for case in file["cases"]
]


@pytest.fixture(scope="module")
def begun(servers: dict[str, str]) -> Iterator[Callable[[str, str], Run]]:
    """Returns the run of a file against a server. Its ``given`` is carried out once for all its cases."""
    runs: dict[tuple[str, str], Run] = {}

    def begin(kind: str, name: str) -> Run:
        if kind not in servers:
            pytest.skip("KSQLDB_URL is not set")
        if (kind, name) not in runs:
            run = runs[kind, name] = Run(servers[kind], is_real=kind == "ksqldb")
            run.begin(FILES[name])
        return runs[kind, name]

    yield begin
    for run in runs.values():
        run.clean_up()


@pytest.mark.parametrize(("kind", "name", "case"), CASES)
def test_reply(begun: Callable[[str, str], Run], kind: str, name: str, case: Case) -> None:
    if kind in case.get("without", {}):
        pytest.skip(case["without"][kind])
    run = begun(kind, name)
    for property_name, value in case.get("configured", {}).items():
        if run.properties[property_name] != value:
            pytest.skip(f"the server must be started with {property_name}={value}")
    expected = {**case, **({} if run.is_real else case.get("embedded", {}))}
    reply = run.ask(case)
    assert reply.status == expected["status"], reply.text
    assert reply.content_type == expected["type"]
    problems = differences(run.filled(expected["reply"]), reply.body, longer=not run.is_real)
    assert not problems, "\n".join([*problems, reply.text])
