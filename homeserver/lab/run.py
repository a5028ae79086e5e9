"""The process of a lab, from its options to its end.

Rules: the first line on standard output says where everything is, once all of it
accepts connections. SIGTERM and SIGINT end it, and its temporary files with it.
"""

from collections.abc import Callable
from contextlib import suppress

from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.python.failure import Failure

from homeserver.app import signals
from homeserver.app.process import collect_garbage, process_reactor, raise_file_limit
from homeserver.lab.folder import Folder
from homeserver.lab.lab import Lab
from homeserver.lab.options import LabOptions, Whereabouts
from homeserver.net.interruptions import postponed, undo_at_end

# Two for each server with a port of its own, and those of connections.
_FILES = 10_000


def run(options: LabOptions, announce: Callable[[Whereabouts], object]) -> None:
    """Run a lab until SIGTERM or SIGINT; raises `ConfigError` if it cannot start.

    `announce` is called when it listens.
    """
    raise_file_limit(_FILES)
    reactor = process_reactor()
    with postponed():
        folder = Folder(options.data)
        undo_at_end(folder.remove)
    failures: list[Failure] = []
    try:
        lab = Lab(options, folder, reactor)
        started: list[Whereabouts] = []

        def finish() -> None:
            with suppress(ReactorNotRunning):
                reactor.stop()

        def tell(where: Whereabouts) -> None:
            started.append(where)
            announce(where)
            collect_garbage()

        def give_up(failure: Failure) -> None:
            failures.append(failure)
            finish()

        def start() -> None:
            signals.obey(reactor, finish, lambda: None)
            starting = Deferred.fromCoroutine(lab.start())
            starting.addCallback(tell).addErrback(give_up)

        def stop() -> Deferred[None] | None:
            return Deferred.fromCoroutine(lab.stop()) if started else None

        reactor.callWhenRunning(start)
        reactor.addSystemEventTrigger("before", "shutdown", stop)
        reactor.run()
    finally:
        folder.remove()
    for failure in failures:
        failure.raiseException()
