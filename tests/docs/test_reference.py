"""The pages of docs/reference/ are what the code says, and leave nothing out."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

import opensea_metrics.deploy.config
import opensea_metrics.deploy.doctor.examination
import opensea_metrics.producer.archive.s3
import opensea_metrics.spark_batch.cassandra_session
import opensea_metrics.spark_batch.settings  # noqa: F401
from opensea_metrics.producer.environment import Environment
from tests.docs.markdown import ROOT
from tests.docs.reference import FOLDER, MEANINGS, PAGES, REST, catalog, routes


@pytest.fixture(scope="module")
def generated() -> dict[str, str]:
    """All pages, by name."""
    # In a process of its own, because commands that other tests run change what typer knows of their options.
    program = "import json; from tests.docs.reference import PAGES; print(json.dumps({n: PAGES[n]() for n in PAGES}))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    pages: dict[str, str] = json.loads(done.stdout)
    return pages


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_code_says(generated: dict[str, str], name: str) -> None:
    page = generated[name].rstrip("\n") + "\n"
    assert (FOLDER / name).read_text(encoding="utf-8") == page, "run: make docs"


def test_every_page_is_generated() -> None:
    assert {path.name for path in FOLDER.iterdir()} == PAGES.keys()


def test_every_path_of_the_server_is_described() -> None:
    assert {path for path, _ in routes()} == REST.keys()


def test_every_meaning_belongs_to_a_column() -> None:
    for table in MEANINGS.keys() - {"common"}:
        columns = {column.name for column in catalog().sources[f"{table}_1_MINUTE"].columns}
        assert MEANINGS[table].keys() - columns == set()


def variables(settings: type[Environment]) -> set[str]:
    """The environment variables of a class of settings and its subclasses."""
    prefix = str(settings.model_config.get("env_prefix", ""))
    own = {
        str(field.validation_alias) if isinstance(field.validation_alias, str) else f"{prefix}{name}".upper()
        for name, field in settings.model_fields.items()
    }
    return own.union(*map(variables, settings.__subclasses__()))


def test_every_variable_is_on_the_page() -> None:
    named = set(re.findall(r"^\| `(\w+)`", (FOLDER / "settings.md").read_text(encoding="utf-8"), re.MULTILINE))
    # KSQLDB_URL needs no prefix.
    assert variables(Environment) - named - {"OPENSEA_METRICS_KSQLDB_URL"} == set()


def test_every_variable_and_setting_has_a_meaning() -> None:
    rows = re.findall(r"^\| (`\w+`) \| (.*?) \|", (FOLDER / "settings.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) > 60
    assert [name for name, meaning in rows if not meaning.strip()] == []
