"""Folders and servers for the pages whose blocks are run."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from enum import Enum
from pathlib import Path

import pytest

from opensea_metrics.deploy import commands
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.demo import wait_until_read
from opensea_metrics.deploy.embedded import server
from opensea_metrics.producer import sample
from opensea_metrics.producer.replay import replay
from opensea_metrics.producer.sinks import ArchiveSink
from opensea_metrics.sql.language.project.project import packaged_root
from tests.docs import forks
from tests.docs.markdown import Block
from tests.docs.session import Session

ONE_WINDOW = re.compile(r"(?<=^windows:\n)(  .*\n)+", re.MULTILINE)
"""The list of windows in settings.yml. One window instead of four saves most of the time."""
SERVE = Block("sh", "opensea-metrics serve --no-dashboard\n", 0, None, False)


class Start(Enum):
    """What is there when a page begins."""

    NOTHING = "an empty folder"
    NEW_PROJECT = "what opensea-metrics init writes"
    PROJECT = "the packaged statements in sql/, as in a checkout"
    MARKET = "the same, applied to a running server that has events"


def copy_project(folder: Path) -> None:
    """Copy the packaged statements to ``folder/sql``, with one window."""
    for name in ("macros", "migrations"):
        shutil.copytree(packaged_root() / name, folder / "sql" / name)
    settings = (packaged_root() / "settings.yml").read_text(encoding="utf-8")
    (folder / "sql/settings.yml").write_text(ONE_WINDOW.sub("  - size: 1 MINUTE\n", settings), encoding="utf-8")


@pytest.fixture(scope="session")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with forks.running(tmp_path_factory.mktemp("forks")) as folder:
        yield folder


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the packaged statements, and a server's data: 1,500 events and all migrations."""
    folder = tmp_path_factory.mktemp("market")
    copy_project(folder)
    data = folder / ".opensea-metrics"
    with server.running(data) as url:
        client = KsqlClient(url)
        commands.apply(client, folder / "sql")
        sink = ArchiveSink(data)
        replay(sample.frames(1_500, 1, sample.BUNDLED_START, sample.HOUR // 4, 0.3), sink)
        sink.close()
        wait_until_read(client, 60)
    return folder


Open = Callable[[Start], AbstractContextManager[Session]]


@pytest.fixture(scope="module")
def opened(scripts: Path, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Open:
    """Opens a session in a new folder."""

    @contextmanager
    def session(start: Start) -> Iterator[Session]:
        home = tmp_path_factory.mktemp("page")
        folder = home / "work"
        if start is Start.MARKET:
            shutil.copytree(request.getfixturevalue("market"), folder)
        folder.mkdir(exist_ok=True)
        if start is Start.PROJECT:
            copy_project(folder)
        if start is Start.NEW_PROJECT:
            commands.init(folder)
        opened = Session(folder, home, scripts)
        try:
            if start is Start.MARKET:
                opened.run(SERVE)
            yield opened
        finally:
            opened.close()

    return session
