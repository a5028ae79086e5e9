"""Which addresses are never connected to, and what is said of them."""

import re
from ipaddress import IPv4Address, IPv6Network, collapse_addresses, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.net.addresses import (
    REFUSED_RANGES,
    AddressPolicy,
    AddressRange,
    RefusedAddress,
)

DEFAULT = AddressPolicy(REFUSED_RANGES, ())

# (address, the range that it is refused by)
REFUSED: list[tuple[str, str]] = [
    # IANA IPv4 Special-Purpose Address Registry: what is not globally reachable.
    ("0.0.0.0", "0.0.0.0/8"),
    ("0.255.255.255", "0.0.0.0/8"),
    ("10.0.0.0", "10.0.0.0/8"),
    ("10.255.255.255", "10.0.0.0/8"),
    ("100.64.0.0", "100.64.0.0/10"),
    ("100.127.255.255", "100.64.0.0/10"),
    ("127.0.0.1", "127.0.0.0/8"),
    ("127.255.255.255", "127.0.0.0/8"),
    ("169.254.169.254", "169.254.0.0/16"),
    ("172.16.0.0", "172.16.0.0/12"),
    ("172.31.255.255", "172.16.0.0/12"),
    ("192.0.0.1", "192.0.0.0/24"),
    ("192.0.2.1", "192.0.2.0/24"),
    ("192.88.99.1", "192.88.99.0/24"),
    ("192.168.0.0", "192.168.0.0/16"),
    ("192.168.255.255", "192.168.0.0/16"),
    ("198.18.0.0", "198.18.0.0/15"),
    ("198.19.255.255", "198.18.0.0/15"),
    ("198.51.100.1", "198.51.100.0/24"),
    ("203.0.113.1", "203.0.113.0/24"),
    ("224.0.0.1", "224.0.0.0/4"),
    ("239.255.255.255", "224.0.0.0/4"),
    ("240.0.0.1", "240.0.0.0/4"),
    ("255.255.255.255", "240.0.0.0/4"),
    # IANA IPv6 Special-Purpose Address Registry, and multicast.
    ("::", "::/128"),
    ("::1", "::1/128"),
    ("64:ff9b:1::1", "64:ff9b:1::/48"),
    ("64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "64:ff9b:1::/48"),
    ("100::1", "100::/64"),
    ("2001:2::1", "2001:2::/48"),
    ("2001:db8::1", "2001:db8::/32"),
    ("3fff:fff:ffff::1", "3fff::/20"),
    ("5f00::1", "5f00::/16"),
    ("fc00::1", "fc00::/7"),
    ("fdff:ffff::1", "fc00::/7"),
    ("fe80::1", "fe80::/10"),
    ("fe80::1%2", "fe80::/10"),
    ("febf::1", "fe80::/10"),
    ("fec0::1", "fec0::/10"),
    ("ff02::1", "ff00::/8"),
    ("100:0:0:1::1", "100:0:0:1::/64"),
    ("2001:1::1", "2001::/23"),
    ("2001:10::1", "2001:10::/28"),
    ("2001:1f:ffff::1", "2001:10::/28"),
    ("2001:20::1", "2001::/23"),
    ("2001:1ff:ffff::1", "2001::/23"),
    ("2002:808:808::", "2002::/16"),
    ("2001:0:7f00:1:0:ffff:f7f7:f7f7", "2001::/32"),
    # What has not been given to a regional registry.
    ("::1:0:0:0", "::/3"),
    ("::fffe:7f00:1", "::/3"),
    ("64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff", "::/3"),
    ("64:ff9b::1:7f00:1", "::/3"),
    ("64:ff9b:0:0:0:1:7f00:1", "::/3"),
    ("200::1", "::/3"),
    ("1fff:ffff::1", "::/3"),
    ("2000::1", "2000::/16"),
    ("2001:1000::1", "2001:1000::/23"),
    ("2001:4e00::1", "2001:4e00::/23"),
    ("2001:6000::1", "2001:6000::/19"),
    ("2001:c000::1", "2001:c000::/18"),
    ("2003:4000::1", "2003:4000::/18"),
    ("2100::1", "2100::/8"),
    ("2420::1", "2420::/11"),
    ("2610:200::1", "2610:200::/23"),
    ("2620:200::1", "2620:200::/23"),
    ("2640::1", "2640::/10"),
    ("2a20::1", "2a20::/11"),
    ("2c10::1", "2c10::/12"),
    ("2d00::1", "2d00::/8"),
    ("3000::1", "3000::/4"),
    ("3ffe::1", "3000::/4"),
    ("4000::1", "4000::/2"),
    ("bfff::1", "8000::/1"),
    ("fe00::1", "8000::/1"),
    # IPv4-mapped.
    ("::ffff:127.0.0.1", "127.0.0.0/8"),
    ("::ffff:a9fe:a9fe", "169.254.0.0/16"),
    ("::ffff:0.0.0.0", "0.0.0.0/8"),
    # 6to4, RFC 3056.
    ("2002:7f00:1::", "127.0.0.0/8"),
    ("2002:a00:1:1:2:3:4:5", "10.0.0.0/8"),
    # Teredo, RFC 4380: the client's address is in the last 32 bits, inverted.
    ("2001:0:5db8:d822::80ff:fffe", "127.0.0.0/8"),
    ("2001:0:4136:e378:8000:63bf:3f57:fefe", "192.168.0.0/16"),
    # NAT64, RFC 6052.
    ("64:ff9b::7f00:1", "127.0.0.0/8"),
    ("64:ff9b::192.168.1.1", "192.168.0.0/16"),
    ("64:ff9b::", "0.0.0.0/8"),
    # IPv4-compatible, RFC 4291.
    ("::127.0.0.1", "127.0.0.0/8"),
    ("::a00:1", "10.0.0.0/8"),
    ("::2", "0.0.0.0/8"),
    ("::8.8.8.8", "::/96"),
    # IPv4-translated (SIIT), RFC 2765.
    ("::ffff:0:127.0.0.1", "127.0.0.0/8"),
    ("::ffff:0:a00:1", "10.0.0.0/8"),
    ("::ffff:0:8.8.8.8", "::ffff:0:0:0/96"),
    # ISATAP, RFC 5214, in a network of any provider.
    ("2a00:1:2:3:0:5efe:127.0.0.1", "127.0.0.0/8"),
    ("2a00:1:2:3:200:5efe:192.168.0.1", "192.168.0.0/16"),
    ("fe80::5efe:10.0.0.1", "10.0.0.0/8"),
]


@pytest.mark.parametrize(("address", "refused_by"), REFUSED)
def test_refused(address: str, refused_by: str) -> None:
    """An address that no public server has is refused, in whatever form it comes."""
    with pytest.raises(RefusedAddress, match=re.escape(f" range {refused_by};")):
        DEFAULT.check(address)


ALLOWED: list[str] = [
    "1.0.0.0",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2606:4700::1111",
    "2001:4860:4860::8888",
    "2001:200::1",
    "2001:5fff::1",
    "2001:bfff::1",
    "2003::1",
    "2003:3fff::1",
    "2400::1",
    "240f:ffff::1",
    "2410::1",
    "2600::1",
    "2610::1",
    "2620:1ff::1",
    "2630::1",
    "2800::1",
    "2a00::1",
    "2a1f:ffff::1",
    "2c0f::1",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2a00:1:2:3:0:5efe:8.8.8.8",
    "2a00:1:2:3:100:5efe:127.0.0.1",  # not ISATAP: another bit
    "2a00:1:2:3:0:5eff:127.0.0.1",
]


@pytest.mark.parametrize("address", ALLOWED)
def test_allowed(address: str) -> None:
    """A public address may be connected to, in whatever form it comes."""
    DEFAULT.check(address)


@pytest.mark.parametrize("refused", [str(refused) for refused in REFUSED_RANGES])
def test_each_refused_range_is_refused_whole(refused: str) -> None:
    """The first and the last address of each refused range are refused by it."""
    network = ip_network(refused)
    for address in network[0], network[-1]:
        with pytest.raises(
            RefusedAddress, match=r" in the refused range [0-9a-f:./]+;"
        ):
            DEFAULT.check(str(address))


def test_refused_or_given_out() -> None:
    """Of IPv6, a range is refused or given out: the gaps leave out nothing else."""
    ranges = [ip_network(str(each)) for each in REFUSED_RANGES]
    refused = sum(
        each.num_addresses
        for each in collapse_addresses(
            each for each in ranges if isinstance(each, IPv6Network)
        )
    )
    documentation = ip_network("2001:db8::/32").num_addresses
    given_out = sum(
        2 ** (128 - length)
        for length in [*[23] * 17, *[22] * 3, *[20] * 3, *[19] * 2, 18, *[12] * 8]
    )
    assert refused + given_out - documentation == 2**128


@given(st.ip_addresses(v=4))
def test_an_embedded_address_is_judged_as_itself(address: IPv4Address) -> None:
    """An IPv4 address is refused in all of its IPv6 forms, or in none."""

    def is_refused(text: str) -> bool:
        try:
            DEFAULT.check(text)
        except RefusedAddress:
            return True
        return False

    high, low = int(address) >> 16, int(address) & 0xFFFF
    forms = [
        f"::ffff:{address}",
        f"64:ff9b::{address}",
        f"2a00::5efe:{address}",
        f"2a00::200:5efe:{address}",
    ]
    assert {is_refused(form) for form in forms} == {is_refused(str(address))}
    only_inside = AddressPolicy([AddressRange.parse(f"{address}/32")], ())
    for form in [
        *forms,
        f"2002:{high:x}:{low:x}::1",
        f"2001:0:5db8:d822::{high ^ 0xFFFF:x}:{low ^ 0xFFFF:x}",
        f"::ffff:0:{address}",
        *([] if int(address) < 2 else [f"::{address}"]),
    ]:
        with pytest.raises(RefusedAddress):
            only_inside.check(form)


# (allow, address, whether it may be connected to)
EXCEPTIONS: list[tuple[str, str, bool]] = [
    ("127.0.0.1", "127.0.0.1", True),
    ("127.0.0.1", "127.0.0.2", False),
    ("127.0.0.0/8", "127.1.2.3", True),
    ("127.0.0.0/8", "10.0.0.1", False),
    ("127.0.0.1", "::ffff:127.0.0.1", True),
    ("127.0.0.1", "2002:7f00:1::", False),
    ("127.0.0.1", "64:ff9b::7f00:1", True),
    ("2a30::/16", "2a30::1", True),
    ("127.0.0.1", "::1", False),
    ("::1", "::1", True),
    ("fc00::/7", "fd00::1", True),
    # The form that a translator would reach has to be allowed, not its wrapping.
    ("::ffff:127.0.0.1", "::ffff:127.0.0.1", False),
    ("2002::/16", "2002:7f00:1::", False),
    ("::/0", "64:ff9b::7f00:1", False),
]


@pytest.mark.parametrize(("allow", "address", "is_allowed"), EXCEPTIONS)
def test_exceptions(allow: str, address: str, is_allowed: bool) -> None:  # noqa: FBT001
    """What is allowed is an exception to what is refused, for no other address."""
    policy = AddressPolicy(REFUSED_RANGES, [AddressRange.parse(allow)])
    if is_allowed:
        policy.check(address)
    else:
        with pytest.raises(RefusedAddress):
            policy.check(address)


def test_one_of_several_exceptions_is_enough() -> None:
    """An address is an exception if any of the allowed ranges has it."""
    allow = [AddressRange.parse("::1"), AddressRange.parse("127.0.0.1")]
    AddressPolicy(REFUSED_RANGES, allow).check("127.0.0.1")


def test_an_exception_for_the_wrapping_is_none_for_what_is_inside() -> None:
    """Both the address and the one in it have to be allowed where both are refused."""
    refuse = [AddressRange.parse("2002::/16"), AddressRange.parse("127.0.0.0/8")]
    policy = AddressPolicy(refuse, [AddressRange.parse("127.0.0.1")])
    with pytest.raises(RefusedAddress, match="2002::/16"):
        policy.check("2002:7f00:1::")


def test_only_what_is_configured_is_refused() -> None:
    """A policy that refuses nothing lets every address through."""
    AddressPolicy((), ()).check("127.0.0.1")


# (address, the range that it is refused by, what would have to be allowed)
MESSAGES: list[tuple[str, str, str]] = [
    ("127.0.0.1", "127.0.0.0/8", "127.0.0.1"),
    ("::1", "::1/128", "::1"),
    ("::ffff:10.0.0.1", "10.0.0.0/8", "10.0.0.1"),
    ("64:ff9b::a00:1", "10.0.0.0/8", "10.0.0.1"),
    ("2002:a00:1::", "10.0.0.0/8", '2002:a00:1::", "10.0.0.1'),
]


@pytest.mark.parametrize(("address", "refused", "allow"), MESSAGES)
def test_message(address: str, refused: str, allow: str) -> None:
    """A refusal names the address, the range, and the key that would allow it."""
    with pytest.raises(RefusedAddress) as caught:
        DEFAULT.check(address)
    assert str(caught.value) == (
        f"{address} is in the refused range {refused}; to allow it, "
        f'set allow = ["{allow}"] in [network]'
    )


@pytest.mark.parametrize("address", [address for address, _ in REFUSED])
def test_the_message_is_right(address: str) -> None:
    """What the message says to set lets the address through."""
    with pytest.raises(RefusedAddress) as caught:
        DEFAULT.check(address)
    _, _, said = str(caught.value).partition("set allow = ")
    allow = [AddressRange.parse(each) for each in re.findall(r'"([^"]+)"', said)]
    AddressPolicy(REFUSED_RANGES, allow).check(address)
