"""All functions that SQL can call: those in ``udfs/functions``, and a project's own.

A project's own functions are in the ``*.py`` files that the environment variable OPENSEA_METRICS_UDFS lists. It
names files or folders, separated as in PATH. The files are read when a function is first looked up.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import os
import pkgutil
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType

from opensea_metrics.core.definition import Definition, UdfError
from opensea_metrics.udfs import functions as shipped
from opensea_metrics.udfs.api import ATTRIBUTE

VARIABLE = "OPENSEA_METRICS_UDFS"
_LOADING = threading.RLock()


def functions() -> dict[str, Definition]:
    """All functions by name. Raises UdfError for a function that cannot be read, or for a duplicate name."""
    # ksqlDB's threads call this at the same time, and none may see a file that is only half imported.
    with _LOADING:
        return _load(os.environ.get(VARIABLE, ""))


def find(name: str) -> Definition | None:
    """The function with that name, regardless of case, or None."""
    return functions().get(name.upper())


def checksum(name: str) -> str:
    """SHA-256 (hex) of the code that a function runs.

    It covers the function or class, and the functions, classes and constants of the same file that it uses. It does not
    cover comments, docstrings, layout, or code of other modules. If the checksum differs, results may differ, and
    the queries that call the function should be rebuilt. Raises KeyError for a function that is not registered.
    """
    definition = functions()[name.upper()]
    module = sys.modules[definition.call.__module__]
    wanted = [definition.call.__name__]
    if definition.arrow is not None:
        wanted.append(definition.arrow.__name__)
    return hashlib.sha256(_code(module, wanted).encode()).hexdigest()


class Checksums(Mapping[str, str]):
    """The checksums of all functions by name, each computed when it is first read. A file may take milliseconds."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        if name not in functions():
            raise KeyError(name)
        if name not in self._known:
            self._known[name] = checksum(name)
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(functions())

    def __len__(self) -> int:
        return len(functions())


@cache
def _load(own: str) -> dict[str, Definition]:
    definitions: dict[str, Definition] = {}
    for module in (*_shipped(), *map(_import, own_files(own))):
        for definition in _defined(module):
            if definition.name in definitions:
                raise UdfError(
                    f"{definition.place}: {definition.name} is already defined at {definitions[definition.name].place}"
                )
            definitions[definition.name] = definition
    return definitions


def _shipped() -> Iterable[ModuleType]:
    for info in pkgutil.iter_modules(shipped.__path__):
        yield importlib.import_module(f"{shipped.__name__}.{info.name}")


def own_files(listed: str | None = None) -> list[Path]:
    """The files of the project's own functions. Raises UdfError for a path that does not exist."""
    files = []
    for path in map(Path, filter(None, (listed or os.environ.get(VARIABLE, "")).split(os.pathsep))):
        if path.is_dir():
            files += sorted(p for p in path.glob("*.py") if not p.name.startswith("_"))
        elif path.is_file():
            files.append(path)
        else:
            raise UdfError(f"{VARIABLE} names {path}, which does not exist")
    return [file.resolve() for file in files]


def _import(path: Path) -> ModuleType:
    """The module of a file. It has its own name, so that it can be sent to Spark's workers."""
    name = path.stem
    known = sys.modules.get(name)
    if known is not None:
        if getattr(known, "__file__", None) == str(path):
            return known
        raise UdfError(f"{path}: rename the file, because there is another module called {name}")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except UdfError:
        del sys.modules[name]
        raise
    except Exception as error:
        del sys.modules[name]
        raise UdfError(f"{path}: {type(error).__name__}: {error}") from error
    return module


def _defined(module: ModuleType) -> Iterable[Definition]:
    for value in vars(module).values():
        definition = getattr(value, "__dict__", {}).get(ATTRIBUTE)
        if definition is not None and definition.call.__module__ == module.__name__:
            yield definition


def _code(module: ModuleType, wanted: list[str]) -> str:
    """The source of top-level names, and of everything in the same file that they use."""
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    nodes: dict[str, list[ast.stmt]] = {}
    for node in tree.body:
        for name in _names(node):
            nodes.setdefault(name, []).append(node)
    seen: set[str] = set()
    while wanted:
        name = wanted.pop()
        if name in nodes and name not in seen:
            seen.add(name)
            for node in nodes[name]:
                wanted += [n.id for n in ast.walk(node) if isinstance(n, ast.Name)]
    used = [node for node in tree.body if not seen.isdisjoint(_names(node))]
    return "\n".join(ast.unparse(_without_docstrings(node)) for node in used)


def _names(node: ast.stmt) -> list[str]:
    """The top-level names that a statement defines."""
    match node:
        case ast.FunctionDef() | ast.ClassDef():
            return [node.name]
        case ast.Import() | ast.ImportFrom():
            return [(alias.asname or alias.name).split(".")[0] for alias in node.names]
        case ast.Assign():
            return [n.id for target in node.targets for n in ast.walk(target) if isinstance(n, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
    return []


def _without_docstrings(node: ast.stmt) -> ast.stmt:
    for part in ast.walk(node):
        if isinstance(part, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(part) is not None:
            part.body = part.body[1:] or [ast.Pass()]
    return node
