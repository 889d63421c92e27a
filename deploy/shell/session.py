"""The shell on a terminal."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.lexers import Lexer
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.styles import Style

from opensea_metrics.core.errors import OpenSeaMetricsError, os_error_text
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.output.excerpts import error_text
from opensea_metrics.deploy.output.plain import say
from opensea_metrics.deploy.query.user_statements import (
    STATEMENTS,
    Action,
    UserStatement,
    statements_in,
)
from opensea_metrics.deploy.shell.commands import Commands
from opensea_metrics.deploy.shell.completion import KEYWORDS, ServerNames, SqlCompleter, names_of
from opensea_metrics.deploy.shell.runner import PLACE, ChangeRefused, Runner, View
from opensea_metrics.sql.language.dialect.lexical import first_unclosed
from opensea_metrics.sql.language.project.variables import pieces

PROMPT, MORE = "metrics> ", "    ...> "
_FIRST_NAMES = 5.0  # seconds
_WORDS = frozenset(word for phrase in (*KEYWORDS, *STATEMENTS) for word in phrase.split())
_TOKEN = re.compile(
    r"(?P<comment>--.*|/\*.*?(?:\*/|$))|(?P<text>'(?:[^']|'')*'?)|(?P<name>`[^`]*`?)"
    r"|(?P<number>\b\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\b)|(?P<word>[A-Za-z_]\w*)|(?P<rest>.)"
)
STYLE = Style.from_dict(
    {"keyword": "bold ansiblue", "text": "ansigreen", "number": "ansicyan", "comment": "ansibrightblack italic",
     "name": "ansimagenta", "prompt": "bold", "bottom-toolbar": "noreverse ansibrightblack"}
)  # fmt: skip


def start(client: KsqlClient, view: View, asks: bool = True, read_only: bool = False) -> None:
    """Run a shell until Ctrl-D or ``\\q``. ``asks``: ask before a change; ``read_only``: refuse changes.

    After an error the shell shows it and continues.
    """
    Shell(client, view, asks, read_only).run()


class Shell:
    """One session with a server."""

    def __init__(self, client: KsqlClient, view: View, asks: bool, read_only: bool) -> None:
        self._client = client
        self._asks, self._read_only = asks, read_only
        self._runner = Runner(client, view, self._consents, says_counts=True)
        self._commands = Commands(self._runner, self._run_text, self._refresh)
        self._names = ServerNames()
        self._has_names = threading.Event()
        self._refresh()
        self._prompt: PromptSession[str] = PromptSession(
            PROMPT,
            history=_history(),
            auto_suggest=AutoSuggestFromHistory(),
            completer=SqlCompleter(self._known_names),
            complete_while_typing=False,
            complete_in_thread=True,
            lexer=SqlLexer(),
            style=STYLE,
            multiline=True,
            prompt_continuation=lambda width, number, wrapped: " " * width if wrapped else MORE,
            key_bindings=_bindings(),
            color_depth=ColorDepth.DEPTH_1_BIT if os.environ.get("NO_COLOR") else None,
        )

    def run(self) -> None:
        """Read and run until the end."""
        say(f"opensea-metrics at {self._client.url}. \\? shows help, \\q leaves.")
        while True:
            try:
                text = self._prompt.prompt()
            except KeyboardInterrupt:
                continue
            except EOFError:
                return
            if not self._run_line(text):
                return

    def _run_line(self, text: str) -> bool:
        """Run what was typed, and show errors. Returns False if the shell should end."""
        try:
            if text.strip().startswith("\\"):
                return self._commands.run(text)
            self._run_text(text)
        except KeyboardInterrupt:
            say("ended", stderr=True)
        except OpenSeaMetricsError as error:
            say(f"error: {error_text(error)}", stderr=True)
        except OSError as error:
            say(f"error: {os_error_text(error)}", stderr=True)
        return True

    def _run_text(self, text: str) -> None:
        changes = False
        try:
            for statement in statements_in(text):
                changes |= statement.action is Action.CHANGE
                self._runner.run(statement)
        finally:
            if changes:
                self._refresh()

    def _refresh(self) -> None:
        """Ask for the server's names in the background: a slow server does not delay the prompt."""

        def look() -> None:
            self._names = names_of(self._client)
            self._has_names.set()

        threading.Thread(target=look, name="names", daemon=True).start()

    def _known_names(self) -> ServerNames:
        """The names from the server's last answer. Waits some seconds for the first answer."""
        self._has_names.wait(_FIRST_NAMES)
        return self._names

    def _consents(self, statement: UserStatement) -> bool:
        if self._read_only:
            raise ChangeRefused("this shell does not change the server", hint="start it without --read-only")
        if not self._asks:
            return True
        say(PLACE, stderr=True)
        try:
            return input("Run it now? [y/N] ").strip().lower() in ("y", "yes")
        except EOFError:
            return False


def is_complete(text: str) -> bool:
    """True if Enter should run a text: a command, or statements of which the last one has its semicolon."""
    if text.strip().startswith("\\") or not text.strip():
        return True
    if first_unclosed(text) is not None:
        return False
    *_, last = pieces(text)
    return last.text.rstrip().endswith(";")


class SqlLexer(Lexer):
    """Colours one line at a time, so that a long text costs no more than its visible lines."""

    def lex_document(self, document: Document) -> Callable[[int], StyleAndTextTuples]:
        lines = document.lines

        def line(number: int) -> StyleAndTextTuples:
            text = lines[number] if number < len(lines) else ""
            return [(_style(match), match[0]) for match in _TOKEN.finditer(text)]

        return line


def _style(part: re.Match[str]) -> str:
    kind = part.lastgroup or ""
    if kind == "word":
        return "class:keyword" if part[0].upper() in _WORDS else ""
    return "" if kind == "rest" else f"class:{kind}"


def _bindings() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("enter")
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.complete_state and buffer.complete_state.current_completion:
            buffer.complete_state = None  # accept the choice, and let the user continue to type
        elif is_complete(buffer.text):
            buffer.validate_and_handle()
        else:
            buffer.insert_text("\n")

    return keys


def _history() -> History:
    """Statements of earlier sessions, readable by this user only. In memory if the file cannot be written."""
    folder = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "opensea-metrics"
    path = folder / "history"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_APPEND, 0o600))
    except (OSError, RuntimeError):
        sys.stderr.flush()
        return InMemoryHistory()
    return FileHistory(str(path))
