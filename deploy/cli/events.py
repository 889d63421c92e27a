"""Where events come from: samples and replays."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from deploy.cli.app import app
from deploy.config import Settings
from producer.replay import ArchiveSink, Counts, frames_of
from producer.replay import replay as replay_frames
from producer.sample import bundled, write_sample


@app.command()
def sample(
    out: Annotated[Path, typer.Option(metavar="DIR", help="The events go to DIR/topics/.")],
    events: Annotated[int, typer.Option(help="How many.")] = 100_000,
    seed: Annotated[int, typer.Option(help="The same seed makes the same events.")] = 1,
) -> None:
    """Make sample events as archive files: a day of a busy market.

    Example: opensea-metrics sample --events 1000000 --out .opensea-metrics
    """

    def progress(counts: Counts) -> None:
        print(f"{counts.read} of {events} events", file=sys.stderr)

    print(write_sample(out, events, seed, progress=progress))


@app.command()
def replay(
    recording: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="Frames, one a line (.ndjson, .gz) [the sample]."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The server's data [./.opensea-metrics].")
    ] = None,
    speed: Annotated[
        float | None, typer.Option(help="Times the original speed [as fast as possible].")
    ] = None,
) -> None:
    """Replay recorded frames into an archive that the embedded server reads.

    Example: opensea-metrics replay recording.ndjson.gz --speed 10
    """
    frames = frames_of(recording) if recording else bundled()
    sink = ArchiveSink(out or Settings().data_dir)
    try:
        print(replay_frames(frames, sink, speed=speed, flush_seconds=1.0))
    finally:
        sink.close()
