"""Counts the modules that ``apply`` enters until a server has the first statement of a migration.

Usage: ``python -m tests.bench.walk`` prints them folder by folder. Only calls count, not imports.
"""

from __future__ import annotations

import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from types import FrameType
from typing import Any

from opensea_metrics.deploy import cli
from opensea_metrics.deploy.client.transport import Transport
from opensea_metrics.deploy.embedded.server import running

ROOT = Path(__file__).parents[2]
MIGRATION = """
CREATE STREAM sales (id VARCHAR KEY, price DOUBLE)
  WITH (KAFKA_TOPIC='sales', PARTITIONS=1, VALUE_FORMAT='JSON');
"""


class Arrived(Exception):
    """The statement is at the door of the client's transport."""


def modules_entered(url: str, project: Path) -> list[str]:
    """The modules of this repository with at least one call, from the command line to the POST."""
    entered: set[str] = set()

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_name != "<module>":
            entered.add(frame.f_code.co_filename)

    send = Transport.ksql

    def stop_at_the_statement(transport: Transport, text: str, *more: Any) -> Any:
        if text.startswith("CREATE STREAM sales"):
            raise Arrived
        return send(transport, text, *more)

    Transport.ksql = stop_at_the_statement  # type: ignore[method-assign,assignment]
    app = cli.whole_app()
    sys.setprofile(note)
    try:
        app(["apply", "--server", url, "--sql", str(project)], standalone_mode=False)
    except Arrived:
        pass
    finally:
        sys.setprofile(None)
        Transport.ksql = send  # type: ignore[method-assign]
    files = {Path(name).resolve() for name in entered if not name.startswith("<")}
    own = [each for each in files if each.is_relative_to(ROOT) and ".venv" not in each.parts]
    return sorted(str(each.relative_to(ROOT)) for each in own)


def main() -> None:
    """Print the modules by folder."""
    with tempfile.TemporaryDirectory() as directory:
        project = Path(directory) / "project"
        (project / "migrations").mkdir(parents=True)
        (project / "settings.yml").write_text("{}\n")
        (project / "migrations" / "V001__sales.sql").write_text(MIGRATION)
        with running(Path(directory) / "data") as url:
            entered = modules_entered(url, project)
    folders: dict[str, list[str]] = defaultdict(list)
    for each in entered:
        if not each.startswith("tests/"):
            folders[str(Path(each).parent)].append(Path(each).stem)
    for folder, names in folders.items():
        print(f"{len(names):3} {folder}: {', '.join(names)}")
    print(f"{sum(map(len, folders.values())):3} modules")


if __name__ == "__main__":
    main()
