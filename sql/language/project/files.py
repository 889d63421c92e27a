"""The files of a project: their text, and the names of migrations.

A migration is ``V###__name.sql``, and its rollback ``V###__name.down.sql``.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from opensea_metrics.core.errors import Place, SqlError, os_reason, together

_SAVE = "save the file as UTF-8"


def read_text(path: Path) -> str:
    """A file's text, with ``\\n`` as line ends and without the UTF-8 byte order mark.

    Raises SqlError if the file cannot be read, or at its first byte that is not UTF-8.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SqlError(f"cannot read {path}: {os_reason(error)}") from error
    start = Place(str(path), 1, 1)
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in data[:4]:
        raise SqlError("the file is UTF-16 or UTF-32, not UTF-8", start, _SAVE)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig", errors="replace").splitlines(keepends=True)
        last = before[-1] if before else ""
        ended = last.endswith(("\n", "\r"))
        line, column = (len(before) + 1, 1) if ended or not before else (len(before), len(last) + 1)
        message = f"the byte 0x{data[error.start]:02X} is not UTF-8"
        raise SqlError(message, Place(str(path), line, column), _SAVE) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


_NAME = re.compile(r"V([0-9]{3,9})__([\w -]+?)(\.down)?\.sql")
_MEANT = re.compile(r"\s*V\s*([0-9]{1,9})[ _.-]+(.+?)(\.down)?(\.[^.]*)?\s*", re.IGNORECASE)
"""A name that was probably meant to be the name of a migration."""
_BACKUPS = ("~", ".bak", ".orig")


@dataclass(frozen=True)
class MigrationFile:
    """A file with a migration, or with its rollback if ``is_down``."""

    path: Path
    version: int
    name: str
    is_down: bool


def migration_files(
    folder: Path, versions: Collection[int] | None = None
) -> dict[int, dict[bool, MigrationFile]]:
    """The files in a folder by version, and by whether they are rollbacks. With ``versions``, only these versions.

    Raises SqlError for two files with one version, and for a rollback without its migration. Raises SqlError also for
    a name that ends with .sql or begins like a migration but is not valid, because its file would be ignored.
    """
    if not folder.is_dir():
        raise SqlError(f"there is no folder {folder}", hint="see --sql")
    files: dict[int, dict[bool, MigrationFile]] = {}
    errors: list[SqlError] = []
    for path in sorted(folder.iterdir()):
        file = _read(path)
        if versions is not None and _version(path) not in versions:
            continue
        if file is None:
            if _is_meant(path):
                message = f"'{path.name}' is not a valid name for a migration"
                errors.append(SqlError(message, Place(str(path), 1, 1), _remedy(path)))
            continue
        both = files.setdefault(file.version, {})
        if (other := both.get(file.is_down)) is not None:
            message = f"version {file.version} has two files: '{other.path.name}' and '{path.name}'"
            errors.append(SqlError(message, Place(str(path), 1, 1), "give one of them a different version"))
        both[file.is_down] = file
    for both in files.values():
        if False not in both:
            errors.append(SqlError("a rollback without its migration", Place(str(both[True].path), 1, 1)))
    if errors:
        raise together(errors)
    return files


def _read(path: Path) -> MigrationFile | None:
    match = _NAME.fullmatch(path.name)
    return MigrationFile(path, int(match[1]), match[2], bool(match[3])) if match else None


def _version(path: Path) -> int | None:
    match = _NAME.fullmatch(path.name) or _MEANT.fullmatch(path.name)
    return int(match[1]) if match else None


def _is_meant(path: Path) -> bool:
    name = path.name.strip().lower()
    if path.is_dir() or name.endswith(_BACKUPS):
        return False
    return name.endswith(".sql") or _MEANT.fullmatch(path.name) is not None


def _remedy(path: Path) -> str:
    rule = "migrations are named V###__name.sql, and their rollbacks V###__name.down.sql"
    if (meant := _MEANT.fullmatch(path.name)) is None:
        return rule
    name = re.sub(r"[^\w -]+", "_", meant[2]).strip()
    return f"rename it to 'V{meant[1]:0>3}__{name}{(meant[3] or '').lower()}.sql', or move it elsewhere; {rule}"
