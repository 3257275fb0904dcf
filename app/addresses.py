"""Addresses on the network that others name, and to which this service may connect: the public ones only."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_URL: Final = 2_000
PORTS: Final = {"http": 80, "https": 443}

# IANA's registries of special purposes, and what clouds answer at public addresses. Python's `is_global` depends on
# its version, and calls several of these global.
CLOSED: Final[tuple[Network, ...]] = tuple(map(ip_network, (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
    "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
    "168.63.129.16/32",  # Azure's own services, as every machine there sees them
    "2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20",
)))  # fmt: skip
GLOBAL_V6: Final = IPv6Network("2000::/3")
"""All that IANA has given out. IPv4 in other clothes (mapped, compatible, NAT64), link-local, unique local, site-local
and multicast addresses lie outside; 6to4 and Teredo inside, and are closed above.
"""

URL: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<target>/[!$-;=?-Z_a-z~%@]*|\?[!$-;=?-Z_a-z~%@]*)?",
    re.ASCII | re.IGNORECASE,
)
LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)


class Strange(ValueError):
    """It is no address that may be connected to; `code` says what is the matter."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Place:
    """A URL, taken apart once: what is checked is what is connected to."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """What the `Host` header says."""
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return shown if self.port == PORTS[self.scheme] else f"{shown}:{self.port}"


def place_of(url: str) -> Place:
    """Take a URL apart, by a narrower grammar than RFC 3986's: nothing in it can be read in two ways.

    No user, no fragment, no backslash, no control or space; a host in ASCII that is a name or an address in its one
    usual form.

    Raises:
        Strange: it is no such URL.
    """
    found = URL.fullmatch(url)
    if found is None or len(url) > MAX_URL:
        raise Strange("invalid_url")
    host = found["host"].lower().strip("[]")
    port = int(found["port"] or PORTS[found["scheme"].lower()])
    if not 0 < port < 65536 or (literal(host) is None and not _is_name(host)):
        raise Strange("invalid_url")
    target = found["target"] or "/"
    return Place(found["scheme"].lower(), host, port, target if target[0] == "/" else f"/{target}")


def _is_name(host: str) -> bool:
    """A name that no resolver takes for a number: `2130706433`, `0x7f.1` and `127.1` are addresses to some."""
    labels = host.split(".")
    return all(map(LABEL.fullmatch, labels)) and not NUMBER.fullmatch(labels[-1])


def literal(host: str) -> Address | None:
    """The address that a host is, if it is none that must be looked up."""
    try:
        return ip_address(host)  # strict: four decimal numbers without leading zeros
    except ValueError:
        return None


def refuse_closed(text: str, allowed: Sequence[Network] = (), *, listed_only: bool = False) -> None:
    """Raises:
    Strange: it is the address of a place that is not public, nor on the list (or, with `listed_only`, not on it).
    """
    found = literal(text)
    if found is None or getattr(found, "scope_id", None):
        raise Strange("refused_address")
    if any(found in network for network in allowed):
        return
    if listed_only or not is_public(found):
        raise Strange("refused_address")


def is_public(address: Address) -> bool:
    """Whether it may be connected to: any other is a machine of ours, or leads to one."""
    if isinstance(address, IPv6Address) and address not in GLOBAL_V6:
        return False
    return address.is_global and not any(address in network for network in CLOSED)
