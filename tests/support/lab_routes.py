"""The routes that a lab has beside those of a daemon, to be described alone."""

from typing import Any, cast

from twisted.internet.task import Clock

from homeserver.control.routing import ControlRoute
from homeserver.lab.authority.authority import Authority
from homeserver.lab.record.record import Record
from homeserver.lab.routes.authority import LabView, authority_routes
from homeserver.lab.routes.exchanges import record_routes
from homeserver.lab.routes.faults import fault_routes
from homeserver.lab.routes.forgeries import forgery_routes
from homeserver.lab.routes.rules import rule_routes
from homeserver.lab.routes.servers import server_routes
from homeserver.lab.rules.rules import Rules
from homeserver.lab.servers.servers import LabServers
from homeserver.net.exchanges import Exchanges


def lab_table() -> list[ControlRoute]:
    """Their table; none of them can be asked."""
    clock = Clock()
    record = Record(clock)
    servers, rules = cast("LabServers", None), cast("Rules", None)
    return [
        *server_routes(servers, rules, record, Exchanges(clock), clock),
        *rule_routes(rules, lambda _: None),
        *fault_routes(),
        *forgery_routes(cast("Any", None), cast("Any", None)),
        *record_routes(record, clock, ()),
        *authority_routes(cast("Authority", None), cast("LabView", None)),
    ]
