"""The look-ups of a command, made without a daemon.

Rules: the reactor runs once, until the answer is there. Nothing is sent but what the
look-up needs, and nothing stays open.
"""

from collections.abc import Coroutine
from pathlib import Path
from random import SystemRandom
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from homeserver.app.discovery import (
    build_address_policy,
    build_discovery,
    build_lookups,
    build_trust,
)
from homeserver.app.endpoint import Endpoint
from homeserver.app.process import process_reactor
from homeserver.config.values import Config
from homeserver.control.inspect import Reach, describe_resolution
from homeserver.control.peer_views import KeysView, ResolutionView
from homeserver.identity import identity
from homeserver.outbound.transport.budget import Budgets
from homeserver.protocol.identifiers import ServerName

_T = TypeVar("_T")


def resolve(path: Path, config: Config, server_name: ServerName) -> ResolutionView:
    """Resolve one name as `config` says, and describe how; raises `ConfigError`."""
    reactor = process_reactor()
    budgets = Budgets(reactor, config.limits.trusts)
    trust = build_trust(path, config)
    lookups = build_lookups(config, reactor)
    resolver = build_discovery(config, trust, lookups, reactor, SystemRandom(), budgets)
    reach = Reach(lookups.addresses, build_address_policy(config))
    return _finish(describe_resolution(resolver, reach, reactor, server_name))


def keys(
    path: Path,
    config: Config,
    ours: ServerName,
    server_name: ServerName,
    *,
    v2_only: bool,
) -> KeysView:
    """Fetch one server's key documents, and describe them; raises `ConfigError`.

    `ours` is the one of our servers that requests them.
    """
    endpoint = Endpoint(
        path, config, identity.load_all(path, config), process_reactor(), SystemRandom()
    )
    return _finish(endpoint.describe_keys(ours, server_name, v2_only=v2_only))


def _finish(work: Coroutine[Deferred[Any], Any, _T]) -> _T:
    """Run the reactor until `work` is done; its result, or what it raises."""
    reactor = process_reactor()
    results: list[_T] = []
    failures: list[Failure] = []

    def start() -> None:
        done = Deferred.fromCoroutine(work)
        done.addCallbacks(results.append, failures.append)
        done.addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(start)
    # A signal ends the process: nothing has to be finished.
    reactor.run(installSignalHandlers=False)
    for failure in failures:
        failure.raiseException()
    return results[0]
