"""The verbs for Python functions in SQL."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from opensea_metrics.core.definition import Definition, UdfError
from opensea_metrics.core.wording import counted
from opensea_metrics.deploy.cli.app import app
from opensea_metrics.deploy.output.plain import say
from opensea_metrics.sql.language.functions import library
from opensea_metrics.udfs import check, engines, registry
from opensea_metrics.udfs.ksqldb import build

udfs = typer.Typer(help="Python functions that SQL can call.", no_args_is_help=True)
app.add_typer(udfs, name="udfs")

KsqlDb = Annotated[
    list[Path] | None,
    typer.Option(
        "--ksqldb",
        metavar="DIR",
        help="A folder with ksqlDB's jars, such as /usr/share/java/ksqldb-rest-app. May be repeated.",
    ),
]


_SHOWN = 5


@udfs.command("list")
def list_functions(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]…", help="List only these functions.")] = None,
) -> None:
    """List the functions with their parameters, results and the checksums of their code.

    A project's own functions are in the *.py files of the folders that $OPENSEA_METRICS_UDFS lists.

    Example: opensea-metrics udfs list TOP_BY_KEY
    """
    for definition in _chosen(names):
        say(f"{definition.signature}\n  {definition.description}")
        for parameter in (*definition.parameters, *definition.constants):
            nullable = " (may be NULL)" if parameter.nullable else ""
            say(f"    {parameter.name}: {parameter.description}{nullable}")
        say(f"  {definition.kind}, {definition.place}, {registry.checksum(definition.name)[:12]}")


@udfs.command("test")
def check_functions(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]…", help="Test only these functions.")] = None,
    count: Annotated[int, typer.Option(help="Random arguments for each function.")] = 2_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same arguments.")] = 1,
    ksqldb: KsqlDb = None,
    spark: Annotated[bool, typer.Option("--spark", help="Also run in Spark (needs pyspark and a JDK).")] = False,
) -> None:
    """Run the examples in docstrings and random arguments on every engine, and show where results differ.

    The engines are plain Python and DuckDB. --ksqldb adds the generated Java classes in a JVM, and --spark
    adds a local Spark. Exits with 1 if results differ.

    Example: opensea-metrics udfs test --count 10000 --ksqldb /usr/share/java/ksqldb-rest-app
    """
    logging.getLogger("opensea_metrics.udfs").setLevel(logging.CRITICAL)  # random arguments make functions raise
    chosen = _chosen(names)
    with tempfile.TemporaryDirectory() as folder:
        chosen_engines = engines.present(Path(folder), ksqldb or (), spark)
        failure_count = 0
        for definition in chosen:
            failures = [*check.examples(definition), *check.laws(definition, count, seed)]
            failures += map(str, check.differences(definition, chosen_engines, count, seed))
            failure_count += len(failures)
            engine_names = ", ".join(["python", *(engine.name for engine in chosen_engines)])
            say(f"{definition.name}: {counted(len(failures), 'failure') if failures else 'the same'} on {engine_names}")
            for failure in failures[:_SHOWN]:
                say(f"  {failure}")
    if failure_count:
        raise UdfError(counted(failure_count, "failure"))


@udfs.command("build")
def build_jars(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the jars go.")] = Path("build/udfs"),
    ksqldb: KsqlDb = None,
    one: Annotated[
        bool,
        typer.Option("--one", help="Build one jar with everything, for a server whose class path you cannot set."),
    ] = False,
    docker: Annotated[
        bool, typer.Option("--docker", help="Build an image of ksqlDB with the functions instead.")
    ] = False,
    tag: Annotated[str, typer.Option(help="The image's name, with --docker.")] = "opensea-metrics-ksqldb",
) -> None:
    """Build the functions' jars for ksqlDB, or with --docker an image that has everything.

    Needs a JDK, Jep (pip install 'opensea-metrics[ksqldb]') and ksqlDB's jars. With --docker it needs only
    a Docker engine.

    Example: opensea-metrics udfs build --ksqldb /usr/share/java/ksqldb-rest-app
    """
    library.known()  # raises if a function has the name of one of ksqlDB's
    if docker:
        build.build_image(tag)
        say(f"image {tag}")
        return
    if not ksqldb:
        raise UdfError("there are no jars of ksqlDB to build for: give their folder with --ksqldb DIR, or --docker")
    built = build.build(out, ksqldb, one)
    say(f"{built.extension}: for the folder that ksql.extension.dir names")
    for jar in built.class_path:
        say(f"{jar}: for the server's class path (KSQL_CLASSPATH)")
    say("the server's JVM needs -Dpyudf.venv=DIR, a virtual environment with opensea-metrics[ksqldb]")


def _chosen(names: list[str] | None) -> list[Definition]:
    known = registry.functions()
    if unknown := [name for name in names or () if name.upper() not in known]:
        raise UdfError(f"there is no Python function {unknown[0]}; see opensea-metrics udfs list")
    return [known[name.upper()] for name in names] if names else list(known.values())
