"""Joins with tables: of a stream with a table, and of two tables.

The input is all changes of a table, or its newest rows only. The result of joining two tables is changes of a table,
too.
"""

from __future__ import annotations

from collections.abc import Sequence

from opensea_metrics.sql.language.lowering.ordered.items import ORDER, ItemRelation, OrderedSyntax

FOREIGN = "_foreign"
"""The left side's column of ON, in a join on a foreign key, as a column of its items."""
_ALIVE = {"INNER": "_is_left AND _is_right", "LEFT": "_is_left", "RIGHT": "_is_right", "FULL": "_is_left OR _is_right"}
_UP_TO = "OVER (PARTITION BY _key ORDER BY _n, _s ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
_FROM_LAST = "OVER (PARTITION BY _key ORDER BY _n DESC, _s DESC)"


def stream_table(syntax: OrderedSyntax, left: ItemRelation, right: ItemRelation, is_outer: bool) -> str:
    """The items of a stream, each with the table's row at that point in the order."""
    packed, fields = _packed(syntax, [*right.names, "_gone"], "_met")
    nothing = [f"NULL AS {name}" for name in left.names]
    rows = (
        f"SELECT {', '.join([*left.names, *ORDER, '_key'])}, NULL AS _row, 1 AS _is_item FROM {left.table} UNION ALL"
        f" SELECT {', '.join([*nothing, *ORDER, '_key'])}, {packed}, 0 FROM {right.table}"
    )
    met = f"SELECT *, {syntax.last('_row')} {_UP_TO} AS _met FROM ({rows})"
    of_right = [f"CASE WHEN NOT {fields['_gone']} THEN {fields[name]} END AS {name}" for name in right.names]
    kept = "_is_item = 1" if is_outer else f"_is_item = 1 AND NOT {fields['_gone']}"
    return f"SELECT {', '.join([*left.names, *of_right, *ORDER, '_key'])} FROM ({met}) WHERE {kept}"


def table_table(syntax: OrderedSyntax, left: ItemRelation, right: ItemRelation, side: str) -> str:
    """The changes of two tables joined on their keys. A key that no longer has a joined row is deleted."""
    of_left, left_fields = _packed(syntax, [*left.names, "_time", "_gone"], "_l")
    of_right, right_fields = _packed(syntax, [*right.names, "_time", "_gone"], "_r")
    changes = (
        f"SELECT _key, _n, _s, _part, _time, {of_left} AS _left, NULL AS _right FROM {left.table} UNION ALL"
        f" SELECT _key, _n, _s, _part, _time, NULL, {of_right} FROM {right.table}"
    )
    seen = (
        f"SELECT _key, _n, _s, _part, _time, {syntax.last('_left')} {_UP_TO} AS _l,"
        f" {syntax.last('_right')} {_UP_TO} AS _r FROM ({changes})"
    )
    there = ", ".join(
        f"coalesce(NOT {fields['_gone']}, false) AS _is_{name}"
        for name, fields in (("left", left_fields), ("right", right_fields))
    )
    alive = f"SELECT *, {_ALIVE[side]} AS _alive FROM (SELECT *, {there} FROM ({seen}))"
    before = "lag(_alive) OVER (PARTITION BY _key ORDER BY _n, _s)"
    alive = f"SELECT *, coalesce({before}, false) AS _was FROM ({alive})"
    # A deleted row keeps its columns, because the key of the result may be one of them.
    columns = [
        f"CASE WHEN _is_{name} OR NOT _alive THEN {fields[column]} END AS {column}"
        for name, relation, fields in (("left", left, left_fields), ("right", right, right_fields))
        for column in relation.names
    ]
    times = f"CASE WHEN _is_left THEN {left_fields['_time']} END, CASE WHEN _is_right THEN {right_fields['_time']} END"
    order = ["_n", "_s", "_part", f"greatest(_time, {times}) AS _time", "NOT _alive AS _gone", "_key"]
    return f"SELECT {', '.join([*columns, *order])} FROM ({alive}) WHERE _alive OR _was"


