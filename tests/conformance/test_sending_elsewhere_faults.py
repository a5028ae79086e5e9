"""O: each check of device lists, addresses and our invites has a fault."""

from typing import Any

from homeserver.conformance.audience import Audience
from homeserver.net.cause import OURSELVES
from homeserver.outbound.client import Delivery, FederationClient
from homeserver.outbound.transport.connector import Unreachable
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import EventId, ServerName
from homeserver.protocol.rooms.templates import Template
from tests.conformance.faulty import Row, fault_test, patched

_send = FederationClient.send_transaction
_complete = Template.complete
_told = Audience.told

# What these targets never do needs no long wait; other checks wait as long, too.
_SOON = 8.0

_CHECKS = ["O01", "O10", "O14", "O15"]


async def _asks_for_no_devices(*_: object) -> None:
    pass


async def _told_soon(audience: Audience, event_id: EventId) -> object:
    return await _told(audience, event_id, _SOON)


async def _to_the_first_address(
    client: FederationClient, destination: ServerName, *what: Any, **more: Any
) -> Delivery:
    found = await client._agent._resolver.resolve(destination, OURSELVES)
    if len(found.routes) > 1:
        raise Unreachable(destination, ["the first one refuses"])
    return await _send(client, destination, *what, **more)


def _of_its_own(template: Template, *arguments: Any) -> Json:
    return {**_complete(template, *arguments), "depth": 1}


ROWS: list[Row] = [
    (
        "asks for no devices",
        patched(
            {
                "homeserver.users.device_lists.KeptDeviceLists.take_in": (
                    _asks_for_no_devices
                ),
                "homeserver.conformance.checks.sending_elsewhere._ASKING_SECONDS": 4.0,
            }
        ),
        {"O10"},
    ),
    (
        "offers old versions alone",
        patched(
            {"homeserver.rooms.remote_server.ROOM_VERSIONS": {"1": ROOM_VERSIONS["1"]}}
        ),
        {"O14"},
    ),
    (
        "joins with an event of its own",
        patched({"homeserver.protocol.rooms.templates.Template.complete": _of_its_own}),
        {"O14"},
    ),
    (
        "sends to the first address alone",
        patched(
            {
                "homeserver.outbound.client.FederationClient.send_transaction": (
                    _to_the_first_address
                ),
                "homeserver.conformance.audience.Audience.told": _told_soon,
            }
        ),
        {"O15"},
    ),
]


test_a_fault_turns_its_checks_red = fault_test(ROWS, _CHECKS)
