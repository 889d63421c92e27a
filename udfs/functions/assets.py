"""Identities of assets and accounts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opensea_metrics.udfs import udf

if TYPE_CHECKING:
    import pyarrow as pa

_BLANKS = " \t\r\n"
_HEX_ADDRESS = re.compile("0[xX][0-9a-fA-F]{40}", re.ASCII)


@dataclass(frozen=True)
class NftId:
    """The parts of an nft_id."""

    chain: str
    contract: str
    token: str


@udf
def nft_id_parts(nft_id: str) -> NftId | None:
    """The chain, contract and token of an nft_id such as ethereum/0x…/17.

    The token is text, because it has up to 78 digits. A hexadecimal contract is lower-cased. NULL for a text that does
    not have three parts.

    nft_id: an asset's id as OpenSea writes it

    >>> nft_id_parts("ethereum/0xBC4CA0EdA7647A8aB7C2061c2E118A18a936f13D/17").token
    '17'
    >>> nft_id_parts("ethereum/17") is None
    True
    """
    parts = nft_id.split("/")
    if len(parts) != 3 or not all(parts):
        return None
    chain, contract, token = parts
    return NftId(chain, normalize_address(contract) or contract, token)


def _normalize_addresses(addresses: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    trimmed = pc.utf8_trim(addresses, characters=_BLANKS)
    is_hex = pc.match_substring_regex(trimmed, f"^{_HEX_ADDRESS.pattern}$")
    normal = pc.if_else(is_hex, pc.ascii_lower(trimmed), trimmed)
    return pc.if_else(pc.equal(normal, ""), None, normal)


_TRIMMED = r"trim({0}, E' \t\r\n')"
_IN_DUCKDB = (
    f"CASE WHEN length({_TRIMMED}) = 42 AND regexp_full_match({_TRIMMED}, '0[xX][0-9a-fA-F]{{{{40}}}}')"
    f" THEN lower({_TRIMMED}) ELSE nullif({_TRIMMED}, '') END"
)


@udf(arrow=_normalize_addresses, duckdb=_IN_DUCKDB)
def normalize_address(address: str) -> str | None:
    """An account's or contract's address, in one form for comparisons.

    Hexadecimal addresses (0x and 40 digits) are lower-cased, because their capitals are only a checksum. Other
    addresses keep their case, because case matters in Solana's base 58. Surrounding blanks are removed. NULL if
    nothing is left.

    address: the address as received

    >>> normalize_address(" 0xBC4CA0EdA7647A8aB7C2061c2E118A18a936f13D")
    '0xbc4ca0eda7647a8ab7c2061c2e118a18a936f13d'
    >>> normalize_address("DYw8jCTfwHNRJhhmFcbXvVDTqWMEVFBX6ZKUmG5CNSKK")
    'DYw8jCTfwHNRJhhmFcbXvVDTqWMEVFBX6ZKUmG5CNSKK'
    """
    address = address.strip(_BLANKS)
    return address.lower() if _HEX_ADDRESS.fullmatch(address) else address or None
