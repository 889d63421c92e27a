"""Runs one statement and shows its result."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from opensea_metrics.core.errors import TYPED, OpenSeaMetricsError, Place, SqlError
from opensea_metrics.core.types import KsqlType
from opensea_metrics.core.wording import counted
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.client.snapshot import type_named
from opensea_metrics.deploy.output.console import console
from opensea_metrics.deploy.output.excerpts import error_text
from opensea_metrics.deploy.output.forms import (
    Form,
    form_for,
    redirected,
    write_csv,
    write_json,
)
from opensea_metrics.deploy.output.plain import say
from opensea_metrics.deploy.output.rows import show_json, show_push, show_reply, show_rows
from opensea_metrics.deploy.query import answer
from opensea_metrics.deploy.query.emptiness import why_empty
from opensea_metrics.deploy.query.moments import time_columns
from opensea_metrics.deploy.query.user_statements import Action, UserStatement
from opensea_metrics.deploy.replies import Rows
from opensea_metrics.deploy.serving_names import reading
from opensea_metrics.sql.language.project.variables import Variables, filled
from opensea_metrics.sql.language.statements.parser import parse_statement
from opensea_metrics.sql.language.statements.statements import Kind

PLACE = (
    "This changes the server, and no migration will know about it.\n"
    "A migration is the place for it: opensea-metrics new NAME, then plan and apply."
)


class StatementMistake(OpenSeaMetricsError):
    """A statement that cannot be run. The message has the place, the line, a caret and what to do."""


class ChangeRefused(SqlError):
    """A statement that changes the server, without consent. The message says how to consent."""


@dataclass
class View:
    """How results are shown. ``exact``: values as they are; None means exact except on a terminal.

    ``form`` None is a table, or the form of the suffix of ``out``.
    """

    form: Form | None = None
    out: Path | None = None
    exact: bool | None = None

    @property
    def is_exact(self) -> bool:
        """True if values are shown as they are."""
        on_screen = self.out is None and console().is_terminal
        return not on_screen if self.exact is None else self.exact


@dataclass
class Runner:
    """Runs statements on one server. ``consent`` is asked before a change; it may raise ChangeRefused.

    ``properties`` (SET) go with later statements, and ``variables`` (DEFINE) are put into them.
    """

    client: KsqlClient
    view: View
    consent: Callable[[UserStatement], bool]
    says_counts: bool = False
    properties: dict[str, str] = field(default_factory=dict)
    variables: Variables = field(default_factory=lambda: Variables({}))

    def run(self, statement: UserStatement) -> None:
        """Run one statement. Raises StatementMistake, ClientError, OSError, and KeyboardInterrupt after Ctrl-C.

        A push query is closed on the server in every case.
        """
        try:
            self._run(statement)
        except SqlError as error:
            raise StatementMistake(error_text(error, statement.text)) from error

    def _run(self, statement: UserStatement) -> None:
        text = filled(statement.text, self.variables, lambda at: Place(TYPED, 1, at + 1)).text
        match statement.action:
            case Action.SESSION:
                self._set(text)
            case Action.PULL | Action.PUSH | Action.ASK:
                reading(self.client, text, lambda serving: self._read(statement.action, serving))
            case Action.PRINT:
                with closing(self.client.printed(text)) as lines, redirected(self.view.out):
                    for line in lines:
                        say(line)
            case Action.CHANGE:
                if self.consent(UserStatement(text, statement.action)):
                    self._change(text)
                else:
                    say("nothing was changed", stderr=True)

    def _read(self, action: Action, text: str) -> None:
        """Run a statement that only reads. Its errors come before its output, unless the server fails."""
        if action is Action.PULL:
            self._pull(text)
        elif action is Action.PUSH:
            with closing(self.client.select(text, self.properties, endless=True, exact=True)) as rows:
                self._show(rows, text, is_endless=True)
        else:
            reply = self.client.ask(text)
            with redirected(self.view.out):
                (show_json if self.view.form is Form.JSON else show_reply)(reply)

    def _pull(self, text: str) -> None:
        began = time.monotonic()
        answered = answer(self.client, text)
        count = self._show(answered.rows, text, is_endless=False)
        if answered.note:
            say(answered.note, stderr=True)
        if not count and form_for(self.view.form, self.view.out) in (Form.TABLE, Form.VERTICAL):
            say(why_empty(self.client, text), stderr=True)
        elif self.says_counts:
            say(f"{counted(count, 'row')}, {time.monotonic() - began:.2f} s", stderr=True)

    def _show(self, rows: Rows, text: str, is_endless: bool) -> int:
        """Show rows in the chosen form, and return their number."""
        form = form_for(self.view.form, self.view.out)
        exact = self.view.is_exact
        needs_times = form is Form.PARQUET or (form in (Form.TABLE, Form.VERTICAL) and not exact)
        times = time_columns(self.client, text, rows.columns) if needs_times else ()
        names = [column.name for column in rows.columns]
        if form is Form.PARQUET:
            assert self.view.out is not None
            from opensea_metrics.deploy.output.parquet import write_parquet

            return write_parquet(self.view.out, _typed(rows), rows.values, times)
        with redirected(self.view.out):
            if form is Form.JSON:
                return write_json(names, rows.values)
            if form is Form.CSV:
                return write_csv(names, rows.values)
            show = show_push if is_endless else show_rows
            return show(rows, times, exact=exact, vertical=form is Form.VERTICAL)

    def _change(self, text: str) -> None:
        for result in self.client.execute(text, self.properties):
            say(result.message or result.status.lower())

    def _set(self, text: str) -> None:
        statement = parse_statement(text)
        name, value = str(statement.ast.this.this), statement.ast.args.get("value")
        target = self.properties if statement.kind in (Kind.SET, Kind.UNSET) else None
        if target is not None and value is not None:
            target[name] = str(value.this)
        elif target is not None:
            target.pop(name, None)
        elif value is not None:
            self.variables.define(name, str(value.this))
        else:
            self.variables.undefine(name)
        say(f"{name} = {value.this!r} in this session" if value is not None else f"{name} is unset", stderr=True)


def _typed(rows: Rows) -> Sequence[tuple[str, KsqlType]]:
    return [(column.name, type_named(column.type)) for column in rows.columns]


def refusing(is_allowed: bool) -> Callable[[UserStatement], bool]:
    """A consent for runs without a user: it always agrees, or raises ChangeRefused."""

    def consent(statement: UserStatement) -> bool:
        if is_allowed:
            return True
        raise ChangeRefused(
            f"{statement.text.split(None, 1)[0].upper()} changes the server, and there is no terminal to ask on",
            hint="write it into a migration (opensea-metrics new), or consent with --yes",
        )

    return consent
