"""The command ``opensea-metrics``: options → ``commands`` → ``output``, and nothing else.

Exit codes: 0 done, or nothing to do; 1 an error, told on stderr in one message; 2 (``plan``
only) changes are pending.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import structlog
import typer

from deploy import commands, output
from deploy.client import ClientError, KsqlClient
from deploy.config import Settings
from deploy.demo import DemoFailed
from deploy.demo import run as run_demo
from deploy.embedded import server as embedded
from deploy.embedded.storage import StorageError
from deploy.migrations.errors import MigrationError
from deploy.migrations.rollback import RollbackPlan
from deploy.replies import Rows
from producer.archive import ArchiveError
from producer.replay import ArchiveSink, Counts, SourceError, frames_of
from producer.replay import replay as replay_frames
from producer.sample import bundled, write_sample
from sql.errors import SqlError


class ChangesPending(Exception):
    """Raised by ``plan`` for exit code 2."""


app = typer.Typer(
    name="opensea-metrics",
    help="Streaming metrics of the NFT market, defined in ksqlDB SQL.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Server = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="URL",
        help="The ksqlDB server or embedded server"
        " [default: $KSQLDB_URL, else http://127.0.0.1:8088].",
    ),
]
Sql = Annotated[
    Path | None,
    typer.Option(
        "--sql",
        metavar="DIR",
        help="Folder with settings.yml and migrations/ [default: ./sql, else the packaged one].",
    ),
]
Var = Annotated[
    list[str] | None,
    typer.Option("--var", metavar="NAME=VALUE", help="Override a setting; may be repeated."),
]


@app.command()
def plan(
    server: Server = None,
    sql: Sql = None,
    var: Var = None,
    to: Annotated[int | None, typer.Option(metavar="V", help="Stop at version V.")] = None,
) -> None:
    """Show what apply would do; exits with 2 if changes are pending.

    Example: opensea-metrics plan --server http://ksqldb:8088
    """
    made = commands.plan(_client(server), sql, _variables(var), to)
    if not made.migrations:
        print("nothing to do")
        return
    output.show_plan(made)
    raise ChangesPending


@app.command()
def apply(
    server: Server = None,
    sql: Sql = None,
    var: Var = None,
    to: Annotated[int | None, typer.Option(metavar="V", help="Stop at version V.")] = None,
) -> None:
    """Apply the pending migrations; after a failure, goes on where it stopped.

    Example: opensea-metrics apply --to 3
    """
    with output.Reporter() as report:
        made = commands.apply(_client(server), sql, _variables(var), to, report)
    versions = ", ".join(f"V{each.migration.version:03}" for each in made.migrations)
    print(f"applied {versions}" if versions else "nothing to do")


@app.command()
def rollback(
    server: Server = None,
    sql: Sql = None,
    var: Var = None,
    to: Annotated[
        int | None,
        typer.Option(
            metavar="V", help="Undo all versions above V, 0 for all [default: the newest only]."
        ),
    ] = None,
    keep_topics: Annotated[
        bool, typer.Option("--keep-topics", help="Delete no topics: the data stays.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Undo applied migrations, the newest first, and delete the topics that they made.

    Example: opensea-metrics rollback --to 2 --keep-topics
    """

    def consent(made: RollbackPlan) -> bool:
        if yes:
            return True
        output.show_rollback(made, stderr=True)
        if not sys.stdin.isatty():
            raise MigrationError("nothing was rolled back: give consent with --yes")
        return typer.confirm("Roll back?", err=True)

    variables = _variables(var)
    client = _client(server)
    with output.Reporter() as report:
        made = commands.rollback(client, consent, sql, variables, to, keep_topics, report)
    versions = ", ".join(f"V{each.record.version:03}" for each in made.versions)
    print(f"rolled back {versions}" if versions else "nothing to do")


@app.command()
def status(server: Server = None, sql: Sql = None, var: Var = None) -> None:
    """Show where each version stands.

    Example: opensea-metrics status
    """
    output.show_status(commands.status(_client(server), sql, _variables(var)))


@app.command()
def validate(sql: Sql = None, var: Var = None) -> None:
    """Render and check all statements; no server is needed.

    Example: opensea-metrics validate --sql ./sql --var windows="[30s, 1m]"
    """
    found = commands.validate(sql, _variables(var))
    print(f"{found.migrations} migrations, {found.statements} statements in {found.root}: valid")


