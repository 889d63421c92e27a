"""What the lowered SQL needs of a DuckDB database."""

from __future__ import annotations

SETUP = (
    "SET GLOBAL TimeZone = 'UTC'",
    # What sql/language/dialect/nesting.py lets pass is some ten times as deep in DuckDB's SQL.
    "SET GLOBAL max_expression_depth = 10000",
    # Text → number as ksqlDB takes it, else NULL. The characters are checked, as DuckDB's casts also
    # take '1_0' and, for integers, '1.5'. Blanks around are fine; so is 1.5d; too great is NULL. What
    # most texts look like comes first, as it is asked at a tenth of the cost: whole numbers are written
    # as DuckDB would write them.
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
    # From position p (0 is 1, negative from the end, at most to the start), n characters.
    """CREATE OR REPLACE MACRO substring_from(x, p) AS (
      substring(x, CASE WHEN p > 0 THEN p WHEN p = 0 THEN 1
        WHEN length(x) + p >= 0 THEN length(x) + p + 1 WHEN p < 0 THEN 1 END))""",
    """CREATE OR REPLACE MACRO substring_java(x, p, n) AS (
      left(substring_from(x, p), CASE WHEN n > 0 THEN n WHEN n <= 0 THEN 0 END))""",
    # Integers of any size, wrapped around as Java's arithmetic does. Each argument is written once: a
    # macro that repeats one makes nested calls grow by powers of two.
    """CREATE OR REPLACE MACRO wrap64(x) AS (
      ((((x)::HUGEINT + 9223372036854775808) & 18446744073709551615) - 9223372036854775808)::BIGINT)""",
    """CREATE OR REPLACE MACRO wrap32(x) AS (
      ((((x)::HUGEINT + 2147483648) & 4294967295) - 2147483648)::INTEGER)""",
    # Integer division towards zero; NULL for a division by zero.
    "CREATE OR REPLACE MACRO trunc_div(a, b) AS ((a)::HUGEINT // nullif((b)::HUGEINT, 0))",
    # Values of JSON records as text, strings with their quotes, in their common forms: NULL for all others,
    # even if they are of the type (see readings.py). A number that is no integer is cut off at the point.
    """CREATE OR REPLACE MACRO json_long(x) AS (
      CASE WHEN CAST(TRY_CAST(x AS BIGINT) AS VARCHAR) = x THEN TRY_CAST(x AS BIGINT)
        WHEN regexp_full_match(x, '"[+-]?[0-9]{1,18}"') THEN TRY_CAST(x[2:-2] AS BIGINT)
        WHEN regexp_full_match(x, '-?[0-9]{1,15}[.][0-9]{1,15}')
          THEN TRY_CAST(split_part(x, '.', 1) AS BIGINT) END)""",
    """CREATE OR REPLACE MACRO json_integer(x) AS (
      CASE WHEN CAST(TRY_CAST(x AS INTEGER) AS VARCHAR) = x THEN TRY_CAST(x AS INTEGER)
        WHEN starts_with(x, '"') THEN TRY_CAST(json_long(x) AS INTEGER)
        ELSE wrap32(json_long(x)) END)""",
    # Jackson knows no negative zero, but -0.0 + 0 is 0.0.
    """CREATE OR REPLACE MACRO json_double(x) AS (
      CASE WHEN regexp_full_match(x, '-?[0-9]{1,90}([.][0-9]{1,30})?') THEN TRY_CAST(x AS DOUBLE) + 0
        WHEN ltrim(x, '+-.0123456789eE') = '' THEN finite(TRY_CAST(x AS DOUBLE)) + 0
        WHEN regexp_full_match(x, '"-?[0-9]{1,90}([.][0-9]{1,30})?"') THEN TRY_CAST(x[2:-2] AS DOUBLE)
        WHEN x IN ('"NaN"', '"Infinity"', '"-Infinity"') THEN CAST(x[2:-2] AS DOUBLE) END)""",
    """CREATE OR REPLACE MACRO json_bytes(x) AS (
      CASE WHEN regexp_full_match(x,
          '"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"')
        THEN from_base64(x[2:-2]) END)""",
    # What DuckDB makes text of, for VARCHAR: whether it may be other text than ksqlDB's, if it was no text in the
    # JSON. These are numbers as DuckDB writes them, arrays, and objects with such numbers.
    """CREATE OR REPLACE MACRO json_odd_text(x) AS (
      (x < ':' AND strlen(x) < 25 AND regexp_full_match(x,
        '-?[0-9]+[.](?:0|[0-9]*[1-9])|-?[0-9]+(?:[.][0-9]+)?[eE][+-]?[0-9]+'))
      OR (x > 'Z' AND x < '\\') OR (x >= '{' AND regexp_matches(x, '^\\{(?s:.*)[:,\\[]-?[0-9]+[.eE]')))""",
    # Times as text, as ksqlDB writes them.
    "CREATE OR REPLACE MACRO date_text(x) AS (if(x > DATE '9999-12-31', '+', '') || strftime(x, '%Y-%m-%d'))",
    "CREATE OR REPLACE MACRO time_text(x) AS (left(x::VARCHAR, if(second(x) = 0, 5, 8)))",
    "CREATE OR REPLACE MACRO timestamp_text(x) AS (strftime(x, '%Y-%m-%dT%H:%M:%S.%g'))",
    # First occurrences in order, at most 1,000: ksqlDB's default limit of a collection.
    """CREATE OR REPLACE MACRO first_occurrences(l) AS (
      list_filter(l, lambda _e, _i: list_position(l, _e) = _i)[1:1000])""",
)
"""Statements to be run once in a database, for all its cursors."""
