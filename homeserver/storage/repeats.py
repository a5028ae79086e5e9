"""The earlier contents of one transaction ID of one server.

Rules: PDUs are compared by their event IDs and their stored form, EDUs by their
canonical JSON. Digests are in memory and no content, as the origin chooses its size.

Specification: Server-server API, "Transactions", which does not say what the same ID
with other content means. Dendrite repeats one with more PDUs than before.
"""

from collections import Counter
from collections.abc import Sequence
from hashlib import sha256

from homeserver.protocol.bodies import FlawedItem
from homeserver.protocol.canonical_json import Json, encode, split

# Dendrite was observed to repeat one with up to 23 contents, each with a further PDU.
MAX_CONTENTS = 100


class Known:
    """The PDUs and EDUs that are recorded under one transaction ID."""

    def __init__(self) -> None:
        self.contents = 0
        """How often the ID was received with other content."""

        self._verdicts: dict[tuple[str | None, bytes], str] = {}
        self._edus: Counter[bytes] = Counter()

    def add_content(self, edus: str) -> None:
        """Add a transaction, whose EDUs are `edus`: a list in JSON."""
        self.contents += 1
        self._edus.update(_digest(bytes(each)) for each in split(edus.encode("utf-8")))

    def add_pdu(self, event_id: str | None, event: bytes, verdict: str) -> None:
        """Add a PDU, by its ID and its stored form, with its verdict."""
        self._verdicts.setdefault((event_id, _digest(event)), verdict)

    def verdict_on(self, event_id: str | None, event: bytes) -> str | None:
        """The verdict on a PDU; None if it is new."""
        if not self._verdicts:
            return None
        return self._verdicts.get((event_id, _digest(event)))

    def new_edus(self, edus: Sequence[Json]) -> list[Json]:
        """The new ones of some EDUs; of equal ones, those beyond the known number."""
        if not self._edus:
            return list(edus)
        left = self._edus.copy()
        new: list[Json] = []
        for edu in edus:
            if isinstance(edu, FlawedItem):  # it was never recorded
                new.append(edu)
                continue
            digest = _digest(encode(edu))
            if left[digest] > 0:
                left[digest] -= 1
            else:
                new.append(edu)
        return new


def _digest(data: bytes) -> bytes:
    return sha256(data).digest()
