"""One inbound transaction: look it up, check its PDUs and EDUs, record it, reply.

Rules: one transaction of an origin at a time. The reply is made from what the store
holds after the commit; the same transaction always gets the same reply. If a
transaction ID comes again with other content, the new PDUs and EDUs are recorded, and
the reply covers all PDUs of the request.

Specification: Server-server API, "Transactions".
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import sha256
from typing import Protocol

from msgspec import Struct, structs
from twisted.internet.interfaces import IReactorTime

from homeserver.inbound.authentication import ProvenOrigin
from homeserver.inbound.turns import Turns
from homeserver.net.cause import Cause
from homeserver.net.wall_clock import wall_ts
from homeserver.protocol.bodies import FlawedItem
from homeserver.protocol.canonical_json import Json, encode
from homeserver.protocol.errors import (
    InvalidParam,
    ProtocolError,
    quote,
)
from homeserver.protocol.identifiers import EventId, ServerName
from homeserver.protocol.remarks import Remark
from homeserver.protocol.transactions import Transaction, build_reply, check_txn_id
from homeserver.storage.judged_pdus import REDACTED, REJECTED, JudgedPdu
from homeserver.storage.received import ReceivedStore, ReceivedTransaction
from homeserver.storage.repeats import MAX_CONTENTS, Known

Effect = Callable[[ServerName, Sequence[Json], Cause], Awaitable[None]]
"""Does what accepted EDUs of a server ask for; requests are charged to the cause."""


class Checker(Protocol):
    """Checks what is in a transaction."""

    async def check(
        self, pdus: Sequence[Json], origin: ServerName, cause: Cause
    ) -> list[JudgedPdu]:
        """The verdicts on PDUs, in their order."""
        ...

    async def check_edu(self, edu: Json, origin: ServerName) -> None:
        """Raise `ProtocolError` for an EDU that is not accepted."""
        ...


class TransactionResult(Struct, frozen=True):
    """The reply to a transaction, and a summary of it."""

    reply: bytes
    """The body of the 200 response."""

    verdict: str
    """What was made of the transaction, as a sentence."""

    facts: Mapping[str, int] = {}
    """The numbers of the verdict."""

    remarks: Sequence[Remark] = ()
    """What was accepted and is odd, a sentence each."""


class _CheckedTransaction(Struct, frozen=True):
    """A transaction whose PDUs have their verdicts."""

    origin: ProvenOrigin
    txn_id: str
    digest: bytes
    transaction: Transaction
    pdus: Sequence[JudgedPdu]
    """All PDUs of the transaction, in their order."""

    remarks: Sequence[Remark]
    """On members that are missing."""


class TransactionReceiver:
    """Checks, records and answers the transactions of other servers."""

    def __init__(
        self,
        store: ReceivedStore,
        checker: Checker,
        effect: Effect,
        clock: IReactorTime,
        turns: Turns,
        observe: Callable[[ReceivedTransaction], object] = lambda _: None,
    ) -> None:
        """`effect` is called with the accepted EDUs, after the commit.

        `observe` is called with each transaction that was recorded.
        """
        self._store = store
        self._checker = checker
        self._effect = effect
        self._clock = clock
        self._observe = observe
        self._pace = turns.pace
        self._turns = turns

    async def receive(
        self, origin: ProvenOrigin, txn_id: str, content: Json, cause: Cause
    ) -> TransactionResult:
        """Check and record one transaction; key fetches are charged to `cause`.

        Raises `BadJson`, `InvalidParam`, `TooLarge`, `LimitExceeded` and
        `StoreUnavailable`; nothing is recorded then.
        """
        check_txn_id(txn_id)
        self._pace.begin_work()
        async with self._turns.of(self._store.server_name, origin.server_name):
            digest = await self.digest(content)
            reply = await self._store.reply_to(origin.server_name, txn_id, digest)
            if reply is not None:
                return TransactionResult(reply, "known already")
            transaction = Transaction.parse(content)
            pdus = await self._checker.check(
                transaction.pdus, origin.server_name, cause
            )
            checked = _CheckedTransaction(
                origin, txn_id, digest, transaction, pdus, _missing(content)
            )
            received, reply, accepted = await self._record(checked)
            if accepted:
                await self._effect(origin.server_name, accepted, cause)
        return _result(reply, received)

    async def _record(
        self, checked: _CheckedTransaction
    ) -> tuple[ReceivedTransaction, bytes, list[Json]]:
        """Record the new PDUs and EDUs of a transaction.

        Returns what was recorded, the reply, and the accepted ones of the EDUs.
        """
        known = Known()
        while True:
            received, accepted = await self._assemble(checked, known)
            reply = await self._store.record(received)
            if reply is not None:
                self._observe(received)
                return received, reply, accepted
            # The ID was used before with other content, perhaps a moment ago in
            # another process that shares the store.
            known = await self._store.known_under(
                checked.origin.server_name, checked.txn_id
            )
            if known.contents >= MAX_CONTENTS:
                raise InvalidParam(
                    f"the transaction ID {quote(checked.txn_id)} was used with "
                    f"{known.contents} other contents; use a new ID for new content"
                )

    async def _assemble(
        self, checked: _CheckedTransaction, known: Known
    ) -> tuple[ReceivedTransaction, list[Json]]:
        """What to record of a transaction, and the accepted ones of its EDUs."""
        verdicts = [known.verdict_on(pdu.event_id, pdu.event) for pdu in checked.pdus]
        answered = [
            pdu if verdict is None else structs.replace(pdu, verdict=verdict)
            for pdu, verdict in zip(checked.pdus, verdicts, strict=True)
        ]
        new_pdus = [
            pdu
            for pdu, verdict in zip(checked.pdus, verdicts, strict=True)
            if verdict is None
        ]
        whole = checked.transaction
        new = structs.replace(whole, edus=known.new_edus(whole.edus))
        accepted, problems = await self._check_edus(checked.origin.server_name, new)
        new_edus = _without_flaws(new.edus)
        remarks = [*checked.origin.remarks, *checked.remarks]
        if known.contents:
            text = (
                "the transaction ID was used before with other content; "
                f"{len(new_pdus)} of {len(answered)} PDUs and {len(new_edus)} of "
                f"{len(_without_flaws(whole.edus))} EDUs are new"
            )
            remarks.append(Remark("repeated_id", text))
        received = ReceivedTransaction(
            checked.origin.server_name,
            checked.txn_id,
            wall_ts(self._clock),
            checked.origin.key_id,
            checked.origin.client_certificate,
            new_pdus,
            new_edus,
            problems,
            build_reply(_errors(answered)),
            checked.digest,
            remarks,
            known.contents,
        )
        return received, accepted

    async def digest(self, content: Json) -> bytes:
        """SHA-256 of the PDUs and EDUs of a transaction, in their order.

        The other members, such as its time, may differ when it is repeated.
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

    async def _check_edus(
        self, origin: ServerName, transaction: Transaction
    ) -> tuple[list[Json], list[str]]:
        """The accepted EDUs, and problems outside the PDUs."""
        accepted: list[Json] = []
        problems: list[str] = []
        if transaction.origin not in (None, origin.name):
            claimed = quote(transaction.origin)
            problems.append(f"`origin` is {claimed}, but {origin} signed the request")
        for index, edu in enumerate(transaction.edus):
            await self._pace.pause()
            if isinstance(edu, FlawedItem):
                problems.append(f"EDU {index}: {edu.problem}: {quote(edu.text)}")
                continue
            try:
                await self._checker.check_edu(edu, origin)
            except ProtocolError as problem:
                problems.append(f"EDU {index} ({quote(edu['edu_type'])}): {problem}")
            else:
                accepted.append(edu)
        return accepted, problems


