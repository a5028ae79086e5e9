"""Pre-flight: what of the checks this target can be asked, and what is missing.

Rules: a need that is not met has a reason and what to configure. It is found by the
default probe, one name each: by what the target says, and by what our listeners and
our name server saw of it.
"""

from collections.abc import Sequence, Set
from contextlib import suppress

from msgspec import Struct

from homeserver.conformance.advice import NOT_VERIFIED, OTHER_NAME, Advice
from homeserver.conformance.check import (
    DEAD_ADDRESS,
    DNS_ZONE,
    IP_LITERAL,
    IPV6,
    NOTARY,
    OWN_ADDRESS,
    STANDARD_PORTS,
)
from homeserver.conformance.facts import Facts
from homeserver.conformance.ground import Ground, Naming
from homeserver.conformance.notary_desk import NAMES
from homeserver.conformance.ours import Ours
from homeserver.conformance.outcome import NoAnswer, NotTestable
from homeserver.conformance.provision import provide
from homeserver.conformance.seen import Seen
from homeserver.conformance.setup import Maker
from homeserver.conformance.target import Target
from homeserver.net.addresses import SocketAddress
from homeserver.protocol.errors import ProtocolError, quote

_PROBE_SECONDS = 40.0  # a target that cannot connect to us tries for ten or thirty


class Given(Struct, frozen=True):
    """What the caller says that the target has."""

    users: Sequence[str] = ()
    rooms: Sequence[str] = ()
    """Room IDs and aliases."""


class _Probe(Struct, frozen=True, kw_only=True):
    """One default probe, and what came of it."""

    reply: str
    seen: Seen
    is_believed: bool = False

    @property
    def why(self) -> str:
        """How far the target came, in words."""
        failed = [c for c in self.seen.connections if c.result != "completed"]
        if self.seen.key_requests:
            return f"the target fetched the key of ours, and answered: {self.reply}"
        if failed:
            return f"the TLS handshake with ours failed: {failed[0].error}"
        if self.seen.connections:
            return "the target connected and asked for no key"
        if self.seen.questions:
            return (
                "the target asked our DNS and did not connect: the address is refused?"
            )
        return f"the target did not come to us; it answered: {self.reply}"


async def look(
    ground: Ground, given: Given, needs: Set[str], setup: Maker | None = None
) -> Facts:
    """Find what the target can be asked; raises `NotConnected` and `NoAnswer`.

    The target has been found. `setup` makes what is not given, of the codes of `needs`.
    """
    facts = Facts(users=given.users, setup=setup)
    target = Target(ground, facts)
    reply = await target.send("GET", "/_matrix/key/v2/server", takes_limit=True)
    served = reply.json.get("server_name", ground.target.name)
    if served != ground.target.name:
        facts.advice.append(
            OTHER_NAME.format(served=quote(served, 300), name=ground.target)
        )
    facts.version = await _version(target)
    await _choose_names(ground, facts)
    await _find_literals(ground, facts)
    _find_ports(ground, facts)
    if needs & {OWN_ADDRESS.code, DEAD_ADDRESS.code}:
        await _find_addresses(ground, facts)
    if NOTARY.code in needs:
        await _find_notary(ground, facts)
    await provide(Target(ground, facts), given.rooms, needs)
    return facts


async def _version(target: Target) -> str:
    path = "/_matrix/federation/v1/version"
    reply = await target.send("GET", path, takes_limit=True)
    server = reply.json.get("server")
    told = server if isinstance(server, dict) else {}
    parts = [str(told[name]) for name in ("name", "version") if name in told]
    return " ".join(parts) or "unknown"


