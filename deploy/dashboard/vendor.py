"""Renews the libraries in static/vendor/: ``python -m opensea_metrics.deploy.dashboard.vendor``.

It needs npm. Each library comes from npm's registry in the version below, with its licence.
"""

from __future__ import annotations

import subprocess
import tarfile
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parent / "static/vendor"
LIBRARIES = {
    "uplot@1.6.32": {
        "dist/uPlot.iife.min.js": "uPlot.js",
        "dist/uPlot.min.css": "uPlot.css",
        "LICENSE": "uPlot.LICENSE",
    },
    "@dagrejs/dagre@3.1.3": {"dist/dagre.min.js": "dagre.js", "LICENSE": "dagre.LICENSE"},
}
"""Package and version → its files, and their names here."""


def renew(folder: Path = FOLDER) -> None:
    """Fetch the libraries into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        for package, files in LIBRARIES.items():
            command = ["npm", "pack", "--silent", "--pack-destination", temporary, package]
            archive = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
            with tarfile.open(Path(temporary) / archive) as packed:
                for inside, name in files.items():
                    content = packed.extractfile(f"package/{inside}")
                    assert content is not None
                    lines = content.read().splitlines()
                    # Otherwise browsers would request a source map that is not here.
                    kept = [line for line in lines if b"sourceMappingURL" not in line]
                    (folder / name).write_bytes(b"\n".join(kept) + b"\n")


if __name__ == "__main__":
    renew()
