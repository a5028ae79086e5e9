"""Which transactions are read, how they are built, and what is replied."""

from contextlib import nullcontext

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from homeserver.protocol.bodies import FlawedItem
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import BadJson, InvalidParam, ProtocolError, TooLarge
from homeserver.protocol.identifiers import EventId, ServerName
from homeserver.protocol.transactions import (
    ENVELOPE_BYTES,
    MAX_EDUS,
    MAX_PDUS,
    MAX_TRANSACTION_BYTES,
    Transaction,
    build,
    build_reply,
    check_fits,
    check_txn_id,
    parse_edu,
)
from tests.support.tables import cases

PDU: Json = {"type": "m.room.message"}
EDU: Json = {"edu_type": "m.typing", "content": {"typing": True}}

READ: list[tuple[str, Json, Transaction]] = [
    (
        "of today",
        {"origin": "a.org", "origin_server_ts": 5, "pdus": [PDU], "edus": [EDU]},
        Transaction([PDU], [EDU]),
    ),
    (
        "of 2014",
        {
            "transaction_id": "916d630ea616342b42e98a3be0b74113",
            "origin": "red",
            "destination": "blue",
            "ts": 1404381396852,
            "prev_ids": ["e1da392e61898be4d2009b9fecce5325"],
            "pdus": [PDU],
            "edus": [EDU],
        },
        Transaction([PDU], [EDU]),
    ),
    (
        "with both names of its time",
        {"origin_server_ts": 5, "ts": 6, "pdus": []},
        Transaction([], []),
    ),
    ("only pdus", {"pdus": []}, Transaction([], [])),
    (
        "an envelope of other types",
        {"pdus": [], "origin": 5, "origin_server_ts": "5"},
        Transaction([], []),
    ),
    (
        "pdu_failures of old servers",
        {"pdus": [], "pdu_failures": [5]},
        Transaction([], []),
    ),
    (
        "nulls",
        {"pdus": [], "origin": None, "origin_server_ts": None},
        Transaction([], []),
    ),
    (
        "of several rooms, in their order",
        {"pdus": [{"a": 1}, {"b": 2}, {"a": 1}]},
        Transaction([{"a": 1}, {"b": 2}, {"a": 1}], []),
    ),
    ("an empty PDU", {"pdus": [{}]}, Transaction([{}], [])),
    (
        "an EDU with the members of 2014",
        {"pdus": [], "edus": [EDU | {"origin": "a.org", "destination": 5}]},
        Transaction([], [EDU | {"origin": "a.org", "destination": 5}]),
    ),
    (
        "an EDU of an unknown type",
        {"pdus": [], "edus": [{"edu_type": "", "content": {}}]},
        Transaction([], [{"edu_type": "", "content": {}}]),
    ),
    ("50 PDUs", {"pdus": [PDU] * 50}, Transaction([PDU] * 50, [])),
    ("100 EDUs", {"pdus": [], "edus": [EDU] * 100}, Transaction([], [EDU] * 100)),
    (
        "50 PDUs and 100 EDUs",
        {"pdus": [PDU] * 50, "edus": [EDU] * 100},
        Transaction([PDU] * 50, [EDU] * 100),
    ),
]


@cases("content expected", READ)
def test_parse(content: Json, expected: Transaction) -> None:
    """A transaction is read in the forms of 2014 and of today."""
    claimed = content.get("origin")
    assert Transaction.parse(content) == replace(expected, origin=claimed)


FLAWED = FlawedItem({"a": 2}, "a member occurs twice", '{"a": 1, "a": 2}')

