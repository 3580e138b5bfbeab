"""Which addresses only this machine or its network can reach (S20)."""

from __future__ import annotations

import socket

import pytest

from echopilot_jobs.addresses import is_private

PRIVATE = [
    "127.0.0.1", "127.1", "127.255.255.254", "0.0.0.0", "0", "2130706433", "0x7f000001", "0x7f.1", "017700000001",
    "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "169.254.0.1",
    "100.64.0.1", "100.127.255.254", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "192.0.2.1",
    "198.51.100.1", "203.0.113.1", "198.18.0.1", "192.0.0.1", "::1", "::", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
    "::ffff:169.254.169.254", "fc00::1", "fd12:3456::1", "fe80::1", "fe80::1%eth0", "ff02::1", "2001:db8::1",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2002:a00:1::", "2002:c0a8:101::",
    "2001::1", "2001:0:808:808::1", "::127.0.0.1", "100::1", "[::1]", "[fe80::1%25eth0]", "2606:4700::1%eth0", "8.8.8.8%1",
    "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::", "::ffff:0:7f00:1", "::8.8.8.8", "fec0::1", "3fff::1", "5f00::1",
    "4000::1", "192.88.99.1", "localhost", "LOCALHOST", "localhost.", "db.localhost",
]  # fmt: skip
PUBLIC = [
    "8.8.8.8", "1.1.1.1", "93.184.216.34", "134744072", "0x08080808", "172.15.255.255", "172.32.0.1",
    "100.63.255.255", "100.128.0.1", "192.167.1.1", "11.0.0.1", "2606:4700:4700::1111", "[2606:4700:4700::1111]",
    "2a00:1450:4001::1", "192.88.98.1", "example.com", "localhost.example.com",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_what_is_not_of_the_public_internet_is_private_in_any_form_S20(address: str) -> None:
    assert is_private(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_what_anybody_can_reach_and_names_to_be_looked_up_are_not_S20(address: str) -> None:
    assert not is_private(address)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "127.0.1", "0x7f.1", "0x7f000001", "2130706433", "017700000001", "::1"]
)
def test_what_the_resolver_makes_of_a_form_is_as_private_as_the_form_S20(host: str) -> None:
    resolved = {str(found[4][0]) for found in socket.getaddrinfo(host, 80, proto=socket.IPPROTO_TCP)}

    assert resolved <= {"127.0.0.1", "::1"}
    assert all(is_private(each) for each in (host, *resolved))