@app.command()
def query(
    text: Annotated[str, typer.Argument(metavar="QUERY", help="A SELECT, SHOW or DESCRIBE.")],
    server: Server = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
) -> None:
    """Run a query and print its rows; EMIT CHANGES goes on until LIMIT or Ctrl-C.

    Example: opensea-metrics query "SHOW TABLES"
    """
    found = commands.query(_client(server), text)
    with suppress(KeyboardInterrupt):
        if json:
            output.show_json(found)
        elif not isinstance(found, Rows):
            output.show_reply(found)
        elif commands.is_push(text):
            output.show_push(found)
        else:
            output.show_rows(found)


@app.command()
def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the server up until Ctrl-C, and say what to try.")
    ] = False,
    port: Annotated[int, typer.Option(help="Port on loopback; 0: a free one.")] = 0,
    data_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where to keep the data [default: a temporary folder]."),
    ] = None,
) -> None:
    """Run everything on sample events, with the embedded server, and show metrics.

    Example: opensea-metrics demo --keep --port 8088
    """
    with tempfile.TemporaryDirectory(prefix="opensea-metrics-") as temporary:
        run_demo(data_dir or Path(temporary), port, _hold if keep else None)


def _hold(url: str) -> None:
    print(
        f"""
the server stays up at {url} until Ctrl-C; in another terminal:
  opensea-metrics query --server {url} "SELECT * FROM collection_1_minute WHERE collection = 'otters-000'"
  opensea-metrics query --server {url} "SELECT collection, usd FROM sales WHERE usd > 1000 EMIT CHANGES LIMIT 5"
  opensea-metrics status --server {url}
  opensea-metrics rollback --server {url} --to 3"""
    )
    with suppress(KeyboardInterrupt):
        threading.Event().wait()


@app.command()
def serve(
    data_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where data is [default: ./.opensea-metrics].")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8088,
) -> None:
    """Run the embedded server until Ctrl-C; topics are the folders DIR/topics/<topic>.

    Example: opensea-metrics serve --data-dir /var/lib/opensea-metrics
    """
    directory = data_dir or Settings().data_dir
    print(f"serving on http://{host}:{port}, data in {directory}", file=sys.stderr)
    embedded.serve(directory, host, port)


@app.command()
def sample(
    out: Annotated[Path, typer.Option(metavar="DIR", help="The events go to DIR/topics/.")],
    events: Annotated[int, typer.Option(help="How many.")] = 100_000,
    seed: Annotated[int, typer.Option(help="The same seed makes the same events.")] = 1,
) -> None:
    """Make sample events as archive files: a day of a busy market.

    Example: opensea-metrics sample --events 1000000 --out .opensea-metrics
    """

    def progress(counts: Counts) -> None:
        print(f"{counts.read} of {events} events", file=sys.stderr)

    print(write_sample(out, events, seed, progress=progress))


@app.command()
def replay(
    recording: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="Frames, one a line (.ndjson, .gz) [the sample]."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The server's data [./.opensea-metrics].")
    ] = None,
    speed: Annotated[
        float | None, typer.Option(help="Times the original speed [as fast as possible].")
    ] = None,
) -> None:
    """Replay recorded frames into an archive that the embedded server reads.

    Example: opensea-metrics replay recording.ndjson.gz --speed 10
    """
    frames = frames_of(recording) if recording else bundled()
    sink = ArchiveSink(out or Settings().data_dir)
    try:
        print(replay_frames(frames, sink, speed=speed, flush_seconds=1.0))
    finally:
        sink.close()


_FORESEEN = (
    SqlError,
    ClientError,
    MigrationError,
    StorageError,
    embedded.PortInUse,
    DemoFailed,
    ArchiveError,
    SourceError,
    OSError,
)


def main() -> None:
    """Run the command; every foreseeable error becomes one message on stderr and exit code 1."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    code: int | str | None
    try:
        app()
    except ChangesPending:
        code = 2
    except _FORESEEN as error:
        print(f"error: {error}", file=sys.stderr)
        code = 1
    except SystemExit as error:
        # A mistyped option ends with 2, which here means that changes are pending.
        code = 1 if error.code == 2 else error.code
    sys.exit(code)


def _client(server: str | None) -> KsqlClient:
    return KsqlClient(server or Settings().ksqldb_url)


def _variables(given: list[str] | None) -> dict[str, str]:
    variables = {}
    for each in given or ():
        name, equals, value = each.partition("=")
        if not equals:
            raise typer.BadParameter(f"{each!r} is not NAME=VALUE", param_hint="--var")
        variables[name] = value
    return variables
