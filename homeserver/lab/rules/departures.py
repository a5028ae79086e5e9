"""The rules of a lab for what our servers send.

Rules: as those of `rules`. A rule matches a request when it leaves, with its connection
known; a connection, when it is made. A connection keeps the certificate that it showed.
"""

from msgspec.structs import replace

from homeserver.lab.authority.authority import Authority
from homeserver.lab.authority.faults import CERTIFICATE_FAULTS
from homeserver.lab.faults.departing import DEPART_ACTS, VariedRequest
from homeserver.lab.faults.fault import KeyChain
from homeserver.lab.faults.tls import CLIENT_CERTIFICATE, OTHER_HOST
from homeserver.lab.rules.rules import Rules
from homeserver.net.exchange import Exchange
from homeserver.net.tls.certificate import Certificate
from homeserver.outbound.agent import OutgoingRequest
from homeserver.outbound.transport.dialer import Target
from homeserver.protocol.identifiers import ServerName


class Departures:
    """Requests and connections of ours with the rules that are in force."""

    def __init__(self, rules: Rules, keys: KeyChain, authority: Authority) -> None:
        self._rules = rules
        self._keys = keys
        self._authority = authority

    def depart(self, outgoing: OutgoingRequest, exchange: Exchange) -> OutgoingRequest:
        """The request that is sent in place of one."""
        if not self._rules.concern("request") or exchange.direction != "out":
            return outgoing
        faults = {name for rule in self._rules.taking(exchange) for name in rule.faults}
        acts = [act for name, act in DEPART_ACTS.items() if name in faults]
        if not acts:
            return outgoing
        varied = VariedRequest(
            outgoing.method, outgoing.target, outgoing.headers, outgoing.body
        )
        for act in acts:
            varied = act(varied, exchange, self._keys)
        return varied

    def aim(self, target: Target) -> Target:
        """The connection that is made in place of one."""
        if not self._rules.concern("connection") or target.certificate is None:
            return target
        exchange = Exchange("connection", "out")
        exchange.server, exchange.peer = target.server, target.peer
        for rule in self._rules.taking(exchange):
            kind = rule.faults.get(CLIENT_CERTIFICATE)
            if kind is not None:
                shown = self._certificate(str(kind), target.server)
                return replace(target, certificate=shown)
        return target

    def _certificate(self, kind: str, server: str) -> Certificate | None:
        if kind == "none":
            return None
        if kind == "other":
            return self._authority.issue(OTHER_HOST)
        host = ServerName.parse(server).host
        return CERTIFICATE_FAULTS["expired"].build(self._authority, host)
