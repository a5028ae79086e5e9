"""How an attempt to connect to a server fails, and every reason code with its meaning.

Rules: a failure has a sentence for a person and a reason code for programs. A sentence
may be reworded; a code stays as it is. `REASONS` lists the codes of all failures of
outbound requests that got no answer. A server's answer has a status and an errcode in
its place, and a mistake in what a peer sent (`ProtocolError`) has an errcode.
"""

from collections.abc import Mapping
from typing import Literal

from homeserver.protocol.discovery import LookupReason, NotResolvableReason

DialReason = Literal[
    "not_connected", "handshake_failed", "not_verified", "no_answer", "ended"
]
"""How far a connection came."""

VerificationReason = Literal[
    "no_certificate",
    "certificate_rejected",
    "certificate_required",
    "document_no_answer",
    "document_not_served",
    "document_invalid",
    "document_expired",
    "document_without_certificate",
    "document_of_other_certificate",
    "key_conflict",
    "pinned_key_missing",
    "closed_after_document",
    "changed_meanwhile",
]
"""Which check of a peer failed."""

AttemptReason = (
    DialReason
    | VerificationReason
    | LookupReason
    | NotResolvableReason
    | Literal["refused_address", "over_budget", "not_tried"]
)
"""Why one attempt to reach a server failed."""

UnreachableReason = Literal[
    "not_resolved", "no_address", "not_verified", "no_answer", "over_budget"
]
"""Why a request got no answer, after all attempts."""

REASONS: Mapping[AttemptReason | UnreachableReason, str] = {
    "not_resolved": "discovery found no route to the server",
    "no_service": "the SRV record says that the server offers no such service",
    "no_usable_record": "no SRV record names a host and a port that can be used",
    "no_answer": "a name server, a website or the server did not answer, or not fully",
    "no_address": "the host has neither an A nor an AAAA record",
    "too_many_aliases": "the chain of CNAME records is too long",
    "no_delegation": "the answer to the well-known request delegates to no server",
    "not_asked": "well-known documents are switched off",
    "refused_address": "every address of the host is in a refused range",
    "over_budget": "a bound on the connections that clients cause was reached",
    "not_tried": "the route was left out, because a client's request has few attempts",
    "not_connected": "no TCP connection to any address",
    "handshake_failed": "the TLS handshake failed",
    "ended": "the peer ended the connection while it was being verified",
    "not_verified": "no connection could be verified as the server's",
    "no_certificate": "the peer presented no certificate",
    "certificate_rejected": "the certificate does not prove the server's name",
    "certificate_required": "the server was verified by certificate before, so its key "
    "document alone is not enough",
    "document_no_answer": "the request for the key document got no complete answer",
    "document_not_served": "the key document was answered with an error status",
    "document_invalid": "the key document breaks a rule or is not signed by its keys",
    "document_expired": "the key document is no longer valid",
    "document_without_certificate": "the key document names no TLS certificate",
    "document_of_other_certificate": "the key document names another TLS certificate",
    "key_conflict": "a key ID has another key than the one that is stored",
    "pinned_key_missing": "no pinned key of the server has signed the key document",
    "closed_after_document": "the peer ended the connection after its key document",
    "changed_meanwhile": "what is known of the server changed during verification",
}
"""Each reason code, and what it means."""


class NotDialled(Exception):
    """No usable connection was made; `str()` says why."""

    def __init__(
        self,
        reason: DialReason,
        why: str,
        address: str | None = None,
        unverified: "NotVerified | None" = None,
    ) -> None:
        """`unverified` has the checks that failed, if that is the reason."""
        super().__init__(why)
        self.reason = reason
        self.address = address
        """The address that was connected to; None if there was no connection."""

        self.reasons = (reason,) if unverified is None else unverified.reasons
        """The reason in detail: of a peer that is not verified, each failed check."""

        self.conflict = None if unverified is None else unverified.conflict
        """How the peer contradicts what is stored of it, if that is the reason."""


class NotVerified(Exception):
    """The peer is not proven; `str()` names the check that failed, for each method."""

    def __init__(
        self, why: str, *reasons: VerificationReason, conflict: str | None = None
    ) -> None:
        """`reasons` has one code for each method that was tried, in their order.

        `conflict` says how the key document contradicts what is stored, if it does.
        """
        super().__init__(why)
        self.reasons = reasons
        self.conflict = conflict


# One text for all that an unverified address can do: a port that is closed, silent,
# without TLS, or of another server; and for a host of our network that is not there.
PUBLIC_TEXTS: Mapping[UnreachableReason, str] = {
    "not_resolved": "{} cannot be resolved",
    "not_verified": "no connection to {} could be verified",
    "no_address": "no connection to {} could be verified",
    "over_budget": "{} is not connected to now: clients cause too many connections",
    "no_answer": "{} gave no answer on a verified connection",
}
"""What another server is told of a request that got no answer; `{}` is the name."""
