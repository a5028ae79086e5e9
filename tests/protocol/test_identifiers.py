"""The IDs of keys, users, rooms and events, and the fingerprints of certificates.

Rules: an ID is kept as it is written; any other text is refused with the rule that it
breaks, and by nothing but a ProtocolError.
"""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.protocol.errors import InvalidParam
from homeserver.protocol.identifiers import (
    ServerName,
    UserId,
    parse_alias,
    parse_event_domain,
    parse_fingerprint,
    parse_key_id,
    parse_room_id,
)
from tests.support.refusal_words import LABEL, PORT
from tests.support.tables import cases

KEY_IDS = ["ed25519:1", "ed25519:auto", "ed25519:a_1", "ed25519:_", "ed25519:ABCxyz09"]


@pytest.mark.parametrize("text", KEY_IDS)
def test_key_id(text: str) -> None:
    """A key ID is its own text."""
    assert parse_key_id(text) == text


NO_KEY_IDS: list[tuple[str, str]] = [
    ("empty", ""),
    ("no version", "ed25519:"),
    ("no colon", "ed25519"),
    ("no algorithm", ":1"),
    ("another algorithm", "curve25519:1"),
    ("algorithm in upper case", "ED25519:1"),
    ("second colon", "ed25519:key_version:"),
    ("hyphen", "ed25519:a-b"),
    ("blank before", " ed25519:1"),
    ("line break after", "ed25519:1\n"),
    ("Arabic digit", "ed25519:\u0661"),
    ("lone surrogate", "ed25519:\ud800"),
]


@cases("text", NO_KEY_IDS)
def test_no_key_id(text: str) -> None:
    """The ID of another algorithm's key, or another text, is refused."""
    with pytest.raises(InvalidParam, match=r"^not a key ID: "):
        parse_key_id(text)


USER_IDS: list[tuple[str, str, str]] = [
    ("plain", "@a:a.org", "a.org"),
    ("all characters of today", "@az09._=-/+:a.org", "a.org"),
    ("server with a port", "@a:a.org:8448", "a.org:8448"),
    ("server is an address", "@a:[::1]:8448", "[::1]:8448"),
    ("historical: upper case", "@A:a.org", "a.org"),
    ("historical: empty", "@:a.org", "a.org"),
    ("historical: blanks and line break", "@ a\n:a.org", "a.org"),
    ("historical: not ASCII", "@\u65e5\U0001f600:a.org", "a.org"),
    ("255 bytes", "@" + "a" * 248 + ":a.org", "a.org"),
    ("255 bytes in two-byte characters", "@" + "\u00e9" * 124 + ":a.org", "a.org"),
]


@cases("text domain", USER_IDS)
def test_user_id(text: str, domain: str) -> None:
    """A user ID is kept as it is written, and its server is what follows the colon."""
    user_id = UserId.parse(text)
    assert str(user_id) == text
    assert user_id.server_name == ServerName.parse(domain)


FORM = "is not `@`, a local part, `:` and a server name in at most 255 bytes"

NO_USER_IDS: list[tuple[str, str, str]] = [
    ("empty", "", FORM),
    ("no sigil", "a:a.org", FORM),
    ("another sigil", "!a:a.org", FORM),
    ("no server", "@a", FORM),
    ("256 bytes", "@" + "a" * 249 + ":a.org", FORM),
    ("256 bytes in two-byte characters", "@a" + "\u00e9" * 124 + ":a.org", FORM),
    ("NUL", "@a\0:a.org", "has a NUL or a lone surrogate in it"),
    ("high surrogate", "@\ud800:a.org", "has a NUL or a lone surrogate in it"),
    ("low surrogate", "@\udfff:a.org", "has a NUL or a lone surrogate in it"),
    ("empty server", "@a:", LABEL),
    ("server has a bad label", "@a:b_c", LABEL),
    ("server has a bad port", "@a:b:c", PORT),
]


@cases("text reason", NO_USER_IDS)
def test_no_user_id(text: str, reason: str) -> None:
    """Anything else is refused, and the refusal says which rule was broken."""
    with pytest.raises(InvalidParam, match=f"^not a .*{re.escape(reason)}"):
        UserId.parse(text)


@given(st.text(st.characters(codec="utf-8", exclude_characters=":\0"), max_size=20))
def test_any_local_part_is_kept(local: str) -> None:
    """A local part may be any text without a colon and NUL, and comes out as it is."""
    assert str(UserId.parse(f"@{local}:a.org")) == f"@{local}:a.org"


def test_user_ids_differ_by_any_byte() -> None:
    """Users of servers that differ only in case are different users."""
    texts = ["@a:a.org", "@A:a.org", "@a:A.org", "@a:a.org:8448"]
    assert len({UserId.parse(text) for text in texts}) == len(texts)


