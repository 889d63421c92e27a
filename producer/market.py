"""The fictional market behind the sample events: its collections, prices and traders.

A few collections have most of the trades, as on OpenSea. Each collection has a floor price that drifts and oscillates
during the day.
Some collections are being minted, and in some a ring of accounts trades with itself.
"""

from __future__ import annotations

import bisect
import itertools
import math
import random
from dataclasses import dataclass
from functools import cache

_ADJECTIVES = (
    "Tiny", "Neon", "Paper", "Velvet", "Lunar", "Rusty", "Quiet", "Pixel", "Golden", "Feral",
    "Glass", "Sleepy", "Cosmic", "Salty", "Hollow", "Brave", "Misty", "Wooden", "Electric", "Lost",
)  # fmt: skip
_NOUNS = (
    "Otters", "Kobolds", "Lanterns", "Bricks", "Fjords", "Robots", "Foxes", "Teapots", "Samurai", "Ferns",
    "Comets", "Goblins", "Snails", "Astronauts", "Masks", "Lighthouses", "Moths", "Wizards", "Pandas", "Clocks",
)  # fmt: skip
_OTHERS = {3: ("Müllpunks", "muellpunks"), 8: ("月の猫", "tsuki-no-neko")}
"""Names with letters beyond ASCII, by the rank of the collection."""
_CHAINS = ("ethereum", "ethereum", "base", "ethereum", "matic", "ethereum", "base", "solana")
_TRADERS = 3_000
_BUSY = 25
"""How many accounts trade about as often as the busiest one. Others trade less."""
_RING = 3

COLLECTIONS = len(_ADJECTIVES) * len(_NOUNS)


@dataclass(frozen=True)
class SampleToken:
    """A payment token. ``eth`` and ``usd`` are the rates of one token."""

    symbol: str
    name: str
    decimals: int
    eth: str
    usd: str


ETHER = SampleToken("ETH", "Ether", 18, "1.000000000000000", "2500.000000000000000000")
WRAPPED = SampleToken("WETH", "Wrapped Ether", 18, "1.000863124510729", "2502.157811276822")
DOLLAR = SampleToken("USDC", "USD Coin", 6, "0.000400000000000", "1.000000000000000000")
_SOL = SampleToken("SOL", "Solana", 9, "0.056000000000000", "140.000000000000000000")
_POL = SampleToken("POL", "Polygon Ecosystem Token", 18, "0.000092000000000", "0.230000000000000000")
_NATIVE = {"solana": _SOL, "matic": _POL}


@dataclass(frozen=True)
class SampleCollection:
    """A collection. ``rank`` 0 is the most traded one. ``floor`` is the floor price at midnight, in USD.

    ``drift`` is the relative change of the floor per hour. ``swing`` is the relative amplitude of its daily cycle, and
    ``phase`` is the cycle's phase in radians. ``is_minting`` marks collections whose items are new, and ``has_ring``
    marks collections with wash trades.
    """

    rank: int
    slug: str
    title: str
    chain: str
    contract: str
    supply: int
    floor: float
    drift: float
    swing: float
    phase: float
    is_minting: bool
    has_ring: bool

    def floor_at(self, moment: int) -> float:
        """The floor price in USD at a time (epoch ms)."""
        hours = moment % 86_400_000 / 3_600_000
        return self.floor * math.exp(self.drift * hours + self.swing * math.sin(self.phase + hours * math.pi / 12))

    @property
    def tokens(self) -> tuple[SampleToken, ...]:
        """The tokens of the collection's listings. The first one is the chain's native token."""
        native = _NATIVE.get(self.chain)
        return (native, DOLLAR) if native else (ETHER, ETHER, ETHER, DOLLAR)

    @property
    def offer_token(self) -> SampleToken:
        """The token in which buyers make offers."""
        return _NATIVE.get(self.chain, WRAPPED)


@cache
def collections() -> tuple[SampleCollection, ...]:
    """All collections, the most traded first."""
    rng = random.Random("collections")
    names = [f"{adjective} {noun}" for noun in _NOUNS for adjective in _ADJECTIVES]
    rng.shuffle(names)
    result = []
    for rank, name in enumerate(names):
        title, slug = _OTHERS.get(rank, (name, name.lower().replace(" ", "-")))
        result.append(
            SampleCollection(
                rank,
                slug,
                title,
                _CHAINS[rank % len(_CHAINS)],
                f"0x{rng.getrandbits(160):040x}",
                rng.choice((777, 3_333, 5_000, 8_888, 10_000)),
                floor=9_000 / (rank + 1) ** 1.1 * rng.lognormvariate(0, 0.5),
                drift=rng.gauss(0, 0.01),
                swing=abs(rng.gauss(0, 0.08)),
                phase=rng.uniform(0, 2 * math.pi),
                is_minting=rank % 11 == 5,
                has_ring=rank % 17 == 6,
            )
        )
    return tuple(result)


@cache
def _weights() -> list[float]:
    return list(itertools.accumulate(1 / (rank + 2) for rank in range(COLLECTIONS)))


def drawn(rng: random.Random) -> SampleCollection:
    """A random collection. Those with a lower rank are drawn more often."""
    weights = _weights()
    return collections()[bisect.bisect(weights, rng.random() * weights[-1])]


def traders(rng: random.Random, collection: SampleCollection, is_wash: bool) -> tuple[str, str]:
    """Random addresses of a seller and a buyer. In a wash trade, both belong to the collection's ring."""
    if is_wash:
        first = rng.randrange(_RING)
        members = (first, (first + 1 + rng.randrange(_RING - 1)) % _RING)
        seller, buyer = (10**6 + collection.rank * _RING + member for member in members)
    else:
        seller, buyer = (int(_BUSY * (rng.paretovariate(0.7) - 1)) % _TRADERS + 1 for _ in range(2))
    return f"0x{seller:040x}", f"0x{buyer:040x}"
