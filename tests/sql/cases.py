"""The cases of tests/sql/*.yml."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.changes import applied
from opensea_metrics.sql.language.statements.parser import parse_script
from tests.parts.yaml_files import read_yaml

FOLDER = Path(__file__).parent


def load(name: str) -> Any:
    """The content of a file, without its suffix."""
    return read_yaml(FOLDER / f"{name}.yml")


def each(cases: Iterable[dict[str, Any]], *keys: str) -> pytest.MarkDecorator:
    """Parametrises a test's ``case``; the values of ``keys`` name it."""
    named = [pytest.param(case, id=" → ".join(str(case[key]) for key in keys)) for case in cases]
    return pytest.mark.parametrize("case", named)


def catalog_of(statements: Iterable[str]) -> Catalog:
    """The catalog after some statements."""
    catalog = Catalog()
    for number, text in enumerate(statements):
        for statement in parse_script(text, "case"):
            catalog = applied(catalog, statement, number)
    return catalog
