"""The cases of ``records.yml``: streams, the lines of their topics, and the rows that ksqlDB reads from these."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opensea_metrics.core.types import MapType
from opensea_metrics.deploy.embedded.queries import reply_values
from opensea_metrics.sql.language.catalog.sources import Column
from opensea_metrics.sql.language.values.topic_json import dump
from tests.parts.yaml_files import read_yaml

_CASES: list[dict[str, Any]] = read_yaml(Path(__file__).with_suffix(".yml"))


@dataclass(frozen=True)
class Case:
    """``columns`` and ``properties`` are SQL. ``spark_refuses`` is a type that Spark does not have, if any.

    In the file ``line`` is a text, and ``bytes`` is a text whose characters stand for bytes.
    """

    name: str
    columns: str
    properties: str
    lines: list[bytes]
    rows: list[list[Any]]
    spark_refuses: str | None

    def declaration(self, stream: str, topic: str) -> str:
        """The statement that declares the stream."""
        return (
            f"CREATE STREAM {stream} ({self.columns})"
            f" WITH (KAFKA_TOPIC='{topic}', VALUE_FORMAT='JSON', PARTITIONS=1, {self.properties});"
        )


CASES = [
    Case(
        entry["name"],
        entry["columns"],
        entry["with"],
        [
            record["bytes"].encode("latin-1") if "bytes" in record else record["line"].encode()
            for record in entry["records"]
        ],
        [record["row"] for record in entry["records"] if "row" in record],
        entry.get("spark_refuses"),
    )
    for entry in _CASES
]


def shown_as_in_replies(columns: Sequence[Column], rows: Iterable[Sequence[Any]]) -> list[Any]:
    """Rows of an engine as ksqlDB's replies have them. Arrow gives maps as pairs."""
    show = reply_values.row_converter([column.type for column in columns])
    maps = [isinstance(column.type, MapType) for column in columns]
    return as_json(
        show([dict(value) if is_map and value else value for value, is_map in zip(row, maps, strict=True)])
        for row in rows
    )


def as_json(rows: Iterable[Sequence[Any]]) -> list[Any]:
    """Rows with the values of their JSON."""
    return [json.loads(dump({"row": row}))["row"] for row in rows]
