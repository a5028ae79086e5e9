"""Diagnoses of refused requests and rejected PDUs: what would have verified.

Rules: a diagnosis comes after the refusal and changes nothing of it. It says to a peer
only what the peer sent and what its keys are. It runs in slices, within the budget;
beyond that the evidence is kept for a while, and the diagnosis is made when the
operator looks at the refusal.
"""

from collections.abc import Awaitable, Sequence
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace
from twisted.internet.interfaces import IReactorTime

from homeserver.inbound.diagnosis_budget import DiagnosisBudget
from homeserver.net.cooperate import Pace
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.diagnosis.candidate_keys import CandidateKey
from homeserver.protocol.diagnosis.events import diagnose_event
from homeserver.protocol.diagnosis.headers import diagnose_destination, diagnose_header
from homeserver.protocol.diagnosis.hint import Hint
from homeserver.protocol.diagnosis.request_parts import ReceivedRequest
from homeserver.protocol.diagnosis.requests import diagnose_request
from homeserver.protocol.errors import BadAuthorization, ProtocolError, Unauthorized
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.room_versions import RoomVersion
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.slices import Steps
from homeserver.protocol.xmatrix import Authorization
from homeserver.protocol.xmatrix_headers import (
    MissingAuthorization,
    OtherDestination,
    XMatrixHeaders,
)


class Evidence(Struct, frozen=True):
    """What a diagnosis of a refused request needs."""

    request: ReceivedRequest
    authorizations: Sequence[Authorization]


class Candidates(Protocol):
    """Finds the keys of a server that may have signed, usable or not."""

    def __call__(self, server_name: ServerName, /) -> Awaitable[list[CandidateKey]]:
        """The known keys, without asking the server."""
        ...


class Diagnoses:
    """Diagnoses what one identity refuses."""

    def __init__(
        self,
        candidates: Candidates,
        budget: DiagnosisBudget,
        clock: IReactorTime,
        pace: Pace,
        other_names: Sequence[str] = (),
    ) -> None:
        """`other_names` are names that a peer may take for that of this server."""
        self._candidates = candidates
        self._budget = budget
        self._clock = clock
        self._pace = pace
        self._other_names = other_names
        self.bound = budget.bound

    def of_head(
        self,
        headers: XMatrixHeaders,
        own_name: ServerName,
        problem: ProtocolError,
    ) -> list[Hint]:
        """The hints on a request whose head is refused."""
        if isinstance(problem, BadAuthorization):
            found = (diagnose_header(each) for each in headers.texts)
            return next((hints for hints in found if hints), [])
        if isinstance(problem, OtherDestination):
            for each in headers.readable:
                hints = diagnose_destination(each, own_name, self._other_names)
                if hints:
                    return hints
        return []

    async def of_request(self, evidence: Evidence, address: str) -> list[Hint] | None:
        """The hints on a request whose signature does not verify.

        `address` is that of the client. None if there is no budget now.
        """
        if not self._budget.take(address):
            return None
        return await self.later(evidence)

    async def later(self, evidence: Evidence) -> list[Hint]:
        """As `of_request`, for an operator, whatever the budget."""
        if not evidence.authorizations:
            return []
        keys = await self._candidates(evidence.authorizations[0].origin)
        request = evidence.request
        names = (*request.other_names, *self._other_names)
        return await self._run(
            diagnose_request(
                replace(request, other_names=names), evidence.authorizations, keys
            )
        )

    async def of_event(
        self, pdu: Json, room_version: RoomVersion, address: str | None
    ) -> list[Hint]:
        """The hints on a rejected or redacted PDU; empty without a budget.

        `address` is that of the client that sent it; None for one that we asked for.
        """
        if not self._budget.take(address):
            return []
        try:
            signers = Event.parse(pdu, room_version).required_signers
        except ProtocolError:
            signers = frozenset()
        keys = {name: await self._candidates(name) for name in signers}
        return await self._run(diagnose_event(pdu, room_version, keys))

    async def _run(self, steps: Steps[list[Hint]]) -> list[Hint]:
        """The result of a search, between whose slices others have their turn."""
        while True:
            began = self._clock.seconds()
            try:
                next(steps)
            except StopIteration as end:
                hints: list[Hint] = end.value
                return hints
            finally:
                self._budget.spend(self._clock.seconds() - began)
            await self._pace.pause()


def is_by_signature(problem: ProtocolError) -> bool:
    """Whether a request is refused for its signature or the key of it."""
    return isinstance(problem, Unauthorized) and not isinstance(
        problem, (MissingAuthorization, OtherDestination)
    )
