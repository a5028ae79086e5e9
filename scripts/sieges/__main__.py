"""The attackers' process: their servers, and all attacks until it is ended.

Rules: it prints a line when the servers listen, and a line of JSON at the end, with the
results of each attack and the load on third parties.
"""

import asyncio
import json
import resource
import signal
import ssl
import sys
from pathlib import Path

from homeserver.config.reader import load
from homeserver.identity.identity import load as load_identity
from homeserver.protocol.identifiers import ServerName
from scripts.arguments import Arguments
from scripts.sieges.attacks import ATTACKS, IPV6_ATTACKS, Attacker
from scripts.sieges.names import (
    LOOPBACK,
    STUCK_NETWORK,
    NameServer,
    Ports,
    Zone,
    all_victims,
    network,
)
from scripts.sieges.servers import KeyServer, StuckServer
from scripts.sieges.wire import Wire


async def main() -> None:
    """Serve, attack, and print the results."""
    parser = Arguments(prog="python -m scripts.sieges")
    parser.add_argument(
        "folder", type=Path, help="of an endpoint: whose keys they have"
    )
    parser.add_argument("ports", type=int, nargs=4, help="names, keys, stuck, victim")
    parser.add_argument("--honest", action="append", default=[], help="NAME=PORT")
    parser.add_argument("--target", required=True, help="one of those")
    parser.add_argument("--intensity", type=float, default=1.0)
    parser.add_argument("--without", action="append", default=[], help="an attack")
    parser.add_argument("--ipv6", action="store_true", help="attacks by IPv6, too")
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    folder: Path = options.folder
    ports = Ports(*options.ports)
    honest = {
        name: int(port) for name, _, port in (e.partition("=") for e in options.honest)
    }
    certificate = ssl.PEM_cert_to_DER_cert((folder / "tls.crt").read_text())
    path = folder / "homeserver.toml"
    [key] = load_identity(path, load(path).first).signing_keys

    loop = asyncio.get_running_loop()
    names = NameServer(Zone(ports, honest))
    await loop.create_datagram_endpoint(lambda: names, (LOOPBACK, ports.names))
    keys, stuck, victim = KeyServer(key, certificate), StuckServer(), StuckServer()
    await keys.serve(ports.keys, folder)
    await stuck.serve(ports.stuck, network(STUCK_NETWORK))
    await victim.serve(ports.victim, all_victims())
    print("listening", flush=True)

    # The endpoints need the name server when they start.
    await loop.run_in_executor(None, sys.stdin.readline)
    target = options.target
    wire = Wire(ServerName.parse(target), honest[target])
    attacker = Attacker(wire, key, options.intensity)
    known = [*ATTACKS, *(IPV6_ATTACKS if options.ipv6 else [])]
    chosen = [each for each in known if each.__name__ not in options.without]
    attacks = [asyncio.create_task(attack(attacker)) for attack in chosen]
    over = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, over.set)
    await over.wait()
    for attack in attacks:
        attack.cancel()
    ends = await asyncio.gather(*attacks, return_exceptions=True)
    outcomes: dict[str, dict[str, int]] = {}
    for (attack_name, outcome), number in sorted(wire.outcomes.items()):
        outcomes.setdefault(attack_name, {})[outcome] = number
    said = {
        "outcomes": outcomes,
        "failed": [repr(e) for e in ends if not isinstance(e, asyncio.CancelledError)],
        "questions": names.asked,
        "key_requests": keys.requests,
        "hanging": keys.hanging,
        "stuck_connections": stuck.connections,
        "victim_connections": victim.connections,
        "victim_bytes": victim.received,
    }
    print(json.dumps(said), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
