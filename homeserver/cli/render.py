"""The text output of the commands, made from their JSON output.

Rules: text of peers and name servers is escaped, so that the terminal interprets none
of it. Times are relative to `now_ts`, in milliseconds since 1970.
"""

import json
from typing import Any

from homeserver.cli.times import duration, relative
from homeserver.protocol.diagnosis.hint import Hint
from homeserver.protocol.errors import printable


def resolution(result: dict[str, Any], now_ts: int) -> str:
    """The steps of a resolution and the routes that it found."""
    lines = [
        f"{s['step']}: {s['asked']}: {s['found']}{_expiry(s, now_ts)}"
        for s in result["steps"]
    ]
    for number, route in enumerate(result.get("routes", []), 1):
        srv = ""
        if route["srv_priority"] is not None:
            srv = f" (priority {route['srv_priority']}, weight {route['srv_weight']})"
        line = (
            f"route {number}: connect to {route['host']} port {route['port']}{srv}, "
            f"Host: {route['host_header']}, certificate for "
            f"{route['certificate_name']}"
        )
        addresses = ", ".join(route.get("addresses", []))
        end = f"; {addresses}" if addresses not in {"", route["host"]} else ""
        if "problem" in route:
            end = f": {route['problem']}"
        lines.append(line + end)
    lines += [f"hint: {hint(each)}" for each in result.get("hints", ())]
    return "\n".join(map(printable, lines))


def _expiry(answer: dict[str, Any], now_ts: int) -> str:
    """How long an answer is still cached; empty if the answer is new."""
    if "kept_until_ts" not in answer:
        return ""
    kept = f"kept answer, for {_left(answer['kept_until_ts'], now_ts)} more"
    if "floor_seconds" in answer:
        kept += (
            f"; its server asks for less than the {answer['floor_seconds']:g} seconds "
            "that every answer is kept"
        )
    return f" ({kept})"


def received(transaction: dict[str, Any], now_ts: int) -> str:
    """One received transaction: a line for itself and one for each item in it."""
    when = relative(transaction["received_ts"], now_ts)
    key_id = transaction["verified_by"]["key_id"]
    head = f"{transaction['id']}: {when}{_to(transaction)} transaction "
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
    remarks = transaction.get("remarks", [])
    lines += [f"  remark: {remark['text']}" for remark in remarks]
    return "\n".join(map(printable, lines))


def keys(result: dict[str, Any], now_ts: int) -> str:
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
        lines += [f"{version}: {problem}" for problem in part["problems"]]
        lines += [f"{version}: hint: {hint(each)}" for each in part.get("hints", ())]
        lines += [] if part["problems"] else [f"{version}: every check passed"]
    return "\n".join([*map(printable, lines), *kept(result, now_ts)])


def failure(result: dict[str, Any], now_ts: int) -> list[str]:
    """The daemon's data about a server whose keys could not be fetched."""
    hints = [f"hint: {hint(each)}" for each in result.get("hints", ())]
    return [*kept(result, now_ts), *map(printable, hints)]


def kept(result: dict[str, Any], now_ts: int) -> list[str]:
    """The daemon's cached data about a server; empty without a daemon."""
    return [
        printable(
            f"{each['cache']}: {each['asked']}: {each['found']}{_expiry(each, now_ts)}"
        )
        for each in result.get("kept", [])
    ]


def documents(result: dict[str, Any]) -> list[dict[str, Any] | None]:
    """The documents of both versions; None for a missing one."""
    return [result["v1"], result["v2"]]


def peer(known: dict[str, Any], now_ts: int) -> str:
    """The data about one peer."""
    verified = known["verified_by"] or "never verified"
    lines = [f"{known['server_name']}{_to(known)}: {verified}"]
    if known["certificate_sha256"] is not None:
        last = relative(known["last_verified_ts"], now_ts)
        lines.append(f"  last verified {last}")
        lines.append(f"  certificate SHA-256 {known['certificate_sha256']}")
    if known["pinned_certificate_sha256"] is not None:
        pinned = known["pinned_certificate_sha256"]
        lines.append(f"  trusted by the operator: certificate SHA-256 {pinned}")
    for key_id, stored in known["keys"].items():
        lines.append(f"  key {key_id} {stored['key']}{_validity(stored, now_ts)}")
    for key_id, key in known["pinned_keys"].items():
        lines.append(f"  pinned {key_id} {key}")
    lines += _sending(known, now_ts)
    return "\n".join(map(printable, lines))


def _validity(stored: dict[str, Any], now_ts: int) -> str:
    """The validity of a key, as far as it is known."""
    since, until = stored["since_ts"], stored["valid_until_ts"]
    shown = "" if since is None else f", stored {relative(since, now_ts)}"
    if until is None:
        return f"{shown}, an old one"
    if until < now_ts:
        return f"{shown}, expired {relative(until, now_ts)}"
    return f"{shown}, valid for {_left(until, now_ts)} more"


