"""One inbound transaction: known already? judge it, store, reply.

Rules of the room: one transaction of an origin at a time. The reply is made of what is
in the store, after the commit; the same transaction gets the same reply for ever. Of a
transaction ID that comes with other content, what is new is taken in, and all of it is
answered.

Specification: Server-server API, "Transactions".
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256

from msgspec import Struct, structs
from twisted.internet import defer
from twisted.internet.interfaces import IReactorTime

from homeserver.inbound.authentication import ProvenOrigin
from homeserver.inbound.pdu_checks import PduChecker
from homeserver.net.bounds import Bound
from homeserver.net.cause import Cause
from homeserver.net.cooperate import Pace
from homeserver.net.wall_clock import wall_seconds
from homeserver.protocol.bodies import FlawedItem
from homeserver.protocol.canonical_json import Json, encode
from homeserver.protocol.errors import (
    InvalidParam,
    LimitExceeded,
    ProtocolError,
    quote,
)
from homeserver.protocol.events import edus
from homeserver.protocol.identifiers import EventId, ServerName, UserId
from homeserver.protocol.transactions import Transaction, build_reply, check_txn_id
from homeserver.storage.judged_pdus import REJECTED, JudgedPdu
from homeserver.storage.received import ReceivedStore, ReceivedTransaction
from homeserver.storage.repeats import MAX_CONTENTS, Known

# How long a transaction waits for the one before it; its sender waits a minute.
_TURN_SECONDS = 30.0

_RETRY_SECONDS = 5  # what it takes to work on a large transaction

# Transactions of one origin that wait with all that is in them. An honest origin sends
# one at a time, and the same one again when it has given up.
_MAX_WAITING = 2


AnswerPoll = Callable[[ServerName, Sequence[UserId]], Awaitable[None]]
"""Tells a server of the presence of users of ours that it asked for."""


class Receipt(Struct, frozen=True):
    """What the origin of a transaction gets, and what was made of it."""

    reply: bytes
    """The body of the 200."""

    facts: Mapping[str, object]
    """For the log: `verdict` for people, and the numbers that it says."""


class _Arrived(Struct, frozen=True):
    """A transaction that may be recorded."""

    origin: ProvenOrigin
    txn_id: str
    digest: bytes
    transaction: Transaction
    pdus: Sequence[JudgedPdu]
    """All of them, with their verdicts."""


class Receiver:
    """Takes transactions in."""

    def __init__(
        self,
        store: ReceivedStore,
        checker: PduChecker,
        answer_poll: AnswerPoll,
        clock: IReactorTime,
        observe: Callable[[ReceivedTransaction], object] = lambda _: None,
    ) -> None:
        """`answer_poll` is called after the commit, with the users asked about.

        `observe` takes each transaction that was recorded.
        """
        self._store = store
        self._checker = checker
        self._answer_poll = answer_poll
        self._clock = clock
        self._observe = observe
        self._pace = Pace(clock)
        self._locks: dict[ServerName, defer.DeferredLock] = {}
        self.bound = Bound(
            "transactions_waiting",
            "transactions that wait for others of their origin",
            _MAX_WAITING,
            self._most_waiting,
        )

    async def receive(
        self, origin: ProvenOrigin, txn_id: str, content: Json, cause: Cause
    ) -> Receipt:
        """Take in one transaction; its keys are fetched for `cause`.

        Raises `BadJson`, `InvalidParam`, `TooLarge` and `LimitExceeded`, and
        `StoreUnavailable`; then nothing of it is recorded.
        """
        check_txn_id(txn_id)
        lock = await self._take_turn(origin.server_name)
        try:
            digest = await self._digest(content)
            reply = await self._store.reply_to(origin.server_name, txn_id, digest)
            if reply is not None:
                return Receipt(reply, {"verdict": "known already"})
            transaction = Transaction.parse(content)
            pdus = await self._checker.check(
                transaction.pdus, origin.server_name, cause
            )
            arrived = _Arrived(origin, txn_id, digest, transaction, pdus)
            received, reply, polled = await self._record(arrived)
        finally:
            self._end_turn(origin.server_name, lock)
        if polled:
            await self._answer_poll(origin.server_name, polled)
        return Receipt(reply, _facts(received))

    async def _record(
        self, arrived: "_Arrived"
    ) -> tuple[ReceivedTransaction, bytes, list[UserId]]:
        """Record what is new of a transaction.

        Returns what was recorded, the reply, and the users whose presence it asks for.
        """
        known = Known()
        while True:
            received, polled = await self._assemble(arrived, known)
            reply = await self._store.record(received)
            if reply is not None:
                self._observe(received)
                return received, reply, polled
            # The ID came before with other content, maybe a moment ago to another
            # process that shares the store.
            known = await self._store.known_under(
                arrived.origin.server_name, arrived.txn_id
            )
            if known.contents >= MAX_CONTENTS:
                raise InvalidParam(
                    f"the transaction ID {quote(arrived.txn_id)} came with "
                    f"{known.contents} other contents; send new ones with new IDs"
                )

    async def _assemble(
        self, arrived: "_Arrived", known: Known
    ) -> tuple[ReceivedTransaction, list[UserId]]:
        """What is to be recorded of a transaction, and whose presence it asks for."""
        verdicts = [known.verdict_on(pdu.event_id, pdu.event) for pdu in arrived.pdus]
        answered = [
            pdu if verdict is None else replace(pdu, verdict=verdict)
            for pdu, verdict in zip(arrived.pdus, verdicts, strict=True)
        ]
        new_pdus = [
            pdu
            for pdu, verdict in zip(arrived.pdus, verdicts, strict=True)
            if verdict is None
        ]
        whole = arrived.transaction
        new = structs.replace(whole, edus=known.new_edus(whole.edus))
        polled, problems = await self._check(arrived.origin.server_name, new)
        new_edus = _without_flaws(new.edus)
        remarks = []
        if known.contents:
            remarks.append(
                "the transaction ID came before with other content; of this one, "
                f"{len(new_pdus)} of {len(answered)} PDUs and {len(new_edus)} of "
                f"{len(_without_flaws(whole.edus))} EDUs are new"
            )
        received = ReceivedTransaction(
            arrived.origin.server_name,
            arrived.txn_id,
            int(wall_seconds(self._clock) * 1000),
            arrived.origin.key_id,
            arrived.origin.client_certificate,
            new_pdus,
            new_edus,
            problems,
            build_reply(_errors(answered)),
            arrived.digest,
            remarks,
            known.contents,
        )
        return received, polled

    async def _digest(self, content: Json) -> bytes:
        """SHA-256 of the PDUs and EDUs of a transaction, in their order.

        What else is in it, such as its time, may differ when it is sent again.
        """
        digest = sha256()
        for name in ("pdus", "edus"):
            items = content.get(name)
            for item in items if isinstance(items, list) else [items]:
                await self._pace.pause()
                text = item.text if isinstance(item, FlawedItem) else None
                digest.update(encode(item) if text is None else text.encode("utf-8"))
                digest.update(b",")
            digest.update(b"]")
        return digest.digest()

    async def _check(
        self, origin: ServerName, transaction: Transaction
    ) -> tuple[list[UserId], list[str]]:
        """Whose presence a transaction asks for, and what is wrong beside its PDUs."""
        polled: list[UserId] = []
        problems: list[str] = []
        if transaction.origin not in (None, origin.name):
            problems.append(
                f"`origin` is {quote(transaction.origin)}, the request proves {origin}"
            )
        for index, edu in enumerate(transaction.edus):
            await self._pace.pause()
            if isinstance(edu, FlawedItem):
                problems.append(f"EDU {index}: {edu.problem}; it is {quote(edu.text)}")
                continue
            try:
                edus.check(edu, origin)
                polled += edus.polled_users(edu)
            except ProtocolError as problem:
                problems.append(f"EDU {index} ({quote(edu['edu_type'])}): {problem}")
        return polled, problems

    def _most_waiting(self) -> int:
        """Of the origin of which most wait."""
        return max((len(lock.waiting) for lock in self._locks.values()), default=0)

    async def _take_turn(self, origin: ServerName) -> defer.DeferredLock:
        """Have an origin's turn, which is to be ended; raises `LimitExceeded`."""
        lock = self._locks.setdefault(origin, defer.DeferredLock())
        if not lock.locked:
            await lock.acquire()
            return lock
        if len(lock.waiting) >= _MAX_WAITING:
            self.bound.refuse()
            raise LimitExceeded(
                f"transactions of {origin} are waiting already", _RETRY_SECONDS
            )
        try:
            await lock.acquire().addTimeout(_TURN_SECONDS, self._clock)
        except defer.TimeoutError:
            raise LimitExceeded(
                f"an earlier transaction of {origin} is still being worked on",
                _RETRY_SECONDS,
            ) from None
        return lock

    def _end_turn(self, origin: ServerName, lock: defer.DeferredLock) -> None:
        # Before the release, within which the next one may begin and end.
        if not lock.waiting:
            del self._locks[origin]
        lock.release()


