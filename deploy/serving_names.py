"""The stable names of streams and tables that were built side by side.

A change side by side builds VOLUME_V2, and the record knows that VOLUME_V2 has the name VOLUME in the files. Readers
use the name in the files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from sqlglot.errors import TokenError
from sqlglot.tokenizer_core import TokenType

from opensea_metrics.core.errors import OpenSeaMetricsError, SqlError
from opensea_metrics.deploy.client import KsqlClient, KsqlError
from opensea_metrics.deploy.migrations.record.store import RecordStore
from opensea_metrics.sql.language.dialect import KsqlDB

T = TypeVar("T")


def serving_names(client: KsqlClient) -> dict[str, str]:
    """For objects that were built side by side: the name in the files → the name of the version that serves."""
    present = {source.name for source in (*client.streams(), *client.tables())}
    physical = RecordStore(client).read().physical_names
    # Until the old version is dropped, it serves under its own name.
    return {name: newest for name, newest in physical.items() if name not in present and newest in present}


def with_serving_names(text: str, names: Mapping[str, str]) -> str:
    """A statement in which the names of the files are replaced with those of the versions that serve."""
    try:
        tokens = KsqlDB().tokenize(text)
    except TokenError:
        return text
    pieces, end = [], 0
    for token in tokens:
        is_quoted = token.token_type == TokenType.IDENTIFIER
        name = token.text if is_quoted else token.text.upper()
        if token.token_type != TokenType.STRING and name in names:
            pieces += [text[end : token.start], f"`{names[name]}`"]
            end = token.end + 1
    return "".join([*pieces, text[end:]])


def reading(client: KsqlClient, text: str, run: Callable[[str], T]) -> T:
    """The result of ``run`` for a statement that reads. If it fails, run it on the versions that serve.

    Raises the error of ``run``. If it is about other versions than the statement names, it names them.
    """
    try:
        return run(text)
    except (KsqlError, SqlError):
        try:
            names = serving_names(client)
        except OpenSeaMetricsError:
            names = {}  # the first error says more
        serving = with_serving_names(text, names)
        if serving == text:
            raise
    try:
        return run(serving)
    except KsqlError as error:
        used = "; ".join(f"{newest} serves as {name}" for name, newest in names.items() if f"`{newest}`" in serving)
        raise KsqlError(error.status, error.error_code, f"{error.message}\n{used}", error.statement) from error
