"""Tests the check that mypy leaves out no file. mypy runs in a small repository."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.typed_files import main

FILES = (
    "code/__init__.py", "code/deep/er/x.py", "package/__init__.py", "tests/test_x.py", "tests/a/test_x.py",
)  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Like this repository: one package links to a folder of code, the other has no __init__.py."""
    repository = tmp_path_factory.mktemp("repository").resolve()
    for name in FILES:
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).touch()
    (repository / "package/code").symlink_to("../code")
    subprocess.run(("git", "init", "--quiet"), cwd=repository, check=True)
    subprocess.run(("git", "add", "."), cwd=repository, check=True)
    command = (sys.executable, "-m", "mypy", "-p", "package", "-p", "tests", "--linecount-report", ".git/lines")
    subprocess.run(command, cwd=repository, check=True, capture_output=True)
    return repository


def test_every_file_is_checked(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(root / ".git/lines", root) is None
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["setup.py", "code/new.py", "tests/a-b/test_y.py", "code/deep/stub.pyi"])
def test_a_file_that_is_left_out_is_named(root: Path, name: str) -> None:
    path = root / name
    path.parent.mkdir(exist_ok=True)
    path.touch()
    assert main(root / ".git/lines", root) is None  # git does not track it yet
    subprocess.run(("git", "add", name), cwd=root, check=True)
    try:
        message = main(root / ".git/lines", root)
    finally:
        subprocess.run(("git", "rm", "--quiet", "--cached", name), cwd=root, check=True)
    assert message is not None
    assert message.startswith(f"error: mypy does not check {name}. ")


def test_a_folder_without_git_is_not_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(tmp_path / "none", tmp_path) is None
    assert capsys.readouterr().out.endswith(f"{tmp_path} is not a git checkout.\n")
