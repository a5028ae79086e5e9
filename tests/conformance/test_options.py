"""What a run is started with, told again by the command that repeats a check."""

from pathlib import Path
from typing import Any

import pytest

from homeserver.conformance.options import ConformOptions
from homeserver.conformance.preflight import Given
from homeserver.lab.options import DEFAULT_ALLOW
from homeserver.net.addresses import AddressRange, SocketAddress
from homeserver.protocol.identifiers import ServerName

FREE = SocketAddress("127.0.0.1", 0)
USUAL: dict[str, Any] = {
    "target": ServerName.parse("target.test"),
    "listen": FREE,
    "dns": FREE,
    "zone": "lab.test",
    "allow": tuple(map(AddressRange.parse, DEFAULT_ALLOW)),
}

OPTIONS: list[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    (
        {"target_address": SocketAddress("::1", 8448), "data": Path("/d")},
        ["--target-address", "[::1]:8448", "--data", "/d"],
    ),
    (
        {"given": Given(["@a:t"], ["!r:t", "#b:t"]), "setup": "make"},
        ["--room", "!r:t", "--room", "#b:t", "--user", "@a:t", "--setup", "make"],
    ),
    (
        {"listen": SocketAddress("127.0.0.4", 8448), "dns": SocketAddress("::", 53)},
        ["--listen", "127.0.0.4:8448", "--dns", "[::]:53"],
    ),
    (
        {"zone": "hs.test", "allow": (AddressRange.parse("10.0.0.0/8"),)},
        ["--zone", "hs.test", "--allow", "10.0.0.0/8"],
    ),
    ({"jobs": 2, "only": ["K"], "timeout": 5.0}, []),
]


@pytest.mark.parametrize(("given", "told"), OPTIONS)
def test_options_of_the_target(given: dict[str, Any], told: list[str]) -> None:
    """Whatever says where the target is, what it has and how it finds us is there."""
    assert ConformOptions(**(USUAL | given)).of_target == told
