"""A small homeserver whose mistakes are switched on by name.

It serves its keys, sends transactions and repeats them, and takes those of others. It
is made of the standard library, PyNaCl and cryptography: `listener` is how it is asked,
`answers` what it answers, `keys` and `client` how it finds other servers.

Rules: nothing of `homeserver` is imported, so that no mistake is shared.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nacl.signing import SigningKey

from tests.planted.answers import SEND, Answers
from tests.planted.certificate import der, self_signed
from tests.planted.client import Client
from tests.planted.keys import Keys, now_ts
from tests.planted.listener import Answer, Listener
from tests.planted.signing import (
    Object,
    canonical,
    request_message,
    sign_event,
    unpadded,
    urlsafe,
)

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS


@dataclass
class PlantedServer:
    """A homeserver at 127.0.0.1, which is also its name."""

    folder: Path
    faults: frozenset[str] = frozenset()
    addresses: dict[str, int] = field(default_factory=dict)
    """The ports of other servers at `host`, by name."""

    dns: str | None = None
    """The name server that is asked for all other names; None for none."""

    ca_file: Path | None = None
    """The authority of other servers; None for those that prove nothing."""

    pem: Path | None = None
    """A private key and a certificate of 127.0.0.1; a self-signed one if None."""

    host: str = "127.0.0.1"
    """The IP address of other servers."""

    key_id: str = "ed25519:p_1"
    received: list[Object] = field(default_factory=list)
    """The transactions that were accepted."""

    _count: int = 0

    def __post_init__(self) -> None:
        self.key = SigningKey.generate()
        self.served = self.key
        pem = self.pem or self_signed(self.folder / "planted.pem")
        self.certificate = der(pem)
        self._client = Client(
            self.addresses, self.host, self.ca_file, self.dns, self.faults
        )
        answers = Answers(self, Keys(self._client, self.faults))
        self._listener = Listener(pem, answers.respond)
        self.name = f"127.0.0.1:{self._listener.port}"

    @contextmanager
    def running(self) -> Iterator["PlantedServer"]:
        """Serve until the context ends."""
        with self._listener.running():
            yield self

    def replace_key(self) -> None:
        """Sign with another key, under the same ID, and serve that one."""
        self.key = self.served = SigningKey.generate()

    def key_document(self, version: int) -> Object:
        """The key document of a version, signed."""
        document: Object = {"server_name": self.name}
        if "name-of-document" in self.faults:
            document["server_name"] = f"https://{self.name}"
        public = self._public_key()
        if version == 1:
            document["verify_keys"] = {self.key_id: public}
            document["tls_certificate"] = unpadded(self.certificate)
        else:
            document |= {
                "verify_keys": {self.key_id: {"key": public}},
                "old_verify_keys": {},
                "valid_until_ts": self._valid_until(),
            }
        message = canonical(document)
        if "document-spaces" in self.faults:
            message = json.dumps(document, sort_keys=True).encode()
        if "document-unsigned" in self.faults:
            return document
        signature = unpadded(self.served.sign(message).signature)
        return {**document, "signatures": {self.name: {self.key_id: signature}}}

    def _public_key(self) -> str:
        if "key-is-seed" in self.faults:
            return unpadded(bytes(self.served))
        public = bytes(self.served.verify_key)
        return public.hex() if "key-hexadecimal" in self.faults else unpadded(public)

    def _valid_until(self) -> int:
        is_over = "document-expired" in self.faults
        until = now_ts() + (-_HOUR_MS if is_over else _DAY_MS)
        return until // 1000 if "document-seconds" in self.faults else until

    def event(self, **changes: Any) -> Object:
        """A signed event of this server's."""
        self._count += 1
        event = {
            "type": "m.room.member",
            "room_id": f"!r:{self.name}",
            "sender": f"@a:{self.name}",
            "state_key": f"@a:{self.name}",
            "content": {
                "membership": "join",
                "displayname": "Grüße",
                "join_authorised_via_users_server": f"@a:{self.name}",
            },
            "origin_server_ts": now_ts(),
            "depth": self._count,
            "prev_events": [],
            "auth_events": [],
            "unsigned": {"age": 1},
            **changes,
        }
        return sign_event(event, self.name, self.key_id, self.key, self.faults)

    def create_event(self) -> Object:
        """The create event of the room, of version 10."""
        return self.event(
            type="m.room.create",
            state_key="",
            content={"creator": f"@a:{self.name}", "room_version": "10"},
        )

    def transaction(self, *pdus: Object, edus: list[Object] | None = None) -> Object:
        """The body of a transaction."""
        if "51-pdus" in self.faults:
            pdus = pdus * 51
        if "foreign-edu" in self.faults:
            typing = {"user_id": "@x:elsewhere.test", "room_id": "!r", "typing": True}
            edus = [{"edu_type": "m.typing", "content": typing}]
        content: Object = {
            "origin_server_ts": now_ts(),
            "pdus": list(pdus),
            "edus": edus or [],
        }
        if "origin-left-out" not in self.faults:
            content["origin"] = self.name
        return content

    def send(
        self, destination: str, content: Object, txn_id: str = "t%211?x=%2F"
    ) -> Answer:
        """Send a transaction once."""
        return self.request("PUT", destination, SEND + txn_id, content)

    def deliver(
        self,
        destination: str,
        content: Object,
        answered: Callable[[int], object] = lambda _: None,
    ) -> list[tuple[str, int]]:
        """Send a transaction until it is taken; the ID and status of each attempt.

        `answered` is called with the number of each attempt.
        """
        made: list[tuple[str, int]] = []
        pause = 0.0 if "retry-without-pause" in self.faults else 1.0
        for attempt in range(5):
            txn_id = f"r{attempt}" if "retry-other-id" in self.faults else "r0"
            body = dict(content)
            if "retry-other-bytes" in self.faults:
                body["origin_server_ts"] += attempt
                body["edus"] = [{"edu_type": "m.x", "content": {"n": attempt}}]
            status = self.send(destination, body, txn_id).status
            made.append((txn_id, status))
            answered(attempt + 1)
            if status < 500 or "no-retry" in self.faults:
                break
            time.sleep(pause)
            pause *= 2
        return made

    def request(
        self, method: str, destination: str, uri: str, content: Object | None = None
    ) -> Answer:
        """Send one signed request."""
        named = destination
        if "destination-wrong" in self.faults:
            named = "elsewhere.test"
        request: Object = {
            "method": method,
            "uri": uri,
            "origin": self.name,
            "destination": named,
        }
        if content is not None:
            request["content"] = content
        signature = self.key.sign(request_message(request, self.faults)).signature
        encode = urlsafe if "signature-urlsafe" in self.faults else unpadded
        padding = "==" if "signature-padded" in self.faults else ""
        key_id = "ed25519:other" if "key-id-wrong" in self.faults else self.key_id
        if "key-id-without-algorithm" in self.faults:
            key_id = key_id.partition(":")[2]
        parameters = {
            "origin": self.name,
            "destination": named,
            "key": key_id,
            "sig": encode(signature) + padding,
        }
        if "destination-missing" in self.faults:
            del parameters["destination"]
        separator = ";" if "header-semicolons" in self.faults else ","
        header = "X-Matrix " + separator.join(
            f'{name}="{value}"' for name, value in parameters.items()
        )
        body = None if content is None else json.dumps(content).encode()
        return self._client.ask(destination, method, uri, body, header)
