"""What is told of how a server name is published."""

import pytest

from homeserver.protocol.diagnosis.hint import CODES
from homeserver.protocol.diagnosis.resolution import diagnose_resolution
from homeserver.protocol.discovery import NotResolvableReason, Step

URL = "https://a.org/.well-known/matrix/server"
FED, OLD = "_matrix-fed._tcp.a.org", "_matrix._tcp.a.org"
NONE = Step("srv", FED, "no such record")
RECORD = "10 5 9 s.net"

STEPS: list[tuple[list[Step], NotResolvableReason | None, list[str]]] = [
    ([], None, []),
    ([NONE, Step("srv", OLD, "no such record")], None, []),
    ([Step("srv", FED, RECORD)], None, []),
    ([Step("srv", OLD, RECORD)], None, []),
    ([NONE, Step("srv", OLD, RECORD)], None, ["srv-deprecated"]),
    ([Step("srv", FED, "0 0 0 x (unusable: y)")], None, ["srv-unusable"]),
    ([Step("srv", "s.net", "is an alias of t.net")], None, ["srv-alias"]),
    ([Step("srv", FED, "no answer: x")], "no_answer", ["dns-no-answer"]),
    ([Step("srv", FED, "0 0 0 .")], "no_service", ["srv-no-service"]),
    ([Step("srv", FED, "0 0 0 x")], "no_usable_record", []),
    ([Step("well-known", URL, "x", "no_delegation")], None, ["well-known-invalid"]),
    ([Step("well-known", URL, "status 404", "no_delegation")], None, []),
    ([Step("well-known", URL, "no answer", "no_answer")], None, []),
    ([Step("well-known", URL, "delegates to b.org")], None, []),
]


@pytest.mark.parametrize(("steps", "reason", "codes"), STEPS)
def test_steps(
    steps: list[Step], reason: NotResolvableReason | None, codes: list[str]
) -> None:
    """A mistake in what is published is told; what is not published is none."""
    hints = diagnose_resolution(steps, reason)
    assert [hint.code for hint in hints] == codes
    assert {hint.code for hint in hints} <= CODES.keys()