def _missing(content: Json) -> list[Remark]:
    """Remarks on the required members that a transaction lacks."""
    return [
        Remark(f"no_{name}", f"the transaction has no `{name}`")
        for name in ("origin", "origin_server_ts")
        if name not in content
    ]


def _without_flaws(edus: Sequence[Json]) -> list[Json]:
    """The EDUs that can be recorded."""
    return [edu for edu in edus if not isinstance(edu, FlawedItem)]


def _errors(pdus: list[JudgedPdu]) -> dict[EventId, str | None]:
    """The error of each event in the reply; with two of one ID, any rejection."""
    errors: dict[EventId, str | None] = {}
    for pdu in pdus:
        if pdu.event_id is not None:
            is_rejected = pdu.verdict.startswith(REJECTED)
            earlier = errors.get(pdu.event_id)
            errors[pdu.event_id] = earlier or (pdu.verdict if is_rejected else None)
    return errors


def _result(reply: bytes, received: ReceivedTransaction) -> TransactionResult:
    outcomes = [pdu.outcome for pdu in received.pdus]
    facts = {
        "pdus": len(received.pdus),
        "redacted": outcomes.count(REDACTED),
        "rejected": outcomes.count(REJECTED),
        "edus": len(received.edus),
        "problems": len(received.problems),
    }
    numbers = (
        f"{facts['pdus']} PDUs ({facts['redacted']} redacted, {facts['rejected']} "
        f"rejected), {facts['edus']} EDUs, {facts['problems']} problems"
    )
    verdict = "; ".join([numbers, *(each.text for each in received.remarks)])
    return TransactionResult(reply, verdict, facts, received.remarks)
