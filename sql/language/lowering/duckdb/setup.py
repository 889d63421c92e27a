"""What a DuckDB database needs before it runs lowered SQL: settings, macros and Python functions."""

from __future__ import annotations

from threading import Lock

import duckdb
from duckdb.func import FunctionNullHandling

from opensea_metrics.sql.language.lowering.duckdb import statistics
from opensea_metrics.sql.language.lowering.rare import table
from opensea_metrics.sql.language.lowering.records.exact import exact
from opensea_metrics.sql.language.values.timestamp_formats import timestamp_format
from opensea_metrics.udfs import duckdb as udfs

SETUP = (
    "SET GLOBAL TimeZone = 'UTC'",
    # Statements that pass sql/language/dialect/grammar.py are about ten times as deep in DuckDB's SQL.
    "SET GLOBAL max_expression_depth = 10000",
    # Text → number as ksqlDB reads it, or NULL. The characters are checked, because DuckDB's casts also accept
    # '1_0' and, for integers, '1.5'. Surrounding blanks and a suffix, as in 1.5d, are allowed. A number that is too
    # large is NULL. The most common form of text is tested first, because that takes a tenth of the time: whole
    # numbers as DuckDB writes them.
    """CREATE OR REPLACE MACRO parse_bigint(x) AS (
      CASE WHEN CAST(TRY_CAST(x AS BIGINT) AS VARCHAR) = x THEN TRY_CAST(x AS BIGINT)
        WHEN ltrim(x, '+-0123456789 ') = '' THEN TRY_CAST(trim(x) AS BIGINT) END)""",
    """CREATE OR REPLACE MACRO parse_integer(x) AS (
      CASE WHEN CAST(TRY_CAST(x AS INTEGER) AS VARCHAR) = x THEN TRY_CAST(x AS INTEGER)
        WHEN ltrim(x, '+-0123456789 ') = '' THEN TRY_CAST(trim(x) AS INTEGER) END)""",
    """CREATE OR REPLACE MACRO finite(x) AS (CASE WHEN isfinite(x) THEN x END)""",
    """CREATE OR REPLACE MACRO parse_double(x) AS (
      CASE WHEN regexp_full_match(x, '-?[0-9]{1,90}([.][0-9]{1,30})?') THEN TRY_CAST(x AS DOUBLE)
        WHEN ltrim(x, '+-.0123456789eE') = '' THEN finite(TRY_CAST(x AS DOUBLE))
        WHEN regexp_full_match(x, ' *[-+.0-9eE]+[dDfF]? *')
          THEN finite(TRY_CAST(rtrim(trim(x), 'dDfF') AS DOUBLE)) END)""",
    """CREATE OR REPLACE MACRO parse_boolean(x) AS (
      trim(x) <> '' AND
      (starts_with('true', lower(trim(x))) OR starts_with('yes', lower(trim(x)))))""",
    # n characters from position p: 0 counts as 1, and a negative p counts from the end, at most to the start.
    """CREATE OR REPLACE MACRO substring_from(x, p) AS (
      substring(x, CASE WHEN p > 0 THEN p WHEN p = 0 THEN 1
        WHEN length(x) + p >= 0 THEN length(x) + p + 1 WHEN p < 0 THEN 1 END))""",
    """CREATE OR REPLACE MACRO substring_java(x, p, n) AS (
      left(substring_from(x, p), CASE WHEN n > 0 THEN n WHEN n <= 0 THEN 0 END))""",
    # Integers of any size, wrapped around as in Java's arithmetic. Each macro uses an argument only once, because
    # nested calls of a macro that repeats an argument would grow by powers of two.
    """CREATE OR REPLACE MACRO wrap64(x) AS (
      ((((x)::HUGEINT + 9223372036854775808) & 18446744073709551615) - 9223372036854775808)::BIGINT)""",
    """CREATE OR REPLACE MACRO wrap32(x) AS (
      ((((x)::HUGEINT + 2147483648) & 4294967295) - 2147483648)::INTEGER)""",
    # Integer division towards zero. A division by zero is NULL.
    "CREATE OR REPLACE MACRO trunc_div(a, b) AS ((a)::HUGEINT // nullif((b)::HUGEINT, 0))",
    # Values of JSON records as text, strings with their quotes. The macros read common forms only. All other values
    # are NULL, even if the type allows them (see readings.py). The fraction of a number is cut off for an integer.
    """CREATE OR REPLACE MACRO json_long(x) AS (
      CASE WHEN CAST(TRY_CAST(x AS BIGINT) AS VARCHAR) = x THEN TRY_CAST(x AS BIGINT)
        WHEN regexp_full_match(x, '"[+-]?[0-9]{1,18}"') THEN TRY_CAST(x[2:-2] AS BIGINT)
        WHEN regexp_full_match(x, '-?[0-9]{1,15}[.][0-9]{1,15}')
          THEN TRY_CAST(split_part(x, '.', 1) AS BIGINT) END)""",
    """CREATE OR REPLACE MACRO json_integer(x) AS (
      CASE WHEN CAST(TRY_CAST(x AS INTEGER) AS VARCHAR) = x THEN TRY_CAST(x AS INTEGER)
        WHEN starts_with(x, '"') THEN TRY_CAST(json_long(x) AS INTEGER)
        ELSE wrap32(json_long(x)) END)""",
    # Jackson has no negative zero, and -0.0 + 0 is 0.0.
    """CREATE OR REPLACE MACRO json_double(x) AS (
      CASE WHEN regexp_full_match(x, '-?[0-9]{1,90}([.][0-9]{1,30})?') THEN TRY_CAST(x AS DOUBLE) + 0
        WHEN ltrim(x, '+-.0123456789eE') = '' THEN finite(TRY_CAST(x AS DOUBLE)) + 0
        WHEN regexp_full_match(x, '"-?[0-9]{1,90}([.][0-9]{1,30})?"') THEN TRY_CAST(x[2:-2] AS DOUBLE)
        WHEN x IN ('"NaN"', '"Infinity"', '"-Infinity"') THEN CAST(x[2:-2] AS DOUBLE) END)""",
    """CREATE OR REPLACE MACRO json_bytes(x) AS (
      CASE WHEN regexp_full_match(x,
          '"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"')
        THEN from_base64(x[2:-2]) END)""",
    # True if DuckDB's VARCHAR may differ from ksqlDB's text for a JSON value that is not text. That happens for
    # numbers as DuckDB writes them, for arrays, and for objects with such numbers.
    """CREATE OR REPLACE MACRO json_odd_text(x) AS (
      (x < ':' AND strlen(x) < 25 AND regexp_full_match(x,
        '-?[0-9]+[.](?:0|[0-9]*[1-9])|-?[0-9]+(?:[.][0-9]+)?[eE][+-]?[0-9]+'))
      OR (x > 'Z' AND x < '\\') OR (x >= '{' AND regexp_matches(x, '^\\{(?s:.*)[:,\\[]-?[0-9]+[.eE]')))""",
    # True for an array or object v in a JSON text x, and for a number that DuckDB may write differently from x: with an
    # # exponent, zeros at the end, more digits than a DOUBLE keeps, or a value close to 0.
    """CREATE OR REPLACE MACRO json_odd_field(v, x) AS (
      regexp_matches(v, '^[\\[{]|^-0') OR (regexp_matches(v, '^[-0-9].*[.eE]')
        AND regexp_matches(x, '[.][0-9]+0([^0-9]|$)|[0-9][eE][-+0-9]|[0-9.]{16}|0[.]0000')))""",
    # A DOUBLE as Java writes it. DuckDB writes the same text if Java's is the shortest one, without an exponent: see
    # _is_shortest in lowering/rare/double_text.py. Python takes 20 times as long.
    """CREATE OR REPLACE MACRO double_text(x) AS (
      CASE WHEN abs(x) >= 1e-3 AND abs(x) < 1e7 AND x <> trunc(x) AND abs(x) NOT IN
          (0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125, 0.00390625, 0.001953125)
        THEN CAST(x AS VARCHAR) ELSE ksql_double_text(x) END)""",
    # Times as text, as ksqlDB writes them.
    """CREATE OR REPLACE MACRO date_text(x) AS (
      CASE WHEN x > DATE '9999-12-31' THEN '+' WHEN x < DATE '0000-01-01' THEN '-' ELSE '' END
        || if(x < DATE '0000-01-01', printf('%04d', -year(x)) || strftime(x, '-%m-%d'), strftime(x, '%Y-%m-%d')))""",
    "CREATE OR REPLACE MACRO time_text(x) AS (left(x::VARCHAR, if(second(x) = 0, 5, 8)))",
    # Java counts the years before year 1 backwards: year 0 is written 0001 again.
    """CREATE OR REPLACE MACRO timestamp_text(x) AS (
      CASE WHEN x < TIMESTAMP '0001-01-01' THEN printf('%04d', 1 - year(x)) || strftime(x, '-%m-%dT%H:%M:%S.%g')
        WHEN x >= TIMESTAMP '9999-12-31' + INTERVAL 1 DAY THEN '+' || strftime(x, '%Y-%m-%dT%H:%M:%S.%g')
        ELSE strftime(x, '%Y-%m-%dT%H:%M:%S.%g') END)""",
    # True for a time whose year has four digits and no sign.
    """CREATE OR REPLACE MACRO has_usual_year(x) AS (
      x >= TIMESTAMP '0001-01-01' AND x < TIMESTAMP '9999-12-31' + INTERVAL 1 DAY)""",
    # Encodes a text so that sorting by characters gives Java's order by UTF-16 units. In that order, characters beyond
    # # U+FFFF come before those from U+E000 on, because their first unit is less. The second macro decodes the text.
    """CREATE OR REPLACE MACRO java_ordered(x) AS (CASE WHEN strlen(x) = length(x) THEN x
      ELSE regexp_replace(x, '([\\x{E000}-\\x{FFFF}])', '\U0010FFFF\\1', 'g') END)""",
    "CREATE OR REPLACE MACRO of_java_ordered(x) AS (replace(x, '\U0010FFFF', ''))",
    # True for a text with a character beyond U+FFFF. It counts twice in Java.
    """CREATE OR REPLACE MACRO has_pairs(x) AS (
      strlen(x) > length(x) AND regexp_matches(x, '[\\x{10000}-\\x{10FFFF}]'))""",
    # The first occurrences in order, at most 1,000, which is ksqlDB's default limit for collections.
    """CREATE OR REPLACE MACRO first_occurrences(l) AS (
      list_filter(l, lambda _e, _i: list_position(l, _e) = _i)[1:1000])""",
    # Values that are added and removed: a removal cancels the last equal value before it.
    """CREATE OR REPLACE MACRO matched(l) AS (
      list_reduce(list_transform(l, lambda _e: [_e]), lambda _b, _e:
        CASE WHEN _e[1].comes OR list_position(_b, {'comes': true, 'value': _e[1].value}) IS NULL THEN _b || _e
        ELSE _b[:len(_b) - list_position(list_reverse(_b), {'comes': true, 'value': _e[1].value})]
          || _b[len(_b) + 2 - list_position(list_reverse(_b), {'comes': true, 'value': _e[1].value}):] END,
        l[1:0]))""",
    *statistics.MACROS,
)
"""Statements to run once in a database. All its cursors see the effects."""


