"""Which server names are accepted, and with which words the others are refused.

Rules: a name is kept byte by byte, and follows the specification's grammar; no DNS
name is an address to the C library.
"""

import re
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.protocol.errors import InvalidParam
from homeserver.protocol.identifiers import DEFAULT_PORT, ServerName
from tests.support.refusal_words import LABEL, PORT
from tests.support.tables import cases

DNS_NAMES: list[tuple[str, str, int | None]] = [
    ("matrix.org", "matrix.org", None),
    ("matrix.org:8888", "matrix.org", 8888),
    ("localhost", "localhost", None),
    ("MATRIX.ORG", "MATRIX.ORG", None),
    ("xn--mnchen-3ya.example", "xn--mnchen-3ya.example", None),
    ("example.org:08448", "example.org", 8448),
    ("example.org:1", "example.org", 1),
    ("example.org:65535", "example.org", 65535),
    ("-a.example", "-a.example", None),
    ("1.2.3.example", "1.2.3.example", None),
    ("0xg", "0xg", None),
    ("a" * 63 + ".example", "a" * 63 + ".example", None),
]


@pytest.mark.parametrize(("text", "host", "port"), DNS_NAMES)
def test_dns_name(text: str, host: str, port: int | None) -> None:
    """A DNS name is kept as it is written, and its port is read."""
    name = ServerName.parse(text)
    assert (name.name, name.host, name.port) == (text, host, port)
    assert not name.is_ip


ADDRESSES: list[tuple[str, str, int | None]] = [
    ("1.2.3.4", "1.2.3.4", None),
    ("1.2.3.4:1234", "1.2.3.4", 1234),
    ("255.255.255.255", "255.255.255.255", None),
    ("[1234:5678::abcd]", "1234:5678::abcd", None),
    ("[1234:5678::abcd]:5678", "1234:5678::abcd", 5678),
    ("[::1]:8448", "::1", 8448),
    ("[::]", "::", None),
    ("[::ffff:1.2.3.4]", "::ffff:1.2.3.4", None),
    ("[2001:DB8::1]", "2001:db8::1", None),
    ("[0000:0000:0000:0000:0000:ffff:255.255.255.255]", "::ffff:ffff:ffff", None),
]


@pytest.mark.parametrize(("text", "host", "port"), ADDRESSES)
def test_address(text: str, host: str, port: int | None) -> None:
    """An address is an address, whatever its notation, and loses its brackets."""
    name = ServerName.parse(text)
    assert (name.name, name.port) == (text, port)
    assert name.is_ip
    assert ip_address(name.host) == ip_address(host)


LENGTH_OR_ASCII = "is longer than 255 characters or not ASCII"
BRACKET = "has no `]`, or something other than a port after it"
IPV6 = "has no IPv6 address in its brackets"
IPV4 = "ends in a number but is not an IPv4 address of four decimal parts"

