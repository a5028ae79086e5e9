"""Which socket addresses and ranges of addresses are read, and what is in a range."""

import contextlib
import re
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.net.addresses import AddressRange, SocketAddress
from tests.support.tables import cases

SOCKET_ADDRESSES: list[tuple[str, str, int, str]] = [
    ("127.0.0.1:8448", "127.0.0.1", 8448, "127.0.0.1:8448"),
    ("0.0.0.0:0", "0.0.0.0", 0, "0.0.0.0:0"),
    ("1.2.3.4:65535", "1.2.3.4", 65535, "1.2.3.4:65535"),
    ("1.2.3.4:00080", "1.2.3.4", 80, "1.2.3.4:80"),
    ("[::1]:8448", "::1", 8448, "[::1]:8448"),
    ("[::]:8448", "::", 8448, "[::]:8448"),
    ("[2001:DB8:0:0::1]:1", "2001:db8::1", 1, "[2001:db8::1]:1"),
    ("[fe80::1%eth0.1]:1", "fe80::1%eth0.1", 1, "[fe80::1%eth0.1]:1"),
]


@pytest.mark.parametrize(("text", "host", "port", "formatted"), SOCKET_ADDRESSES)
def test_socket_address(text: str, host: str, port: int, formatted: str) -> None:
    """A socket address is an IP address in its shortest form, and a port."""
    parsed = SocketAddress.parse(text)
    assert parsed == SocketAddress(host, port)
    assert str(parsed) == formatted


FORM = "expected HOST:PORT, for example 127.0.0.1:8448"
BRACKETS = "an IPv6 address needs brackets: [::1]:8448"
PORT = "is not a port; ports go up to 65535"
NO_ADDRESS = "is not an IP address"

NO_SOCKET_ADDRESSES: list[tuple[str, str, str]] = [
    ("empty", "", FORM),
    ("port alone", "8448", FORM),
    ("colon alone", ":", FORM),
    ("no port", "127.0.0.1", "did you mean '127.0.0.1:8448'?"),
    ("brackets alone", "[::1]", "did you mean '[::1]:8448'?"),
    ("empty port", "127.0.0.1:", FORM),
    ("port in words", "127.0.0.1:http", FORM),
    ("negative port", "127.0.0.1:-1", FORM),
    ("signed port", "127.0.0.1:+1", FORM),
    ("space before the port", "127.0.0.1: 1", FORM),
    ("port in Arabic digits", "127.0.0.1:\u0661", FORM),
    ("superscript port", "127.0.0.1:\u00b2", FORM),
    ("port of six digits", "127.0.0.1:000001", FORM),
    ("port of 65536", "127.0.0.1:65536", f"65536 {PORT}"),
    ("port of five nines", "[::1]:99999", f"99999 {PORT}"),
    ("IPv6 without brackets", "::1:8448", BRACKETS),
    ("half a bracket", "[::1:8448", BRACKETS),
    ("other half", "::1]:8448", BRACKETS),
    ("no host", ":8448", f"'' {NO_ADDRESS}; did you mean '0.0.0.0:8448'?"),
    ("any host", "*:8448", f"'*' {NO_ADDRESS}; did you mean '0.0.0.0:8448'?"),
    ("name", "localhost:8448", f"{NO_ADDRESS}; did you mean '127.0.0.1:8448'?"),
    ("another name", "a.test:8448", f"'a.test' {NO_ADDRESS}"),
    ("three parts", "127.0.1:8448", NO_ADDRESS),
    ("part over 255", "127.0.0.256:8448", NO_ADDRESS),
    ("empty brackets", "[]:8448", NO_ADDRESS),
    ("space", " 127.0.0.1:8448", NO_ADDRESS),
    ("quote in the zone", '[::1%eth0"]:8448', "'eth0\"' is not the name of an"),
    ("line in the zone", "[::1%a\nb]:8448", "'a\\nb' is not the name of an"),
]


@cases("text message", NO_SOCKET_ADDRESSES)
def test_no_socket_address(text: str, message: str) -> None:
    """Any other text is refused with what is wrong with it."""
    with pytest.raises(ValueError, match=re.escape(message)):
        SocketAddress.parse(text)


@given(st.ip_addresses(), st.integers(0, 65535))
def test_socket_address_is_read_as_it_is_written(
    address: IPv4Address | IPv6Address, port: int
) -> None:
    """What a socket address is written as is read as the same one."""
    written = SocketAddress(str(address), port)
    assert SocketAddress.parse(str(written)) == written


@given(st.text(st.characters()) | st.text("[]:.0123456789abf"))
def test_socket_address_parse_raises_nothing_else(text: str) -> None:
    """Whatever the text, it is a socket address or a `ValueError`."""
    with contextlib.suppress(ValueError):
        SocketAddress.parse(text)


RANGES: list[tuple[str, str]] = [
    ("127.0.0.0/8", "127.0.0.0/8"),
    ("127.0.0.1", "127.0.0.1/32"),
    ("0.0.0.0/0", "0.0.0.0/0"),
    ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
    ("::1", "::1/128"),
    ("FE80::/10", "fe80::/10"),
]


@pytest.mark.parametrize(("text", "formatted"), RANGES)
def test_range(text: str, formatted: str) -> None:
    """A range is an address and a prefix, or one address."""
    assert str(AddressRange.parse(text)) == formatted


NO_RANGES: list[tuple[str, str]] = [
    ("", "is neither an IP address nor a range of them, as in 10.0.0.0/8"),
    ("localhost", "is neither an IP address nor a range of them, as in 10.0.0.0/8"),
    ("127.0.0.0/33", "is neither an IP address nor a range of them, as in 10.0.0.0/8"),
    ("127.0.0.1:80", "is neither an IP address nor a range of them, as in 10.0.0.0/8"),
    (
        "127.0.0.1/8",
        "did you mean '127.0.0.0/8', the range, or '127.0.0.1', the address?",
    ),
    ("::1/64", "did you mean '::/64', the range, or '::1', the address?"),
]


@pytest.mark.parametrize(("text", "message"), NO_RANGES)
def test_no_range(text: str, message: str) -> None:
    """Any other text is refused, and so is a range that begins inside itself."""
    with pytest.raises(ValueError, match=re.escape(message)):
        AddressRange.parse(text)


IN_RANGE: list[tuple[str, str, bool]] = [
    ("10.0.0.0/8", "9.255.255.255", False),
    ("10.0.0.0/8", "10.0.0.0", True),
    ("10.0.0.0/8", "10.255.255.255", True),
    ("10.0.0.0/8", "11.0.0.0", False),
    ("0.0.0.0/0", "::", False),
    ("::/0", "0.0.0.0", False),
    ("::/0", "ffff::", True),
]


@pytest.mark.parametrize(("text", "address", "is_in"), IN_RANGE)
def test_membership(text: str, address: str, is_in: bool) -> None:  # noqa: FBT001
    """An address is in a range of its own family, from the first to the last."""
    assert (ip_address(address) in AddressRange.parse(text)) is is_in
