"""Transactions of any shape.

Each PDU gets a verdict. Each transaction gets a reply, or an error of its origin.
"""

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from homeserver.net.cause import OURSELVES
from homeserver.protocol.canonical_json import Json, as_object, encode, parse_object
from homeserver.protocol.errors import ProtocolError
from tests.support.coroutines import result_of
from tests.support.inbox import Inbox, origin
from tests.support.pdu_cases import NAMELESS, VERDICTS

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(st.text(max_size=5), children, max_size=3)
    ),
    max_leaves=5,
)

PDUS: Sequence[Json] = [row[1] for row in VERDICTS + NAMELESS if "large" not in row[0]]


@st.composite
def mutated(draw: st.DrawFn) -> Json:
    """A PDU with members changed, taken away or put in."""
    pdu = dict(draw(st.sampled_from(PDUS)))
    for _ in range(draw(st.integers(1, 3))):
        member = draw(st.sampled_from([*sorted(pdu), "redacts", "membership"]))
        if draw(st.booleans()):
            pdu[member] = draw(JSON)
        else:
            pdu.pop(member, None)
    return pdu


@settings(max_examples=200)
@given(st.lists(mutated() | st.dictionaries(st.text(), JSON, max_size=3), max_size=5))
def test_any_pdus_are_judged(pdus: list[Json]) -> None:
    """Whatever is in the PDUs, each gets a verdict and the transaction a reply."""
    inbox = Inbox()
    reply = inbox.take("1", *[parse_object(encode(pdu)) for pdu in pdus])
    assert len(inbox.pdus) == len(pdus)
    named = {pdu["event_id"] for pdu in inbox.pdus} - {None}
    assert as_object(reply["pdus"], "`pdus`").keys() == named


@settings(max_examples=100)
@given(st.dictionaries(st.sampled_from(["pdus", "edus", "origin", "ts"]), JSON))
def test_any_body_is_read_or_refused(content: Json) -> None:
    """Of whatever shape a transaction is, at worst it is a fault of its origin."""
    inbox = Inbox()
    try:
        result_of(inbox.receiver.receive(origin(), "1", content, OURSELVES))
    except ProtocolError as problem:
        assert 400 <= problem.status < 500
        assert inbox.transactions == []
    else:
        assert len(inbox.transactions) == 1
