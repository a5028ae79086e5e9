"""What the control API shows of other servers, as structs.

Rules: as in `control.views`.
"""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from homeserver.control.views import (
    Fingerprint,
    HintView,
    KeyIdText,
    Name,
    Object,
    OwnName,
    Time,
)

Verification = Annotated[
    str, Meta(extra_json_schema={"enum": ["certificate", "key-document"]})
]
DiscoveryStep = Annotated[
    str,
    Meta(
        extra_json_schema={"enum": ["literal", "port", "well-known", "srv", "fallback"]}
    ),
]


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
    """How a server name resolves: routes, and an error if none can be used."""

    server_name: Name
    steps: list[StepView]
    routes: Annotated[
        list[RouteView] | UnsetType, Meta(description="In the order of the attempts.")
    ] = UNSET
    error: str | UnsetType = UNSET
    hints: Annotated[
        list[HintView] | UnsetType,
        Meta(description="What to change for it to be found; left out without any."),
    ] = UNSET


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
    server: OwnName = UNSET


class CheckView(Struct, frozen=True):
    """One thing that a report looked at."""

    name: str
    outcome: Literal["passed", "failed", "remarked"]
    text: Annotated[str, Meta(description="A sentence.")]
    count: Annotated[int, Meta(description="How often it was seen.")] = 1
    example: Annotated[
        str, Meta(description="The first time, if there is more to say.")
    ] = ""
    server: OwnName = UNSET


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
    server: OwnName = UNSET


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
        str | None,
        Meta(description="What to ask for `after` next; null if these are the last."),
    ]


class StillQueued(Struct, frozen=True):
    """What stays of a peer that was forgotten."""

    queued: Annotated[int, Meta(description="Entries that are still queued for it.")]


class Pin(Struct, frozen=True, forbid_unknown_fields=True):
    """A certificate to trust."""

    certificate_sha256: Annotated[
        str,
        Meta(description="Its SHA-256: 64 hexadecimal digits, in pairs with colons."),
    ]
