"""Which names and addresses an untrusted text may make us connect to: nothing but the public Internet.

Pure.  IPv6 is an allow list (global unicast without its special parts), IPv4 an explicit deny list;
`is_global` of the standard library is asked besides, since its tables and ours age differently.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address

_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_][a-z0-9_-]{0,62})*", re.ASCII)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)

_DENIED_V4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network: many systems connect it to themselves
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared by carriers; Alibaba's metadata server
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's platform server, on a public address
        "169.254.0.0/16",  # link-local, most clouds' metadata servers
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments; Oracle's metadata server
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
_GLOBAL_V6 = IPv6Network("2000::/3")
"""Everything else is left out: loopback, v4-mapped and v4-compatible, NAT64, unique and site local,
link-local, multicast."""
_DENIED_V6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarking
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: carries an IPv4 address
        "3fff::/20",  # documentation
    )
)
_PLATFORM: tuple[IPv4Network | IPv6Network, ...] = (
    IPv4Network("169.254.0.0/16"),
    IPv4Network("168.63.129.16/32"),
    IPv4Network("100.100.100.200/32"),
    IPv4Network("192.0.0.192/32"),
    IPv6Network("fe80::/10"),
    IPv6Network("fd00:ec2::/32"),
    IPv6Network("fd20:ce::254/128"),
)
"""Where clouds keep their metadata and keys: not even a configured name may lead there."""

_LOCAL_SUFFIXES = frozenset(
    {
        "arpa",
        "corp",
        "home",
        "internal",  # metadata.google.internal
        "intranet",
        "lan",
        "local",  # cluster.local too
        "localdomain",
        "localhost",
        "onion",
        "private",
        "svc",
    }
)
_PLATFORM_NAMES = frozenset({"metadata.goog", "metadata.tencentyun.com", "metadata.azure.com"})
_DENIED_PORTS = frozenset(
    {0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103}
    | {104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513}
    | {514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 873, 989, 990, 993, 995, 1433}
    | {1521, 1719, 1720, 1723, 2049, 2375, 2379, 2380, 3306, 3389, 3659, 4045, 4190, 5060, 5061, 5432, 5900}
    | {6000, 6379, 6443, 6566, 6665, 6666, 6667, 6668, 6669, 6697, 9200, 10250, 10255, 11211, 27017}
)
"""Ports of other protocols, mostly those that browsers refuse too."""


def denied_address(address: Address) -> str:
    """Return why nothing may connect to `address` at an untrusted text's word; empty if it may."""
    if isinstance(address, IPv4Address):
        if any(address in network for network in _DENIED_V4):
            return "is not a public address"
    elif address not in _GLOBAL_V6 or any(address in network for network in _DENIED_V6):
        return "is not a public address"
    return "" if address.is_global and not address.is_multicast else "is not a public address"


def is_platform_address(address: Address) -> bool:
    """Return whether `address` belongs to a cloud's metadata or platform service."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address.version == network.version and address in network for network in _PLATFORM)


def denied_name(host: str) -> str:
    """Return why nothing may connect to the lower-case `host`; empty if its addresses decide.

    A literal address is denied in every notation that some resolver understands, public or not.
    """
    name = host.removesuffix(".")
    if ":" in name or name.startswith("["):
        return "is an address, not a name"
    if len(name) > 253 or not _HOST.fullmatch(name):
        return "is not a host name"
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return "is an address, not a name"
    if len(labels) == 1 or labels[-1] in _LOCAL_SUFFIXES or name in _PLATFORM_NAMES:
        return "is a local name"
    return ""


def denied_port(port: int) -> str:
    """Return why nothing may connect to `port`; empty if it may."""
    return "is not a port for HTTP" if port in _DENIED_PORTS or not 0 < port < 65536 else ""


def literal(host: str) -> Address | None:
    """Return the address that `host` spells in its canonical notation, brackets aside; else None."""
    try:
        return ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Return whether `host` names this machine by the loopback interface."""
    address = literal(host)
    return host == "localhost" if address is None else address.is_loopback
