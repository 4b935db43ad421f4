"""What the egress guard thinks of addresses, names and ports."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.registries.addresses import denied_address, denied_name, denied_port, is_platform_address, literal

DENIED = [
    *("0.0.0.0", "0.1.2.3", "10.0.0.5", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254"),
    *("168.63.129.16", "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255", "192.0.0.192"),
    *("192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.7"),
    *("203.0.113.9", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::7f00:1", "::8.8.8.8", "::ffff:0:127.0.0.1"),
    *("64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1", "100::1", "2001::1", "2001:2::1"),
    *("2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::", "2002:808:808::1", "3fff::1"),
    *("5f00::1", "fc00::1", "fd00:ec2::254", "fd20:ce::254", "fe80::1", "fec0::1", "ff02::1", "4000::1"),
]
PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "99.255.255.255",
    "172.32.0.1",
    "168.63.129.17",
    "2606:4700::1111",
    "2a00:1450::1",
]


@pytest.mark.parametrize("text", DENIED)
def test_denied(text: str) -> None:
    assert denied_address(ip_address(text))


@pytest.mark.parametrize("text", PUBLIC)
def test_public(text: str) -> None:
    assert denied_address(ip_address(text)) == ""


@given(st.integers(0, 2**32 - 1))
def test_nothing_leads_to_an_ipv4_address_inside_an_ipv6_one(number: int) -> None:
    for prefix in ("::ffff:0:0", "::", "64:ff9b::", "64:ff9b:1::", "fe80::5efe:0:0"):
        assert denied_address(IPv6Address(int(IPv6Address(prefix)) + number))
    assert denied_address(IPv6Address((0x2002 << 112) + (number << 80)))


@given(st.integers(0, 2**32 - 1).map(IPv4Address) | st.integers(0, 2**128 - 1).map(IPv6Address))
def test_only_global_addresses_pass(address: IPv4Address | IPv6Address) -> None:
    if not denied_address(address):
        assert address.is_global
        assert not address.is_private
        assert not address.is_multicast


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "0x7f000001", "2130706433", "127.1", "0177.0.0.1", "0x7f.1", "127.0.0.1.", "8.8.8.8"),
        *("1.2.3.4.5", "foo.0x7f", "[::1]", "::1", "[::ffff:127.0.0.1]", "::ffff:7f00:1", "fe80::1%25eth0"),
        *("localhost", "localhost.", "a.localhost", "registry", "metadata", "kubernetes.default.svc"),
        *("metadata.google.internal", "metadata.goog", "printer.local", "db.svc.cluster.local", "router.lan"),
        *(
            "1.0.0.127.in-addr.arpa",
            "",
            ".",
            "a..b",
            "-a.example",
            "a b.example",
            "a.example\x00",
            "ex\u00e4mple.com",
        ),
        *("a/b.example", "user@a.example", "a" * 64 + ".example", "a." * 130 + "example", "a.example%2e"),
    ],
)
def test_denied_names(host: str) -> None:
    assert denied_name(host)


@pytest.mark.parametrize(
    "host",
    [
        *("ghcr.io", "registry-1.docker.io", "a.b.c.example", "123.dkr.ecr.eu-west-1.amazonaws.com"),
        *(
            "1password.com",
            "a_b.example",
            "xn--exmple-cua.com",
            "ghcr.io.",
            "0x.example",
            "localhost.example",
        ),
    ],
)
def test_names_that_their_addresses_decide(host: str) -> None:
    assert denied_name(host) == ""


@pytest.mark.parametrize("port", [-1, 0, 22, 25, 53, 2375, 2379, 6379, 10250, 65536, 100000])
def test_denied_ports(port: int) -> None:
    assert denied_port(port)


@pytest.mark.parametrize("port", [80, 443, 5000, 5001, 8080, 8443, 5050, 65535])
def test_ports(port: int) -> None:
    assert denied_port(port) == ""


@pytest.mark.parametrize(
    "text",
    [
        "169.254.169.254",
        "169.254.170.2",
        "::ffff:169.254.169.254",
        "fd00:ec2::254",
        "168.63.129.16",
        "fe80::1",
    ],
)
def test_platform_addresses(text: str) -> None:
    assert is_platform_address(ip_address(text))


def test_literal_is_canonical_only() -> None:
    assert literal("[::1]") == IPv6Address("::1")
    assert literal("127.0.0.1") == IPv4Address("127.0.0.1")
    assert [literal(host) for host in ("127.1", "0x7f000001", "2130706433", "localhost", "")] == [None] * 5
