"""The verb that computes past periods from the archive."""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from enum import StrEnum
from typing import Annotated

import typer

from opensea_metrics.core.wording import counted
from opensea_metrics.deploy.cli import options, progress
from opensea_metrics.deploy.cli.app import app
from opensea_metrics.deploy.cli.logs import log_to_stderr
from opensea_metrics.deploy.output.batch import show_counts, show_table, size_text
from opensea_metrics.deploy.output.damage import show_refused
from opensea_metrics.deploy.output.plain import say
from opensea_metrics.producer.archive.location import open_archive
from opensea_metrics.spark_batch import publish
from opensea_metrics.spark_batch.job import Results
from opensea_metrics.spark_batch.period import duration, parse_time, parse_window
from opensea_metrics.spark_batch.recompute import Prepared, Request, computed, prepare
from opensea_metrics.spark_batch.run_description import description, function_checksums
from opensea_metrics.sql.language.catalog.moments import CatalogDefinitions, Moments
from opensea_metrics.sql.language.project.project import find_root, load_settings


class EngineName(StrEnum):
    """Which engine computes a past period."""

    AUTO = "auto"
    DUCKDB = "duckdb"
    SPARK = "spark"


class LateRecords(StrEnum):
    """Whether late records count."""

    COMPLETE = "complete"
    AS_STREAMED = "as-streamed"


