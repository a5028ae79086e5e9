"""The daemon, from its configuration to its end.

Rules: nothing is decided here about what an endpoint does. The endpoint is told of
signals and reloads. The process that started this one is told the endpoint's state.
"""

import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import SystemRandom

from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.internet.posixbase import PosixReactorBase
from twisted.logger import Logger
from twisted.python.failure import Failure

from homeserver.app import signals
from homeserver.app.announcement import announce
from homeserver.app.endpoint import Endpoint, Extension
from homeserver.app.files import load_files
from homeserver.app.process import collect_garbage, process_reactor, raise_file_limit
from homeserver.app.shared import Outside
from homeserver.app.store import configured_store
from homeserver.app.systemd import ServiceManager, Watchdog
from homeserver.app.worker import CONTROL, Link, Worker
from homeserver.config import reader
from homeserver.config.values import Config, ConfigError
from homeserver.identity import identity
from homeserver.identity.identity import Identity
from homeserver.net.addresses import SocketAddress
from homeserver.outbound.discovery.dns import MAX_QUESTIONS
from homeserver.protocol.identifiers import ServerName
from homeserver.storage.engine.interface import StoreUnavailable

_log = Logger()

_Obey = Callable[[PosixReactorBase, Callable[[], None], Callable[[], None]], None]
"""As `signals.obey`."""

# How long a thread that works on large messages may keep the interpreter's lock. By
# default it is five milliseconds, for which each step of the reactor may have to wait.
_SWITCH_SECONDS = 0.001


def run(
    path: Path,
    config: Config,
    worker: Worker | None = None,
    extend: Callable[[PosixReactorBase], Extension] | None = None,
) -> None:
    """Run the endpoint configured at `path` until SIGTERM or SIGINT.

    Prints its addresses once it listens, and that of the control API if the
    configuration leaves its port open. As one of several workers, it obeys and tells
    the supervisor instead; `config` is adapted to it then. `extend` makes an extension
    of the endpoint. Raises `ConfigError` if it cannot start. Garbage is collected from
    then on, whether or not it was before.
    """
    workers = 1 if worker is None else worker.count
    raise_file_limit(config.limits.max_connections // workers)
    sys.setswitchinterval(_SWITCH_SECONDS)
    reactor = process_reactor()
    # The system's resolver takes a thread for each name that it looks up.
    reactor.suggestThreadPoolSize(MAX_QUESTIONS)
    endpoint = Endpoint(
        path,
        config,
        load_files(path, config),
        reactor,
        SystemRandom(),
        _outside(path, config, reactor, worker),
        None if extend is None else extend(reactor),
    )
    manager, obey = _superior(worker)
    failures: list[Failure] = []

    def begin(listening: Mapping[ServerName, SocketAddress]) -> None:
        _announce(config, endpoint, listening, manager)
        collect_garbage()
        Watchdog(manager, reactor).start()

    def reload() -> None:
        # The time shows the service manager which of its requests this answers.
        now = f"MONOTONIC_USEC={time.monotonic_ns() // 1000}"
        manager.tell("RELOADING=1", now)
        _reload(path, endpoint, worker)
        manager.tell("READY=1")

    def finish() -> None:
        manager.tell("STOPPING=1")
        # It may be ending already, after a failed start for example.
        with suppress(ReactorNotRunning):
            reactor.stop()

    def give_up(failure: Failure) -> None:
        failures.append(failure)
        finish()

    def start() -> None:
        _warn_of_trust(config, worker)
        obey(reactor, finish, reload)
        starting = Deferred.fromCoroutine(endpoint.start())
        starting.addCallback(begin).addErrback(give_up)

    reactor.callWhenRunning(start)
    reactor.addSystemEventTrigger(
        "before", "shutdown", lambda: Deferred.fromCoroutine(endpoint.stop())
    )
    reactor.run()
    for failure in failures:
        if failure.check(StoreUnavailable):
            raise ConfigError(path, [f"storage.url: {failure.value}"])
        failure.raiseException()


def _outside(
    path: Path, config: Config, reactor: PosixReactorBase, worker: Worker | None
) -> Outside:
    """What the process stands on."""
    store = partial(
        configured_store, path, config, reactor, has_workers=worker is not None
    )
    return Outside(store, worker=worker)


def _superior(worker: Worker | None) -> tuple[ServiceManager | Link, _Obey]:
    """Where the process reports its state, and how it gets its signals."""
    if worker is not None:
        return worker.link, worker.link.obey
    return ServiceManager(os.environ, os.getpid()), signals.obey


def _warn_of_trust(config: Config, worker: Worker | None) -> None:
    """Name the clients without limits; a lab trusts this machine on purpose."""
    trusted = config.limits.trusted_clients
    if trusted and (worker is None or worker.is_first):
        _log.warn(
            "limits.trusted_clients: no shares and no budgets for clients in {ranges}",
            ranges=", ".join(map(str, trusted)),
        )


def _announce(
    config: Config,
    endpoint: Endpoint,
    listening: Mapping[ServerName, SocketAddress],
    manager: ServiceManager | Link,
) -> None:
    """Tell where servers listen, and where the control API does if that is open."""
    control = config.control.listen
    is_open = control is not None and control.port == 0
    control = endpoint.control_address if is_open else None
    if isinstance(manager, ServiceManager):
        announce(listening, control, manager)
        return
    ports = {
        str(server.listen): listening[server.server_name].port
        for server in config.servers
        if server.listen.port == 0
    }
    manager.tell_ready(ports if control is None else {**ports, CONTROL: control.port})


def _reload(path: Path, endpoint: Endpoint, worker: Worker | None) -> None:
    """Let each server use the keys and the certificate that are configured now."""
    try:
        config = reader.load(path, reads_files=False)
        if worker is not None:
            config = worker.adapt(config)
    except ConfigError as problem:
        _log.error("nothing reloaded: {problem}", problem=problem)
        return
    for server in config.servers:
        if endpoint.parts.servers.find(server.server_name) is None:
            _log.warn(
                "{name} is new in {path}; it is served after a new start",
                name=server.server_name,
                path=path,
            )

    def load(name: ServerName) -> Identity:
        server = config.find(name)
        if server is None:
            raise ConfigError(path, [f"{name} is not in it; start again without it"])
        return identity.load(path, server)

    endpoint.reload(config, load)
