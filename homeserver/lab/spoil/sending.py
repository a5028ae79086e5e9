"""Queued transactions that are wrong on purpose.

Rules: the queue has the right transaction, under its ID; each attempt makes the planned
mistakes anew, so that its bytes are the same. It is over with the first answer that
does not ask for another attempt. Plans are in memory: what is still queued when the
process ends is sent without its mistakes.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from twisted.internet.interfaces import IReactorTime

from homeserver.control.submit import Judgement
from homeserver.control.views import Submission
from homeserver.lab.spoil.draft import Draft
from homeserver.lab.spoil.request_body import RequestBody
from homeserver.lab.spoil.right import Right, accepts, is_met, same_as_before
from homeserver.lab.spoil.spoils import spoil
from homeserver.lab.spoil.transmission import Means, transmit
from homeserver.net.bounded_map import BoundedMap
from homeserver.net.exchange import Exchange
from homeserver.net.wall_clock import wall_ts
from homeserver.outbound.client import Delivery, FederationClient
from homeserver.outbound.delivery.attempts import TransactionClient
from homeserver.outbound.remote_error import Refused
from homeserver.outbound.targets import TRANSACTION_ROUTE, transaction_target
from homeserver.outbound.transport.connector import Unreachable, VerifiedConnection
from homeserver.outbound.transport.response import Response
from homeserver.protocol.canonical_json import Json, parse_object
from homeserver.protocol.errors import ProtocolError
from homeserver.protocol.identifiers import ServerName

_MAX_PLANS = 10_000  # transactions of a test run

_Key = tuple[ServerName, ServerName, str]


class _Over(Refused):
    """An answer to a transaction with mistakes: there is no other attempt."""

    def __init__(self, answer: Refused) -> None:
        super().__init__(
            answer.destination, answer.status, answer.errcode, "", reply=answer.reply
        )
        self.args = answer.args

    @property
    def is_about_path(self) -> bool:
        """As `Refused`."""
        return False

    @property
    def is_final(self) -> bool:
        """As `Refused`."""
        return True


@dataclass
class _Plan:
    """The mistakes of a transaction, and the answers to them."""

    submission: Submission
    rights: list[Right]
    as_expected: bool | None = None
    repeated: list[Right] = field(default_factory=list)
    """What is right for the second request, where it is sent twice."""

    def draft(
        self, means: Means, destination: ServerName, target: str, content: Json
    ) -> Draft:
        """The transaction with its mistakes; raises `InvalidParam`."""
        body = RequestBody(
            destination.name,
            target,
            "PUT",
            content=content,
            sign=self.submission.sign,
            spoil=self.submission.spoil,
        )
        draft = body.draft(means.identity, means.spare_key)
        self.rights = spoil(draft, body.spoil)
        return draft

    @property
    def judgement(self) -> Judgement | None:
        """Whether the answers are right; None where no answer is known as right.

        No answer is, if the only mistake is in what is signed.
        """
        texts = [right.text for right in (*self.rights, *self.repeated)]
        return Judgement(texts, self.as_expected) if texts else None

    def judge(self, status: int, reply: object, draft: Draft) -> None:
        """Note an answer."""
        rights = [*self.rights, *self.repeated]
        is_accepted = accepts(reply, draft.wrong_ids)
        self.as_expected = is_met(rights, status, accepts_pdu=is_accepted)


class SpoiledSending:
    """Makes the mistakes of queued transactions, for all our servers."""

    def __init__(
        self, means_of: Callable[[ServerName], Means], clock: IReactorTime
    ) -> None:
        """`means_of` has what each of our servers sends with."""
        self.means_of = means_of
        self._clock = clock
        self._count = 0
        self._plans: BoundedMap[_Key, _Plan] = BoundedMap(_MAX_PLANS)

    def plan(
        self,
        own: ServerName,
        destination: ServerName,
        submission: Submission,
        content: Json,
    ) -> str:
        """As `Spoiler`."""
        self._count += 1
        now_ts = wall_ts(self._clock)
        txn_id = submission.txn_id or f"spoiled-{now_ts}-{self._count}"
        plan = _Plan(submission, [])
        plan.draft(self.means_of(own), destination, transaction_target(txn_id), content)
        self._plans[own, destination, txn_id] = plan
        return txn_id

    def forget(self, own: ServerName, destination: ServerName, txn_id: str) -> None:
        """As `Spoiler`."""
        self._plans.pop((own, destination, txn_id), None)

    def judge(
        self, own: ServerName, destination: ServerName, txn_id: str
    ) -> Judgement | None:
        """As `Spoiler`."""
        plan = self._plans.get((own, destination, txn_id))
        return None if plan is None else plan.judgement

    def judgements(
        self, own: ServerName, destination: ServerName
    ) -> Mapping[str, Judgement | None]:
        """As `Spoiler`."""
        return {
            txn_id: plan.judgement
            for (mine, other, txn_id), plan in self._plans.items()
            if (mine, other) == (own, destination)
        }

    def planned(self, own: ServerName | None) -> Collection[_Key]:
        """As `Spoiler`."""
        return [key for key in self._plans if own in {None, key[0]}]

    def client(self, own: ServerName, client: FederationClient) -> TransactionClient:
        """As `Spoiler`."""
        return _Client(own, client, self)

    def find(
        self, own: ServerName, destination: ServerName, txn_id: str
    ) -> _Plan | None:
        """The plan for a transaction."""
        return self._plans.get((own, destination, txn_id))


class _Client:
    """The client of one server, which makes planned mistakes."""

    def __init__(
        self, own: ServerName, client: FederationClient, sending: SpoiledSending
    ) -> None:
        self._own = own
        self._client = client
        self._sending = sending

    async def send_transaction(
        self,
        destination: ServerName,
        txn_id: str,
        body: bytes,
        *,
        exchange: Exchange,
        slash: bool = False,
        connected: Callable[[VerifiedConnection], object] = lambda _: None,
    ) -> Delivery:
        """As `FederationClient.send_transaction`."""
        plan = self._sending.find(self._own, destination, txn_id)
        if plan is None:
            return await self._client.send_transaction(
                destination,
                txn_id,
                body,
                exchange=exchange,
                slash=slash,
                connected=connected,
            )
        exchange.server, exchange.route = self._own.name, TRANSACTION_ROUTE
        target = transaction_target(txn_id, slash=slash)
        try:
            means = self._sending.means_of(self._own)
            draft = plan.draft(means, destination, target, parse_object(body))
        except ProtocolError as problem:  # the keys have changed since it was planned
            raise Unreachable(destination, [str(problem)]) from None

        async def call() -> tuple[Response, VerifiedConnection]:
            answer = await transmit(draft, destination, means, exchange, connected)
            if draft.is_repeated:
                plan.repeated = [same_as_before(answer[0].status)]
                answer = await transmit(draft, destination, means, exchange, connected)
            return answer

        try:
            delivery = await self._client.deliver(
                destination, f"PUT {target}", exchange, call, slash=slash
            )
        except Refused as answer:
            plan.judge(answer.status, answer.reply, draft)
            if answer.status >= 500 or answer.status == 429:
                raise
            raise _Over(answer) from None
        except Unreachable:
            # A server that is reached has to answer.
            plan.as_expected = False if exchange.is_proven else None
            raise
        plan.judge(200, delivery.reply, draft)
        return delivery
