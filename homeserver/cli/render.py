"""The text output of the commands, made from their JSON output.

Rules: text of peers and name servers is escaped, so that the terminal interprets none
of it.
"""

import json
from datetime import UTC, datetime
from typing import Any

from homeserver.protocol.diagnosis.hint import Hint
from homeserver.protocol.errors import printable


def resolution(result: dict[str, Any]) -> str:
    """The steps of a resolution and the routes that it found."""
    lines = [
        f"{s['step']}: {s['asked']}: {s['found']}{_expiry(s)}" for s in result["steps"]
    ]
    for number, route in enumerate(result.get("routes", []), 1):
        srv = ""
        if route["srv_priority"] is not None:
            srv = f" (priority {route['srv_priority']}, weight {route['srv_weight']})"
        lines.append(
            f"route {number}: connect to {route['host']} port {route['port']}{srv}, "
            f"Host: {route['host_header']}, certificate for "
            f"{route['certificate_name']}"
        )
    return "\n".join(map(printable, lines))


def _expiry(answer: dict[str, Any]) -> str:
    """Until when an answer is cached; empty if the answer is new."""
    if "kept_until_ts" not in answer:
        return ""
    until = datetime.fromtimestamp(answer["kept_until_ts"] / 1000, UTC)
    kept = f"kept answer, until {until:%Y-%m-%d %H:%M:%S}"
    if "floor_seconds" in answer:
        kept += (
            f"; its server asks for less than the {answer['floor_seconds']:g} seconds "
            "that every answer is kept"
        )
    return f" ({kept})"


def received(transaction: dict[str, Any]) -> str:
    """One received transaction: a line for itself and one for each item in it."""
    when = datetime.fromtimestamp(transaction["received_ts"] / 1000, UTC)
    key_id = transaction["verified_by"]["key_id"]
    head = f"{transaction['id']}: {when:%Y-%m-%d %H:%M:%S} transaction "
    head += f"{transaction['txn_id']!r} of {transaction['origin']}, signed by {key_id}"
    if transaction["verified_by"]["client_certificate"] is not None:
        head += " and its TLS client certificate"
    lines = [head]
    for pdu in transaction["pdus"]:
        event_id = pdu["event_id"] or "without an event ID"
        lines.append(f"  PDU {event_id}: {pdu['verdict']}")
        if pdu["room_version_source"] is not None:
            source = f"by {pdu['room_version_source']}"
            lines.append(f"    room version {pdu['room_version']}, {source}")
        lines.append(f"    {json.dumps(pdu['event'])}")
    lines += [f"  EDU {json.dumps(edu)}" for edu in transaction["edus"]]
    lines += [f"  problem: {problem}" for problem in transaction["problems"]]
    lines += [f"  remark: {remark}" for remark in transaction.get("remarks", [])]
    return "\n".join(map(printable, lines))


def keys(result: dict[str, Any]) -> str:
    """The key documents of a server, with the problems of each."""
    route = result["route"]
    lines = [
        f"{result['server_name']}: reached at {route['host']} port {route['port']}",
        f"verified by {result['verified_by']}",
        f"certificate SHA-256 {result['certificate_sha256']}",
    ]
    for version, part in zip(("v1", "v2"), documents(result), strict=True):
        if part is None:
            is_asked = version == "v2" or not result.get("v2_only", False)
            why = "the server has none" if is_asked else "not asked for"
            lines.append(f"{version}: {why}")
            continue
        lines.append(f"{version}: {json.dumps(part['document'])}")
        lines += [f"{version}: wrong: {problem}" for problem in part["problems"]]
        lines += [f"{version}: hint: {hint(each)}" for each in part.get("hints", ())]
        lines += [] if part["problems"] else [f"{version}: every check passed"]
    return "\n".join([*map(printable, lines), *kept(result)])


def failure(result: dict[str, Any]) -> list[str]:
    """What is known of a server whose keys could not be fetched."""
    hints = [f"hint: {hint(each)}" for each in result.get("hints", ())]
    return [*kept(result), *map(printable, hints)]


def kept(result: dict[str, Any]) -> list[str]:
    """What the daemon had cached of a server; empty if no daemon was asked."""
    return [
        printable(f"{each['cache']}: {each['asked']}: {each['found']}{_expiry(each)}")
        for each in result.get("kept", [])
    ]


def documents(result: dict[str, Any]) -> list[dict[str, Any] | None]:
    """The documents of both versions; None for a missing one."""
    return [result["v1"], result["v2"]]


