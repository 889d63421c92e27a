"""Sales and transfers that tests put into the topic of an embedded server, one file for each batch."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MINUTE = 60_000
START = 1_789_467_000_000
"""A full half hour: 2026-09-15 10:10:00 UTC is START, and its windows of 1 and 5 minutes begin there."""


def sold(slug: str, usd: float, at: int, number: int = 1, **changes: Any) -> dict[str, Any]:
    """A sale of one item for a price, at a time (epoch ms)."""
    asset = changes.get("asset", {})
    chain = changes.get("chain", "ethereum")
    payload = {
        "collection": {"slug": slug},
        "chain": chain,
        "item": {
            "nft_id": changes.get("nft_id", f"{chain}/0x1/{number}"),
            "permalink": asset.get("url", f"https://opensea.io/assets/{number}"),
            "metadata": {"name": asset.get("name", f"Item {number}"), "image_url": asset.get("image")},
        },
        "quantity": "1",
        "sale_price": str(int(usd * 10**6)),
        "payment_token": {"symbol": "USDC", "decimals": "6", "eth_price": "0.0005", "usd_price": "1"},
        "maker": {"address": f"0x{number:040x}"},
        "taker": {"address": f"0x{number + 1000:040x}"},
        "transaction": {"hash": f"0x{number:064x}"},
    }
    return _event("item_sold", at, slug, payload)


def transferred(slug: str, at: int, number: int = 1, chain: str = "ethereum") -> dict[str, Any]:
    """A mint of one item."""
    payload = {
        "collection": {"slug": slug},
        "chain": chain,
        "item": {"nft_id": f"{chain}/0x1/{number}", "permalink": None, "metadata": {"name": f"Item {number}"}},
        "quantity": "1",
        "from_account": {"address": f"0x{0:040x}"},
        "to_account": {"address": f"0x{number:040x}"},
    }
    return _event("item_transferred", at, slug, payload)


def _event(kind: str, at: int, slug: str, payload: dict[str, Any]) -> dict[str, Any]:
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at // 1000))
    inner = {"event_type": kind, "sent_at": moment, "payload": payload}
    return {"event_time": at, "topic": f"collection:{slug}", "event": kind, "payload": inner}


@dataclass
class RawTopic:
    """The topic of raw events in a server's data directory."""

    data: Path
    _offset: int = field(default=0)

    def write(self, events: Iterable[dict[str, Any]]) -> None:
        """Add events as one file."""
        lines = [json.dumps(event) for event in events]
        hour = time.strftime("year=%Y/month=%m/day=%d/hour=%H", time.gmtime(START // 1000))
        folder = self.data / "topics/OpenSeaRawEvents" / hour
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"OpenSeaRawEvents+0+{self._offset:010}.json"
        self._offset += len(lines)
        hidden = path.with_name(f".{path.name}.tmp")
        hidden.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", errors="surrogatepass")
        hidden.rename(path)