def back_off(known: dict[str, Any], now_ts: int) -> str | None:
    """The back-off of a peer, and its reason; None without one."""
    if not known["failures"] or known["next_attempt_ts"] is None:
        return None
    failures = count(known["failures"], "failure", "failures")
    left = _left(known["next_attempt_ts"], now_ts)
    text = f"in back-off for {left} more after {failures}"
    return _told(text, known["last_error"])


def delivered(state: dict[str, Any]) -> str:
    """The reply to a transaction, with its problems."""
    lines = [f"delivered: {state['txn_id']}", json.dumps(state["reply"])]
    lines += [f"remark: {remark['text']}" for remark in state["remarks"]]
    return "\n".join(map(printable, lines))


def judged(state: dict[str, Any]) -> list[str]:
    """What a right server does about the mistakes of a transaction, if it has any.

    And that this one did so, if it did.
    """
    lines = [f"expected: {each}" for each in state.get("expected", ())]
    if state.get("as_expected"):
        lines.append(f"as expected: it was {state['state']}")
    return list(map(printable, lines))


def not_as_expected(
    state: dict[str, Any], now_ts: int, known: dict[str, Any] | None
) -> str | None:
    """Why a transaction with mistakes shows no right server; None if it does."""
    if state["as_expected"]:
        return None
    if state["state"] == "delivered":
        return "not as expected: it was delivered"
    text = "not as expected"
    if state["as_expected"] is None:
        text = "it is not known whether that is right"
    return f"{text}: {not_delivered(state, now_ts, known)}"


def not_delivered(
    state: dict[str, Any], now_ts: int, known: dict[str, Any] | None = None
) -> str:
    """Why a transaction was not delivered, and its state.

    `known` is the data about its destination, if that is needed.
    """
    match state["state"]:
        case "rejected":
            return _told("rejected, it is not sent again", state["error"])
        case "dropped":
            return printable(_dropped(state, now_ts))
    why = None if known is None else back_off(known, now_ts)
    if why is None:
        why = state["error"] or "no attempt has ended yet"
    else:
        why += "; `--now` tries at once"
    return _told(f"not delivered yet, it stays queued under ID {state['id']}", why)


def _dropped(state: dict[str, Any], now_ts: int) -> str:
    when = relative(state["dropped_ts"], now_ts)
    if state["dropped_by"] == "age":
        return f"dropped {when}: what it says was stale before it could be delivered"
    return f"dropped {when} by `homeserver {state['dropped_by']}`"


def _told(text: str, why: str | None) -> str:
    """A text, with its reason if it has one."""
    return printable(f"{text}: {why}" if why else text)


def count(number: int, one: str, many: str) -> str:
    """A number and the noun that agrees with it."""
    return f"{number} {one if number == 1 else many}"


def _left(ts: int, now_ts: int) -> str:
    return duration(max(0, ts - now_ts) / 1000)


def _sending(known: dict[str, Any], now_ts: int) -> list[str]:
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
            when = relative(known["next_attempt_ts"], now_ts)
        failures = count(known["failures"], "failure", "failures")
        lines.append(f"  {failures}, next attempt {when}")
    if known["last_error"] is not None:
        lines.append(f"  last error: {known['last_error']}")
    return lines


def health(state: dict[str, Any]) -> str:
    """The health of the daemon with its remarks, and each bound if requested."""
    bounds = [
        f"{bound['name']}: {bound['use']} of {bound['limit']} {bound['what']}, "
        f"{bound['refusals']} refused"
        for bound in state.get("bounds", [])
    ]
    remarks = [f"remark: {remark}" for remark in state.get("remarks", [])]
    return "\n".join(map(printable, [state["status"], *remarks, *bounds]))


def refusal(refused: dict[str, Any], now_ts: int) -> str:
    """One refused request: a line for itself and one that says why."""
    when = relative(refused["refused_ts"], now_ts)
    who = refused["origin"] or "an unknown server"
    proven = "" if refused["proven"] else " (not proven)"
    head = f"{refused['id']}: {when}{_to(refused)} {refused['method']} "
    head += f"{refused['path']} of {who}{proven} at {refused['address']}: "
    head += f"{refused['status']} {refused['errcode']}, {refused['reason']}"
    hints = [f"  hint: {hint(each)}" for each in refused["hints"] or ()]
    if refused["hints"] is None:
        hints = ["  too many were refused at once to look for a hint"]
    return "\n".join(map(printable, [head, f"  {refused['error']}", *hints]))


def _to(row: dict[str, Any]) -> str:
    """Which of several servers of ours a row belongs to."""
    return f" [{row['server']}]" if "server" in row else ""


def hint(members: dict[str, Any]) -> str:
    """A hint in one sentence."""
    return Hint(**members).sentence
