"""Submitted transactions: checked, hashed, signed and queued.

Rules: a PDU without signatures is signed, so its sender must be a user of this server.
A PDU with signatures is sent unchanged, even if it is invalid: a test peer needs that.
The room version "2014" stands for the events of that time, signed or not.
"""

from collections.abc import Callable, Sequence

from homeserver.control.views import Submission
from homeserver.identity.identity import Identity
from homeserver.outbound.delivery.outgoing import Outgoing
from homeserver.protocol.canonical_json import (
    Json,
    as_object,
    encode_urlsafe_base64,
)
from homeserver.protocol.errors import InvalidParam, NotFound, ProtocolError
from homeserver.protocol.events.event import Event, content_hash, hash_and_sign
from homeserver.protocol.events.room_versions import (
    EVENTS_OF_2014,
    RoomVersion,
    parse_room_version,
)
from homeserver.protocol.events.unsigned_2014 import (
    check_unsigned_2014,
    is_unsigned_2014,
)
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.transactions import check_txn_id, parse_edu
from homeserver.storage.outbox.chosen import CannotChoose


class Submitter:
    """Queues what is submitted, in the name of one identity."""

    def __init__(self, identity: Callable[[], Identity], sender: Outgoing) -> None:
        self._identity = identity
        self._sender = sender

    async def submit(self, destination: ServerName, submission: Submission) -> int:
        """Queue a transaction; returns the entry's ID.

        Raises `ProtocolError`, which names the bad item.
        """
        if destination == self._identity().server_name:
            raise InvalidParam(f"{destination} is this server itself")
        try:
            if submission.again is None:
                entry_id = await self._enqueue(destination, submission)
            else:
                entry_id = await self._repeat(destination, submission.again, submission)
        except CannotChoose as problem:
            raise InvalidParam(str(problem)) from None
        if submission.now:
            await self._sender.retry(destination)
        return entry_id

    async def _enqueue(self, destination: ServerName, submission: Submission) -> int:
        if submission.txn_id is not None:
            check_txn_id(submission.txn_id)
        room_version = _room_version(submission.room_version)
        return await self._sender.enqueue(
            destination,
            self._complete(submission.pdus, room_version),
            [
                parse_edu(edu, f"EDU {index}")
                for index, edu in enumerate(submission.edus)
            ],
            submission.txn_id,
        )

    async def _repeat(
        self, destination: ServerName, entry_id: int, submission: Submission
    ) -> int:
        if submission.pdus or submission.edus or submission.txn_id is not None:
            raise InvalidParam(
                "`again` sends a transaction unchanged; leave out `pdus`, `edus` and "
                "`txn_id`"
            )
        if not await self._sender.repeat(destination, entry_id):
            raise NotFound(f"nothing of ID {entry_id} was queued for {destination}")
        return entry_id

    def _complete(
        self, pdus: Sequence[object], room_version: RoomVersion
    ) -> list[Json]:
        completed: list[Json] = []
        for index, value in enumerate(pdus):
            pdu = as_object(value, f"PDU {index}")
            if "signatures" not in pdu:
                try:
                    pdu = self._sign(pdu, room_version)
                except ProtocolError as problem:
                    raise type(problem)(f"PDU {index}: {problem}") from None
            completed.append(pdu)
        return completed

    def _sign(self, pdu: Json, room_version: RoomVersion) -> Json:
        identity = self._identity()
        if room_version is EVENTS_OF_2014:
            if is_unsigned_2014(pdu):
                check_unsigned_2014(pdu, identity.server_name)
                return pdu
            pdu = _built_2014(pdu, identity.server_name)
        signed = hash_and_sign(
            pdu, room_version, identity.server_name, identity.signing_keys
        )
        sender = Event.parse(signed, room_version).sender
        if sender.server_name != identity.server_name:
            raise InvalidParam(
                f"`sender` is {sender}, who is not of {identity.server_name}; an event "
                "of another server has to come with its `signatures`"
            )
        return signed


def _built_2014(pdu: Json, server_name: ServerName) -> Json:
    """A PDU with the members that a server of 2014 adds, if they are missing.

    The receiver finds the keys by `origin`.
    """
    built = {"origin": server_name.name, **pdu}
    if "event_id" not in built:
        opaque = encode_urlsafe_base64(content_hash(built))
        built["event_id"] = f"${opaque}:{server_name}"
    return built


def _room_version(value: str) -> RoomVersion:
    return EVENTS_OF_2014 if value == "2014" else parse_room_version(value)
