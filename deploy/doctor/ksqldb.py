"""ksqlDB: is it there, are the migrations applied, and do their queries run?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from opensea_metrics.deploy import commands
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.client.errors import ClientError
from opensea_metrics.deploy.doctor.checks import Check, Report, Unreachable
from opensea_metrics.deploy.migrations.plan.files import VersionStatus
from opensea_metrics.deploy.migrations.record.records import VersionState
from opensea_metrics.deploy.replies import Query, ServerInfo

report = Report("ksqldb")


def examine(
    client: KsqlClient, root: Path | None, variables: dict[str, str]
) -> tuple[list[Check], str]:
    """The checks, and the server's id, by which its consumer groups are named. Raises Unreachable."""
    try:
        info = client.info()
        healthy = client.healthcheck()
        queries = client.queries()
    except ClientError as error:
        raise Unreachable(str(error)) from None
    versions = commands.status(client, root, variables)
    return judge(info, healthy, queries, versions), info.service_id


def judge(
    info: ServerInfo, healthy: bool, queries: Sequence[Query], versions: Sequence[VersionStatus]
) -> list[Check]:
    """Checks of a server's replies, and of where each migration stands."""
    found = [
        report.ok("reachable", f"version {info.version}, service {info.service_id}")
        if healthy and info.status == "RUNNING"
        else report.failed(
            "healthy",
            f"{info.status.lower()}, version {info.version}",
            "it may still start; else /healthcheck and its log say which part ails",
        )
    ]
    states = Counter(each.state for each in queries)
    bad = [each.id for each in queries if each.state not in ("RUNNING", "PAUSED")]
    paused = [each.id for each in queries if each.state == "PAUSED" or each.paused]
    if bad:
        found.append(
            report.failed(
                "queries",
                f"{len(bad)} of {len(queries)} do not run: {_some(bad)}",
                'opensea-metrics query "EXPLAIN <id>;" shows its errors;'
                " mended, it is tried again by itself, or at a restart of the server",
            )
        )
    elif not queries:
        found.append(report.warning("queries", "none", "opensea-metrics apply makes the metrics"))
    elif paused:
        found.append(
            report.warning(
                "queries", f"{len(paused)} are paused: {_some(paused)}", "RESUME <id>; or ALL"
            )
        )
    else:
        found.append(report.ok("queries", f"{states['RUNNING']} run"))
    return [*found, _migrations(versions)]


def _migrations(versions: Sequence[VersionStatus]) -> Check:
    pending = [each for each in versions if each.state is not VersionState.MIGRATED]
    if pending:
        return report.warning(
            "migrations",
            ", ".join(f"V{each.version:03} {each.state.value.lower()}" for each in pending),
            "opensea-metrics plan shows what is to do, apply does it",
        )
    changed = [f"V{each.version:03}" for each in versions if each.changed]
    if changed:
        return report.warning(
            "migrations",
            f"{', '.join(changed)} differ from what was applied",
            "opensea-metrics validate shows how; with other settings than here they were applied by"
            " docker compose: set OPENSEA_METRICS_VARIABLES as in .env.example",
        )
    return report.ok("migrations", f"all {len(versions)} applied")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
