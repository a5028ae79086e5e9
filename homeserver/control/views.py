"""The bodies and the answers of the control API, as structs.

Rules: what is on the wire has exactly these members. A member of a type with `UNSET` is
left out where it does not apply; every other one is always there. Times in `_ts` are
milliseconds since 1970, durations are seconds. The descriptions end up in the API's
own description (`openapi`).
"""

from typing import Annotated, Literal, TypeVar

from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from msgspec.structs import asdict

from homeserver.storage.outbox.progress import State

_T = TypeVar("_T", bound=Struct)

Time = Annotated[int, Meta(description="In milliseconds since 1970.")]
Name = Annotated[str, Meta(description="A server name.")]
Event = Annotated[Raw, Meta(extra_json_schema={"type": "object"})]
Object = dict[str, object]
Verification = Annotated[
    str, Meta(extra_json_schema={"enum": ["certificate", "key-document"]})
]
DiscoveryStep = Annotated[
    str,
    Meta(
        extra_json_schema={"enum": ["literal", "port", "well-known", "srv", "fallback"]}
    ),
]
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
            description="`accepted`, `redacted`, `rejected` or `unsigned`, and after a "
            "colon the reason."
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


class RefusedPage(Struct, frozen=True):
    """Refused requests, oldest first."""

    refused: list[RefusalView]
    next: Annotated[int, Meta(description="The `after` of the next page.")]


class CacheEntry(Struct, frozen=True):
    """A kept answer, or a pause between fetches of keys."""

    cache: Annotated[
        str,
        Meta(description="`well-known`, a type of DNS records, or `keys` for a pause."),
    ]
    asked: str
    found: str
    kept_until_ts: Time
    floor_seconds: Annotated[
        float | UnsetType,
        Meta(description="The minimum for every answer, where that was applied."),
    ] = UNSET


class Caches(Struct, frozen=True):
    """What discovery and the keyring remember."""

    caches: list[CacheEntry]
    total: Annotated[int, Meta(description="Of the entries, beyond `limit` too.")]


class StepView(Struct, frozen=True):
    """A step of discovery."""

    step: DiscoveryStep
    asked: str
    found: str
    kept_until_ts: Annotated[
        Time | UnsetType, Meta(description="Only of an answer from before the request.")
    ] = UNSET
    floor_seconds: float | UnsetType = UNSET


class RouteView(Struct, frozen=True):
    """A way to reach a server."""

    host: Annotated[str, Meta(description="What is connected to: a name or address.")]
    port: int
    host_header: str
    certificate_name: Annotated[
        str, Meta(description="The name that the certificate must be for.")
    ]
    srv_priority: int | None
    srv_weight: int | None
    addresses: Annotated[
        list[str] | UnsetType,
        Meta(description="Those of `host` that may be connected to."),
    ] = UNSET
    problem: Annotated[
        str | UnsetType, Meta(description="Why there is no such address.")
    ] = UNSET


class ResolutionView(Struct, frozen=True):
    """How a server name resolves: routes, or an error."""

    server_name: Name
    steps: list[StepView]
    routes: Annotated[
        list[RouteView] | UnsetType, Meta(description="In the order of the attempts.")
    ] = UNSET
    error: str | UnsetType = UNSET


class DocumentView(Struct, frozen=True):
    """A key document, and what is wrong with it."""

    document: Object
    problems: Annotated[list[str], Meta(description="Empty if every check has passed.")]
    hints: Annotated[list[HintView], Meta(description="What to change in it.")]


class KeysView(Struct, frozen=True):
    """The key documents of a server, or why it cannot be reached (`error`)."""

    server_name: Name
    verified_by: Verification | UnsetType = UNSET
    route: RouteView | UnsetType = UNSET
    certificate_sha256: Fingerprint | UnsetType = UNSET
    v2_only: bool | UnsetType = UNSET
    v1: Annotated[
        DocumentView | UnsetType | None, Meta(description="Null if there is none.")
    ] = UNSET
    v2: DocumentView | UnsetType | None = UNSET
    error: str | UnsetType = UNSET
    hints: Annotated[
        list[HintView] | UnsetType,
        Meta(description="What to change in a document that did not verify it."),
    ] = UNSET
    kept: Annotated[
        list[CacheEntry] | UnsetType,
        Meta(description="What was remembered of the server before."),
    ] = UNSET


class StoredKeyView(Struct, frozen=True):
    """A stored key of another server."""

    key: Annotated[str, Meta(description="In unpadded base64.")]
    since_ts: Annotated[Time | None, Meta(description="Null if not recorded.")]
    valid_until_ts: Annotated[Time | None, Meta(description="Null of an old key.")]


class PeerView(Struct, frozen=True):
    """What is known of another server."""

    server_name: Name
    verified_by: Annotated[
        Verification | None,
        Meta(description="Null if it was never verified, as the next members."),
    ]
    pinned_keys: dict[KeyIdText, str]
    certificate_sha256: Fingerprint | None
    first_verified_ts: Time | None
    last_verified_ts: Time | None
    pinned_certificate_sha256: Annotated[
        Fingerprint | None, Meta(description="Trusted by the operator.")
    ]
    keys: dict[KeyIdText, StoredKeyView]
    queued: Annotated[int, Meta(description="Entries without an outcome.")]
    oldest_id: Annotated[int | None, Meta(description="Of these entries.")]
    failures: Annotated[int, Meta(description="Failed attempts in a row.")]
    next_attempt_ts: Time | None
    last_error: str | None
    rejected: Annotated[int, Meta(description="Transactions that are never sent.")]
    dropped: Annotated[int, Meta(description="Entries that were given up.")]


class CheckView(Struct, frozen=True):
    """One thing that a report looked at."""

    name: str
    outcome: Literal["passed", "failed", "remarked"]
    text: Annotated[str, Meta(description="A sentence.")]
    count: Annotated[int, Meta(description="How often it was seen.")] = 1
    example: Annotated[
        str, Meta(description="The first time, if there is more to say.")
    ] = ""


class AttemptView(Struct, frozen=True):
    """A transaction that a server sent, and the answer."""

    ts: Time
    txn_id: str
    status: int
    pause: Annotated[
        float | None,
        Meta(description="Seconds since the last attempt under this ID, if any."),
    ]
    same_content: Annotated[
        bool | None,
        Meta(description="Whether it has the content of that attempt, if known."),
    ]


class ReportView(Struct, frozen=True):
    """How a server behaved towards us."""

    server_name: Name
    is_wrong: Annotated[bool, Meta(description="Whether a check has failed.")]
    checks: list[CheckView]
    attempts: Annotated[
        list[AttemptView], Meta(description="Its transactions, as a time line.")
    ]


class Peers(Struct, frozen=True):
    """Known peers, by name."""

    peers: list[PeerView]
    next: Annotated[
        Name | None,
        Meta(description="What to ask for `after` next; null if these are the last."),
    ]


class ForgottenState(Struct, frozen=True):
    """What was forgotten."""

    forgotten: Annotated[
        dict[str, int],
        Meta(description="How many transactions, entries or servers, by kind."),
    ]


class Pin(Struct, frozen=True, forbid_unknown_fields=True):
    """A certificate to trust."""

    certificate_sha256: Annotated[
        str,
        Meta(description="Its SHA-256: 64 hexadecimal digits, in pairs with colons."),
    ]
