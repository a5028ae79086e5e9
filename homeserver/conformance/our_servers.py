"""Servers of ours that a check makes, and what they are to be.

Rules: a name that was given is given to no other check. A server answers up to the end
of the run, because the target may come back to it.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict, Unpack

from msgspec import UNSET, UnsetType

from homeserver.conformance.ground import Ground
from homeserver.conformance.ours import KeyAnswer, Ours, answer_with
from homeserver.http.reply import Reply, error_reply, json_reply
from homeserver.http.request import Request
from homeserver.http.router import Answer
from homeserver.lab.dns_server.records import Record
from homeserver.lab.rules.rule import RuleBody
from homeserver.lab.servers.description import (
    KeysBody,
    NewServers,
    TlsBody,
    WellKnownBody,
)
from homeserver.lab.servers.names import free_port
from homeserver.net.tls.certificate import Certificate
from homeserver.protocol.federation_paths import V1
from homeserver.protocol.identifiers import ServerName

_ABOUT_ROOMS = (
    "backfill/{roomId}",
    "event/{eventId}",
    "event_auth/{roomId}/{eventId}",
    "get_missing_events/{roomId}",
    "state/{roomId}",
    "state_ids/{roomId}",
)


class Wanted(TypedDict, total=False):
    """What a server of ours is to be, where it is not the usual one."""

    name: str
    """In place of a fresh name.

    With port 0, and for an address, the server has a listener of its own.
    """

    has_port: bool
    """False for a name without a port, in the zone."""

    keys: KeyAnswer
    """Makes its key document, at each request for it."""

    signing: KeysBody
    """The IDs of its keys, and how long they are valid."""

    certificate: str | Certificate
    """A fault of `lab.authority.faults`, or any certificate."""

    chain: str
    """`intermediate` for one that a sub-authority issued."""

    dns: list[Record]
    well_known: str
    """The name that it delegates to."""

    rules: Sequence[RuleBody]
    """Faults of the lab."""

    do: Mapping[str, object]
    """One rule for all requests: `{"keys.expired": True}`."""

    answers: Mapping[str, Answer]
    """Answers by the template of the route, in place of those of the lab.

    By default transactions are taken, and nothing is known of rooms: the lab itself
    would have to verify who asks, and cannot find each target.
    """


class OurServers:
    """The servers of one check."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self.names: set[str] = set()
        """The names of ours that belong to this check."""

    @property
    def ground(self) -> Ground:
        """What all checks share: the lab, the zone, the authority."""
        return self._ground

    def fresh(self, prefix: str = "c") -> str:
        """A text that nothing else has, for a transaction ID for example."""
        return self._ground.fresh(prefix)

    def server(self, **wanted: Unpack[Wanted]) -> Ours:
        """Make a server of ours; by default one that is right in every way."""
        ground = self._ground
        certificate = wanted.get("certificate", "valid")
        is_fault = isinstance(certificate, str)
        name, listen = self._locate(wanted)
        made = ground.make(
            NewServers(
                name=name,
                listen=listen,
                keys=wanted.get("signing", UNSET),
                tls=TlsBody(
                    certificate if isinstance(certificate, str) else "valid",
                    "intermediate" if "chain" in wanted else "root",
                ),
                dns=wanted.get("dns", UNSET),
                well_known=_well_known(wanted.get("well_known")),
            )
        )
        self.names.add(made.name.name)
        ours = Ours(made, ground.clock)
        if not is_fault:
            self.present(ours, certificate)
        self._instruct(ours, wanted)
        return ours

    def refusing_name(self) -> str:
        """A name that leads to a port which refuses connections."""
        ground = self._ground
        address = ground.lab.servers.shared.address
        port = free_port(address)
        if ground.naming == "localhost":
            return f"localhost:{port}"
        if ground.naming == "address":
            return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        host = f"{ground.fresh()}.{ground.lab.zone.apex}"
        kind = "AAAA" if ":" in address else "A"
        ground.lab.zone.add([Record(host, kind, address)])
        return f"{host}:{port}"

    def unreachable_server(self) -> Ours:
        """A server in the zone whose name leads to a port that refuses connections."""
        ground = self._ground
        port = free_port(ground.lab.servers.shared.address)
        return self.server(name=f"{ground.fresh()}.{ground.lab.zone.apex}:{port}")

    def present(self, ours: Ours, certificate: str | Certificate) -> None:
        """Let a server of ours present another certificate from now on."""
        if isinstance(certificate, str):
            return
        server, parts = ours.server, self._ground.lab.endpoint.parts
        identity = server.identity(self._ground.lab.authority)
        changed = type(identity)(
            identity.server_name,
            identity.signing_keys,
            identity.old_verify_keys,
            certificate,
        )
        parts.servers.replace(server.name, changed, server.hosts)

    def instruct(self, ours: Ours, **wanted: Unpack[Wanted]) -> None:
        """Change the `keys`, `answers`, `rules` or `do` of a server of ours."""
        self._instruct(ours, wanted)

    def _instruct(self, ours: Ours, wanted: Wanted) -> None:
        lab, name = self._ground.lab, ours.name.name
        answers = {**_USUAL, **wanted.get("answers", {})}
        if (make := wanted.get("keys")) is not None:
            answer = answer_with(make, ours)
            answers |= {
                "/_matrix/key/v2/server": answer,
                "/_matrix/key/v2/server/{keyId}": answer,
                # Where it is wrong, some servers ask for the document of 2014, and
                # others ask ours as a notary of itself.
                "/_matrix/key/v1": _no_document,
                "/_matrix/key/v2/query": _no_document,
                "/_matrix/key/v2/query/{serverName}": _no_document,
                **answers,
            }
        lab.answers.set(name, answers)
        rules = list(wanted.get("rules", ()))
        if do := wanted.get("do"):
            rules.append(RuleBody(do=dict(do)))
        lab.rules.replace(name, rules)

    def _locate(self, wanted: Wanted) -> tuple[str, Literal["shared", "own"]]:
        """The name of a new server, and whether its listener is its own."""
        ground = self._ground
        if (name := wanted.get("name")) is not None:
            is_own = name.endswith(":0") or ServerName.parse(name).is_ip
            return name, "own" if is_own else "shared"
        if ground.naming == "zone":
            host = f"{ground.fresh()}.{ground.lab.zone.apex}"
            port = ground.lab.servers.shared.listen.port
            return f"{host}:{port}" if wanted.get("has_port", True) else host, "shared"
        if ground.naming == "localhost":
            return "localhost:0", "own"
        address = ground.lab.servers.shared.address
        return f"[{address}]:0" if ":" in address else f"{address}:0", "own"


def taken(_: Request) -> Reply:
    """The answer of a server that takes a transaction, whatever is in it."""
    return json_reply({"pdus": {}})


def not_found(_: Request) -> Reply:
    """The answer of a server that does not have what it is asked for."""
    return error_reply(404, "M_NOT_FOUND", "there is no such event here")


_USUAL: Mapping[str, Answer] = {
    f"{V1}/send/{{txnId}}": taken,
    **{f"{V1}/{route}": not_found for route in _ABOUT_ROOMS},
}


def _well_known(name: str | None) -> WellKnownBody | UnsetType:
    return UNSET if name is None else WellKnownBody(name)


def _no_document(_: Request) -> Reply:
    return error_reply(404, "M_UNRECOGNIZED", "there is no such document")
