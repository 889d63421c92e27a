"""Functions that only a server has: the settings list them, or the server describes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from opensea_metrics.core.errors import SqlError
from opensea_metrics.core.types import DOUBLE, ArrayType
from opensea_metrics.deploy import commands
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.commands import site
from opensea_metrics.sql.language.functions import library
from opensea_metrics.sql.language.project.project import load_project

SOURCE = "CREATE STREAM a (k STRING KEY, n INT, d DOUBLE) WITH (KAFKA_TOPIC='a', VALUE_FORMAT='JSON', PARTITIONS=1);\n"
CALL = SOURCE + "CREATE STREAM b AS SELECT k, risk_score(k, n) AS r FROM a EMIT CHANGES;"


def project(folder: Path, text: str, settings: str = "{}") -> Path:
    (folder / "migrations").mkdir(parents=True)
    (folder / "settings.yml").write_text(settings)
    (folder / "migrations/V001__a.sql").write_text(text)
    return folder


def test_a_function_that_settings_list_is_typed_and_refused_by_the_embedded_server(tmp_path: Path) -> None:
    root = project(tmp_path, CALL, "functions: {risk_score: 'VARCHAR INT -> DOUBLE'}")
    validation = commands.validate(root)
    assert [str(error).partition("\n")[0] for error in validation.unsupported] == [
        f"{root}/migrations/V001__a.sql:2:30: RISK_SCORE, a function of another server, is not supported by the"
        " embedded server. ksqlDB supports it."
    ]


def test_wrong_arguments_of_such_a_function_are_an_error(tmp_path: Path) -> None:
    root = project(tmp_path, CALL.replace("(k, n)", "(n)"), "functions: {risk_score: 'VARCHAR INT -> DOUBLE'}")
    with pytest.raises(SqlError, match=r"V001__a.sql:2:\d+.*\n.*RISK_SCORE\(VARCHAR, INT\)"):
        commands.validate(root)


def test_another_project_does_not_have_it(tmp_path: Path) -> None:
    commands.validate(project(tmp_path / "one", CALL, "functions: {risk_score: 'VARCHAR INT -> DOUBLE'}"))
    with pytest.raises(SqlError, match="Can't find any functions with the name 'RISK_SCORE'"):
        commands.validate(project(tmp_path / "two", CALL))


@pytest.mark.parametrize("text", ["DOUBLE", "DUBLE -> INT", "INT -> "])
def test_a_function_that_cannot_be_read_names_the_settings(tmp_path: Path, text: str) -> None:
    root = project(tmp_path, CALL, json.dumps({"functions": {"risk_score": text}}))
    with pytest.raises(SqlError, match=r"settings.yml: functions: .*'VARCHAR INT -> DOUBLE'"):
        commands.validate(root)


def test_a_server_describes_its_functions(tmp_path: Path) -> None:
    asked: list[str] = []

    class Server(KsqlClient):
        def ask(self, text: str) -> list[dict[str, Any]]:
            asked.append(text)
            parts = [{"type": "VARCHAR", "isVariadic": False}, {"type": "ARRAY<STRUCT<X DOUBLE>>", "isVariadic": False}]
            several = {"arguments": [{"type": "VARCHAR", "isVariadic": True}], "returnType": "ARRAY<DOUBLE>"}
            return [{"type": "SCALAR", "functions": [{"arguments": parts, "returnType": "INT"}, several]}]

    root = project(tmp_path, CALL.replace("risk_score(k, n)", "risk_score(k, k, k)"))
    site.checked(root, None, client=Server("http://127.0.0.1:1"))
    assert asked == ["DESCRIBE FUNCTION `RISK_SCORE`;"]
    function = library.find("risk_score")
    assert function is not None
    assert [variation.result for variation in function.variations][1:] == [ArrayType("ARRAY", DOUBLE)]
    load_project(root)
    assert library.find("risk_score") is None