class LogLevel(StrEnum):
    """The lowest level that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


SourceUrl = Annotated[
    str | None,
    typer.Option(
        "--source",
        metavar="URL",
        help="The topic's folder: a path, or s3a://bucket/topics/OpenSeaRawEvents.",
        show_default="the embedded server's folder",
    ),
]
From = Annotated[
    str | None, typer.Option("--from", metavar="TIME", help="Start, UTC: 2026-09-15[T10:30].")
]
Until = Annotated[str | None, typer.Option("--to", metavar="TIME", help="End, exclusive, UTC.")]
Margin = Annotated[
    str,
    typer.Option(
        metavar="DURATION",
        help="How long after its event a record may be filed. The run reads this much past --to.",
    ),
]


@app.command()
def recompute(
    wanted: Annotated[
        str,
        typer.Argument(
            metavar="global|collections|all|TABLE",
            help="Metrics of the market, of collections, all tables of the windows, or one table by name.",
        ),
    ] = "all",
    window: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SIZE",
            help="'1 hour', '12 hours', '1 day', '7 days', '14 days', 'all time' or any other. May be"
            " repeated.",
            show_default="the windows of settings.yml",
        ),
    ] = None,
    slide: Annotated[
        str | None, typer.Option(metavar="STEP", help="Make hopping windows: one starts every STEP.")
    ] = None,
    trailing: Annotated[
        bool,
        typer.Option("--trailing", help="Count windows back from --to instead of from 1970-01-01."),
    ] = False,
    from_: From = None,
    to: Until = None,
    source: SourceUrl = None,
    engine: Annotated[
        EngineName, typer.Option(help="auto: Spark if a master is set or there are many GB of files.")
    ] = EngineName.AUTO,
    margin: Margin = "1 hour",
    late: Annotated[
        LateRecords,
        typer.Option(
            help="complete: all records count. as-streamed: a record that arrived after its window's grace period is"
            " dropped, as a server drops it."
        ),
    ] = LateRecords.COMPLETE,
    to_parquet: Annotated[
        str | None, typer.Option(metavar="URL", help="Write one Parquet file per table to a folder or bucket.")
    ] = None,
    to_json: Annotated[
        str | None, typer.Option(metavar="URL", help="Write one file of JSON lines per table.")
    ] = None,
    to_csv: Annotated[
        str | None, typer.Option(metavar="URL", help="Write one CSV file per table.")
    ] = None,
    to_kafka: Annotated[
        bool, typer.Option("--to-kafka", help="Write the long form to its topics, in one transaction.")
    ] = False,
    to_cassandra: Annotated[
        bool, typer.Option("--to-cassandra", help="Write the long form to its tables.")
    ] = False,
    sql: options.Sql = None,
    var: options.Var = None,
    log_level: Annotated[LogLevel, typer.Option(help="The lowest level to log on stderr.")] = LogLevel.WARNING,
) -> None:
    """Compute the metrics of a past period from the archive, with the statements of sql/.

    Without a --to-… option the tables are printed. Windows are [start, end) in UTC. As in ksqlDB, they are
    aligned to 1970-01-01, so 7-day windows start on Thursdays. With --trailing they are aligned to --to, and
    counted back from there.

    A join, a query over a table and --late as-streamed depend on the order of all records. For these, the whole
    archive is read from its start, in the order in which a server reads it. If an engine cannot compute a query
    exactly, the command refuses and names the query.

    Example: opensea-metrics recompute all --window '1 day' --from 2026-09-15 --to 2026-09-16 --to-parquet out
    """
    log_to_stderr(getattr(logging, log_level.upper()))
    variables = options.variables(var)
    request = Request(
        wanted=wanted,
        windows=tuple(parse_window(window_size, slide) for window_size in window or ()),
        first=parse_time(from_) if from_ else None,
        end=parse_time(to) if to else None,
        trailing=trailing,
        engine=engine,
        margin=duration(margin),
        long_form=to_kafka or to_cassandra,
        as_streamed=late is LateRecords.AS_STREAMED,
    )
    prepared = prepare(request, open_archive(source or archive(sql, variables)), sql, variables)
    files = [(form, url) for form, url in (("parquet", to_parquet), ("ndjson", to_json), ("csv", to_csv)) if url]
    for _, url in files:
        publish.check(url)
    if to_kafka:
        _check_json(prepared)
    began = time.time()
    size = sum(file.size for file in prepared.job.files)
    with ExitStack() as stack:
        stack.enter_context(progress.ending_in_order())
        with progress.bar(f"reading {size_text(size)}", size, "bytes") as update:
            results = stack.enter_context(computed(prepared, lambda done, _: update(done)))
        for form, url in files:
            _write(prepared, results, form, url, began)
        if to_kafka:
            _send(prepared, results)
        if to_cassandra:
            _insert(prepared, results)
        if not (files or request.long_form):
            for name in prepared.tables:
                table = results.table(name)
                show_table(name, table.schema, table.batches, _moments(prepared).of_source(name))
        show_counts(prepared.job.period.text, prepared.engine, results.counts, time.time() - began)
        show_refused(prepared.job.refused)


def archive(sql: options.Sql, variables: dict[str, str]) -> str:
    """The folder of the raw topic on the embedded server."""
    topic = load_settings(sql or find_root(), variables).get("raw_topic")
    return str(options.data_dir() / "topics" / str(topic))


def _write(prepared: Prepared, results: Results, form: str, url: str, began: float) -> None:
    with publish.published(url) as folder:
        functions = function_checksums()  # while threads compute the tables
        tables = (results.table(name) for name in prepared.tables)
        if form == "parquet":
            moments = _moments(prepared)
            tables = (publish.with_timestamps(table, moments.of_source(table.name)) for table in tables)
        rows = publish.write_tables(folder, tables, form)
        publish.write_description(folder, description(prepared, functions, results.counts, rows, began))
    say(f"{counted(sum(rows.values()), 'row')} of {counted(len(rows), 'table')} in {url}")


def _moments(prepared: Prepared) -> Moments:
    return Moments(CatalogDefinitions(prepared.job.pipeline.catalog))


def _check_json(prepared: Prepared) -> None:
    """Refuse to write JSON to a topic whose readers expect another format."""
    from opensea_metrics.spark_batch.kafka import KafkaSinkError

    for stream in prepared.long_form.values():
        if stream.value_format != "JSON":
            raise KafkaSinkError(
                f"The topic {stream.topic} holds {stream.value_format} (long_form_format), but --to-kafka "
                "writes JSON. Use --to-cassandra, or write files with --to-parquet."
            )


def _send(prepared: Prepared, results: Results) -> None:
    from opensea_metrics.producer.settings import KafkaSettings
    from opensea_metrics.spark_batch.kafka import KafkaResultSink

    sink = KafkaResultSink(KafkaSettings())
    try:
        sent = {
            stream.topic: sink.send(stream.topic, results.table(stream.name).batches)
            for stream in prepared.long_form.values()
        }
        sink.commit()
    except BaseException:
        sink.abort()
        raise
    for topic, rows in sent.items():
        say(f"{counted(rows, 'row')} for the topic {topic}")


def _insert(prepared: Prepared, results: Results) -> None:
    from opensea_metrics.spark_batch import cassandra
    from opensea_metrics.spark_batch.cassandra_session import CassandraSettings

    settings = CassandraSettings()
    tables: dict[str, cassandra.Table] = {
        "global": "global_metrics", "collections": "collections_metrics",
    }  # fmt: skip
    for kind, stream in prepared.long_form.items():
        rows = cassandra.write(results.table(stream.name).batches, tables[kind], settings)
        say(f"{counted(rows, 'row')} for the table {tables[kind]}")