NO_SERVER_NAMES: list[tuple[str, str, str]] = [
    ("label of 255", "a" * 255, LABEL),
    ("label of 64", "a" * 64 + ".example", LABEL),
    ("256 characters", "a" * 256, LENGTH_OR_ASCII),
    ("256 in short labels", "a." * 128, LENGTH_OR_ASCII),
    ("empty", "", LABEL),
    ("empty host", ":8448", LABEL),
    ("empty port", "example.org:", PORT),
    ("port is a word", "example.org:http", PORT),
    ("port of six digits", "example.org:123456", PORT),
    ("port beyond 16 bits", "example.org:65536", PORT),
    ("port 0", "example.org:0", PORT),
    ("port 00000", "example.org:00000", PORT),
    ("port -1", "example.org:-1", PORT),
    ("port +80", "example.org:+80", PORT),
    ("port with a blank", "example.org: 80", PORT),
    ("port with an underscore", "example.org:8_0", PORT),
    ("port with a line break", "example.org:80\n", PORT),
    ("port in Arabic digits", "example.org:\u0668\u0660", LENGTH_OR_ASCII),
    ("two ports", "example.org:80:81", PORT),
    ("IPv6 without brackets", "::1", PORT),
    ("long IPv6 without brackets", "2001:db8::1", PORT),
    ("bracket not closed", "[::1", BRACKET),
    ("bracket not opened", "::1]", PORT),
    ("empty brackets", "[]", IPV6),
    ("colon in brackets", "[:]", IPV6),
    ("text after the bracket", "[::1]x", BRACKET),
    ("line break after the bracket", "[::1]\n", BRACKET),
    ("empty port after the bracket", "[::1]:", PORT),
    ("two brackets", "[[::1]]", BRACKET),
    ("IPv4 in brackets", "[1.2.3.4]", IPV6),
    ("group of five digits", "[12345::]", IPV6),
    ("two gaps", "[1::2::3]", IPV6),
    ("blank in brackets", "[ ::1]", IPV6),
    ("prefix length", "[::1/64]", IPV6),
    ("zone", "[fe80::1%eth0]", IPV6),
    ("empty zone", "[fe80::1%]", IPV6),
    ("octet beyond 255", "256.1.1.1", IPV4),
    ("octet with a leading zero", "1.2.3.04", IPV4),
    ("three octets", "1.2.3", IPV4),
    ("two octets", "127.1", IPV4),
    ("one number", "2130706433", IPV4),
    ("five octets", "1.2.3.4.5", IPV4),
    ("hexadecimal octet", "0x7f.1", IPV4),
    ("last octet hexadecimal", "127.0.0.0X1", IPV4),
    ("one hexadecimal number", "0x7f000001", IPV4),
    ("name that ends in a number", "example.1", IPV4),
    ("underscore", "exa_mple.org", LABEL),
    ("umlaut", "m\u00fcnchen.example", LENGTH_OR_ASCII),
    ("fullwidth dot", "a\uff0eorg", LENGTH_OR_ASCII),
    ("lone surrogate", "\ud800.org", LENGTH_OR_ASCII),
    ("first label empty", ".example.org", LABEL),
    ("middle label empty", "example..org", LABEL),
    ("last label empty", "example.org.", LABEL),
    ("address and a dot", "1.2.3.4.", LABEL),
    ("URL", "https://a.org", "is a URL; did you mean its host, 'a.org'?"),
    ("URL with a path", "matrix-fed://a.org:1/x", "mean its host, 'a.org:1'?"),
    ("URL without a host", "https://", "did you mean its host, ''?"),
    ("path", "a.org/x", LABEL),
    ("user", "u@a.org", LABEL),
    ("blank before", " a.org", LABEL),
    ("line break after", "a.org\n", LABEL),
    ("NUL after", "a.org\0", LABEL),
]


@cases("text reason", NO_SERVER_NAMES)
def test_no_server_name(text: str, reason: str) -> None:
    """Anything else is refused, and the refusal says which rule was broken."""
    with pytest.raises(
        InvalidParam, match=f"^not a server name: .*{re.escape(reason)}"
    ):
        ServerName.parse(text)


def test_refusal_does_not_repeat_the_text() -> None:
    """A refusal holds the peer's text escaped and shortened."""
    with pytest.raises(InvalidParam) as refusal:
        ServerName.parse("\x1b]0;" + "a" * 10_000)
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) < 200


DISTINCT = ["a.org", "A.ORG", "a.org:8448", "a.org:08448", "b.a.org"]
DISTINCT_ADDRESSES = ["[::1]", "[0::1]", "[::0001]", "[::1]:8448"]


@pytest.mark.parametrize("texts", [DISTINCT, DISTINCT_ADDRESSES])
def test_names_differ_by_any_byte(texts: list[str]) -> None:
    """Names that lead to the same place are still the names of different servers."""
    assert len({ServerName.parse(text) for text in texts}) == len(texts)


