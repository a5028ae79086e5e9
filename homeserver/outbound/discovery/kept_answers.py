"""The cached answers of discovery, to be shown and forgotten by an operator.

Rules: nothing is looked up here. A forgotten answer is looked up again when it is
needed. The result of a look-up that is under way is not kept.
"""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from twisted.names.dns import AAAA, CNAME, QUERY_TYPES, SRV, A

from homeserver.net.cache import Kept
from homeserver.outbound.discovery.dns import DnsLookups
from homeserver.outbound.discovery.freshness import MIN_SECONDS
from homeserver.outbound.discovery.well_known import PATH, Delegation, WellKnown
from homeserver.protocol.discovery import MAX_TARGETS, LookupFailed, Step
from homeserver.protocol.errors import printable
from homeserver.protocol.identifiers import ServerName

_Document = Kept[str, Delegation | LookupFailed]
_Records = Kept[tuple[str, int], Sequence[Any]]


class KeptAnswer(Struct, frozen=True):
    """One answer in the cache."""

    kind: str
    """`well-known`, or the type of DNS records."""

    asked: str
    """As in `Step`."""

    found: str
    age: float
    """For how many seconds it has been kept."""

    left: float
    """For how many more seconds it is kept."""

    floor: float | None = None
    """The minimum of seconds, where the server asks for less."""


class KeptAnswers:
    """The cached well-known documents and DNS answers."""

    def __init__(
        self, dns: DnsLookups, well_known: WellKnown | None, services: Sequence[str]
    ) -> None:
        """`services` are the SRV services that discovery asks for."""
        self._dns = dns
        self._well_known = well_known
        self._services = services
        self.bounds = [
            dns.shares.bound,
            dns.answers.make_bound("dns_answers", "answers of name servers"),
        ]
        if well_known is not None:
            self.bounds += [
                well_known.shares.bound,
                well_known.answers.make_bound(
                    "well_known_answers", "hosts whose well-known document is known"
                ),
            ]

    def all(self) -> list[KeptAnswer]:
        """All answers in the cache."""
        documents = [] if self._well_known is None else self._well_known.answers.kept()
        return [
            *map(_show_document, documents),
            *map(_show_records, self._dns.answers.kept()),
        ]

    def about(self, name: ServerName) -> list[KeptAnswer]:
        """The answers that the routes to `name` depend on."""
        document = self._document_of(name)
        shown = [] if document is None else [_show_document(document)]
        return [*shown, *map(_show_records, self._records(name))]

    def behind(self, step: Step) -> KeptAnswer | None:
        """The answer that a step of a resolution depends on, if it is kept."""
        if step.step == "well-known":
            document = self._document(step.asked[len("https://") : -len(PATH)])
            return None if document is None else _show_document(document)
        if step.step != "srv":
            return None
        # The step of a target that is an alias asks for a CNAME record.
        for kind in (SRV, CNAME):
            records = self._dns.answers.find((step.asked.lower(), kind))
            if records is not None:
                return _show_records(records)
        return None

    def forget(self, name: ServerName) -> bool:
        """Forget what the routes to `name` depend on; whether there was any."""
        document, records = self._document_of(name), self._records(name)
        if self._well_known is not None:
            self._well_known.forget(name.host)
        for each in records:
            self._dns.answers.forget(each.key)
        return document is not None or bool(records)

    def forget_all(self) -> None:
        """Forget all answers."""
        if self._well_known is not None:
            self._well_known.forget_all()
        self._dns.answers.forget_all()

    def _document_of(self, name: ServerName) -> _Document | None:
        """The well-known document of a name; one with a port has none."""
        return self._document(name.host) if name.port is None else None

    def _document(self, host: str) -> _Document | None:
        if self._well_known is None:
            return None
        return self._well_known.answers.find(host.lower())

    def _records(self, name: ServerName) -> list[_Records]:
        """The records of a name, of its delegation, and of their SRV targets."""
        hosts = [name.host]
        document = self._document_of(name)
        if document is not None and isinstance(document.value, Delegation):
            hosts.append(document.value.target.host)
        services = [f"{service}.{host}" for host in hosts for service in self._services]
        found = self._find(services, [SRV])
        targets = [each.target for kept in found for each in kept.value]
        return [*found, *self._find([*hosts, *targets], [A, AAAA, CNAME])]

    def _find(self, names: Sequence[str], kinds: Sequence[int]) -> list[_Records]:
        keys = [(name.lower(), kind) for name in names for kind in kinds]
        found = map(self._dns.answers.find, dict.fromkeys(keys))
        return [kept for kept in found if kept is not None]


def _show_document(kept: _Document) -> KeptAnswer:
    asked = f"https://{kept.key}{PATH}"
    if isinstance(kept.value, LookupFailed):
        found = f"no delegation: {kept.value}"
        return KeptAnswer("well-known", asked, found, kept.age, kept.left)
    floor = MIN_SECONDS if kept.value.is_kept_longer else None
    found = f"delegates to {kept.value.target}"
    return KeptAnswer("well-known", asked, found, kept.age, kept.left, floor)


def _show_records(kept: _Records) -> KeptAnswer:
    asked, kind = kept.key
    records = [str(record) for record in kept.value]
    shown = [printable(record) for record in records[:MAX_TARGETS]]
    if len(records) > MAX_TARGETS:
        shown.append(f"{len(records) - MAX_TARGETS} more")
    found = ", ".join(shown) or "no such record"
    return KeptAnswer(QUERY_TYPES[kind], asked, found, kept.age, kept.left)