async def _choose_names(ground: Ground, facts: Facts) -> None:
    """Take the first kind of names that the target believes."""
    advice = Advice.of(ground)
    probes: dict[Naming, _Probe] = {}
    kinds: list[Naming] = ["zone", "localhost", "address"]
    for naming in kinds:
        ground.naming = naming
        probes[naming] = await _probe(ground, facts)
        if probes[naming].is_believed:
            if not probes[naming].seen.key_requests:
                facts.advice.append(NOT_VERIFIED)
            break
    else:
        # M01 says so as well: the one failure of all that comes after it.
        best = max(probes.values(), key=_progress)
        ground.naming = next(n for n, each in probes.items() if each is best)
        facts.unmet[IP_LITERAL.code] = facts.unmet[DNS_ZONE.code] = best.why
        facts.advice.append(advice.trust(best.why))
        return
    if ground.naming != "zone":
        facts.unmet[DNS_ZONE.code] = probes["zone"].why
        facts.advice.append(advice.names(probes["zone"].why))


def _progress(probe: _Probe) -> int:
    seen = probe.seen
    marks = (seen.questions, seen.connections, seen.key_requests)
    return sum(1 for each in marks if each)


async def _probe(ground: Ground, facts: Facts, name: str | None = None) -> _Probe:
    target = Target(ground, facts)
    try:
        ours = target.server() if name is None else target.server(name=name)
    except ProtocolError as problem:
        return _Probe(reply=str(problem), seen=Seen([]))
    try:
        reply = await target.ask(ours, seconds=_PROBE_SECONDS)
    except (NoAnswer, NotTestable) as problem:
        return _Probe(reply=str(problem), seen=target.seen(ours))
    return _Probe(reply=str(reply), seen=target.seen(ours), is_believed=reply.is_ok)


async def _find_literals(ground: Ground, facts: Facts) -> None:
    """Whether the target connects to IP addresses as names, and by IPv6."""
    if IP_LITERAL.code not in facts.unmet:
        address = ground.lab.servers.shared.address
        bracketed = f"[{address}]" if ":" in address else address
        probe = await _probe(ground, facts, f"{bracketed}:0")
        if not probe.is_believed:
            facts.unmet[IP_LITERAL.code] = probe.why
    probe = await _probe(ground, facts, "[::1]:0")
    if not probe.is_believed:
        facts.unmet[IPV6.code] = probe.why


async def _find_addresses(ground: Ground, facts: Facts) -> None:
    """Whether the target connects to other addresses of ours than that of the lab."""
    why = facts.unmet.get(IP_LITERAL.code)
    if why is None:
        try:
            probe = await _probe(ground, facts, f"{ground.addresses.fresh()}:0")
        except NotTestable as problem:
            why = str(problem)
        else:
            why = None if probe.is_believed else probe.why
    if why is not None:
        facts.unmet[OWN_ADDRESS.code] = facts.unmet[DEAD_ADDRESS.code] = why


def _find_ports(ground: Ground, facts: Facts) -> None:
    """Whether our listeners are where names without a port lead."""
    host = ground.lab.servers.shared.listen.host
    parts = ground.lab.endpoint.parts
    missing = [
        port
        for port in (443, 8448)
        if not parts.listeners.is_open(SocketAddress(host, port))
    ]
    if missing:
        ports = " and ".join(map(str, missing))
        facts.unmet[STANDARD_PORTS.code] = (
            f"port {ports} of {host} is not ours: use --listen ADDRESS:8448, with "
            "the privilege for ports below 1024"
        )


async def _find_notary(ground: Ground, facts: Facts) -> None:
    """Whether the target asks a notary of ours about a name that it cannot reach."""
    if DNS_ZONE.code in facts.unmet:
        facts.unmet[NOTARY.code] = facts.unmet[DNS_ZONE.code]
        return
    target, zone = Target(ground, facts), ground.lab.zone.apex
    for name in NAMES:
        notary = target.server(name=name.format(zone=zone))
        target.instruct(notary, answers=ground.desk.answers(notary))
        # A signed request of its own ends a back-off.
        await _asked(target, notary)
    unreachable = target.unreachable_server()
    await _asked(target, unreachable)
    if ground.desk.asked(unreachable.name.name) is None:
        name = NAMES[0].format(zone=zone)
        why = f"it asks no notary of ours: let it trust {name}"
        facts.unmet[NOTARY.code] = why


async def _asked(target: Target, ours: Ours) -> None:
    with suppress(NoAnswer, NotTestable):
        await target.ask(ours, seconds=_PROBE_SECONDS)
