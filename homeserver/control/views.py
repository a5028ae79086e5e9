"""The bodies and the answers of the control API, as structs.

Rules: what is on the wire has exactly these members. A member of a type with `UNSET` is
left out where it does not apply; every other one is always there. Times in `_ts` are
milliseconds since 1970, durations are seconds. The descriptions end up in the API's
own description (`openapi`).
"""

from typing import Annotated, Literal, TypeVar

from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from msgspec.structs import asdict

from homeserver.control.signed_parts import SignBody
from homeserver.storage.outbox.progress import State

_T = TypeVar("_T", bound=Struct)

MAX_SPOILS = 10  # of a request; with more, no server finds each of them

Time = Annotated[int, Meta(description="In milliseconds since 1970.")]
Name = Annotated[str, Meta(description="A server name.")]
OwnName = Annotated[
    str | UnsetType,
    Meta(description="The server of ours, in an answer about several of them."),
]
Event = Annotated[Raw, Meta(extra_json_schema={"type": "object"})]
Object = dict[str, object]
KeyIdText = Annotated[str, Meta(description="As in `ed25519:a_1`.")]
Fingerprint = Annotated[
    str, Meta(description="The SHA-256 of a certificate, in hexadecimal.")
]


def view_of(kind: type[_T], value: Struct) -> _T:
    """A value as the view that has the same members."""
    return kind(**asdict(value))


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """No members."""


class RemarkView(Struct, frozen=True):
    """Something that a server should change, though it was accepted."""

    code: Annotated[str, Meta(description="A stable code; see the list of remarks.")]
    text: Annotated[str, Meta(description="A sentence.")]


class Error(Struct, frozen=True):
    """Why a request was refused."""

    errcode: Annotated[str, Meta(description="A code of the Matrix specification.")]
    error: Annotated[str, Meta(description="A sentence that says what is wrong.")]


class Health(Struct, frozen=True, omit_defaults=True):
    """Whether the daemon is well."""

    status: Literal["ok", "unavailable"]
    remarks: Annotated[
        tuple[str, ...],
        Meta(description="What to look after; left out if there is nothing."),
    ] = ()


class BoundView(Struct, frozen=True):
    """A limit on what others can make the daemon hold or do."""

    name: str
    what: Annotated[str, Meta(description="What is counted.")]
    use: Annotated[int, Meta(description="How much of it there is now.")]
    limit: int
    refusals: Annotated[
        int, Meta(description="How often it turned something away or pushed it out.")
    ]


class Bounds(Struct, frozen=True):
    """Every bound with its use."""

    bounds: list[BoundView]


class Submission(Struct, frozen=True, forbid_unknown_fields=True):
    """A transaction to send; each member may be left out."""

    pdus: Annotated[
        list[object],
        Meta(
            description="A PDU without `signatures` is hashed and signed; one that "
            "has some goes as it is."
        ),
    ] = []
    edus: list[object] = []
    room_version: Annotated[
        str,
        Meta(
            description='Of the PDUs that are to be signed; "2014" for servers of '
            "that year."
        ),
    ] = "12"
    txn_id: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(
            description="The ID of the transaction, for an empty queue; by default a "
            "new one."
        ),
    ] = None
    now: Annotated[bool, Meta(description="End the back-off of the destination.")] = (
        False
    )
    # Up to 18 digits, as in paths: these fit into 64 bits.
    again: Annotated[
        Annotated[int, Meta(ge=1, le=10**18 - 1)] | None,
        Meta(
            description="In place of PDUs and EDUs: the ID of a delivered or rejected "
            "entry, whose transaction is sent once more with the same ID and bytes."
        ),
    ] = None
    spoil: Annotated[
        list[str],
        Meta(
            max_length=MAX_SPOILS,
            description="Mistakes that it has on purpose, as those of a lab's "
            "`request`. Such a transaction is over with the first answer.",
        ),
    ] = []
    sign: Annotated[
        SignBody | UnsetType | None,
        Meta(description="What is signed, as in a lab's `request`."),
    ] = UNSET

    @property
    def is_wrong(self) -> bool:
        """Whether it has a mistake on purpose."""
        return bool(self.spoil) or self.sign is not UNSET


class Queued(Struct, frozen=True):
    """What was queued."""

    id: Annotated[int, Meta(description="The ID of the entry, for its destination.")]


