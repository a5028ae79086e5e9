"""A request with a mistake is refused with the sentence that says what to change."""

import pytest

from scripts.processes import Endpoint
from tests.planted.conftest import OURS, Planting


def test_right(planted: Planting) -> None:
    """Without a mistake everything is accepted."""
    with planted() as them:
        event = them.event()
        answer = them.send(OURS, them.transaction(event))
        assert (answer.status, len(answer.content["pdus"])) == (200, 1)
        assert list(answer.content["pdus"].values()) == [{}]


REQUESTS = [
    ("path-decoded", "the signature is over the decoded target"),
    ("query-left-out", "the signature is over another query"),
    ("slash-added", "the signature is over a path with other slashes"),
    ("url-signed", "the signature is over the whole URL"),
    ("prefix-left-out", "the signature is over a path without its beginning"),
    ("method-small", "another `method` was signed"),
    ("destination-wrong", "the `destination` is another server"),
    ("destination-unsigned", "the signed object has no `destination`"),
    ("destination-port", "another `destination` was signed"),
    ("origin-unsigned", "the signed object has no `origin`"),
    ("names-exchanged", "`origin` and `destination` are exchanged"),
    ("content-left-out", "the signature does not cover the body"),
    ("content-string", "the body was signed as a JSON string"),
    ("content-empty", "`content` was signed as {}"),
    ("content-alone", "the body alone was signed"),
    ("json-spaces", "the signed JSON has a space after each colon or comma"),
    ("json-unsorted", "the members of the signed JSON are not in the order"),
    ("json-escapes", "the signed JSON has escapes"),
    ("digest-signed", "a SHA-2 digest of the JSON was signed"),
    ("key-id-wrong", "the signature names another key than the one that made it"),
    ("key-id-without-algorithm", "the key ID is the algorithm, a colon and a version"),
    ("signature-urlsafe", "the header's sig is in the URL-safe alphabet"),
    ("header-semicolons", "the parameters are name=value pairs, separated by commas"),
]


@pytest.mark.parametrize(("fault", "sentence"), REQUESTS)
def test_requests(planted: Planting, fault: str, sentence: str) -> None:
    """The answer to the request itself says what to change."""
    with planted(fault) as them:
        # One signature in fifteen has the same text in both alphabets.
        answers = (them.send(OURS, them.transaction(them.event())) for _ in range(20))
        answer = next(each for each in answers if each.status != 200)
        assert answer.status in {400, 401}
        assert sentence in answer.error


def test_replaced_key(planted: Planting) -> None:
    """A new key under the ID of the old one is told, with both keys."""
    with planted() as them:
        assert them.send(OURS, them.transaction()).status == 200
        them.replace_key()
        answer = them.send(OURS, them.transaction())
        assert answer.status == 401
        assert "give a new key a new ID" in answer.error
        assert "which is not the key known here under this ID" in answer.error


EVENTS = [
    ("redaction-of-8", "the event was redacted as in room version "),
    ("unredacted-signed", "the whole event was signed or hashed; redact it first"),
    ("unsigned-signed", "`unsigned` was signed or hashed as well"),
    ("hashes-unsigned", "`hashes` was not signed or hashed"),
    ("hash-with-unsigned", "`unsigned` was signed or hashed as well"),
    ("hash-wrong", "no known mistake explains the content hash"),
]


@pytest.mark.parametrize(("fault", "sentence"), EVENTS)
def test_events(ours: Endpoint, planted: Planting, fault: str, sentence: str) -> None:
    """The verdict on the event says what to change."""
    with planted(fault) as them:
        body = them.transaction(them.create_event(), them.event())
        assert them.send(OURS, body).status == 200
        [transaction] = ours.ask("received", "--origin", them.name)
        pdu = transaction["pdus"][1]
        assert not pdu["verdict"].startswith("accepted")
        assert sentence in pdu["verdict"]


def test_51_pdus(planted: Planting) -> None:
    """A transaction that is too large says the limit."""
    with planted("51-pdus") as them:
        answer = them.send(OURS, them.transaction(them.event()))
        assert answer.status == 400
        assert "50" in answer.error


def test_foreign_edu(ours: Endpoint, planted: Planting) -> None:
    """An EDU of another server's user is a problem of the transaction."""
    with planted("foreign-edu") as them:
        assert them.send(OURS, them.transaction()).status == 200
        [transaction] = ours.ask("received", "--origin", them.name)
        assert "@x:elsewhere.test" in str(transaction["problems"])


REMARKS = [
    ("destination-missing", "no_destination"),
    ("signature-padded", "padded_base64"),
    ("no-sni", "no_sni"),
    ("origin-left-out", "no_origin"),
]


@pytest.mark.parametrize(("fault", "code"), REMARKS)
def test_remarks(ours: Endpoint, planted: Planting, fault: str, code: str) -> None:
    """What is accepted and wrong all the same is remarked with the transaction."""
    with planted(fault) as them:
        assert them.send(OURS, them.transaction()).status == 200
        [transaction] = ours.ask("received", "--origin", them.name)
        assert [each["code"] for each in transaction["remarks"]] == [code]
