"""The decorators. A decorated function can still be called, and a decorated class can still be instantiated.

    @udf
    def net_price(usd: float, fee_bps: int) -> float:
        \"\"\"A price without the market's fee.

        fee_bps: the fee in hundredths of a percent

        >>> net_price(200.0, 250)
        195.0
        \"\"\"
        return usd * (10_000 - fee_bps) / 10_000

In SQL the function is NET_PRICE. If a plain parameter is NULL, the result is NULL and the function is not called.
With ``T | None``, the function is called with None. An exception makes the result NULL and is logged.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar, overload

from opensea_metrics.core.definition import (
    Definition,
    FunctionKind,
    Native,
    NativeSpark,
    UdfError,
)
from opensea_metrics.core.types import ArrayType
from opensea_metrics.udfs.hints import (
    constants_of,
    described,
    description_of,
    hints_of,
    parameters_of,
    result_of,
)
from opensea_metrics.udfs.types import name_of, no_json

F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound=type)

ATTRIBUTE = "__udf__"
"""The attribute in which a decorated function or class carries its Definition."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_METHODS = ("initialize", "accumulate", "merge", "finish")


@overload
def udf(function: F) -> F: ...
@overload
def udf(
    *, name: str | None = None, arrow: Callable[..., Any] | None = None, duckdb: str | None = None
) -> Callable[[F], F]: ...
def udf(
    function: Any = None,
    *,
    name: str | None = None,
    arrow: Callable[..., Any] | None = None,
    duckdb: str | None = None,
) -> Any:
    """Make a type-hinted function available in SQL as ``name`` (default: its own name, upper-cased).

    ``arrow`` returns the same results for whole Arrow arrays, for DuckDB and Spark. ``duckdb`` is an expression with
    the same results in DuckDB's SQL, in which ``{0}``, ``{1}`` … are the arguments.

    Raises UdfError for a parameter or result whose hint has no SQL type.
    """
    return _decorator("scalar", function, name, arrow, duckdb)


@overload
def udtf(function: F) -> F: ...
@overload
def udtf(*, name: str | None = None) -> Callable[[F], F]: ...
def udtf(function: Any = None, *, name: str | None = None) -> Any:
    """Make a function that returns ``list[T]`` a table function, with one row per element, like EXPLODE."""
    return _decorator("table", function, name)


def udaf(
    *,
    name: str | None = None,
    changelog_safe: bool = False,
    native: Native | None = None,
    native_spark: NativeSpark | None = None,
) -> Callable[[C], C]:
    """Make a class an aggregate function in SQL.

    Its methods are ``initialize() -> State``, ``accumulate(state, column, …) -> State``,
    ``merge(older, newer) -> State`` and ``finish(state) -> Result``. The state is kept as JSON text between calls. So
    it may contain only typed values that JSON can hold: list, dict, set, tuple, str, int, float, bool, None and
    dataclasses. The constructor's parameters (int, str, bool) are literal arguments after the columns in SQL.
    ``changelog_safe`` states that a key's older values have no effect if they come before its newest value. Only such
    aggregates may read a stream over a table's topic.

    Raises UdfError for a class that does not follow these rules.
    """

    def decorate(cls: C) -> C:
        where = f"{inspect.getfile(cls)}: aggregate {cls.__name__}"
        if missing := [m for m in _METHODS if not callable(getattr(cls, m, None))]:
            raise UdfError(f"{where} has no method {missing[0]}")
        accumulate = parameters_of(cls.accumulate, where)[1:]  # type: ignore[attr-defined]
        doc = inspect.getdoc(cls) or ""
        finish, state = (
            hints_of(getattr(cls, method), where).get("return") for method in ("finish", "initialize")
        )
        if state is None:
            raise UdfError(f"{where}: initialize needs a return hint, which is the state's type")
        if (foreign := no_json(state)) is not None:
            raise UdfError(f"{where}: state: {name_of(foreign)} cannot be kept as JSON")
        setattr(
            cls,
            ATTRIBUTE,
            Definition(
                name=_sql_name(name or _snake(cls.__name__), where),
                kind="aggregate",
                call=cls,
                parameters=described(accumulate, doc, where),
                result=result_of(finish, f"{where}: finish"),
                result_hint=finish,
                constants=constants_of(cls, doc, where),
                state=state,
                changelog_safe=changelog_safe,
                native=native,
                native_spark=native_spark,
                description=description_of(doc),
                doc=doc,
            ),
        )
        return cls

    return decorate


def aggregate(aggregator: Any, rows: Iterable[Sequence[Any]]) -> Any:
    """The result of an aggregate over rows of its columns, for examples and tests.

    Rows with None in a column that is not nullable are omitted, as in SQL.
    """
    definition: Definition = getattr(type(aggregator), ATTRIBUTE)
    state = aggregator.initialize()
    for row in rows:
        if not any(v is None and not p.nullable for v, p in zip(row, definition.parameters, strict=True)):
            state = aggregator.accumulate(state, *row)
    return aggregator.finish(state)


def _decorator(
    kind: FunctionKind, function: Any, name: str | None, arrow: Any = None, duckdb: str | None = None
) -> Any:
    def decorate(function: Any) -> Any:
        where = f"{function.__code__.co_filename}: function {function.__name__}"
        doc = inspect.getdoc(function) or ""
        result_hint = hints_of(function, where).get("return")
        result = result_of(result_hint, where)
        if kind == "table" and not isinstance(result, ArrayType):
            raise UdfError(f"{where}: a table function returns list[T], not {result}")
        function.__dict__[ATTRIBUTE] = Definition(
            name=_sql_name(name or function.__name__, where),
            kind=kind,
            call=function,
            parameters=described(parameters_of(function, where), doc, where),
            result=result,
            result_hint=result_hint,
            arrow=arrow,
            duckdb=duckdb,
            description=description_of(doc),
            doc=doc,
        )
        return function

    return decorate if function is None else decorate(function)


def _sql_name(name: str, where: str) -> str:
    if not _NAME.fullmatch(name):
        raise UdfError(f"{where}: {name!r} cannot be a function's name: use letters A to Z, digits and _")
    return name.upper()


def _snake(name: str) -> str:
    """TopByKey → top_by_key."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
