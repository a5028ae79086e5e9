"""Submitted transactions: checked, hashed, signed and queued.

Rules: a PDU without signatures is signed, so its sender must be a user of this server.
A PDU with signatures is sent unchanged, even if it is invalid: a test peer needs that.
The room version "2014" stands for the events of that time, signed or not. Mistakes on
purpose are made by a `Spoiler`; without one, a transaction with a mistake is refused.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from homeserver.control.views import EntryView, Submission
from homeserver.identity.identity import Identity
from homeserver.outbound.client import FederationClient
from homeserver.outbound.delivery.attempts import TransactionClient
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


class Judgement(Struct, frozen=True):
    """What a right server does about mistakes, and whether this one did."""

    expected: list[str]
    as_expected: bool | None


class Spoiler(Protocol):
    """Makes the mistakes of transactions, for all our servers."""

    def plan(
        self,
        own: ServerName,
        destination: ServerName,
        submission: Submission,
        content: Json,
    ) -> str:
        """Plan the mistakes of a transaction with this content; returns its ID.

        Raises `InvalidParam` for a mistake that cannot be made.
        """
        ...

    def forget(self, own: ServerName, destination: ServerName, txn_id: str) -> None:
        """Forget a plan, whose transaction is not queued or forgotten."""
        ...

    def judge(
        self, own: ServerName, destination: ServerName, txn_id: str
    ) -> Judgement | None:
        """The judgement of a plan; None without one, or if no answer is known right."""
        ...

    def judgements(
        self, own: ServerName, destination: ServerName
    ) -> Mapping[str, Judgement | None]:
        """The judgements of all plans for a server, by the IDs of their transactions.

        As of `judge`, one is None where no answer is known as right.
        """
        ...

    def planned(
        self, own: ServerName | None
    ) -> Collection[tuple[ServerName, ServerName, str]]:
        """The plans of one of our names, or of all.

        Each is our name, the destination and the ID of the transaction.
        """
        ...

    def client(self, own: ServerName, client: FederationClient) -> TransactionClient:
        """The client of a server that makes what is planned."""
        ...


class Submitter:
    """Queues what is submitted, in the name of one identity."""

    def __init__(
        self,
        identity: Callable[[], Identity],
        sender: Outgoing,
        spoiler: Spoiler | None = None,
    ) -> None:
        self._identity = identity
        self._sender = sender
        self._spoiler = spoiler

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
        pdus = self._complete(submission.pdus, room_version)
        edus = [
            parse_edu(edu, f"EDU {index}") for index, edu in enumerate(submission.edus)
        ]
        if not submission.is_wrong:
            return await self._sender.enqueue(
                destination, pdus, edus, submission.txn_id
            )
        if self._spoiler is None:
            raise InvalidParam(
                "`spoil` and `sign` make mistakes on purpose; that needs a lab, or "
                "`[lab] rules = true` in the configuration"
            )
        own = self._identity().server_name
        content: Json = {"origin": own.name, "pdus": pdus, "edus": edus}
        txn_id = self._spoiler.plan(own, destination, submission, content)
        try:
            return await self._sender.enqueue(destination, pdus, edus, txn_id)
        except BaseException:
            self._spoiler.forget(own, destination, txn_id)
            raise

    def judged(self, destination: ServerName, entry: EntryView) -> EntryView:
        """An entry with the judgement of its mistakes, if it has any."""
        if self._spoiler is None or entry.txn_id is None:
            return entry
        own = self._identity().server_name
        found = self._spoiler.judge(own, destination, entry.txn_id)
        if found is None:
            return entry
        return replace(entry, expected=found.expected, as_expected=found.as_expected)

    async def _repeat(
        self, destination: ServerName, entry_id: int, submission: Submission
    ) -> int:
        is_changed = submission.is_wrong or submission.txn_id is not None
        if submission.pdus or submission.edus or is_changed:
            raise InvalidParam(
                "`again` sends a transaction unchanged; leave out `pdus`, `edus`, "
                "`txn_id`, `spoil` and `sign`"
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
