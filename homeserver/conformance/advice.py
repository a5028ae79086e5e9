"""What to configure at the target, so that more of it can be tested.

Rules: the lines are those of the servers' own documentation. Each piece of advice says
first what is missing.
"""

from msgspec import Struct

from homeserver.conformance.ground import Ground

_TRUST = """\
The target does not believe names of ours, so no check with a signature can be made:
{why}.
It has to trust the authority in {ca}, and to connect to {listen}.
  Synapse, homeserver.yaml:
    federation_custom_ca_list: ["{ca}"]
    federation_ip_range_blacklist: []
    ip_range_blacklist: []
    trusted_key_servers: []
  Dendrite, dendrite.yaml (its certificates are not checked, or those of the system):
    federation_api: {{deny_networks: [], key_perspectives: []}}
    and SSL_CERT_FILE={ca} in its environment
  Conduit, conduwuit, continuwuity, tuwunel, their configuration:
    ip_range_denylist = []
    trusted_servers = []
    and SSL_CERT_FILE={ca} in its environment
The authority stays the same from run to run with --data DIR."""

_ZONE = """\
Discovery cannot be tested, because the target does not find names below {zone}:
{why}.
It has to ask the name server at {dns}, which knows that zone and nothing else.
  Any server, with a resolver of the system: let /etc/resolv.conf name it (--dns
    ADDRESS:53), or forward the zone to it, as in dnsmasq: server=/{zone}/{dns_dnsmasq}
  A container: docker run --dns ADDRESS, with --dns ADDRESS:53 here"""

NO_ROOMS = """\
Most checks of rooms cannot be made, because no room of the target is known. Name a
public one by --room, or let --setup make all that they need: users, public rooms of
each version, and rooms that invite, ban or deny users of ours.
  Synapse, Dendrite, with their shared secret of registration:
    export CONFORM_CLIENT_API=http://127.0.0.1:8008 CONFORM_SHARED_SECRET=...
    --setup 'python3 conf/conform/setup.py'"""

OTHER_NAME = """\
The target calls itself {served} in its key document, and was named {name} here.
Names are compared byte for byte, so a right server refuses what is signed for another
one. Name it as it calls itself; --target-address says where it is."""

NOT_VERIFIED = """\
The target accepted a signed request and fetched no key of ours, so it verifies no
signature. Let it do that first. Until then it fails each check that expects a refusal,
and those that wait for it to come to us: discovery, TLS and the cache of keys."""


class Advice(Struct, frozen=True):
    """The places that advice names."""

    ca: str
    listen: str
    dns: str
    zone: str

    @classmethod
    def of(cls, ground: Ground) -> "Advice":
        """Those of a run."""
        lab = ground.lab
        where = lab.where
        return cls(where.ca_file, where.listen, where.dns, lab.zone.apex)

    def trust(self, why: str) -> str:
        """No name of ours is believed."""
        return _TRUST.format(why=why, ca=self.ca, listen=self.listen)

    def names(self, why: str) -> str:
        """Names of ours are believed, and those below the zone are not."""
        host, _, port = self.dns.rpartition(":")
        return _ZONE.format(
            why=why, zone=self.zone, dns=self.dns, dns_dnsmasq=f"{host}#{port}"
        )