# An item, what is said of it among the PDUs and among the EDUs, and its text.
MALFORMED_ITEMS: list[tuple[object, str, str, str]] = [
    ("x", "the PDU is not a JSON object", "the EDU is not a JSON object", '"x"'),
    (None, "the PDU is not a JSON object", "the EDU is not a JSON object", "null"),
    ([1.5], "the PDU is not a JSON object", "the EDU is not a JSON object", "[1.5]"),
    (FLAWED, "a member occurs twice", "a member occurs twice", '{"a": 1, "a": 2}'),
    ({"content": {}}, "", "`edu_type` of the EDU is missing", '{"content":{}}'),
    (
        {"edu_type": 5, "content": {}},
        "",
        "`edu_type` of the EDU is not a string",
        '{"content":{},"edu_type":5}',
    ),
    (
        {"edu_type": "m.typing"},
        "",
        "`content` of the EDU is missing",
        '{"edu_type":"m.typing"}',
    ),
    (
        {"edu_type": "m.typing", "content": []},
        "",
        "`content` of the EDU is not a JSON object",
        '{"content":[],"edu_type":"m.typing"}',
    ),
]


@pytest.mark.parametrize(("item", "as_pdu", "as_edu", "text"), MALFORMED_ITEMS)
def test_malformed_item(item: object, as_pdu: str, as_edu: str, text: str) -> None:
    """What is wrong with a PDU or EDU is said of it, and the others are read."""
    content: Json = {"pdus": [PDU, item, PDU], "edus": [EDU, item, EDU]}
    transaction = Transaction.parse(content)
    first, pdu, last = transaction.pdus
    assert (first, last) == (PDU, PDU)
    assert isinstance(pdu, FlawedItem) == bool(as_pdu)
    if isinstance(pdu, FlawedItem):
        assert (pdu.problem, pdu.text) == (as_pdu, text)
    first, edu, last = transaction.edus
    assert (first, last) == (EDU, EDU)
    assert isinstance(edu, FlawedItem)
    assert (edu.problem, edu.text) == (as_edu, text)


MALFORMED: list[tuple[str, Json, str]] = [
    ("empty", {}, "^the transaction has no `pdus`"),
    ("no pdus", {"origin": "a.org", "edus": [EDU]}, "^the transaction has no `pdus`"),
    ("pdus null", {"pdus": None}, "^`pdus` is not a list"),
    ("pdus an object", {"pdus": {}}, "^`pdus` is not a list"),
    ("edus null", {"pdus": [], "edus": None}, "^`edus` is not a list"),
    ("edus an object", {"pdus": [], "edus": EDU}, "^`edus` is not a list"),
    ("51 PDUs", {"pdus": [PDU] * 51}, "has 51 PDUs and 0 EDUs; 50 and 100 are allowed"),
    (
        "101 EDUs",
        {"pdus": [PDU], "edus": [EDU] * 101},
        "has 1 PDUs and 101 EDUs; 50 and 100 are allowed",
    ),
]


@cases("content why", MALFORMED)
def test_parse_refuses(content: Json, why: str) -> None:
    """A transaction of another form, or with too much in it, is answered with 400."""
    with pytest.raises(BadJson, match=why) as caught:
        Transaction.parse(content)
    assert caught.value.status == 400


# In bytes, what JSON puts around the text of one event, and the envelope.
AROUND = len('[{"a":""}]') + ENVELOPE_BYTES


@pytest.mark.parametrize(
    ("pdus", "edus", "why"),
    [
        ([PDU] * MAX_PDUS, [EDU] * MAX_EDUS, None),
        ([PDU] * 51, [], "^51 PDUs and 0 EDUs of "),
        ([], [EDU] * 101, "^0 PDUs and 101 EDUs of "),
        ([{"a": "x" * (MAX_TRANSACTION_BYTES - AROUND)}], [], None),
        (
            [{"a": "x" * (MAX_TRANSACTION_BYTES - AROUND + 1)}],
            [],
            "^1 PDUs and 0 EDUs of 13107201 bytes do not fit into one transaction; 50,",
        ),
    ],
)
def test_what_fits(pdus: list[Json], edus: list[Json], why: str | None) -> None:
    """A transaction has limits in events and in bytes."""
    with nullcontext() if why is None else pytest.raises(TooLarge, match=why):
        check_fits(pdus, edus)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)  # JSON has no others
    | st.text(max_size=3),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(
            st.sampled_from(["edu_type", "content"]), children, max_size=2
        )
    ),
    max_leaves=5,
)


