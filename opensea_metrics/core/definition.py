"""A registered function as plain data, for engines, checks and help texts."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

from opensea_metrics.core.errors import OpenSeaMetricsError
from opensea_metrics.core.quoting import quoted
from opensea_metrics.core.types import KsqlType

FunctionKind = Literal["scalar", "table", "aggregate"]
PLACEHOLDERS = frozenset({"a", "b", "off", "src"})
"""Names in braces that have their own meaning in the parts of an aggregate. No constant may have one of them."""
_NAMED = re.compile(r"\{\{|\{(\w+)\}")

OF_LIST = "_OF_LIST"
"""In Spark, an aggregate has a second function, over a list of rows. Its name is NAME_OF_LIST."""


class UdfError(OpenSeaMetricsError):
    """A Python function cannot be used in SQL. The message names the file, the function and the parameter."""


@dataclass(frozen=True)
class Parameter:
    """A parameter. The function receives NULL only for parameters that are ``nullable``."""

    name: str
    hint: Any
    type: KsqlType
    nullable: bool
    description: str = ""


@dataclass(frozen=True)
class NativeState:
    """A state in DuckDB's SQL that Python finishes.

    ``given`` is what Python gets of the state ``{a}``, in SQL. ``type`` is the type of that, and ``read`` makes the
    Python state of its value.
    """

    type: str
    read: Callable[[Any], Any]
    given: str = "{a}"


@dataclass(frozen=True)
class Native:
    """An aggregate in DuckDB's own SQL, for aggregates that would be too slow in Python.

    ``partial`` computes a state from rows, and ``merge`` computes one from several states. Both are DuckDB
    aggregates, and ``tidy`` is applied to their results. ``finish`` computes the result, in SQL or in Python. In
    ``partial``, ``{0}``, ``{1}`` … are the arguments and ``{off}`` is the row's offset. In the others ``{a}`` is the
    state. Constants are written by name (``{n}``), and other braces are doubled. ``macros`` are statements to run
    before. ``repeated`` are long expressions that ``partial`` repeats, so that DuckDB plans them once. Tests compare
    this form with the Python form.
    """

    partial: str
    merge: str
    finish: str | NativeState
    tidy: str = "{a}"
    macros: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()


class AggregateParts(NamedTuple):
    """The SQL of an aggregate in parts, as in :class:`Native`."""

    partial: str
    merge: str
    finish: str
    tidy: str
    repeated: tuple[str, ...] = ()


@dataclass(frozen=True)
class NativeSpark:
    """An aggregate in Spark's own SQL. ``partial`` is a Spark aggregate over the rows, and ``finish`` computes
    the result from it. Both are written like those of :class:`Native`."""

    partial: str
    finish: str


@dataclass(frozen=True)
class Definition:
    """A SQL function that Python computes.

    ``call`` is the plain function or the aggregate's class. ``parameters`` are a function's arguments or an
    aggregate's columns. ``constants`` are an aggregate's literal arguments. They come after its columns in
    SQL and are passed to its constructor. ``state`` is the type hint of an aggregate's state. ``arrow``
    computes the same results from whole Arrow arrays. ``duckdb`` is an expression with the same results in DuckDB's
    SQL, in which ``{0}``, ``{1}`` … are the arguments. The ``result`` of a table function is an ARRAY of its rows.
    """

    name: str
    kind: FunctionKind
    call: Any
    parameters: tuple[Parameter, ...]
    result: KsqlType
    result_hint: Any
    constants: tuple[Parameter, ...] = ()
    state: Any = None
    changelog_safe: bool = False
    native: Native | None = None
    native_spark: NativeSpark | None = None
    arrow: Callable[..., Any] | None = None
    duckdb: str | None = None
    description: str = ""
    doc: str = ""

    @cached_property
    def examples(self) -> str:
        """The examples in the docstring ``doc``."""
        if ">>>" not in self.doc:
            return ""
        import doctest  # takes long to import

        examples = doctest.DocTestParser().get_examples(self.doc)
        return "\n".join(
            f">>> {textwrap.indent(e.source, '... ')[4:].rstrip()}\n{e.want.rstrip()}" for e in examples
        )

    @property
    def signature(self) -> str:
        """The signature, such as ``TOP_BY_KEY(key STRING, value DOUBLE, detail STRING, n INTEGER) → ARRAY<…>``."""
        arguments = ", ".join(f"{p.name} {p.type}" for p in (*self.parameters, *self.constants))
        return f"{self.name}({arguments}) → {self.result}"

    def with_constants(self, text: str, values: Sequence[str]) -> str:
        """Insert the aggregate's constants, given as SQL, into a text of a native form."""
        # Braces are doubled because the arguments or the state are inserted later.
        written = {
            constant.name: value.replace("{", "{{").replace("}", "}}")
            for constant, value in zip(self.constants, values, strict=True)
        }
        return _NAMED.sub(lambda match: written.get(match[1], match[0]), text)

    def in_duckdb(self, constants: Sequence[str]) -> AggregateParts:
        """An aggregate in parts, with its constants given as SQL. The parts are its native form, or calls of the
        functions that ``udfs.duckdb`` registers for it."""
        named = "".join(f", {{{p.name}}}" for p in self.constants)
        given = "{a}"
        repeated: tuple[str, ...] = ()
        if self.native and isinstance(self.native.finish, NativeState):
            given = self.native.finish.given
        finish = f"{quoted(f'{self.name}_finish')}({given}{named})"
        if native := self.native:
            if isinstance(native.finish, str):
                finish = native.finish
            parts = (native.partial, native.merge, finish, native.tidy)
            repeated = native.repeated
        else:
            partial, merge = (quoted(f"{self.name}_{suffix}") for suffix in ("partial", "merge"))
            columns = ", ".join(f"c{i} := {{{i}}}" for i in range(len(self.parameters)))
            parts = (
                f"{partial}(list(struct_pack({columns}) ORDER BY {{off}}){named})",
                f"{merge}(list({{a}} ORDER BY {{src}}){named})",
                finish,
                "{a}",
            )
        partial, merge, finish, tidy = (self.with_constants(part, constants) for part in parts)
        return AggregateParts(partial, merge, finish, tidy, repeated)

    def in_spark(
        self, columns: Sequence[str], constants: Sequence[str], off: str, state: str
    ) -> tuple[str, str] | None:
        """The native Spark form of a call with its arguments given as SQL, or None without a native form.

        The first text is the aggregate over the rows, where ``off`` is the rows' offset. The second is the
        result, where ``state`` names the aggregate.
        """
        if self.native_spark is None:
            return None
        partial = self.with_constants(self.native_spark.partial, constants)
        finish = self.with_constants(self.native_spark.finish, constants)
        return partial.format(*columns, off=off), finish.format(a=state)

    @property
    def place(self) -> str:
        """The file and line of the source."""
        code = getattr(self.call, "__code__", None) or self.call.accumulate.__code__
        return f"{code.co_filename}:{code.co_firstlineno}"
