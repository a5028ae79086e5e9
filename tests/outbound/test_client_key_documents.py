"""Which key documents are accepted from a server."""

from twisted.internet import defer
from twisted.internet.defer import Deferred

from homeserver.net.cause import OURSELVES
from homeserver.outbound.client import KeysAnswer
from homeserver.outbound.remote_error import Refused
from homeserver.outbound.transport.connector import Unreachable
from homeserver.protocol.canonical_json import encode
from homeserver.protocol.errors import BadJson, NotJson, ProtocolError, Unauthorized
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.key_documents import build_v1, build_v2
from tests.support.manual_agent import (
    CERTIFICATE,
    KEYS,
    LINK,
    PEER,
    ClientTestCase,
    Response,
)
from tests.support.memory_tls_servers import start


class KeyDocumentTests(ClientTestCase):
    """What is accepted as a key document."""

    def fetch_v1(self, document: bytes, code: int = 200) -> Deferred[KeysAnswer]:
        """Fetch a version 1 document that is answered so."""
        response = Response(code, [document])
        self.agent.result = defer.succeed((response, LINK))  # type: ignore[arg-type]
        return start(self.client.fetch_keys_v1(PEER, OURSELVES))

    def fetch_v2(self, document: bytes, code: int = 200) -> Deferred[KeysAnswer]:
        """Fetch a version 2 document that is answered so."""
        response = Response(code, [document])
        self.agent.result = defer.succeed((response, LINK))  # type: ignore[arg-type]
        return start(self.client.fetch_keys_v2(PEER, OURSELVES))

    def test_version_1(self) -> None:
        """A version 1 document names the certificate of its connection."""
        document = encode(build_v1(PEER, CERTIFICATE, KEYS))
        fetched = self.successResultOf(self.fetch_v1(document))
        assert fetched.document is not None
        listed = set(fetched.document.verify_keys)
        assert listed == {key.key_id for key in KEYS}
        assert fetched.peer == LINK.peer

    def test_version_1_of_another_certificate(self) -> None:
        """A version 1 document that names another certificate is refused."""
        document = encode(build_v1(PEER, b"another", KEYS))
        failure = self.failureResultOf(self.fetch_v1(document), BadJson)
        assert "another TLS certificate" in str(failure.value)

    def test_version_2(self) -> None:
        """A version 2 document names no certificate."""
        document = encode(build_v2(PEER, KEYS, [], 1))
        fetched = self.successResultOf(self.fetch_v2(document))
        assert fetched.document is not None
        listed = set(fetched.document.verify_keys)
        assert listed == {key.key_id for key in KEYS}
        assert fetched.peer == LINK.peer

    def test_no_documents(self) -> None:
        """What is no document of the server that was asked is refused."""
        other = ServerName.parse("other.test")
        cases: list[tuple[bytes, type[ProtocolError]]] = [
            (b"<html>", NotJson),
            (b"[]", BadJson),
            (encode(build_v1(other, CERTIFICATE, KEYS)), BadJson),
            (encode(build_v1(PEER, CERTIFICATE, [])), Unauthorized),
        ]
        for document, kind in cases:
            self.failureResultOf(self.fetch_v1(document), kind)
        cases[2:] = [
            (encode(build_v2(other, KEYS, [], 1)), BadJson),
            (encode(build_v2(PEER, [], [], 1)), Unauthorized),
        ]
        for document, kind in cases:
            self.failureResultOf(self.fetch_v2(document), kind)

    def test_refusal(self) -> None:
        """A server that has a problem with its document says so by its status."""
        error = b'{"errcode":"M_UNKNOWN","error":"no"}'
        of_2014 = b'{"error": "Unrecognized request"}'
        for fetch in (self.fetch_v1, self.fetch_v2):
            for body in b'{"error": "unrecognized"}', b"{}", b"[]":
                self.failureResultOf(fetch(body, 400), Refused)
            self.failureResultOf(fetch(of_2014, 500), Refused)
            for status in 400, 403, 500:
                refused = self.failureResultOf(fetch(error, status), Refused).value
                assert isinstance(refused, Refused)
                assert (refused.status, refused.errcode) == (status, "M_UNKNOWN")

    def test_no_such_document(self) -> None:
        """A server that has no such document has answered, and is known by that."""
        error = b'{"errcode":"M_UNRECOGNIZED","error":"no"}'
        of_2014 = b'{"error": "Unrecognized request"}'
        told = [(404, error), (404, b"<html>"), (400, error), (400, of_2014)]
        for fetch in (self.fetch_v1, self.fetch_v2):
            for status, body in told:
                answer = self.successResultOf(fetch(body, status))
                assert answer.document is None
                assert answer.why is not None
                assert f"peer.test:8448 answers {status}" in answer.why.in_full
                assert answer.peer == LINK.peer

    def test_too_large(self) -> None:
        """A document of more than 64 KiB is not read."""
        for fetch in (self.fetch_v1, self.fetch_v2):
            failure = self.failureResultOf(fetch(b" " * 65537), Unreachable)
            assert "over 65536 bytes" in str(failure.value)