@given(
    content=st.dictionaries(
        st.sampled_from(["pdus", "edus", "origin", "origin_server_ts", "ts", "x"]),
        json_values,
    )
)
@settings(deadline=None)
def test_parse_raises_nothing_but_protocol_errors(content: Json) -> None:
    """Any object is either read or refused with a ProtocolError."""
    try:
        parsed = Transaction.parse(content)
    except ProtocolError as error:
        assert error.errcode == "M_BAD_JSON"
    else:
        expected = content["pdus"]
        assert isinstance(expected, list)
        for pdu, given in zip(parsed.pdus, expected, strict=True):
            assert pdu == (given if isinstance(given, dict) else {})
            assert isinstance(pdu, FlawedItem) != isinstance(given, dict)


def test_parse_edu_names_what_it_refuses() -> None:
    """An EDU outside a transaction is refused under the name that the caller gave."""
    with pytest.raises(BadJson, match="`content` of the EDU is missing"):
        parse_edu({"edu_type": "m.typing"}, "the EDU")


def test_parse_edu_gives_the_edu() -> None:
    """An EDU that has the form of all is returned as it is."""
    assert parse_edu(EDU, "the EDU") is EDU


TXN_IDS: list[tuple[str, str]] = [
    ("one character", "1"),
    ("any characters", "a/b?c=%20 é"),
    ("1,000 characters", "x" * 1000),
    ("2,000 bytes", "\u00e9" * 1000),
]


@cases("txn_id", TXN_IDS)
def test_check_txn_id_accepts(txn_id: str) -> None:
    """A transaction ID may have 1 to 2,000 bytes of characters of any kind."""
    check_txn_id(txn_id)


@pytest.mark.parametrize(
    ("txn_id", "length"), [("", 0), ("x" * 2001, 2001), ("\u00e9" * 1001, 2002)]
)
def test_check_txn_id_refuses(txn_id: str, length: int) -> None:
    """A transaction ID that is empty or longer than 2,000 bytes is refused."""
    with pytest.raises(InvalidParam, match=f"has {length} bytes; 1 to 2000 are"):
        check_txn_id(txn_id)


def test_check_txn_id_refuses_a_nul() -> None:
    """What PostgreSQL cannot keep as text is refused, whatever the store."""
    with pytest.raises(InvalidParam, match=r"'a\\x00b' contains a NUL"):
        check_txn_id("a\0b")


def test_build_gives_the_body_of_today() -> None:
    """A transaction is sent with the four members that the specification names."""
    name = ServerName.parse("a.org:8448")
    assert build(name, 1000000, iter([PDU]), iter([EDU])) == {
        "origin": "a.org:8448",
        "origin_server_ts": 1000000,
        "pdus": [PDU],
        "edus": [EDU],
    }


def test_parse_reads_what_build_gives() -> None:
    """A transaction that was built is read as it was meant."""
    built = build(ServerName.parse("a.org"), 5, [PDU], [EDU])
    assert Transaction.parse(built) == Transaction([PDU], [EDU], "a.org")


REPLIES: list[tuple[str, dict[EventId, str | None], bytes]] = [
    ("no PDU", {}, b'{"pdus":{}}'),
    ("accepted", {EventId("$a"): None}, b'{"pdus":{"$a":{}}}'),
    ("refused", {EventId("$a"): "no"}, b'{"pdus":{"$a":{"error":"no"}}}'),
    ("empty reason", {EventId("$a"): ""}, b'{"pdus":{"$a":{"error":""}}}'),
    (
        "several",
        {EventId("$b"): None, EventId("$a"): "é"},
        '{"pdus":{"$a":{"error":"é"},"$b":{}}}'.encode(),
    ),
]


@cases("errors expected", REPLIES)
def test_build_reply(errors: dict[EventId, str | None], expected: bytes) -> None:
    """The reply has an entry for each event, empty or with the reason of refusal."""
    assert build_reply(errors) == expected