def _without_flaws(edus_: Sequence[Json]) -> list[Json]:
    """Those EDUs that can be recorded."""
    return [edu for edu in edus_ if not isinstance(edu, FlawedItem)]


def _errors(pdus: list[JudgedPdu]) -> dict[EventId, str | None]:
    """What the reply says of each event; of two with one ID, that one is refused."""
    errors: dict[EventId, str | None] = {}
    for pdu in pdus:
        if pdu.event_id is not None:
            is_refused = pdu.verdict.startswith(REJECTED)
            earlier = errors.get(pdu.event_id)
            errors[pdu.event_id] = earlier or (pdu.verdict if is_refused else None)
    return errors


def _facts(received: ReceivedTransaction) -> Mapping[str, object]:
    outcomes = Counter(pdu.outcome for pdu in received.pdus)
    numbers = {
        "pdus": len(received.pdus),
        "redacted": outcomes["redacted"],
        "rejected": outcomes["rejected"],
        "edus": len(received.edus),
        "problems": len(received.problems),
    }
    verdict = (
        "{pdus} PDUs ({redacted} redacted, {rejected} rejected), {edus} EDUs, "
        "{problems} problems"
    )
    said = [verdict.format(**numbers), *received.remarks]
    facts: dict[str, object] = {**numbers, "verdict": "; ".join(said)}
    if received.remarks:
        facts["remarks"] = list(received.remarks)
    return facts
