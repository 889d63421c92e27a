"""The verb that compares streamed windows with those recomputed from the archive."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import typer

from opensea_metrics.core.quoting import ksqldb_quoted
from opensea_metrics.deploy.cli import options, progress, server_access
from opensea_metrics.deploy.cli.app import ChangesPending, app
from opensea_metrics.deploy.cli.batch import EngineName, From, Margin, SourceUrl, Until, archive
from opensea_metrics.deploy.output.damage import show_refused
from opensea_metrics.deploy.output.reconcile import (
    COLUMNS,
    difference_objects,
    differences_json,
    show_differences,
)
from opensea_metrics.deploy.output.reports import WholeReport, write_report
from opensea_metrics.deploy.serving_names import serving_names
from opensea_metrics.producer.archive.layout import HOUR_MS
from opensea_metrics.producer.archive.location import open_archive
from opensea_metrics.spark_batch.period import duration, parse_time
from opensea_metrics.spark_batch.recompute import Request, prepare
from opensea_metrics.spark_batch.reconcile import run as comparison
from opensea_metrics.spark_batch.targets import window_of


@app.command()
def reconcile(
    table: Annotated[
        str, typer.Option("--table", metavar="T", help="A windowed table, such as collection_1_minute.")
    ],
    from_: From = None,
    to: Until = None,
    source: SourceUrl = None,
    engine: Annotated[
        EngineName, typer.Option(help="auto: Spark if a master is set or there are many GB of files.")
    ] = EngineName.AUTO,
    margin: Margin = "1 hour",
    server: options.Server = None,
    sql: options.Sql = None,
    var: options.Var = None,
    form: options.Format = None,
    out: options.Out = None,
    json: Annotated[bool, typer.Option("--json", help="Print all differences as one JSON object.")] = False,
) -> None:
    """Compare a table's windows on the server with those recomputed from the archive.

    Shows each row that differs, by how much, and why: late rows, duplicates or gaps in the archive, or a
    window that is still open. Exits with 2 if rows differ.

    Example: opensea-metrics reconcile --table collection_30_minutes --from 2026-09-15 --to 2026-09-16
    """
    view = options.report_view(form, out, json)
    variables = options.variables(var)
    request = Request(
        wanted=table,
        windows=(),
        first=parse_time(from_) if from_ else None,
        end=parse_time(to) if to else None,
        engine=engine,
        margin=duration(margin),
    )
    prepared = prepare(request, open_archive(source or archive(sql, variables)), sql, variables)
    show_refused(prepared.job.refused)
    target = comparison.table_of(prepared)
    client = server_access.client(server)
    serving = serving_names(client)

    def pull(
        name: str, first: int, end: int, limit: int | None = None
    ) -> Iterable[Mapping[str, Any]]:
        windows = f"WINDOWSTART >= {first} AND WINDOWSTART < {end}"
        ending = "" if limit is None else f" LIMIT {limit}"
        return client.pull(f"SELECT * FROM {ksqldb_quoted(serving.get(name, name))} WHERE {windows}{ending};")

    period = prepared.job.period
    with progress.bar(f"comparing {target.name}", period.end - period.first, "hours") as update:
        compared = list(
            comparison.reconcile(prepared, pull, lambda done, _: update(done, done // HOUR_MS))
        )
    findings = [finding for comparison_result in compared for finding in comparison_result.findings]
    window_and_retention = window_of(prepared.job.pipeline.catalog, target)
    assert window_and_retention is not None
    size = window_and_retention[0].size
    report = differences_json(target, size, (period.first, period.end), compared, findings)
    write_report(
        view,
        lambda: show_differences(target, period.text, compared, findings),
        difference_objects(report),
        COLUMNS,
        WholeReport(report, indent=2),
    )
    if findings:
        raise ChangesPending
