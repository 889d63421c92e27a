"""Fails if mypy left out a Python file that git tracks. ``make lint`` runs it after mypy.

    python -m tests.typed_files FOLDER

FOLDER has mypy's ``--linecount-report``, which names the modules that mypy checked.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def checked(report: str, root: Path) -> set[Path]:
    """The files of the modules in a line count report, with links resolved."""
    _, *lines = report.splitlines()  # the first is the total
    stems = [root / line.split()[-1].replace(".", "/") for line in lines]
    packages = [stem / "__init__.py" for stem in stems]
    files = [
        package if package.exists() else stem.with_name(f"{stem.name}.py")
        for stem, package in zip(stems, packages, strict=True)
    ]
    return {file.resolve() for file in files}


def left_out(report: str, root: Path) -> list[str]:
    """The Python files of a git checkout that are missing from the report, relative to ``root``.

    Raises CalledProcessError if git cannot list its files.
    """
    command = ("git", "ls-files", "-z", "*.py", "*.pyi")
    listed = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    names = [name for name in listed.split("\0") if name and (root / name).exists()]
    known = checked(report, root)
    return sorted(name for name in names if (root / name).resolve() not in known)


def main(folder: Path, root: Path) -> str | None:
    """Returns a message for sys.exit if files are left out."""
    if not (root / ".git").exists():
        print(f"Cannot check whether mypy sees every Python file: {root} is not a git checkout.")
        return None
    names = left_out((folder / "linecount.txt").read_text(encoding="utf-8"), root)
    if not names:
        return None
    return (
        f"error: mypy does not check {', '.join(names)}. Move the file into one of the packages that"
        " [tool.mypy] in pyproject.toml names, or name its package there."
    )


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path.cwd()))