def register_functions(connection: duckdb.DuckDBPyConnection) -> None:
    """Register all Python functions with a database. Its other connections see them too."""
    for definition in table.definitions().values():
        udfs.register_scalar(connection, definition)
    _register_for_records(connection)


class CalledFunctions:
    """Registers the functions that statements call, each before the first statement that calls it. Safe in threads.

    In a process for one run, to register all functions would take longer than to open the database.
    """

    def __init__(self, database: duckdb.DuckDBPyConnection, at_once: bool) -> None:
        """The functions that decode records are registered now, and with ``at_once`` all others too."""
        self._database = database
        self._names = set(table.definitions() if at_once else ())
        self._lock = Lock()
        (register_functions if at_once else _register_for_records)(database)

    def register(self, statement: str) -> None:
        """Register the functions that a statement calls."""
        called = table.called(statement)
        called += [form.definition for macro, form in _CALLED_BY_MACROS.items() if f"{macro}(" in statement]
        if not called:
            return
        with self._lock, self._database.cursor() as connection:
            for definition in called:
                if definition.name not in self._names:
                    udfs.register_scalar(connection, definition)
                    self._names.add(definition.name)


_CALLED_BY_MACROS = {"double_text": table.CASTS["DOUBLE AS STRING"]}
"""The functions that the macros of :data:`SETUP` call, by the macro's name."""


def _register_for_records(connection: duckdb.DuckDBPyConnection) -> None:
    """Register the functions that decode records."""
    connection.create_function("exact_record", exact, ["VARCHAR", "VARCHAR"], "VARCHAR")
    # DuckDB does not allow a NULL result from a function with default NULL handling.
    connection.create_function(
        "time_of_text", _time, ["VARCHAR", "VARCHAR"], "BIGINT", null_handling=FunctionNullHandling.SPECIAL
    )


def _time(text: str | None, pattern: str) -> int | None:
    return None if text is None else timestamp_format(pattern).milliseconds(text)
