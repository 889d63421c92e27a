"""A folder of settings, macros and migrations, read and rendered."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sql.statements import Statement


@dataclass(frozen=True)
class Migration:
    """One file ``V###__name.sql``, rendered with the settings and parsed.

    ``checksum`` is the SHA-256 (hex) of the rendered text; ``down`` are the statements of
    ``V###__name.down.sql`` where there is one, else None (rollback is then derived).
    """

    version: int
    name: str
    path: Path
    rendered: str
    statements: tuple[Statement, ...]
    checksum: str
    down: tuple[Statement, ...] | None = None


@dataclass(frozen=True)
class Project:
    """The migrations of a folder, in order of version."""

    root: Path
    migrations: tuple[Migration, ...]