class Dropped(Struct, frozen=True):
    """What was given up."""

    dropped: Annotated[int, Meta(description="Entries.")]


class EntryView(Struct, frozen=True):
    """How far an entry of the outbound queue is."""

    id: int
    state: State
    txn_id: Annotated[
        str | None, Meta(description="Of its transaction; null before it is built.")
    ]
    attempts: int
    next_attempt_ts: Annotated[
        Time | None, Meta(description="Null unless the destination is in back-off.")
    ]
    error: Annotated[
        str | None,
        Meta(description="Why the last attempt failed; null if it is delivered."),
    ]
    reply: Annotated[
        Raw | None, Meta(description="The JSON that the destination replied.")
    ]
    remarks: Annotated[
        list[RemarkView], Meta(description="What is wrong with the reply.")
    ]
    connection: Annotated[
        Raw | None,
        Meta(description="The connection of the delivery: address, route, proof."),
    ]
    dropped_ts: Time | None
    dropped_by: Annotated[
        str | None, Meta(description="A command, or `age` for what was stale.")
    ]
    expected: Annotated[
        list[str] | UnsetType,
        Meta(description="With `spoil`: what a right server does about each mistake."),
    ] = UNSET
    as_expected: Annotated[
        bool | UnsetType | None,
        Meta(description="Whether it did; null where that is not known."),
    ] = UNSET


class ProofView(Struct, frozen=True):
    """What proved the origin of a transaction."""

    key_id: KeyIdText
    client_certificate: Annotated[
        Fingerprint | None, Meta(description="Null if none was shown or checked.")
    ]


class PduView(Struct, frozen=True):
    """A received PDU."""

    event_id: Annotated[
        str | None, Meta(description="Null if its form allows none to be computed.")
    ]
    room_version: str | None
    room_version_source: Annotated[
        str | None, Meta(description="Where the room version comes from.")
    ]
    verdict: Annotated[
        str,
        Meta(
            description="`accepted`, `redacted`, `rejected`, `soft-failed` or "
            "`unsigned`, and after a colon the reason."
        ),
    ]
    event: Annotated[
        Event, Meta(description="As received, or as redacted if the verdict says so.")
    ]


class TransactionView(Struct, frozen=True):
    """A received transaction."""

    id: int
    origin: Name
    txn_id: str
    received_ts: Time
    verified_by: ProofView
    pdus: list[PduView]
    edus: list[Event]
    problems: Annotated[
        list[str], Meta(description="What is wrong with it, though it was accepted.")
    ]
    remarks: Annotated[
        list[RemarkView],
        Meta(description="What is accepted, and wrong or fragile all the same."),
    ]
    server: OwnName = UNSET


class ReceivedPage(Struct, frozen=True):
    """Received transactions, oldest first."""

    transactions: list[TransactionView]
    next: Annotated[int, Meta(description="The `after` of the next page.")]


class HintView(Struct, frozen=True, omit_defaults=True):
    """What a server has to change."""

    code: Annotated[str, Meta(description="A stable code; see the list of hints.")]
    text: Annotated[str, Meta(description="A sentence.")]
    received: Annotated[
        str | None,
        Meta(description="The part as the server signed, hashed or sent it."),
    ] = None
    expected: Annotated[
        str | None, Meta(description="The same part as it should be.")
    ] = None


class RefusalView(Struct, frozen=True):
    """A refused request of another server."""

    id: int
    refused_ts: Time
    address: Annotated[str, Meta(description="The IP address of the client.")]
    origin: Annotated[Name | None, Meta(description="The server that it claims.")]
    proven: Annotated[bool, Meta(description="Whether the origin is proven.")]
    method: str
    path: str
    status: int
    errcode: str
    error: str
    reason: Annotated[str, Meta(description="A code; see the list of reasons.")]
    hints: Annotated[
        list[HintView] | None,
        Meta(description="What to change; null if it was not looked for in time."),
    ]
    server: OwnName = UNSET


class RefusedPage(Struct, frozen=True):
    """Refused requests, oldest first."""

    refused: list[RefusalView]
    next: Annotated[int, Meta(description="The `after` of the next page.")]


class ForgottenState(Struct, frozen=True):
    """What was forgotten."""

    forgotten: Annotated[
        dict[str, int],
        Meta(description="How many transactions, entries or servers, by kind."),
    ]
