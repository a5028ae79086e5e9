"""New keys and a new certificate while requests come as fast as they can."""

import http.client
import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from threading import Condition, Event, Thread

from homeserver.protocol.canonical_json import encode, encode_base64
from homeserver.protocol.identifiers import KeyId
from homeserver.protocol.key_documents import parse_v1
from homeserver.protocol.signing import SigningKey
from homeserver.protocol.xmatrix import FederationRequest
from scripts.processes import Endpoint, first_line
from tests.support.certificates import issue_for
from tests.support.daemons import endpoints
from tests.support.endpoint_keys import ALPHA, BETA, fetch, published, signing_keys
from tests.support.eventually import HANGING_SECONDS, eventually
from tests.support.key_documents import signing_key
from tests.support.trusting_client import connect

ROTATIONS = 3
_REQUESTS_BETWEEN = 20  # of each kind, at least, so that each rotation is among them


@dataclass
class Load:
    """Requests, one after the other, until it is told to stop."""

    make: Callable[[int], None]
    """Makes a request, and raises if it fails."""

    made: int = 0
    failures: list[Exception] = field(default_factory=list)
    one_more: Condition = field(default_factory=Condition)

    @contextmanager
    def running(self) -> Iterator["Load"]:
        """Make requests in a thread of its own."""
        stop = Event()

        def run() -> None:
            for number in count():
                if stop.is_set():
                    return
                try:
                    self.make(number)
                except Exception as problem:  # noqa: BLE001 - the test looks at them
                    self.failures.append(problem)
                with self.one_more:
                    self.made += 1
                    self.one_more.notify_all()

        thread = Thread(target=run, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            stop.set()
            thread.join()

    def make_some(self) -> None:
        """Wait until some more requests were made."""
        enough = self.made + _REQUESTS_BETWEEN
        with self.one_more:
            assert self.one_more.wait_for(lambda: self.made >= enough, HANGING_SECONDS)


def sending(
    connection: http.client.HTTPSConnection, key: SigningKey
) -> Callable[[int], None]:
    """Makes signed transactions of B on one connection."""

    def send(number: int) -> None:
        target = f"/_matrix/federation/v1/send/{number}"
        content: dict[str, object] = {
            "origin": BETA.name,
            "origin_server_ts": 1,
            "pdus": [],
            "edus": [],
        }
        request = FederationRequest("PUT", target, BETA, ALPHA, content)
        [authorization] = request.sign([key])
        headers = {"Authorization": str(authorization)}
        connection.request("PUT", target, encode(content), headers)
        response = connection.getresponse()
        body = response.read()
        assert (response.status, body) == (200, b'{"pdus":{}}')

    return send


def fetching(endpoint: Endpoint) -> Callable[[int], None]:
    """Makes requests for the key document that a peer would verify us by."""

    def fetch_v1(_: int) -> None:
        body, certificate = fetch(endpoint, "/_matrix/key/v1")
        assert parse_v1(body, ALPHA).tls_certificate == certificate

    return fetch_v1


class Rotation:
    """The files of an endpoint, of which new ones are made in place."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._configuration = endpoint.configuration.read_text()
        self.old: dict[KeyId, tuple[SigningKey, int]] = {}
        [self.key] = signing_keys(endpoint)

    def rotate(self, number: int) -> bytes:
        """Give up the key for another one; the new certificate."""
        folder = self._endpoint.folder
        self.old[self.key.key_id] = (self.key, 1_600_000_000_000 + number)
        self.key = signing_key(KeyId(f"ed25519:r_{number}"))
        version = self.key.key_id.removeprefix("ed25519:")
        seed = encode_base64(bytes(self.key.key))
        (folder / "signing.key").write_text(f"ed25519 {version} {seed}\n")
        tables = [
            f'{{id = "{key_id}", key = "{encode_base64(key.verify_key.key)}",'
            f" expired_ts = {expired_ts}}}"
            for key_id, (key, expired_ts) in self.old.items()
        ]
        self._endpoint.configuration.write_text(
            f"{self._configuration}\n[signing]\nold_keys = [{', '.join(tables)}]\n"
        )
        issued = issue_for(ALPHA.name)
        issued.write(folder)
        return issued.value.leaf


def test_no_request_fails_while_keys_are_replaced(tmp_path: Path) -> None:
    """Three times all keys are replaced, and no request or transaction fails.

    Each document names the certificate of the connection that it came on.
    """
    with (
        endpoints(tmp_path, ALPHA.name, BETA.name) as [alpha, beta],
        alpha.running() as process,
        beta.running() as other,
    ):
        first_line(process)
        first_line(other)
        rotation = Rotation(alpha)
        [key] = signing_keys(beta)
        connection = connect(alpha.port)
        sent, fetched = Load(sending(connection, key)), Load(fetching(alpha))
        with closing(connection), sent.running(), fetched.running():
            for number in range(ROTATIONS):
                sent.make_some()
                fetched.make_some()
                certificate = rotation.rotate(number)
                process.send_signal(signal.SIGHUP)
                key_id = rotation.key.key_id
                eventually(lambda: key_id in published(alpha).verify_keys)  # noqa: B023
                document = published(alpha)
                assert set(document.verify_keys) == {rotation.key.key_id}
                assert {
                    key_id: (old.verify_key, old.expired_ts)
                    for key_id, old in document.old_verify_keys.items()
                } == {
                    key_id: (old.verify_key, expired_ts)
                    for key_id, (old, expired_ts) in rotation.old.items()
                }
                body, shown = fetch(alpha, "/_matrix/key/v1")
                assert shown == certificate
                assert set(parse_v1(body, ALPHA).verify_keys) == {rotation.key.key_id}
            sent.make_some()
            fetched.make_some()
        assert sent.failures == []
        assert fetched.failures == []
        assert "reloaded" in alpha.log.read_text()
