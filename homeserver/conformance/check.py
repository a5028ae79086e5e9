"""What a check is: its row in the table of all checks, and what it does.

Rules: a value. An ID is never used again for another check. What a check needs of its
target's surroundings is named, and so are the checks whose failure would be the cause
of its own; a check without them is not testable, and has not passed.
"""

import inspect
import re
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from typing import Protocol, TypedDict, Unpack

from msgspec import Struct

from homeserver.conformance.outcome import Outcome
from homeserver.conformance.target import Target

Run = Callable[[Target], Awaitable[Outcome]]
"""Makes the stimulus, and judges the result.

May raise `NotTestable`; a target that gives no answer at all raises `NoAnswer`.
"""

_ID = re.compile(r"([A-Z]{1,2})[0-9]{2}[a-z]?(\.[a-z0-9]+)?")

# For a check that waits for nothing: a target gives up fetching keys within a minute.
_SECONDS = 60.0


class Severity(Enum):
    """How much a rule binds; the value is what reports show."""

    MUST = "must"
    SHOULD = "should"
    ROBUSTNESS = "robustness"
    """There is no rule in the text, but another server can do harm."""

    INFO = "info"
    """A choice that the text leaves open; it is reported and never wrong."""


must, should = Severity.MUST, Severity.SHOULD
robustness, info = Severity.ROBUSTNESS, Severity.INFO


class Need(Struct, frozen=True):
    """What some checks need, and not every target has."""

    code: str
    text: str


TRUSTED_NAME = Need(
    "trusted-name", "names of ours that the target finds, with certificates it trusts"
)
DNS_ZONE = Need("dns", "a DNS zone of ours that the target asks")
STANDARD_PORTS = Need("ports", "our listeners at the ports 443 and 8448")
IP_LITERAL = Need("literal", "IP addresses of ours that the target may connect to")
OWN_ADDRESS = Need(
    "own-address", "addresses of ours beside that of the lab, with a free port 8448"
)
IPV6 = Need("ipv6", "a target that connects by IPv6")
DEAD_ADDRESS = Need("dead-address", "an address that refuses, and one that is silent")
USER = Need("user", "a user of the target (`--user`)")
ALIAS = Need("alias", "an alias of a room of the target (`--room`)")
MEDIA = Need("media", "a media ID of the target (`--setup`)")
RESTART = Need("restart", "a restart of the target (`--setup`)")
CLIENT = Need("client", "a user of the target that joins a room of ours (`--setup`)")
NOTARY = Need("notary", "a target whose trusted notary is a name of ours")


ROOM_CODE = "room-"
"""What the code of each need of a room begins with."""


def room(version: str) -> Need:
    """A public room of the target with a room version."""
    return Need(
        f"{ROOM_CODE}{version}", f"a public room of version {version} (`--room`)"
    )


def _made(kind: str, text: str) -> Need:
    return Need(f"{ROOM_CODE}{kind}", f"{text} (`--setup`)")


KNOCK_ROOM = _made("knock", "a room that users knock at")
INVITE_ROOM = _made("invite", "a room to which users of ours are invited")
RESTRICTED_ROOM = _made("restricted", "a room for the members of another one")
UNJUDGED_ROOM = _made("unjudged", "a room for the members of one unknown to it")
UNGRANTED_ROOM = _made("ungranted", "a restricted room where nobody may invite")
BAN_ROOM = _made("ban", "a room that a user of ours is banned from")
ACL_ROOM = _made("acl", "a room whose ACL denies names of ours")
POWER_ROOM = _made("power", "a room where a user of ours has power")
HIDDEN_ROOM = _made("hidden", "a room whose past only its members of then may read")


class CheckOptions(TypedDict, total=False):
    """What most checks leave out."""

    needs: Sequence[Need]
    after: Sequence[str]
    """The IDs of its prerequisites."""

    rule: str
    """The rule in one sentence; by default the docstring."""

    waits: float
    """About how many seconds it waits for time to pass."""

    is_alone: bool
    """Whether no other check may run beside it."""

    seconds: float
    """When it is given up."""


class Check(Struct, frozen=True, kw_only=True):
    """One check."""

    id: str
    severity: Severity
    section: str
    rule: str
    run: Run
    needs: Sequence[Need] = ()
    after: Sequence[str] = ()
    waits: float = 0.0
    is_alone: bool = False
    seconds: float = _SECONDS

    @property
    def area(self) -> str:
        """The letters of its ID."""
        return self.id.rstrip("0123456789abcdefghijklmnopqrstuvwxyz.")

    @property
    def link(self) -> str | None:
        """Where the section is; None for a rule without a text."""
        return link_of(self.section)


class _Decorator(Protocol):
    def __call__(self, run: Run) -> Check: ...


def check(
    check_id: str, severity: Severity, section: str, **options: Unpack[CheckOptions]
) -> _Decorator:
    """Make a check of a function; `section` is empty where no text has the rule.

    The ID is an area's letters, two digits, perhaps a letter, and in a table of
    variants `.` and what varies. A check that needs `TRUSTED_NAME` comes after M01.
    """
    if not _ID.fullmatch(check_id):
        raise ValueError(f"{check_id!r} is no ID of a check, such as K01 or D16a")
    needs, after = tuple(options.get("needs", ())), tuple(options.get("after", ()))
    if TRUSTED_NAME in needs and check_id != FIRST_SIGNED:
        after = (FIRST_SIGNED, *after)

    def make(run: Run) -> Check:
        return Check(
            id=check_id,
            severity=severity,
            section=section,
            rule=options.get("rule") or _sentence(run),
            run=run,
            needs=needs,
            after=tuple(dict.fromkeys(after)),
            waits=options.get("waits", 0.0),
            is_alone=options.get("is_alone", False),
            seconds=options.get("seconds", _SECONDS),
        )

    return make


FIRST_SIGNED = "M01"
"""The check that all others with a signature come after."""


def _sentence(run: Run) -> str:
    text = inspect.getdoc(run)
    if not text:
        raise ValueError(f"{run!r} has no rule: give it a docstring, or `rule=`")
    return " ".join(text.partition("\n\n")[0].split())


_DOCUMENTS = {
    "Server-server API": "server-server-api/",
    "Client-server API": "client-server-api/",
    "Appendices": "appendices/",
}
_ROUTE = re.compile(r"(GET|PUT|POST) (/\S+)")
SPECIFICATION = "v1.19"


def link_of(section: str) -> str | None:
    """The address of a section, as in `Server-server API, Publishing Keys`."""
    if rfc := re.match(r"RFC (\d+)", section):
        return f"https://www.rfc-editor.org/rfc/rfc{rfc[1]}"
    document, _, title = section.partition(", ")
    if version := re.fullmatch(r"Room version (\d+)", document):
        page = f"rooms/v{version[1]}/"
    elif document in _DOCUMENTS:
        page = _DOCUMENTS[document]
    else:
        return None
    route = _ROUTE.fullmatch(title)
    if route is not None:
        path = re.sub(r"[/{}]", "", route[2])
        anchor = f"{route[1]}{path}".lower()
    else:
        anchor = re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")
    return f"https://spec.matrix.org/{SPECIFICATION}/{page}#{anchor}"