def test_equal_names_are_one_key() -> None:
    """A name that is parsed twice is the same key of a dictionary."""
    assert {ServerName.parse("a.org:1"): "found"}[
        ServerName.parse("a.org:1")
    ] == "found"


def test_default_port() -> None:
    """A server that names no port is reached at the specification's."""
    assert DEFAULT_PORT == 8448


def ports() -> st.SearchStrategy[str]:
    """No port, or one with any number of zeros before it that the grammar allows."""
    port = st.integers(1, 65535).flatmap(
        lambda port: st.integers(len(str(port)), 5).map(
            lambda width: f":{port:0{width}}"
        )
    )
    return st.just("") | port


def dns_names() -> st.SearchStrategy[str]:
    """DNS names of up to 3 labels; the last does not start with a digit."""
    label = st.from_regex(r"[0-9A-Za-z-]{1,63}", fullmatch=True)
    last = st.from_regex(r"[A-Za-z-][0-9A-Za-z-]{0,62}", fullmatch=True)
    return st.builds(
        lambda labels, last: ".".join([*labels, last]),
        st.lists(label, max_size=2),
        last,
    )


def ipv6_addresses() -> st.SearchStrategy[str]:
    """IPv6 addresses in brackets, long or short, in lower or upper case."""
    address = st.ip_addresses(v=6).flatmap(
        lambda address: st.sampled_from([address.compressed, address.exploded])
    )
    return address.flatmap(lambda text: st.sampled_from([text, text.upper()])).map(
        "[{}]".format
    )


def server_names() -> st.SearchStrategy[str]:
    """Server names of every form."""
    hosts = dns_names() | st.ip_addresses(v=4).map(str) | ipv6_addresses()
    return st.builds(str.__add__, hosts, ports())


@given(server_names())
def test_formatting_a_parsed_name_gives_its_text(text: str) -> None:
    """A name that was parsed is written as it was read."""
    assert str(ServerName.parse(text)) == text


@given(dns_names(), ports())
def test_dns_name_has_its_parts(host: str, port: str) -> None:
    """The host and the port of a DNS name are the two texts it was joined from."""
    name = ServerName.parse(host + port)
    assert (name.host, name.is_ip) == (host, False)
    assert name.port == (int(port[1:]) if port else None)


# The grammar of the specification, "Server Name", which knows no values.
GRAMMAR = re.compile(
    r"""(?: [0-9]{1,3} (?: \.[0-9]{1,3} ){3}
          | \[ [0-9A-Fa-f:.]{2,45} \]
          | [0-9A-Za-z.-]{1,255}
        )
        (?: : [0-9]{1,5} )?""",
    re.VERBOSE,
)


@given(
    st.text(st.characters())
    | st.text("0123456789abcfxX.:[]%-\n", max_size=20)
    | st.from_regex(GRAMMAR, fullmatch=True)
)
def test_parser_follows_the_grammar_or_refuses(text: str) -> None:
    """Any text either is refused as a name, or follows the specification's grammar."""
    try:
        name = ServerName.parse(text)
    except InvalidParam:
        return
    assert GRAMMAR.fullmatch(name.name)


NUMERIC = re.compile(r"(0[xX])?[0-9a-f]{0,10}(\.(0[xX])?[0-9a-f]{0,4}){0,3}")


@given(st.from_regex(NUMERIC, fullmatch=True))
def test_no_dns_name_is_an_address_to_the_c_library(text: str) -> None:
    """What `inet_aton` reads as an address is that address to us, or no name at all."""
    try:
        name = ServerName.parse(text)
    except InvalidParam:
        return
    try:
        address = IPv4Address(socket.inet_aton(name.host))
    except OSError:
        assert not name.is_ip
    else:
        assert name.is_ip
        assert address == IPv4Address(name.host)


@given(st.ip_addresses(v=6))
def test_ipv6_address_is_kept(address: IPv6Address) -> None:
    """The host of an IPv6 name is the same address as the one in its brackets."""
    assert IPv6Address(ServerName.parse(f"[{address.exploded}]").host) == address
