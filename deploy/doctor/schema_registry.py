"""The Schema Registry: does it answer, and does it have the schemas of the long form?

Source: https://docs.confluent.io/platform/7.9/schema-registry/develop/api.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from opensea_metrics.core.wording import counted
from opensea_metrics.deploy.doctor import web
from opensea_metrics.deploy.doctor.checks import Check, Checker

report = Checker("schema registry")


def examine(url: str, topics: Sequence[str]) -> list[Check]:
    """Ask the registry at ``url`` for the value schemas of ``topics``. Raises Unreachable."""
    subjects = web.get(url, "subjects")
    with web.read_from(url):
        if not isinstance(subjects, list) or not all(isinstance(name, str) for name in subjects):
            raise TypeError
        latest = {
            topic: web.get(url, f"subjects/{topic}-value/versions/latest")
            for topic in topics
            if f"{topic}-value" in subjects
        }
        return judge(subjects, topics, latest)


def judge(
    subjects: Sequence[str], topics: Sequence[str], latest: Mapping[str, Mapping[str, Any]]
) -> list[Check]:
    """Checks of ``GET /subjects`` and of the latest version of each topic's value schema."""
    checks = [report.ok("reachable", counted(len(subjects), "subject"))]
    for topic in topics:
        if topic in latest:
            schema = latest[topic]
            kind = schema.get("schemaType", "AVRO")  # the registry omits the default
            checks.append(report.ok(topic, f"{kind}, version {schema['version']}"))
        else:
            checks.append(
                report.warning(
                    topic,
                    "no schema, so the sinks for Cassandra cannot read its records",
                    "apply the migrations with the setting long_form_format=AVRO"
                    " (OPENSEA_METRICS_VARIABLES; docker compose does)",
                )
            )
    return checks
