"""Of a damaged file, every record before the damage counts once. The rest counts when the file is whole."""

from __future__ import annotations

import gzip
import os
import time
import zlib

import pytest

from opensea_metrics.deploy.embedded.files.unread import WHEN_IT_GOES_ON, Why
from tests.embedded.files.disturbances import NOT_GZIP, settled
from tests.embedded.topic import CountedTopic, lines


@pytest.mark.parametrize("name", ["x.json", "x.json.gz"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_file_cut_after_it_was_registered(topic: CountedTopic, name: str, share: float) -> None:
    path = topic.write(name, b"".join(lines(f"k{n}", 100) for n in range(100)))
    topic.write("y.json", lines("y"))
    topic.register()
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    settled(path)
    cut = topic.counts()
    assert cut.pop("y") == 1
    assert sum(cut.values()) < 10_000
    if name == "x.json":
        assert sum(cut.values()) == whole[: int(len(whole) * share)].count(b"\n")
    else:
        assert sum(cut.values()) > 0 or share < 0.9
    reason = "has become shorter before any query had read it" if name == "x.json" and share else "this file is damaged"
    assert any(reason in message for message in topic.reasons())
    reported = len(topic.reports())
    path.write_bytes(whole)
    for _ in range(2):
        assert topic.counts() == {"y": 1, **{f"k{n}": 100 for n in range(100)}}
    assert len(topic.reports()) == reported


def test_a_compressed_file_that_is_written_in_place(topic: CountedTopic) -> None:
    whole = gzip.compress(b"".join(lines(f"k{n}", 10) for n in range(1000)))
    path = topic.folder / "x.json.gz"
    with path.open("wb", buffering=0) as file:
        for start in range(0, len(whole), len(whole) // 7):
            file.write(whole[start : start + len(whole) // 7])
            some = topic.counts()
            assert set(some.values()) <= set(range(1, 11))
    assert topic.counts() == {f"k{n}": 10 for n in range(1000)}
    assert topic.reports() == []


def test_a_half_written_file_that_looked_damaged_may_be_completed(topic: CountedTopic) -> None:
    whole = gzip.compress(b"".join(lines(f"k{n}", 10) for n in range(1000)))
    path = topic.folder / "x.json.gz"
    path.write_bytes(whole[: len(whole) // 2])
    settled(path)
    assert 0 < sum(topic.counts().values()) < 10_000
    (reason,) = topic.reasons()
    assert f"this file is damaged: its end is missing; {WHEN_IT_GOES_ON[Why.DAMAGED]}" in reason
    path.write_bytes(whole)
    assert topic.counts() == {f"k{n}": 10 for n in range(1000)}


@pytest.mark.parametrize("ahead", [-10**9, 10**6])
def test_the_time_of_a_file_may_be_in_the_future(topic: CountedTopic, ahead: int) -> None:
    whole = gzip.compress(b"".join(lines(f"k{n}", 10) for n in range(1000)))
    path = topic.folder / "x.json.gz"
    for content in (whole[: len(whole) // 2], whole):
        path.write_bytes(content)
        os.utime(path, (time.time() + ahead, time.time() + ahead))
        some = topic.counts()
    assert some == {f"k{n}": 10 for n in range(1000)}


GOOD = gzip.compress(lines("x", 100))


def wrong_checksum() -> bytes:
    return GOOD[:-8] + bytes(4) + GOOD[-4:]


def flipped() -> bytes:
    big = gzip.compress(b"".join(lines("x", 100) for _ in range(100)), 1)
    return big[: len(big) // 2] + b"\xff\x00\xff\x00" + big[len(big) // 2 + 4 :]


AFTER = "after its end come bytes that are not gzip"


@pytest.mark.parametrize(
    ("content", "least", "most", "reason"),
    [
        pytest.param(GOOD + GOOD, 200, 200, None, id="two members"),
        pytest.param(GOOD + bytes(1000), 100, 100, None, id="zeros after"),
        pytest.param(GOOD + bytes(1000) + GOOD, 200, 200, None, id="zeros between"),
        *(
            pytest.param(GOOD + after, 100, 100, f"this file is damaged: {AFTER}", id=f"{after[:8]!r} after")
            for after in (b"garbage", b"\n", bytes(10) + b"x", b"\x1fx", b"more text than a header has\n")
        ),
        pytest.param(GOOD + GOOD[:5], 100, 100, "this file is damaged: its end is missing", id="half a member after"),
        pytest.param(wrong_checksum(), 100, 100, "this file is damaged: ", id="wrong checksum"),
        pytest.param(flipped(), 1, 9_999, "this file is damaged: ", id="flipped bytes"),
        pytest.param(GOOD[:-12], 90, 100, "this file is damaged: its end is missing", id="cut"),
        pytest.param(b"", 0, 0, "it is empty (0 bytes)", id="0 bytes"),
        pytest.param(b"\x1f", 0, 0, "this file is damaged: its end is missing", id="1 byte"),
        pytest.param(lines("x", 3), 0, 0, f"{NOT_GZIP}; compress it, or rename it to .json", id="not gzip"),
        pytest.param(lines("x", 1)[:3], 0, 0, NOT_GZIP, id="3 bytes of text"),
        pytest.param(bytes(100), 0, 0, NOT_GZIP, id="zeros"),
        pytest.param(gzip.compress(b""), 0, 0, None, id="no lines"),
        pytest.param(gzip.compress(lines("x", 2)[:-1]), 2, 2, None, id="no newline at the end"),
        pytest.param(gzip.compress(b"\n\r\n\n" + lines("x", 2).replace(b"\n", b"\r\n")), 2, 2, None, id="empty lines"),
        pytest.param(gzip.compress(b"\xef\xbb\xbf" + lines("x", 2)), 2, 2, None, id="byte order mark"),
    ],
)
def test_kinds_of_compressed_files(
    topic: CountedTopic, content: bytes, least: int, most: int, reason: str | None
) -> None:
    path = topic.folder / "x.json.gz"
    path.write_bytes(content)
    settled(path)
    topic.write("a.json.gz", lines("a", 1362))
    topic.write("z.json.gz", lines("z", 1362))
    for _ in range(2):
        counts = topic.counts()
        assert counts.pop("a") == counts.pop("z") == 1362
        assert least <= sum(counts.values()) <= most
    messages = [message for _, message in topic.reports() if "Skipped a file" in message]
    # The register reports an empty file, and each of two queries what it reads.
    assert len(messages) == (1 if not content else 2 if reason else 0)
    assert all(reason and f"{topic.name}. {reason}" in message for message in messages)


def test_all_records_before_damage_count(topic: CountedTopic) -> None:
    """The same holds for recompute, and for any size of the steps in which igzip unpacks."""
    text = b"".join(b'{"t":1789467000000,"k":"%d","a":%d}\n' % (n % 7, zlib.crc32(b"%d" % n)) for n in range(9_000))
    whole = gzip.compress(text, 1)
    for at in range(40_000, 70_000, 5_003):
        damaged = whole[:at] + b"\xff" * 40 + whole[at + 40 :]
        path = topic.write(f"{at}.json", b"")
        path.with_name(f"{at}.json.gz").write_bytes(damaged)
        settled(path.with_name(f"{at}.json.gz"))
    expected = 0
    for path in topic.folder.glob("*.gz"):
        unpacker, before = zlib.decompressobj(wbits=31), b""
        try:
            for byte in path.read_bytes():
                before += unpacker.decompress(bytes((byte,)))
        except zlib.error:
            pass
        expected += before[: before.rfind(b"\n") + 1].count(b'\n')
    counted = sum(topic.counts().values())
    bad = [message for logger, message in topic.reports() if "deserialize" in message and "FLAT" in logger]
    assert counted + len(bad) == expected > 20_000
