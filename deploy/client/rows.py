"""Reads a query's reply while it arrives: its JSON objects, and the rows in them."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from opensea_metrics.deploy.client.errors import BadReply, ClientError, QueryEnded, error_in
from opensea_metrics.deploy.client.limits import REPLY_BYTES
from opensea_metrics.deploy.replies import Row
from opensea_metrics.deploy.reply_columns import ServerColumn
from opensea_metrics.deploy.shapes import WrongShape, listed, member, not_too_deep
from opensea_metrics.sql.language.dialect.lexical import summary

_BETWEEN = re.compile(r"[\[\], \r\n\t]*")
_DECODER = json.JSONDecoder()
_EXACT_DECODER = json.JSONDecoder(parse_float=Decimal)
_DECIMAL = "DECIMAL("
"""How a header describes a column whose type is or contains a DECIMAL."""


class Objects:
    """Reads the objects of a JSON array that arrives in pieces. A piece may end anywhere.

    With ``exact``, numbers with a fraction are Decimals if the header of the rows names a DECIMAL. Otherwise they are
    floats.
    """

    def __init__(self, exact: bool = False) -> None:
        self._exact = exact
        self._decoder = _DECODER
        self._text_of = codecs.getincrementaldecoder("utf-8")().decode
        self._buffer = ""
        self._size = 0

    @property
    def in_part(self) -> bool:
        """True while an object is incomplete."""
        return bool(self._buffer)

    def feed(self, piece: bytes) -> Iterator[Row]:
        """The objects that end in this piece. Raises WrongShape if it holds anything but JSON objects."""
        self._size += len(piece)
        try:
            self._buffer += self._text_of(piece)
        except UnicodeDecodeError:
            raise WrongShape("it is not UTF-8") from None
        at = self._skip(0)
        while at < len(self._buffer) and b"}" in piece:  # otherwise no object is complete
            try:
                value, end = self._decoder.raw_decode(self._buffer, at)
            except json.JSONDecodeError:
                break
            except RecursionError:
                raise WrongShape("it is nested too deeply") from None
            except ValueError:
                raise WrongShape("it has a number of thousands of digits") from None
            not_too_deep(value)
            self._size = 0
            if self._exact and _DECIMAL in str(value.get("header")):
                self._decoder = _EXACT_DECODER
            yield value
            at = self._skip(end)
        self._buffer = self._buffer[at:]
        if self._size > REPLY_BYTES:
            raise WrongShape(f"it has more than {REPLY_BYTES >> 20} MiB without a row")

    def _skip(self, at: int) -> int:
        """The offset of the next object. Raises WrongShape if something else is there."""
        between = _BETWEEN.match(self._buffer, at)
        at = between.end() if between else at
        if self._buffer[at : at + 1] == "<":
            raise WrongShape("it is HTML or XML, not JSON")
        if self._buffer[at : at + 1] not in ("", "{"):
            raise WrongShape("it is not a list of JSON objects")
        return at


@dataclass
class Values(Iterator[Sequence[Any]]):
    """The values of rows in the reply's order, one for each of ``columns``. DOUBLEs are floats.

    ``close_query`` ends an endless query on the server; it is None for a finite one. Iterating raises
    KsqlError if the server reports an error after rows, and BadReply. It raises QueryEnded if an endless
    query stops without a final message from the server.
    """

    replies: Generator[Row, None, None]
    columns: Sequence[ServerColumn]
    statement: str
    url: str
    close_query: Callable[[], None] | None
    _has_ended: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._has_decimals = any(_DECIMAL in column.type for column in self.columns)

    def __next__(self) -> Sequence[Any]:
        try:
            return self._next()
        except WrongShape as error:
            raise BadReply(self.url, f"POST /query ({summary(self.statement)})", str(error)) from None
        except (StopIteration, ClientError):
            self._has_ended = True
            raise

    def _next(self) -> Sequence[Any]:
        for reply in self.replies:
            if reply.get("row") is not None:
                values = listed(member(reply, "row"), "columns")
                if len(values) != len(self.columns):
                    raise WrongShape(f"it has {len(values)} values for {len(self.columns)} columns")
                if self._has_decimals:
                    pairs = zip(values, self.columns, strict=True)
                    return [value if _DECIMAL in column.type else _of_floats(value) for value, column in pairs]
                return values
            if reply.get("errorMessage") is not None:
                raise error_in(reply["errorMessage"], self.statement)
            if "finalMessage" in reply:
                raise StopIteration
        if self.close_query is not None:
            raise QueryEnded(self.url, self.statement, "its reply stops without a final message")
        raise StopIteration

    def close(self) -> None:
        """Close the reply. An endless query that still runs is closed on the server too."""
        if self.close_query is not None and not self._has_ended:
            self._has_ended = True
            self.close_query()
        self.replies.close()


def _of_floats(value: Any) -> Any:
    match value:
        case Decimal():
            return float(value)
        case list():
            return [_of_floats(item) for item in value]
        case dict():
            return {name: _of_floats(item) for name, item in value.items()}
    return value