def test_equal_user_ids_are_one_key() -> None:
    """A user ID that is parsed twice is the same key of a dictionary."""
    assert {UserId.parse("@a:a.org"): "found"}[UserId.parse("@a:a.org")] == "found"


ROOM_IDS: list[tuple[str, str]] = [
    ("version 1", "!opaque:a.org"),
    ("server with a port", "!opaque:a.org:8448"),
    ("version 12", "!P5-6WTYQ_woy6f4nmleE0XqxjtZcyKGza5_gDN-KAdM"),
    ("version 1 that looks like 12", "!" + "a" * 43 + ":a.org"),
]


@cases("text", ROOM_IDS)
def test_room_id(text: str) -> None:
    """A room ID has a server name, or is a hash in URL-safe base64."""
    assert parse_room_id(text) == text


NO_ROOM_IDS: list[tuple[str, str]] = [
    ("empty", ""),
    ("sigil alone", "!"),
    ("no sigil", "opaque:a.org"),
    ("an alias", "#a:a.org"),
    ("empty server", "!opaque:"),
    ("NUL", "!\0:a.org"),
    ("256 bytes", "!" + "a" * 249 + ":a.org"),
    ("hash too short", "!" + "a" * 42),
    ("hash too long", "!" + "a" * 44),
    ("hash padded", "!" + "a" * 43 + "="),
    ("hash in standard base64", "!" + "a" * 42 + "+"),
    ("hash and a line break", "!" + "a" * 43 + "\n"),
]


@cases("text", NO_ROOM_IDS)
def test_no_room_id(text: str) -> None:
    """A room ID of neither form is refused."""
    with pytest.raises(InvalidParam, match=r"^not a (room ID|server name): "):
        parse_room_id(text)


EVENT_DOMAINS: list[tuple[str, str]] = [
    ("$0:domain", "domain"),
    ("$143273582443PhrSn:example.org", "example.org"),
    ("$a:a.org:8448", "a.org:8448"),
    ("$a:[::1]", "[::1]"),
]


@pytest.mark.parametrize(("text", "domain"), EVENT_DOMAINS)
def test_event_domain(text: str, domain: str) -> None:
    """The domain of an event ID of room versions 1 and 2 follows its first colon."""
    assert parse_event_domain(text) == ServerName.parse(domain)


NO_EVENT_DOMAINS: list[tuple[str, str]] = [
    ("empty", ""),
    ("version 3", "$WQ8+mDM4bNa4bE3qGw+MqQQJCQC/SetSm/uOsIx+tdY"),
    ("no sigil", "0:domain"),
    ("another sigil", "!0:domain"),
    ("empty server", "$0:"),
    ("256 bytes", "$" + "a" * 249 + ":a.org"),
]


@cases("text", NO_EVENT_DOMAINS)
def test_no_event_domain(text: str) -> None:
    """An event ID that names no server is refused."""
    with pytest.raises(InvalidParam, match=r"^not an? (event ID|server name): "):
        parse_event_domain(text)


@given(
    st.text(st.characters())
    | st.builds(
        "{}{}:{}".format,
        st.sampled_from("@!$#"),
        st.text(st.characters()),
        st.text("abc019.:[]"),
    )
)
def test_nothing_but_a_protocol_error_is_raised(text: str) -> None:
    """Any text is an ID, or is refused with the one error that callers expect."""
    for parse in (
        UserId.parse,
        parse_alias,
        parse_room_id,
        parse_event_domain,
        parse_key_id,
    ):
        try:
            parsed = parse(text)
        except InvalidParam:
            continue
        assert isinstance(parsed, ServerName) or str(parsed) == text


DIGITS = "0123456789abcdef" * 4
PAIRS = ":".join(["AB"] * 32)
FINGERPRINTS = [(DIGITS, DIGITS), (DIGITS.upper(), DIGITS), (PAIRS, "ab" * 32)]


@pytest.mark.parametrize(("text", "fingerprint"), FINGERPRINTS)
def test_fingerprint(text: str, fingerprint: str) -> None:
    """It has small letters and no colons, whichever way it is written."""
    assert parse_fingerprint(text) == fingerprint


NO_FINGERPRINTS: list[tuple[str, str]] = [
    ("empty", ""),
    ("63 digits", DIGITS[1:]),
    ("65 digits", DIGITS + "0"),
    ("another letter", DIGITS[1:] + "g"),
    ("a digit of another script", DIGITS[1:] + "\u0661"),
    ("one colon", f"{DIGITS[:2]}:{DIGITS[2:]}"),
    ("a colon too many", PAIRS + ":"),
    ("31 pairs", PAIRS[3:]),
    ("a line end", DIGITS + "\n"),
]


@cases("text", NO_FINGERPRINTS)
def test_no_fingerprint(text: str) -> None:
    """Anything but 64 hexadecimal digits is refused."""
    with pytest.raises(InvalidParam, match=r"^not the SHA-256 of a certificate: "):
        parse_fingerprint(text)
