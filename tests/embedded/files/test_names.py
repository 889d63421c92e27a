"""Any name of a file is a name, and entries that are not files of a topic are reported and stop nothing."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.embedded.topic import CountedTopic, lines, running

ODD_NAMES = (
    "k1", "k2", "k[12]", "k*", "k?", "k{1,2}", "[!a]", "**", "it's", '"quoted"', "new\nline", "tab\t",
    "back\\slash", "\\*", "semi;colon--", "%41", "ünïcode 中文", " leading", "trailing ", "-rf", "a=b", "$HOME",
    "~", "#", "x" * 240, "year=2026", "file:x", "s3:x", "a,b", "\x01", "\x7f", "\u202e", "…",
)  # fmt: skip


@pytest.mark.parametrize("suffix", [".json", ".json.gz"])
def test_names_are_names_and_not_patterns(topic: CountedTopic, suffix: str) -> None:
    for number, name in enumerate(ODD_NAMES):
        topic.write(name + suffix, lines(f"key {number}"))
        topic.write(f"in {name[:200]}/file" + suffix, lines(f"in {number}"))
    expected = {f"{place} {n}": 1 for n in range(len(ODD_NAMES)) for place in ("key", "in")}
    assert topic.counts() == expected
    assert topic.reports() == []


def test_names_that_are_not_utf_8_are_reported(topic: CountedTopic) -> None:
    folder = os.fsencode(topic.folder)
    topic.write("good.json", lines("good"))
    for name in (b"bad\xff.json", b"bad\xff.json.gz"):
        Path(os.fsdecode(folder + b"/" + name)).write_bytes(lines("bad"))
    inside = Path(os.fsdecode(folder + b"/dir\xfe"))
    inside.mkdir()
    (inside / "x.json").write_bytes(lines("inside"))
    assert topic.counts() == {"good": 1}
    (inside.with_name("dir")).mkdir()
    inside.rename(inside.with_name("dir"))
    assert topic.counts() == {"good": 1, "inside": 1}
    reasons = topic.reasons()
    assert [reason.count("the name is not UTF-8; rename it") for reason in reasons] == [1, 1, 1]
    for ending in (r"bad\xff.json)", r"bad\xff.json.gz)", r"dir\xfe)"):
        assert any(reason.endswith(ending) for reason in reasons)
    assert len(topic.reports()) == 3


def fifo(path: Path) -> None:
    os.mkfifo(path)


def unix_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        here = os.open(path.parent, os.O_RDONLY)
        try:
            bound.bind(f"/proc/self/fd/{here}/{path.name}")  # a socket's path is at most 107 bytes
        finally:
            os.close(here)


def dangling_link(path: Path) -> None:
    path.symlink_to(path.with_name("nowhere"))


def link_to_itself(path: Path) -> None:
    path.symlink_to(path)


def link_to_a_file_outside(path: Path) -> None:
    outside = path.parents[2] / f"secret {path.parent.name}.json"
    outside.write_bytes(lines("secret"))
    path.symlink_to(outside)


def link_to_a_directory_outside(path: Path) -> None:
    outside = path.parents[2] / f"secrets {path.parent.name}"
    outside.mkdir()
    (outside / "x.json").write_bytes(lines("secret"))
    path.symlink_to(outside)


def link_to_a_directory_inside(path: Path) -> None:
    inside = path.parents[1] / f"other{path.parent.name}"
    inside.mkdir()
    (inside / "x.json").write_bytes(lines("other"))
    path.symlink_to(inside)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (fifo, "it is a FIFO, not a file"),
        (unix_socket, "it is a socket, not a file"),
        (dangling_link, "a link that leads nowhere"),
        (link_to_itself, "cannot read this file: Too many levels of symbolic links"),
        (link_to_a_file_outside, "a link leads to "),
        (link_to_a_directory_outside, "a link leads to "),
        (link_to_a_directory_inside, "a link to a directory is not followed; move the directory here"),
    ],
)
@pytest.mark.parametrize("name", ["x.json", "x.json.gz"])
def test_entries_that_are_not_files_are_reported_once_and_stop_nothing(
    topic: CountedTopic, make: Callable[[Path], None], reason: str, name: str
) -> None:
    make(topic.folder / name)
    topic.write("good.json", lines("good"))
    for _ in range(3):
        assert topic.counts() == {"good": 1}
    ((logger, message),) = topic.reports()
    assert logger == "processing.files"
    assert message.startswith(f"Skipped a file of topic: {topic.name}. {reason}")
    assert message.endswith(f" ({topic.folder / name})")
    (topic.folder / name).unlink()
    topic.write(name, lines("healed"))
    assert topic.counts() == {"good": 1, "healed": 1}
    assert len(topic.reports()) == 1


def test_a_link_to_a_file_within_topics_is_read(topic: CountedTopic) -> None:
    target = topic.write("data.ignored", lines("target", 2))
    (topic.folder / "x.json").symlink_to(target)
    assert topic.counts() == {"target": 2}


def test_a_link_in_place_of_a_directory_is_not_followed_later(topic: CountedTopic, tmp_path: Path) -> None:
    """Not even if the file was registered while the path was still a directory."""
    topic.write("sub/x.json", lines("x"))
    topic.write("y.json", lines("y"))
    topic.register()
    (topic.folder / "sub").rename(tmp_path / "sub")
    (topic.folder / "sub").symlink_to(tmp_path / "sub")
    assert topic.counts() == {"y": 1}
    assert any("a link leads to " in reason for reason in topic.reasons())
    (topic.folder / "sub").unlink()
    (tmp_path / "sub").rename(topic.folder / "sub")
    assert topic.counts() == {"x": 1, "y": 1}


def test_hidden_files_and_directories_are_incomplete(topic: CountedTopic) -> None:
    for name in (".x.json", "_x.json", ".dir/x.json", "_dir/x.json"):
        topic.write(name, lines("hidden"))
    topic.write("x.json", lines("seen"))
    assert topic.counts() == {"seen": 1}
    assert topic.reports() == []


def test_entries_outside_topics_are_ignored_and_reported(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        topic = CountedTopic(server, "t")
        too_long = "n" * 250
        for name in ("not a topic", too_long, "ümlaut", os.fsdecode(b"bad\xff")):
            (server.root / name).mkdir()
            (server.root / name / "x.json").write_bytes(lines("x"))
        (server.root / "stray.json").write_bytes(lines("stray"))
        (server.root / "loop").symlink_to("loop")
        (server.root / ".DS_Store").touch()
        topic.write("x.json", lines("x"))
        for _ in range(2):
            assert topic.counts() == {"x": 1}
        assert set(server.topics()) == {"t", "T_FLAT", "T_SUMS", "T_DIRECT", "embedded_ksql_processing_log"}
        topic.name = ""
        assert len(topic.reports()) == 5
        assert all(reason.startswith("Skipped a path that belongs to no topic. the ") for reason in topic.reasons())
        (stray,) = [reason for reason in topic.reasons() if "stray.json" in reason]
        assert stray.endswith(
            f"the file is in no topic's directory; move it into topics/<topic>/ ({server.root / 'stray.json'})"
        )
        named = [reason for reason in topic.reasons() if "not one that Kafka allows" in reason]
        assert [any(name in reason for reason in named) for name in ("not a topic", too_long, "ümlaut", r"bad\xff")]
        assert len(named) == 4
        assert server.faults() == {}
