"""What the commands print for a person, made of what they print for a program."""

import json
from datetime import UTC, datetime
from typing import Any


def resolution(result: dict[str, Any]) -> str:
    """The steps of a resolution and the routes that it found."""
    lines = [f"{s['step']}: {s['asked']}: {s['found']}" for s in result["steps"]]
    for number, route in enumerate(result.get("routes", []), 1):
        srv = ""
        if route["srv_priority"] is not None:
            srv = f" (priority {route['srv_priority']}, weight {route['srv_weight']})"
        lines.append(
            f"route {number}: connect to {route['host']} port {route['port']}{srv}, "
            f"Host: {route['host_header']}, certificate for "
            f"{route['certificate_name']}"
        )
    return "\n".join(lines)


def received(transaction: dict[str, Any]) -> str:
    """One received transaction: a line for itself and one for each item in it."""
    when = datetime.fromtimestamp(transaction["received_ts"] / 1000, UTC)
    key_id = transaction["verified_by"]["key_id"]
    head = f"{transaction['id']}: {when:%Y-%m-%d %H:%M:%S} transaction "
    head += f"{transaction['txn_id']!r} of {transaction['origin']}, signed by {key_id}"
    lines = [head]
    for pdu in transaction["pdus"]:
        event_id = pdu["event_id"] or "without an event ID"
        lines.append(f"  PDU {event_id}: {pdu['verdict']}")
        lines.append(f"    {json.dumps(pdu['event'])}")
    lines += [f"  EDU {json.dumps(edu)}" for edu in transaction["edus"]]
    return "\n".join(lines)
