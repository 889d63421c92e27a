"""New migrations: an empty one, and ones that add a window, add a family of tables, or change a family.

A family is the tables of one metric, one table for each window. Its definition is a file ``macros/families/NAME.sql``
with two macros: ``create(window)`` and ``replace(window)``. If all its tables read streams of its own, the macro
``streams()`` creates them. Do not edit the file of a family in use, because
applied migrations are rendered with it. A change creates a new version of the file, ``NAME_v2.sql``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from opensea_metrics.deploy.commands.site import Variables
from opensea_metrics.deploy.migrations.errors import MigrationError
from opensea_metrics.spark_batch.period import PeriodError, WindowChoice, duration, parse_window
from opensea_metrics.sql.language.project.project import (
    Project,
    find_root,
    load_project,
    packaged_root,
)

_SET = "SET 'auto.offset.reset' = 'earliest';   -- read the records that the topics already hold\n"
_FAMILY = re.compile(r"'families/(\w+)\.sql'")
_VERSION = re.compile(r"(\w+)_v(\d+)")
_WINDOW = re.compile(r"^\{% set window = (\{.*\}) %\}$", re.MULTILINE)
_DAY = 86_400_000


def new(name: str, root: Path | None = None, variables: Variables | None = None) -> Path:
    """Start a migration: an empty file with the next version. Returns its path.

    Raises MigrationError for a name that cannot be part of a file name, and outside a project.
    """
    project = _project(root, variables)
    return _write(project, name, f"-- {_words(name).replace('_', ' ')}\n{_SET}\n")


def new_window(
    size: str,
    slide: str | None = None,
    name: str | None = None,
    root: Path | None = None,
    variables: Variables | None = None,
) -> Path:
    """Write the migration that creates the tables of one more window, for every family. Returns its path.

    ``size`` and ``slide`` are texts such as '1 DAY'. Raises PeriodError for another text, and MigrationError if the
    project already has the window or has no families.
    """
    project = _project(root, variables)
    chosen = parse_window(size, slide)
    bare = {"size": chosen.label, **({"slide": chosen.slide} if chosen.slide else {})}
    window = {**bare, **_retention(project.settings, chosen)}
    texts = _texts(project)
    if bare in project.settings.get("windows", ()) or repr(window) in _added(texts):
        raise MigrationError(f"the project already has a window of {chosen.label}\n  hint: see status and settings.yml")
    families = _families(texts)
    if not families:
        raise MigrationError(
            f"no migration of {project.root} uses a family of tables, so there is nothing to add\n"
            "  hint: move the statement of a table into macros/families/NAME.sql, as docs/recipes.md shows"
        )
    lines = [
        f"-- The window of {chosen.label.lower()}: one line for each family of tables.\n",
        _SET,
        f"{{% set window = {window!r} %}}\n",
        f"{{% if {bare!r} not in windows %}}\n",
        *(f"{{% from 'families/{f}.sql' import create with context %}}{{{{ create(window) }}}}\n" for f in families),
        "{% endif %}\n",
    ]
    suffix = "_".join(text for value in bare.values() for text in ("by", value))[3:]
    return _write(project, name or f"window_{suffix.lower()}", "".join(lines))


def new_family(
    family: str, name: str | None = None, root: Path | None = None, variables: Variables | None = None
) -> Path:
    """Write the migration that creates the tables of a family, for every window. Returns its path.

    Raises MigrationError if the project does not have the family's definition, or uses it already.
    """
    project = _project(root, variables)
    texts = _texts(project)
    chosen, used = family.lower(), {_base(newest) for newest in _families(texts)}
    defined = [path.stem for path in sorted((project.root / "macros" / "families").glob("*.sql"))]
    unused = ", ".join(stem for stem in defined if _base(stem) not in used) or "none"
    if chosen not in defined:
        raise MigrationError(f"there is no macros/families/{chosen}.sql\n  hint: the families not in use are: {unused}")
    if _base(chosen) in used:
        raise MigrationError(
            f"the project already has the tables of {chosen}\n"
            f"  hint: change them with --change {_base(chosen)}. The families not in use are: {unused}"
        )
    definition = (project.root / "macros" / "families" / f"{chosen}.sql").read_text(encoding="utf-8")
    added = [(repr({k: v for k, v in ast.literal_eval(one).items() if k != "retention"}), one) for one in _added(texts)]
    lines = [
        f"-- The tables of the family {chosen}.\n",
        _SET,
        f"{{% import 'families/{chosen}.sql' as family with context %}}\n",
        *(["{{ family.streams() }}\n"] if "{% macro streams()" in definition else []),
        "{% for window in windows %}\n{{ family.create(window) }}\n{% endfor %}\n",
        *(
            f"{{% if {bare} not in windows %}}\n{{{{ family.create({window}) }}}}\n{{% endif %}}\n"
            for bare, window in added
        ),
    ]
    return _write(project, name or chosen, "".join(lines))


def new_change(
    name: str, family: str, root: Path | None = None, variables: Variables | None = None
) -> tuple[Path, Path]:
    """Copy the newest definition of a family, and write the migration that replaces its tables with the copy.

    Returns the paths of the copy, which the user edits, and of the migration. Raises MigrationError if there is no such
    family, or if its tables cannot be replaced.
    """
    project = _project(root, variables)
    texts = _texts(project)
    families = {_base(newest): newest for newest in _families(texts)}
    folder = project.root / "macros" / "families"
    if (newest := families.get(_base(family.lower()))) is None:
        known = ", ".join(families) or "none"
        raise MigrationError(f"there is no family {family!r} in use\n  hint: the families in use are: {known}")
    definition = (folder / f"{newest}.sql").read_text(encoding="utf-8")
    if "{% macro replace(" not in definition:
        raise MigrationError(
            f"{folder / newest}.sql has no macro replace(window), because its statements start queries without a table"
            "\n  hint: write the change by hand: TERMINATE the old query and INSERT INTO … SELECT again"
        )
    _words(name)
    copy = folder / f"{_next(newest)}.sql"
    with open(copy, "x", encoding="utf-8") as file:
        file.write(definition)
    windows = " + ".join(["windows", *(f"[{window}]" for window in _added(texts))])
    text = (
        f"-- {_words(name).replace('_', ' ')}\n"
        f"-- Edit macros/families/{copy.name} first: the tables get the definition in it.\n"
        f"{_SET}"
        f"{{% from 'families/{copy.name}' import replace with context %}}\n"
        f"{{% for window in {windows} %}}\n{{{{ replace(window) }}}}\n{{% endfor %}}\n"
    )
    return copy, _write(project, name, text)


def _project(root: Path | None, variables: Variables | None) -> Project:
    if root is None and find_root() == packaged_root():
        raise MigrationError(
            "there is no project here: ./sql has no settings.yml and migrations/\n"
            "  hint: begin one with opensea-metrics init DIR, or name its folder with --sql DIR"
        )
    return load_project(root, variables)


def _words(name: str) -> str:
    """The name as a part of a file name."""
    words = re.sub(r"\s+", "_", name.strip())
    if not re.fullmatch(r"\w+", words):
        raise MigrationError(f"{name!r} is not a migration's name\n  hint: use letters, digits and underscores")
    return words


def _write(project: Project, name: str, text: str) -> Path:
    versions = [file.version for file in project.migrations]
    digits = max((len(file.path.name.partition("__")[0]) - 1 for file in project.migrations), default=3)
    path = project.root / "migrations" / f"V{max(versions, default=0) + 1:0{digits}}__{_words(name)}.sql"
    path.write_text(text, encoding="utf-8")
    return path


def _texts(project: Project) -> list[str]:
    return [file.path.read_text(encoding="utf-8") for file in project.migrations]


def _families(texts: Iterable[str]) -> list[str]:
    """The newest version of each family that migrations use, in the order of first use.

    A family reads only from families before it.
    """
    newest: dict[str, str] = {}
    for text in texts:
        for name in _FAMILY.findall(text):
            newest[_base(name)] = name
    return list(newest.values())


def _added(texts: Iterable[str]) -> list[str]:
    """The windows that migrations have added, as they are written there."""
    return [window for text in texts for window in _WINDOW.findall(text)]


def _base(name: str) -> str:
    match = _VERSION.fullmatch(name)
    return match[1] if match else name


def _next(name: str) -> str:
    match = _VERSION.fullmatch(name)
    return f"{match[1]}_v{int(match[2]) + 1}" if match else f"{name}_v2"


def _retention(settings: Mapping[str, Any], window: WindowChoice) -> dict[str, str]:
    """A retention of the window's own, if ksqlDB would refuse that of settings.yml because it is too short."""
    try:
        grace, retention = duration(str(settings.get("grace"))), duration(str(settings.get("retention")))
    except PeriodError:
        return {}
    needed = (window.size or 0) + grace
    return {"retention": f"{-(-needed // _DAY)} DAYS"} if needed > retention else {}
