"""Checks joins by ksqlDB's rules, and finds the key of their result.

Source: observed on 7.9.1 (tests/sql/types.yml).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlglot import exp

from opensea_metrics.core.errors import SqlError, Stage
from opensea_metrics.core.types import name_of
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.dialect.rewriting import rewritten
from opensea_metrics.sql.language.queries.analysis import JoinKey, JoinStep, JoinWindow
from opensea_metrics.sql.language.queries.inference import infer
from opensea_metrics.sql.language.queries.scope import Scope, shown
from opensea_metrics.sql.language.queries.windowed_sources import incompatibility
from opensea_metrics.sql.language.statements.parser import where

_SIDES = {
    "INNER": "[INNER] JOIN",
    "LEFT": "LEFT [OUTER] JOIN",
    "RIGHT": "RIGHT [OUTER] JOIN",
    "FULL": "[FULL] OUTER JOIN",
}
_WITHIN_HINT = "write WITHIN and a duration before ON, such as WITHIN 1 HOUR"


@dataclass
class Joins:
    """Checks the joins of one SELECT, from left to right."""

    scope: Scope
    sources: Mapping[str, Source]
    equal: list[set[tuple[str, str]]] = field(default_factory=list)
    """Columns that earlier joins made equal. Other expressions are in the form ('', text)."""
    steps: list[JoinStep] = field(default_factory=list)
    """The joins that :meth:`key` has checked, with ON as in the statement."""
    rekeyed: exp.Expression | None = None
    """The ON of the first join whose key differs from the keys of its sources' records."""

    def key(self, joins: Sequence[exp.Expression]) -> JoinKey | None:
        """The key of the result; None without joins. Raises SqlError for a join that ksqlDB refuses."""
        aliases = list(self.sources)
        key = None
        for number, join in enumerate(joins, 1):
            left = {alias: self.sources[alias] for alias in aliases[:number]}
            key = self._join(join, left, aliases[number], key)
        return key

    def _join(self, join: exp.Expression, left: Mapping[str, Source], alias: str, before: JoinKey | None) -> JoinKey:
        right = self.sources[alias]
        of_left, of_right = self._sides(join, left, alias)
        side = str(join.args["side"])
        is_table = all(source.is_table for source in left.values())
        first = next(iter(left.items()))
        if (message := incompatibility(first, (alias, right))) is not None:
            raise self._error(message, join)
        self._check_kinds(join, side, first[1], right, is_table)
        condition = f"{self._shown(of_left)} = {self._shown(of_right)}"
        if right.is_table and not self._is_key(of_right, alias):
            kinds, of = ("table-table", "right input table") if is_table else ("stream-table", "table")
            needs = "join on the table's primary key" if of == "table" else f"join on the primary key of the {of}"
            raise self._error(f"Invalid join condition: {kinds} joins require to {needs}. Got {condition}.", join)
        is_left_key = self._is_left_key(of_left, left, before)
        if self.rekeyed is None and not (is_left_key and self._is_key(of_right, alias)):
            self.rekeyed = join.args["on"]
        is_foreign = is_table and not is_left_key
        keeps_key = before is not None and self._column(of_left) in before.viable
        self.steps.append(JoinStep(side, of_left, of_right, _window(join), is_foreign, keeps_key))
        if is_foreign:
            return self._foreign(join, side, left, alias, condition)
        kind = infer(of_left, self.scope)
        if side == "FULL":
            return JoinKey(synthetic=(self._synthetic(), kind))
        viable = self._viable([self._column(side) or ("", self._shown(side)) for side in (of_left, of_right)])
        return JoinKey(viable) if viable else JoinKey(synthetic=(self._synthetic(), kind))

    def _viable(self, sides: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
        """The columns of a join's two sides, and the columns that are equal to them. Earlier sources come first.

        ``sides`` may have expressions too, as :attr:`equal` has them.
        """
        joined = set(sides)
        for group in [group for group in self.equal if group & joined]:
            joined |= group
            self.equal.remove(group)
        self.equal.append(joined)
        order = list(self.sources)
        columns = (column for column in joined if column[0])
        return tuple(sorted(columns, key=lambda column: order.index(column[0])))

    def _foreign(
        self, join: exp.Expression, side: str, left: Mapping[str, Source], alias: str, condition: str
    ) -> JoinKey:
        """The key of a join on a foreign key, which is the key of the left table."""
        if len(left) > 1:
            raise self._error(
                "Invalid join condition: foreign-key table-table joins are not supported as part of n-way joins."
                f" Got {condition}.",
                join,
            )
        ((left_alias, source),) = left.items()
        if side == "RIGHT":
            raise self._error("RIGHT OUTER JOIN on a foreign key is not supported", join)
        if side == "FULL":
            raise self._error(
                "Invalid join type: full-outer join not supported for foreign-key table-table join."
                f" Got {source.name} [FULL] OUTER JOIN {self.sources[alias].name}.",
                join,
            )
        return JoinKey(tuple((left_alias, c.name) for c in source.columns if c.is_key), is_foreign=True)

    def _sides(self, join: exp.Expression, left: Mapping[str, Source], alias: str) -> list[exp.Expression]:
        """The two sides of ON: of the sources so far, and of the new source."""
        on = join.args["on"].unnest()
        if isinstance(on, exp.And | exp.Or):
            message = "Invalid join condition: joins on multiple conditions are not yet supported."
            raise self._error(f"{message} Got {self._shown(on)}.", on)
        if not isinstance(on, exp.EQ):
            raise self._error("Only equality join criteria is supported.", on)
        infer(on, self.scope)
        sides = [on.this, on.expression]
        owners = [{self._owner(column) for column in side.find_all(exp.Column)} for side in sides]
        for side, owner in zip(sides, owners, strict=True):
            if len(owner) != 1:
                raise self._error(
                    f"Invalid comparison expression '{self._shown(side)}' in join '{self._shown(on)}'. Each side of the"
                    " join comparision must contain references from exactly one source.",
                    side,
                )
        if alias in owners[0]:
            sides.reverse()
            owners.reverse()
        if owners[1] != {alias} or not owners[0] <= left.keys():
            first, second = (" ".join(owner) for owner in owners)
            raise self._error(
                "Each side of the join must reference exactly one source and not the same source. Left side"
                f" references `{first}` and right references `{second}`",
                on,
            )
        kinds = [infer(side, self.scope) for side in sides]
        if kinds[0] != kinds[1]:
            raise self._error(f"Invalid join. Key types differ: {kinds[0]} vs {kinds[1]}", on)
        return sides

    def _check_kinds(self, join: exp.Expression, side: str, left: Source, right: Source, is_table: bool) -> None:
        """Raises SqlError if ksqlDB does not support this kind of join for these kinds of sources."""
        got = f"Got {left.name} {_SIDES[side]} {right.name}."
        within = join.args.get("within")
        if is_table and not right.is_table:
            raise self._error(
                f"Invalid join order: table-stream joins are not supported; only stream-table joins. {got}", join
            )
        if not right.is_table and within is None:
            raise self._error(
                "Stream-Stream joins must have a WITHIN clause specified. None was provided.", join, _WITHIN_HINT
            )
        if right.is_table and within is not None:
            kinds = "Table-Table" if is_table else "Stream-Table"
            raise self._error(
                f"A window definition was provided for a {kinds} join. These joins are not windowed. Please drop the"
                " window definition (i.e. the WITHIN clause) and try to execute your join again.",
                join,
            )
        if right.is_table and not is_table and side == "FULL":
            raise self._error(
                f"Invalid join type: full-outer join not supported for stream-table join. {got}", join
            )
        if right.is_table and not is_table and side == "RIGHT":
            raise self._error(f"Invalid join type encountered: {_SIDES[side]}", join)

    def _is_left_key(self, expression: exp.Expression, left: Mapping[str, Source], before: JoinKey | None) -> bool:
        """Whether a side of ON is the key of the tables so far."""
        column = self._column(expression)
        if before is not None:
            return column in before.viable or (before.synthetic is not None and column is not None)
        return column is not None and self._is_key(expression, next(iter(left)))

    def _is_key(self, expression: exp.Expression, alias: str) -> bool:
        """Whether an expression is the primary key of a table, which has one column."""
        keys = [(alias, column.name) for column in self.sources[alias].columns if column.is_key]
        return [self._column(expression)] == keys

    def _column(self, expression: exp.Expression) -> tuple[str, str] | None:
        """A plain column as its source's alias and its name."""
        column = expression.unnest()
        return (self._owner(column), name_of(column.this)) if isinstance(column, exp.Column) else None

    def _owner(self, column: exp.Column) -> str:
        if column.args.get("table"):
            return name_of(column.args["table"])
        name = name_of(column.this)
        return next(alias for alias, source in self.sources.items() if name in source.readable())

    def _synthetic(self) -> str:
        taken = {name for source in self.sources.values() for name in source.readable()}
        names = ("ROWKEY", *(f"ROWKEY_{number}" for number in range(1, len(taken) + 2)))
        return next(name for name in names if name not in taken)

    def _shown(self, expression: exp.Expression) -> str:
        """An expression as ksqlDB's messages write it, with the sources of its columns."""

        def qualified(part: exp.Expression) -> exp.Expression:
            if not isinstance(part, exp.Column):
                return part
            name = f"{self._owner(part)}.{name_of(part.this)}"
            return exp.Column(this=exp.Identifier(this=name, quoted=True))

        return shown(rewritten(expression, qualified))

    def _error(self, message: str, at: exp.Expression | None = None, hint: str | None = None) -> SqlError:
        statement = self.scope.statement
        place = statement.place if at is None else where(statement, at)
        return SqlError(message, place, hint, stage=Stage.QUERY)


def _window(join: exp.Expression) -> JoinWindow | None:
    """The durations of WITHIN, in ms."""
    if (within := join.args.get("within")) is None:
        return None
    grace = within.args.get("grace")
    before, after = (int(within.args[name].this) for name in ("before", "after"))
    return JoinWindow(before, after, None if grace is None else int(grace.this))
