"""What a refused peer is told of its mistake, and what an operator is.

A request is refused as before, whatever is found. What verifies costs no diagnosis.
"""

from collections.abc import Sequence

import pytest

from homeserver.protocol.canonical_json import Json, as_list, as_object, encode
from homeserver.protocol.diagnosis.candidate_keys import CandidateKey
from homeserver.protocol.diagnosis.request_parts import MAX_BODY_BYTES
from homeserver.protocol.identifiers import ServerName
from homeserver.storage.refusals import RecordedRefusal
from tests.support.coroutines import result_of
from tests.support.federation_side import Endpoint
from tests.support.http_connection import Answer, ask
from tests.support.pdus import message
from tests.support.signed_requests import OTHERS, THEM, KnownKeys

SEND = "/_matrix/federation/v1/send/t%211"
EMPTY: Json = {"pdus": []}


def put(
    endpoint: Endpoint, header: str, body: bytes = encode(EMPTY), uri: str = SEND
) -> Answer:
    """The answer to a PUT with this header."""
    lines = [f"Authorization: {header}", "Host: us.example"]
    return ask(endpoint.site, "PUT", uri, lines, body)


def refused(endpoint: Endpoint) -> Sequence[RecordedRefusal]:
    """The recorded refusals."""
    endpoint.clock.advance(0.25)
    return result_of(endpoint.refusals.after(0, None, 100, 0))


def codes(refusal: RecordedRefusal) -> list[str]:
    """The codes of the hints on a refusal."""
    assert refusal.hints is not None
    return [hint.code for hint in refusal.hints]


def test_hint() -> None:
    """A peer whose signature would verify otherwise is refused, and told the part."""
    endpoint = Endpoint()
    header = THEM.authorize("PUT", SEND.replace("%21", "!"), EMPTY)
    answer = put(endpoint, header)
    assert answer.error == (401, "M_UNAUTHORIZED")
    error = str(answer.json["error"])
    assert error.endswith(
        "; hint: the signature is over the decoded target; sign `uri` with the "
        "percent-escapes of the request line: it has "
        "'/_matrix/federation/v1/send/t!1', and should have "
        "'/_matrix/federation/v1/send/t%211'"
    )
    assert endpoint.received == []
    assert endpoint.heard == []
    [refusal] = refused(endpoint)
    assert codes(refusal) == ["uri-decoded"]
    assert "hint" not in refusal.error
    assert put(endpoint, THEM.authorize("PUT", SEND, EMPTY)).status == 200


DELEGATED = ServerName.parse("matrix.us.example")
HEADS = [
    (
        str(THEM.authorize("PUT", SEND, EMPTY, destination=DELEGATED)),
        "name-delegated",
        401,
    ),
    ('X-Matrix origin="a",key="ed25519:a",sig="_w"', "base64-urlsafe", 400),
    ("Bearer x", "header-scheme", 400),
]


@pytest.mark.parametrize(("header", "code", "status"), HEADS)
def test_heads(header: str, code: str, status: int) -> None:
    """What is wrong with a head is told as well, however often."""
    endpoint = Endpoint(delegate_to=DELEGATED)
    for _ in range(9):
        answer = put(endpoint, header)
        assert answer.status == status
        assert "; hint: " in str(answer.json["error"])
    assert {tuple(codes(each)) for each in refused(endpoint)} == {(code,)}


def test_names_of_ours() -> None:
    """A name after delegation, and that of the Host header, are tried."""
    endpoint = Endpoint(delegate_to=DELEGATED)
    for name in (DELEGATED, ServerName.parse("alias.example")):
        header = THEM.authorize("PUT", SEND, EMPTY, destination=name)
        header = header.replace(f'destination="{name}",', "")
        lines = [f"Authorization: {header}", "Host: alias.example"]
        ask(endpoint.site, "PUT", SEND, lines, encode(EMPTY))
    assert [codes(each) for each in refused(endpoint)] == [["destination"]] * 2


def test_budget_of_a_client() -> None:
    """Beyond a client's share, hints are found when an operator asks, and kept."""
    endpoint = Endpoint()
    header = THEM.authorize("PUT", SEND)
    told = ["hint" in str(put(endpoint, header).json["error"]) for _ in range(5)]
    assert told == [True] * 3 + [False] * 2
    for _ in range(2):
        found = [codes(each) for each in refused(endpoint)]
        assert found == [["content-missing"]] * 5
    assert all(each.evidence is None for each in refused(endpoint))
    endpoint.clock.advance(1)
    assert "hint" in str(put(endpoint, header).json["error"])


def test_hints_of_an_exchange() -> None:
    """Hints that are found later belong to the exchange of the request as well."""
    endpoint = Endpoint()
    for _ in range(5):
        put(endpoint, THEM.authorize("PUT", SEND))
    later = [exchange for _, exchange in endpoint.refusals._evidence.values()]
    assert [(each.status, each.hints) for each in later] == [(401, [])] * 2
    refused(endpoint)
    assert [[hint.code for hint in each.hints] for each in later] == [
        ["content-missing"]
    ] * 2


