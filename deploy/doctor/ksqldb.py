"""ksqlDB: does it answer, are the migrations applied, and do their queries run?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from opensea_metrics.deploy import commands
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.client.errors import ClientError
from opensea_metrics.deploy.doctor.checks import Check, Checker, Unreachable
from opensea_metrics.deploy.migrations.plan.files import VersionStatus
from opensea_metrics.deploy.migrations.record.records import VersionState
from opensea_metrics.deploy.replies import ServerInfo, ServerQuery

report = Checker("ksqldb")


def examine(
    client: KsqlClient, root: Path | None, variables: dict[str, str]
) -> tuple[list[Check], str]:
    """The checks, and the service id, which begins the names of consumer groups. Raises Unreachable."""
    try:
        info = client.info()
        healthy = client.healthcheck()
        queries = client.queries()
        disk = client.disk()
    except ClientError as error:
        raise Unreachable(str(error)) from None
    versions = commands.status(client, root, variables)
    checks = judge(info, healthy, queries, versions)
    return [*checks, *([_disk(disk)] if disk else [])], info.service_id


def judge(
    info: ServerInfo, healthy: bool, queries: Sequence[ServerQuery], versions: Sequence[VersionStatus]
) -> list[Check]:
    """Checks of a server's replies, and of the state of each migration."""
    checks = [
        report.ok("reachable", f"version {info.version}, service {info.service_id}")
        if healthy and info.status == "RUNNING"
        else report.failed(
            "healthy",
            f"{info.status.lower()}, version {info.version}",
            "it may still be starting; if not, /healthcheck and its log say which part is unhealthy",
        )
    ]
    states = Counter(query.state for query in queries)
    bad = [query.id for query in queries if query.state not in ("RUNNING", "PAUSED")]
    paused = [query.id for query in queries if query.state == "PAUSED" or query.paused]
    if bad:
        checks.append(
            report.failed(
                "queries",
                f"{len(bad)} of {len(queries)} do not run: {_some(bad)}",
                'opensea-metrics query "EXPLAIN <id>;" shows its errors; once you have fixed the cause,'
                " the server restarts the query by itself or when the server restarts",
            )
        )
    elif not queries:
        checks.append(report.warning("queries", "none", "opensea-metrics apply creates them"))
    elif paused:
        checks.append(
            report.warning(
                "queries", f"{len(paused)} are paused: {_some(paused)}", "RESUME <id>; or ALL"
            )
        )
    else:
        checks.append(report.ok("queries", f"{states['RUNNING']} run"))
    return [*checks, _migrations(versions)]


def _disk(used: Mapping[str, Any]) -> Check:
    """The disk use that an embedded server reports."""
    largest = [
        f"{name} {size / 1e6:,.1f} MB"
        for kind in ("topics", "queries")
        for name, size in sorted(used[kind].items(), key=lambda item: -item[1])[:2]
    ]
    files = sum(used["files"].values())
    return report.ok(
        "disk",
        f"database {used['database'] / 1e6:,.1f} MB ({', '.join(largest)}), files of topics {files / 1e6:,.1f} MB",
    )


def _migrations(versions: Sequence[VersionStatus]) -> Check:
    pending = [version for version in versions if version.record.state is not VersionState.MIGRATED]
    if pending:
        return report.warning(
            "migrations",
            ", ".join(f"V{version.record.version:03} {version.record.state.value.lower()}" for version in pending),
            "opensea-metrics plan shows what apply would do",
        )
    changed = [f"V{version.record.version:03}" for version in versions if version.changed]
    if changed:
        return report.warning(
            "migrations",
            f"changed since they were applied: {', '.join(changed)}",
            "opensea-metrics validate shows how; if docker compose applied them with other settings,"
            " set OPENSEA_METRICS_VARIABLES as in .env.example",
        )
    return report.ok("migrations", f"all {len(versions)} applied")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