def peer(known: dict[str, Any]) -> str:
    """What is known of one peer."""
    verified = known["verified_by"] or "never verified"
    lines = [f"{known['server_name']}: {verified}"]
    if known["certificate_sha256"] is not None:
        last = datetime.fromtimestamp(known["last_verified_ts"] / 1000, UTC)
        lines.append(f"  last verified {last:%Y-%m-%d %H:%M:%S}")
        lines.append(f"  certificate SHA-256 {known['certificate_sha256']}")
    if known["pinned_certificate_sha256"] is not None:
        pinned = known["pinned_certificate_sha256"]
        lines.append(f"  trusted by the operator: certificate SHA-256 {pinned}")
    for key_id, stored in known["keys"].items():
        lines.append(f"  key {key_id} {stored['key']}{_validity(stored)}")
    for key_id, key in known["pinned_keys"].items():
        lines.append(f"  pinned {key_id} {key}")
    lines += _sending(known)
    return "\n".join(map(printable, lines))


def _validity(stored: dict[str, Any]) -> str:
    """The validity of a key, as far as it is known."""
    since, until = stored["since_ts"], stored["valid_until_ts"]
    shown = "" if since is None else f", since {_time(since)}"
    return shown + (", an old one" if until is None else f", until {_time(until)}")


def back_off(known: dict[str, Any]) -> str:
    """The back-off of a peer, and its reason."""
    name, why = known["server_name"], known["last_error"]
    failures = count(known["failures"], "failure", "failures")
    when = _time(known["next_attempt_ts"])
    return printable(f"{name} is in back-off until {when} after {failures}: {why}")


def delivered(state: dict[str, Any]) -> str:
    """The reply to a transaction, with its problems."""
    lines = [f"delivered: {state['txn_id']}", json.dumps(state["reply"])]
    lines += [f"remark: {remark}" for remark in state["remarks"]]
    return "\n".join(map(printable, lines))


def not_delivered(state: dict[str, Any]) -> str:
    """Why a transaction was not delivered, and its state."""
    why = state["error"] or "no attempt has ended yet"
    match state["state"]:
        case "rejected":
            text = f"rejected, it is not sent again: {why}"
        case "dropped":
            text = _dropped(state)
        case _:
            text = f"not delivered yet, it stays queued under ID {state['id']}: {why}"
    return printable(text)


def _dropped(state: dict[str, Any]) -> str:
    when = _time(state["dropped_ts"])
    if state["dropped_by"] == "age":
        return f"dropped at {when}: what it says was stale before it could be delivered"
    return f"dropped at {when} by `homeserver {state['dropped_by']}`"


def count(number: int, one: str, many: str) -> str:
    """A number and the noun that agrees with it."""
    return f"{number} {one if number == 1 else many}"


def _time(ts: int) -> str:
    return f"{datetime.fromtimestamp(ts / 1000, UTC):%Y-%m-%d %H:%M:%S}"


def _sending(known: dict[str, Any]) -> list[str]:
    """The queue of a peer."""
    lines = []
    if known["queued"]:
        oldest = known["oldest_id"]
        queued = count(known["queued"], "entry", "entries")
        lines.append(f"  {queued} queued, the oldest has ID {oldest}")
    if known["rejected"]:
        rejected = count(known["rejected"], "transaction", "transactions")
        lines.append(f"  {rejected} rejected")
    if known["dropped"]:
        lines.append(f"  {count(known['dropped'], 'entry', 'entries')} dropped")
    if known["failures"]:
        when = "under way"
        if known["next_attempt_ts"] is not None:
            when = _time(known["next_attempt_ts"])
        failures = count(known["failures"], "failure", "failures")
        lines.append(f"  {failures}, next attempt {when}")
    if known["last_error"] is not None:
        lines.append(f"  last error: {known['last_error']}")
    return lines


def health(state: dict[str, Any]) -> str:
    """The health of the daemon, and a line for each bound if requested."""
    bounds = [
        f"{bound['name']}: {bound['use']} of {bound['limit']} {bound['what']}, "
        f"{bound['refusals']} refused"
        for bound in state.get("bounds", [])
    ]
    return "\n".join(map(printable, [state["status"], *bounds]))


def refusal(refused: dict[str, Any]) -> str:
    """One refused request: a line for itself and one that says why."""
    when = datetime.fromtimestamp(refused["refused_ts"] / 1000, UTC)
    who = refused["origin"] or "a server that is not named"
    proven = "" if refused["proven"] else " (not proven)"
    head = f"{refused['id']}: {when:%Y-%m-%d %H:%M:%S} {refused['method']} "
    head += f"{refused['path']} of {who}{proven} at {refused['address']}: "
    head += f"{refused['status']} {refused['errcode']}, {refused['reason']}"
    hints = [f"  hint: {hint(each)}" for each in refused["hints"] or ()]
    if refused["hints"] is None:
        hints = ["  too many were refused at once to look for a hint"]
    return "\n".join(map(printable, [head, f"  {refused['error']}", *hints]))


def hint(members: dict[str, Any]) -> str:
    """A hint in one sentence."""
    return Hint(**members).sentence