def test_evidence_is_bounded() -> None:
    """A large body is not kept, and of many requests only the last ones are."""
    endpoint = Endpoint(max_body_bytes=10**6)
    header = THEM.authorize("PUT", SEND)
    large = encode({"pdus": ["x" * 20_000]})
    for _ in range(4):
        put(endpoint, header, large)
    assert [each.hints is None for each in refused(endpoint)] == [False] * 3 + [True]
    small = Endpoint()
    for _ in range(204):
        put(small, header)
        small.clock.advance(0.001)
    small.clock.advance(0.25)
    found = result_of(small.refusals.after(0, None, 1000, 0))
    assert [each.hints is None for each in found].count(True) == 1


def test_trusted_clients() -> None:
    """Trusted clients have no share."""
    endpoint = Endpoint(is_trusted=True)
    header = THEM.authorize("PUT", SEND)
    assert all("hint" in str(put(endpoint, header).json["error"]) for _ in range(30))


def test_too_large_a_body() -> None:
    """Of a large body, it is still found that it was not signed."""
    endpoint = Endpoint(max_body_bytes=10**6)
    body = encode({"pdus": ["x" * MAX_BODY_BYTES]})
    put(endpoint, THEM.authorize("PUT", SEND), body)
    [refusal] = refused(endpoint)
    assert codes(refusal) == ["content-missing"]


def send(endpoint: Endpoint, *pdus: Json) -> list[str]:
    """The verdicts on the PDUs of a transaction."""
    content: Json = {"pdus": list(pdus)}
    header = THEM.authorize("PUT", SEND, content)
    assert put(endpoint, header, encode(content)).status == 200
    transaction = endpoint.received[-1]
    listed = as_list(transaction["pdus"], "`pdus`")
    return [str(as_object(pdu, "a PDU")["verdict"]) for pdu in listed]


def test_events() -> None:
    """What is wrong with a PDU is told in its verdict, which stays the same."""
    endpoint = Endpoint()
    changed = {**message(), "content": {"body": "other"}}
    unsigned = {**message(), "origin": "x"}
    forged = {**message(), "signatures": {"others.example:8449": {}}}
    formless = {k: v for k, v in message().items() if k != "depth"}
    content_hash, origin, signer = send(endpoint, changed, unsigned, forged)
    assert content_hash.startswith("redacted: content hash; hint: no known mistake ")
    assert origin.startswith("redacted: content hash; hint: `origin` was not signed or")
    assert signer.startswith("rejected: ")
    assert "; hint: the event lacks the signature of a server" in signer
    [verdict] = send(endpoint, formless)
    assert "hint" not in verdict  # the budget is used up
    endpoint.clock.advance(1)
    [verdict] = send(endpoint, {**formless, "x": 1})
    assert verdict.startswith("rejected: `depth` is missing (room version 11)")
    assert verdict.count("`depth`") == 1
    endpoint.clock.advance(1)
    assert send(endpoint, message()) == ["accepted"]
    assert send(endpoint, {**message(), "x": 1.5}, {"x": 1})[0].count("hint") == 0


class _CountingKeys(KnownKeys):
    """A keyring that counts for how many diagnoses it was asked."""

    count = 0

    async def candidates(self, server_name: ServerName) -> list[CandidateKey]:
        """As the keyring."""
        self.count += 1
        return await super().candidates(server_name)


def test_nothing_on_the_good_path() -> None:
    """A request that verifies costs no diagnosis, nor does one without a header."""
    keyring = _CountingKeys(THEM)
    endpoint = Endpoint(keyring=keyring)
    assert put(endpoint, THEM.authorize("PUT", SEND, EMPTY)).status == 200
    assert ask(endpoint.site, "PUT", SEND, [], b"{}").status == 401
    content: Json = {"pdus": 3}
    header = THEM.authorize("PUT", SEND, content)
    assert put(endpoint, header, encode(content)).status == 400
    assert keyring.count == 0
    assert [each.hints for each in refused(endpoint)] == [(), ()]
    put(endpoint, THEM.authorize("PUT", SEND))
    assert keyring.count == 1


def test_unknown_origins() -> None:
    """Without a key of the origin there is no hint."""
    endpoint = Endpoint(keyring=KnownKeys(THEM))
    answer = put(endpoint, OTHERS.authorize("PUT", SEND))
    assert "hint" not in str(answer.json["error"])


def test_another_key_id() -> None:
    """A key that is not known under its ID may be known under another one."""
    endpoint = Endpoint()
    header = THEM.authorize("PUT", SEND, EMPTY).replace(":t_1", ":x_1")
    answer = put(endpoint, header)
    assert "no usable key" in str(answer.json["error"])
    assert "names another key" in str(answer.json["error"])
