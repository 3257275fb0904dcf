"""Networks that something is bound to."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import ip_address, ip_network


def hold(networks: Sequence[str] | None, address: str | None) -> bool:
    """Whether an address lies in one of these networks (CIDR, RFC 4632); if there are none, every one does."""
    return not networks or (address is not None and _hold(tuple(networks), address))


def around(address: str | None) -> str:
    """The network that an address belongs to: what one customer line usually gets (/24, or /64 of IPv6)."""
    try:
        found = ip_address(address or "")
    except ValueError:
        return "unknown"
    found = getattr(found, "ipv4_mapped", None) or found
    return str(ip_network((found, 24 if found.version == 4 else 64), strict=False))


@lru_cache(maxsize=10_000)
def _hold(networks: tuple[str, ...], address: str) -> bool:
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return any((mapped or found) in ip_network(network) for network in networks)
