"""The bill of materials, second part: the parts of one of our servers.

Rules: each part is made here, for its first use, and gets what it needs and no more. A
server without traffic costs its name and its credentials: no thread, no descriptor, no
timer. Read the properties from top to bottom and you know the server.
"""

from collections.abc import Sequence
from functools import cached_property

from homeserver.app.rooms import (
    build_device_lists,
    build_elsewhere,
    build_receiver,
    build_resident,
    build_rooms,
)
from homeserver.app.server_outbound import ServerOutbound
from homeserver.inbound.authentication import Authenticator
from homeserver.inbound.client_certificates import ClientCertificates
from homeserver.inbound.diagnoses import Diagnoses, Evidence
from homeserver.inbound.gate import XMatrixGate
from homeserver.inbound.key_publisher import KeyPublisher
from homeserver.inbound.notary import Notary
from homeserver.inbound.pdu_checks import PduChecker
from homeserver.inbound.refusals import Refusals
from homeserver.inbound.signed_requests import SignedRequests
from homeserver.inbound.transactions import TransactionReceiver
from homeserver.keys.keyring import Keyring
from homeserver.net.cause import Cause
from homeserver.outbound.delivery.presence import PresenceAnswers
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.diagnosis.hint import Hint
from homeserver.protocol.identifiers import ServerName
from homeserver.rooms.elsewhere import Elsewhere
from homeserver.rooms.policies import Policies
from homeserver.rooms.resident import Resident
from homeserver.rooms.rooms import Rooms
from homeserver.storage.key_documents import DocumentStore
from homeserver.storage.refusals import RefusalStore
from homeserver.users.device_lists import KeptDeviceLists


class Server(ServerOutbound):
    """One of our servers."""

    @cached_property
    def publisher(self) -> KeyPublisher:
        """Its own key documents."""
        return KeyPublisher(
            self.credentials.identity,
            self._config.signing.key_validity_seconds,
            self._shared.reactor,
        )

    @cached_property
    def keyring(self) -> Keyring:
        """The keys of other servers."""
        shared = self._shared
        return Keyring(
            self.credentials.identity,
            self.peers,
            self.client,
            shared.reactor,
            shared.keyrings,
            shared.metrics.count_key_fetch,
        )

    @cached_property
    def certificates(self) -> ClientCertificates:
        """Checks the client certificates of other servers."""
        shared = self._shared
        believes = "certificate" in shared.config.verification.methods
        return ClientCertificates(
            self._config.tls.client_certificates,
            self.peers,
            self.client,
            shared.trust.context if believes else None,
            shared.reactor,
            shared.certificates,
        )

    @cached_property
    def diagnoses(self) -> Diagnoses:
        """Finds the mistakes in refused requests."""
        shared, delegate_to = self._shared, self.delegate_to
        return Diagnoses(
            self.keyring.candidates,
            shared.diagnosis_budget,
            shared.reactor,
            shared.pace,
            [] if delegate_to is None else [delegate_to.name],
        )

    @cached_property
    def refusals(self) -> Refusals:
        """The refused requests."""
        return Refusals(
            RefusalStore(self._shared.store.database, self.name),
            self._shared.refusals,
            self._shared.reactor,
            self._diagnose_later,
            self._shared.make_changes(self._shared.refused),
        )

    async def _diagnose_later(self, evidence: Evidence) -> list[Hint]:
        # Made late: diagnoses bring a keyring, and few refusals need them.
        return await self.diagnoses.later(evidence)

    @cached_property
    def signed_requests(self) -> SignedRequests:
        """Authenticates signed requests."""
        shared = self._shared
        gate = XMatrixGate(self.name, self.refusals, self.diagnoses, shared.unproven)
        authenticator = Authenticator(
            self.credentials.identity,
            self.keyring,
            self.certificates,
            shared.in_thread,
            shared.large_bodies,
        )
        return SignedRequests(
            gate, authenticator, self.outgoing.note_alive, self.diagnoses
        )

    @cached_property
    def pdu_checker(self) -> PduChecker:
        """Checks form, signatures and content hash of events."""
        shared = self._shared
        return PduChecker(
            self.received,
            self.keyring,
            shared.reactor,
            shared.pace,
            shared.config.events,
            self.diagnoses,
        )

    @cached_property
    def receiver(self) -> TransactionReceiver:
        """Receives transactions."""
        shared = self._shared
        return TransactionReceiver(
            self.received,
            build_receiver(self.rooms, self.calls, shared, self.pdu_checker),
            self._act_on,
            shared.reactor,
            shared.turns,
            shared.metrics.count_transaction,
        )

    async def _act_on(
        self, origin: ServerName, edus: Sequence[Json], cause: Cause
    ) -> None:
        """Do what the accepted EDUs of a transaction ask for."""
        await self.presence_answers.answer(origin, edus)
        await self.device_lists.take_in(origin, edus, cause)

    @cached_property
    def presence_answers(self) -> PresenceAnswers:
        """Answers of 2014's questions about presence."""
        return PresenceAnswers(self.name, self.profiles, self.outgoing)

    @cached_property
    def device_lists(self) -> KeptDeviceLists:
        """The devices of other servers' users that are in its rooms."""
        return build_device_lists(self.rooms, self.calls, self._shared)

    @cached_property
    def rooms(self) -> Rooms:
        """The rooms that it takes part in."""
        policies = Policies(lambda: self.calls, self.policy_desk)
        return build_rooms(
            self.name, self.credentials, self._shared, self._wake, policies
        )

    @cached_property
    def resident(self) -> Resident:
        """Answers other servers about its rooms."""
        return build_resident(
            self.rooms, self.calls, self._shared, self.pdu_checker, self.policy_desk
        )

    @cached_property
    def elsewhere(self) -> Elsewhere:
        """Takes its users into rooms of other servers."""
        return build_elsewhere(self.resident, self._shared, self.pdu_checker)

    @cached_property
    def notary(self) -> Notary:
        """Other servers' key documents, with its signature."""
        return Notary(
            self.credentials.identity,
            self.publisher.v2,
            DocumentStore(self._shared.store.database, self.name),
            self.keyring,
            self._shared.reactor,
            self._shared.unlisted,
        )

    def announce_sent(self) -> None:
        """Wake all that wait for the state of an entry of its queues."""
        if self.has("outgoing"):
            self.outgoing.announce()

    def end_waits(self) -> None:
        """End all waits for something new, now and later."""
        for name in ("received", "refusals", "outgoing"):
            if self.has(name):
                getattr(self, name).end_waits()
        if self.has("rooms"):
            self.rooms.store.changes.end_waits()

    async def close(self) -> None:
        """End its fetches, and close its idle connections to other servers."""
        if self.has("device_lists"):
            self.device_lists.stop()
        if self.has("agent"):
            await self.agent.close()
