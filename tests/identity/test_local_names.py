"""Whose certificate a connection gets, and whose answer a request."""

import pytest

from homeserver.identity.local_names import Arrival, LocalNames
from homeserver.protocol.identifiers import ServerName

A, B, C, PORT = map(ServerName.parse, ["a.test", "B.test", "c.test", "a.test:8449"])
DELEGATE = ServerName.parse("m.host.test:443")


def three() -> LocalNames:
    """Names with all that they may be known by."""
    names = LocalNames()
    names.add(A)
    names.add(B, ["matrix.b.test", "*.wild.test", "Shared.test"], DELEGATE)
    names.add(C, ["shared.test", "a.test"])
    names.add(PORT)
    return names


# (what arrives, whose certificate, whose answer)
TABLE: list[tuple[str, Arrival, ServerName | None, ServerName | None]] = [
    ("nothing", Arrival(), None, None),
    ("the first of the listener", Arrival(None, C), C, C),
    ("its own listener", Arrival(C, C, "a.test", "a.test"), C, C),
    ("SNI", Arrival(None, C, "a.test"), A, A),
    ("SNI in capitals", Arrival(None, C, "A.TEST"), A, A),
    ("SNI of a name in capitals", Arrival(None, C, "b.test"), B, B),
    ("unknown SNI", Arrival(None, C, "d.test"), C, C),
    ("SNI of a name's end", Arrival(None, C, "x.a.test"), C, C),
    ("SNI in a certificate", Arrival(None, C, "matrix.b.test"), B, B),
    ("SNI in two certificates", Arrival(None, C, "shared.test"), B, B),
    ("SNI of a wildcard", Arrival(None, C, "x.wild.test"), B, B),
    ("SNI two labels below a wildcard", Arrival(None, C, "x.y.wild.test"), C, C),
    ("SNI of a wildcard's own domain", Arrival(None, C, "wild.test"), C, C),
    ("SNI without a dot", Arrival(None, C, "wild"), C, C),
    ("empty SNI", Arrival(None, C, ""), C, C),
    ("a host before a certificate", Arrival(None, C, "a.test"), A, A),
    ("SNI of a delegate", Arrival(None, C, "m.host.test"), B, B),
    ("Host", Arrival(None, C, None, "a.test"), C, A),
    ("Host before SNI", Arrival(None, C, "b.test", "a.test"), B, A),
    ("Host with a port", Arrival(None, C, None, "a.test:8449"), C, PORT),
    ("Host with another port", Arrival(None, C, None, "a.test:8450"), C, C),
    ("Host in capitals", Arrival(None, C, None, "A.Test"), C, A),
    ("Host in a certificate alone", Arrival(None, C, None, "matrix.b.test"), C, C),
    ("Host of a delegate", Arrival(None, C, None, "m.host.test:443"), C, B),
    ("Host of a delegate's host", Arrival(None, C, None, "m.host.test"), C, C),
    ("SNI before a delegate", Arrival(None, C, "a.test", DELEGATE.name), A, A),
    ("no Host", Arrival(None, C, None, ""), C, C),
]


@pytest.mark.parametrize(
    ("arrival", "presenting", "answering"),
    [row[1:] for row in TABLE],
    ids=[row[0] for row in TABLE],
)
def test_choice(
    arrival: Arrival, presenting: ServerName | None, answering: ServerName | None
) -> None:
    """Each rule decides where those before it do not."""
    names = three()
    assert names.presenting(arrival) == presenting
    assert names.answering(arrival) == answering


def test_removed() -> None:
    """What a removed server was known by belongs to the next one that claims it."""
    names = three()
    names.remove(A)
    names.remove(B)
    names.remove(B)
    assert list(names) == [C, PORT]
    assert A not in names
    assert C in names
    assert names.presenting(Arrival(None, C, "shared.test")) == C
    assert names.presenting(Arrival(None, C, "a.test")) == PORT
    assert names.presenting(Arrival(None, C, "m.host.test")) == C
    assert names.answering(Arrival(None, C, None, "a.test")) == C
    names.remove(C)
    names.remove(PORT)
    assert names._owners == {}
    assert len(names) == 0


def test_replaced() -> None:
    """A server that is added again keeps its place, and only its new names."""
    names = three()
    names.add(B, ["shared.test"])
    assert list(names) == [A, B, C, PORT]
    assert names.presenting(Arrival(None, C, "shared.test")) == B
    assert names.presenting(Arrival(None, C, "matrix.b.test")) == C
    assert names.presenting(Arrival(None, C, "b.test")) == B
