"""The shell's own commands, which begin with a backslash."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from opensea_metrics.core.errors import OpenSeaMetricsError
from opensea_metrics.core.quoting import ksqldb_quoted
from opensea_metrics.deploy.output.forms import Form
from opensea_metrics.deploy.output.plain import say
from opensea_metrics.deploy.shell.runner import Runner

COMMANDS = {
    r"\d": "list streams and tables; \\d NAME describes one",
    r"\dt": "list tables",
    r"\ds": "list streams",
    r"\df": "list functions; \\df NAME describes one",
    r"\dq": "list queries",
    r"\i": "\\i FILE runs the statements of a file",
    r"\o": "\\o FILE writes further results to a file; \\o alone shows them",
    r"\raw": "show exact values, or values for people again",
    r"\refresh": "ask the server again for the names that completion offers",
    r"\x": "show rows one below the other, or as tables again",
    r"\?": "this list",
    r"\q": "leave the shell; Ctrl-D does the same",
}
KEYS = """A statement ends with a semicolon and may have many lines.
Enter runs a whole statement. Tab completes names.
Up and Down recall statements, and Ctrl-R searches them.
Ctrl-C ends a query or discards the text. Ctrl-D leaves the shell."""


class NoSuchCommand(OpenSeaMetricsError):
    """The shell has no such command. Its commands begin with a backslash."""


@dataclass
class Commands:
    """Runs the shell's own commands. ``run_text`` runs statements, and ``refresh`` reads the server's names again."""

    runner: Runner
    run_text: Callable[[str], None]
    refresh: Callable[[], None]

    def run(self, line: str) -> bool:
        """Run one command. Returns False if the shell should end. Raises OpenSeaMetricsError and OSError."""
        name, _, rest = line.strip().rstrip(";").partition(" ")
        given = rest.strip()
        view = self.runner.view
        match name:
            case r"\q":
                return False
            case r"\?" | r"\h":
                for command, meaning in COMMANDS.items():
                    say(f"  {command:<9} {meaning}")
                say(KEYS)
            case r"\d":
                self._ask(f"DESCRIBE {_source(given)};" if given else "SHOW STREAMS; SHOW TABLES;")
            case r"\dt":
                self._ask("SHOW TABLES;")
            case r"\ds":
                self._ask("SHOW STREAMS;")
            case r"\df":
                self._ask(f"DESCRIBE FUNCTION {_source(given)};" if given else "SHOW FUNCTIONS;")
            case r"\dq":
                self._ask("SHOW QUERIES;")
            case r"\i":
                self.run_text(Path(_path(given)).expanduser().read_text(encoding="utf-8-sig"))
            case r"\o":
                view.out = Path(_path(given)).expanduser() if given else None
                say(f"results go to {view.out}" if view.out else "results are shown here")
            case r"\raw":
                view.exact = None if view.exact else True
                say("exact values" if view.exact else "values for people")
            case r"\x":
                view.form = None if view.form is Form.VERTICAL else Form.VERTICAL
                say("one row below the other" if view.form else "tables where they fit")
            case r"\refresh":
                self.refresh()
            case _:
                raise NoSuchCommand(f"the shell has no command {name}\n  hint: \\? lists the commands")
        return True

    def _ask(self, text: str) -> None:
        self.run_text(text)


def _source(name: str) -> str:
    """A name as the user wrote it, or quoted if it has to be."""
    return name if name.replace("_", "").isalnum() or name.startswith("`") else ksqldb_quoted(name)


def _path(written: str) -> str:
    parts = shlex.split(written)
    if len(parts) != 1:
        raise NoSuchCommand("name one file\n  hint: put quotes around a name with blanks")
    return parts[0]