def foreign(left: ItemRelation, right: ItemRelation, is_outer: bool) -> str:
    """The newest rows of a table joined with a table on a column that is not its key.

    The result has a row for each key of the left table, computed from the newest rows of both tables. ``left`` has the
    column :data:`FOREIGN`.
    """
    of_left = f"SELECT *, row_number() {_FROM_LAST} AS _back FROM {left.table}"
    of_right = f"SELECT *, row_number() {_FROM_LAST} AS _back FROM {right.table}"
    alive = "NOT l._gone" if is_outer else "NOT l._gone AND r._key IS NOT NULL AND NOT r._gone"
    selected = [
        *(f"l.{name} AS {name}" for name in left.names if name != FOREIGN),
        *(f"CASE WHEN NOT r._gone THEN r.{name} END AS {name}" for name in right.names),
        "CASE WHEN r._n > l._n THEN r._n ELSE l._n END AS _n", "CAST(0 AS BIGINT) AS _s",
        "CASE WHEN r._n > l._n THEN r._part ELSE l._part END AS _part",
        # A change of the right table sets the row's time, even if the change deletes the row.
        "greatest(l._time, CASE WHEN NOT r._gone OR r._n > l._n THEN r._time END) AS _time",
        f"NOT ({alive}) AS _gone", "l._key AS _key",
    ]  # fmt: skip
    return (
        f"SELECT {', '.join(selected)} FROM (SELECT * FROM ({of_left}) WHERE _back = 1) AS l"
        f" LEFT JOIN (SELECT * FROM ({of_right}) WHERE _back = 1) AS r ON l.{FOREIGN} = r._key AND NOT l._gone"
    )


def signed(syntax: OrderedSyntax, relation: ItemRelation) -> str:
    """The changes of a table as rows to add (``_sign`` is 1) and rows to remove (-1).

    ksqlDB first removes the old row, and then adds the new one. So ``_s`` orders the rows of an item. As on the
    embedded server, the time of the change and the partition of the old row apply when a single table's row is removed.
    """
    packed, fields = _packed(syntax, [*relation.names, "_part", "_gone"], "_old")
    rowtime = syntax.column("ROWTIME")
    is_single = rowtime in relation.names
    named = [f"_time AS {name}" if name == rowtime else name for name in relation.names]
    order = "_n, 2 * _s + {} AS _s, {}, _time, _key"
    comes = ", ".join([*named, order.format(1, "_part"), "1 AS _sign"])
    part = f"{fields['_part']} AS _part" if is_single else "_part"
    old = [f"_time AS {name}" if name == rowtime else f"{fields[name]} AS {name}" for name in relation.names]
    goes = ", ".join([*old, order.format(0, part), "-1 AS _sign"])
    pairs = f"SELECT *, lag({packed}) OVER (PARTITION BY _key ORDER BY _n, _s) AS _old FROM {relation.table}"
    return (
        f"SELECT {comes} FROM {relation.table} WHERE NOT _gone"
        f" UNION ALL SELECT {goes} FROM ({pairs}) WHERE NOT {fields['_gone']}"
    )


def newest(relation: str, keys: Sequence[str]) -> str:
    """The newest row of each key of a table, from its changes with ``_off``. Omits deleted rows."""
    place = f"row_number() OVER (PARTITION BY {', '.join(keys)} ORDER BY _off DESC)"
    return f"SELECT * FROM (SELECT *, {place} AS _back FROM ({relation})) WHERE _back = 1 AND NOT _gone"


def _packed(syntax: OrderedSyntax, columns: Sequence[str], name: str) -> tuple[str, dict[str, str]]:
    """Columns packed into one value, so that a window function takes them all at once.

    Also returns each column's field of such a value that is called ``name``.
    """
    fields = {column: f"f{number}" for number, column in enumerate(columns)}
    packed = syntax.struct({field: column for column, field in fields.items()})
    return packed, {column: f"{name}.{field}" for column, field in fields.items()}
