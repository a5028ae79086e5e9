"""The server names of this process, and the choice of one for a connection or request.

Rules: only exact names count. A name that several servers claim belongs to the one that
was added first. Nothing here proves anything: the signature of a request is verified
for the server that is found here, which the signature must name.

| question | answered by, in this order |
|---|---|
| whose certificate | the listener's own server; SNI; the listener's first server |
| whose answer, unsigned | the listener's own server; `Host`; SNI; the name that is |
| | delegated to; the listener's first server |
| whose answer, signed | `destination`; without one, as unsigned |

SNI is compared with the hosts of the server names, with the names in the certificates,
a wildcard standing for one label, and with the hosts that are delegated to.

Specification: Server-server API, "Resolving server names" and "Request Authentication";
RFC 6066, section 3.
"""

from collections.abc import Collection, Iterable, Iterator

from msgspec import Struct

from homeserver.protocol.identifiers import ServerName

_Alias = tuple[str, str]
"""A kind of name, and the text of one in small letters."""


class Arrival(Struct, frozen=True):
    """The listener of a connection or a request, and the names in it."""

    own: ServerName | None = None
    """The one server of the listener; None for a listener that several share."""

    default: ServerName | None = None
    """The first server of the listener; None while it has none."""

    sni: str | None = None
    host: str | None = None
    """The `Host` of the request, with its port if it has one."""


class LocalNames(Collection[ServerName]):
    """The names of this process, in the order in which they were added."""

    def __init__(self) -> None:
        self._aliases: dict[ServerName, list[_Alias]] = {}
        self._owners: dict[_Alias, dict[ServerName, None]] = {}

    def __iter__(self) -> Iterator[ServerName]:
        return iter(self._aliases)

    def __len__(self) -> int:
        return len(self._aliases)

    def __contains__(self, name: object) -> bool:
        return name in self._aliases

    def add(
        self,
        name: ServerName,
        certificate_names: Collection[str] = (),
        delegate_to: ServerName | None = None,
    ) -> None:
        """Add a server, or replace its names."""
        aliases = [("name", name.name), ("host", name.host)]
        aliases += [("certificate", each) for each in certificate_names]
        if delegate_to is not None:
            aliases.append(("delegate", delegate_to.name))
            aliases.append(("delegate host", delegate_to.host))
        claimed = [(kind, text.lower()) for kind, text in aliases]
        self._give_up(name, set(self._aliases.get(name, ())).difference(claimed))
        self._aliases[name] = claimed
        for alias in claimed:
            self._owners.setdefault(alias, {})[name] = None

    def remove(self, name: ServerName) -> None:
        """Remove a server."""
        self._give_up(name, self._aliases.pop(name, ()))

    def presenting(self, arrival: Arrival) -> ServerName | None:
        """The server whose certificate a connection gets; None if there is none."""
        return arrival.own or self._by_sni(arrival.sni) or arrival.default

    def answering(self, arrival: Arrival) -> ServerName | None:
        """The server that answers a request without a `destination`, if any does."""
        return (
            arrival.own
            or self._owner("name", arrival.host)
            or self._by_sni(arrival.sni)
            or self._owner("delegate", arrival.host)
            or arrival.default
        )

    def _by_sni(self, sni: str | None) -> ServerName | None:
        if sni is None:
            return None
        _, dot, parent = sni.partition(".")
        return (
            self._owner("host", sni)
            or self._owner("certificate", sni)
            or self._owner("certificate", f"*{dot}{parent}")
            or self._owner("delegate host", sni)
        )

    def _owner(self, kind: str, text: str | None) -> ServerName | None:
        if text is None:
            return None
        return next(iter(self._owners.get((kind, text.lower()), ())), None)

    def _give_up(self, name: ServerName, aliases: Iterable[_Alias]) -> None:
        for alias in aliases:
            owners = self._owners.get(alias, {})
            owners.pop(name, None)
            if not owners:
                self._owners.pop(alias, None)
