"""The events of a transaction that are of rooms that we are in.

Rules: the events have passed the first three checks. The server ACL of a room applies
to the origin of the transaction. Events of a room are judged in the order in which they
came. What an event cites and the room lacks is fetched from the origin, then from other
servers of the room, outside of the room's turn. What comes of a room while it is joined
waits for that. The policy server of a room has a bounded time for all events of the
room. An event of any other room keeps its verdict and makes no room; it may
take an invite back that the origin has sent.

| outcome | verdict | in the reply | in the room |
|---|---|---|---|
| accepted | as before | no error | yes |
| soft-failed | `soft-failed`, and the rule or the policy server | no error | yes |
| rejected | `rejected`, and the rule | error | yes |
| denied by the ACL, or not to be judged | `rejected`, and why | error | no |

Specification: Server-server API, "Checks performed on receipt of a PDU", "Server Access
Control Lists (ACLs)", "Soft failure".
"""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from msgspec.structs import replace
from twisted.internet import defer

from homeserver.inbound.pdu_checks import PduChecker
from homeserver.net.cause import Cause
from homeserver.net.cooperate import Pace
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import Forbidden, InvalidParam, Overloaded
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import RoomId, ServerName, UserId, parse_room_id
from homeserver.protocol.rooms.auth_graph import UnknownAuthEvent
from homeserver.protocol.rooms.receipt import Outcome
from homeserver.protocol.rooms.rules import named
from homeserver.protocol.rooms.server_acl import may_take_part
from homeserver.protocol.rooms.state import membership_of
from homeserver.rooms.entry import Entry
from homeserver.rooms.gaps import Gaps
from homeserver.rooms.missing import Missing
from homeserver.rooms.policies import PolicyServerSilent
from homeserver.rooms.room import Room
from homeserver.rooms.rooms import Rooms
from homeserver.rooms.turn import Turn
from homeserver.storage.judged_pdus import REJECTED, SOFT_FAILED, JudgedPdu
from homeserver.storage.pending_memberships import PendingStore

_MAX_ROOMS = 100  # of one receipt EDU that are looked at

# For the policy server of one room: as long as one request to it may take.
_POLICY_SECONDS = 30.0


class RoomReceiver:
    """Takes in the events of transactions, for one of our servers."""

    def __init__(
        self,
        checker: PduChecker,
        rooms: Rooms,
        pending: PendingStore,
        gaps: Gaps,
        pace: Pace,
    ) -> None:
        """`checker` makes the first three checks.

        `pending` has invites and knocks of our users in rooms that we are not in.
        `pace` is that of the work on all transactions.
        """
        self._pending = pending
        self._checker = checker
        self._rooms = rooms
        self._gaps = gaps
        self._pace = pace

    async def check(
        self, pdus: Sequence[Json], origin: ServerName, cause: Cause
    ) -> list[JudgedPdu]:
        """The verdicts on the PDUs of a transaction, in their order.

        Raises `StoreUnavailable`.
        """
        await self._gaps.end_joins(pdus)
        checked = await self._checker.check(pdus, origin, cause)
        return await self._in_rooms(checked, origin, cause)

    async def check_edu(self, edu: Json, origin: ServerName) -> None:
        """Raise `ProtocolError` for an EDU that is not accepted."""
        await self._checker.check_edu(edu, origin)
        for room_id in _rooms_of(edu):
            room = await self._rooms.find(room_id)
            if room is not None and not may_take_part(room.current, origin):
                raise Forbidden(_denied(room, origin))

    async def _in_rooms(
        self, pdus: Sequence[JudgedPdu], origin: ServerName, cause: Cause
    ) -> list[JudgedPdu]:
        verdicts = list(pdus)
        until = self._gaps.deadline()
        by_room: dict[RoomId, list[int]] = {}
        for number, pdu in enumerate(pdus):
            if pdu.parsed is not None:
                by_room.setdefault(pdu.parsed.room_id, []).append(number)
        for room_id, numbers in by_room.items():
            room = await self._rooms.find(room_id)
            if room is None or not room.has_member(self._rooms.server_name):
                for number in numbers:
                    await self._withdraw(pdus[number].parsed, origin)
                continue
            of_room = [pdus[number] for number in numbers]
            judged = await self._judge(room, of_room, origin, cause, until)
            for number, verdict in zip(numbers, judged, strict=True):
                verdicts[number] = verdict
        return verdicts

    async def _withdraw(self, event: Event | None, origin: ServerName) -> None:
        """Forget an invite that its sender's server takes back, or a refused knock."""
        if event is None or event.type != "m.room.member":
            return
        if membership_of(event) not in {"leave", "ban"} or event.state_key is None:
            return
        with suppress(InvalidParam):
            user = UserId.parse(event.state_key)
            invite = await self._pending.find(event.room_id, user)
            if invite is not None and invite.origin == origin:
                await self._pending.remove(event.room_id, user)

    async def _judge(
        self,
        room: Room,
        pdus: Sequence[JudgedPdu],
        origin: ServerName,
        cause: Cause,
        until: float,
    ) -> list[JudgedPdu]:
        """Other servers are asked for what is missing, `until` at the latest."""
        if not may_take_part(room.current, origin):
            why = f"{REJECTED}: {_denied(room, origin)}"
            return [replace(pdu, verdict=why) for pdu in pdus]
        try:
            await self._rooms.check_space()
        except Overloaded as problem:
            return [replace(x, verdict=f"{REJECTED}: {problem}") for x in pdus]
        pdus = await self._recommended(room, pdus, cause, until)

        async def take_all(turn: Turn) -> list[Entry | Missing | None]:
            taken: list[Entry | Missing | None] = []
            for pdu in pdus:
                await self._pace.pause()
                taken.append(await _take(turn, pdu.parsed))
            return taken

        entries = await self._rooms.change(room.room_id, take_all)
        for number, pdu in enumerate(pdus):
            if isinstance(entries[number], Missing) and pdu.parsed is not None:
                await self._gaps.fill(pdu.parsed, origin, cause, until)
                entries[number] = await self._rooms.change(
                    room.room_id, partial(_take, event=pdu.parsed)
                )
        return [_verdict(pdu, entry) for pdu, entry in zip(pdus, entries, strict=True)]

    async def _recommended(
        self, room: Room, pdus: Sequence[JudgedPdu], cause: Cause, until: float
    ) -> list[JudgedPdu]:
        """The events, with the signatures of the room's policy server where it signs.

        A silent or slow server is not asked again for the same transaction.
        """
        asked = list(pdus)
        until = min(until, self._gaps.deadline(_POLICY_SECONDS))
        for number, pdu in enumerate(pdus):
            event = pdu.parsed
            if event is None or event.event_id in room.entries:
                continue
            asking = self._rooms.recommend(event, room.current, cause)
            try:
                signed = await self._gaps.in_time(until, asking)
            except (PolicyServerSilent, defer.TimeoutError):
                break
            except Forbidden:
                continue
            asked[number] = replace(pdu, parsed=signed)
        return asked


async def _take(turn: Turn, event: Event | None) -> Entry | Missing | None:
    """The entry of an event, or what is missing to judge it."""
    if event is None or event.room_version != turn.room.room_version:
        return None
    missing = Missing.of(turn.room, event)
    if missing:
        # It may have arrived before; then nothing has to be fetched for it.
        known = turn.room.entries.get(event.event_id)
        if known is None or known.outcome is Outcome.OUTLIER:
            return missing
    try:
        return await turn.take(event)
    except UnknownAuthEvent as problem:
        return Missing([problem.event_id], [])


def _verdict(pdu: JudgedPdu, entry: Entry | Missing | None) -> JudgedPdu:
    if entry is None:
        return replace(pdu, verdict=f"{REJECTED}: the room has another version")
    if isinstance(entry, Missing):
        return replace(pdu, verdict=f"{REJECTED}: {entry}")
    if entry.outcome is Outcome.REJECTED:
        return replace(pdu, verdict=f"{REJECTED}: rule {entry.rule}: {entry.why}")
    if entry.outcome is Outcome.SOFT_FAILED:
        rule = f"rule {entry.rule}: " if entry.rule else ""  # a policy server has none
        return replace(pdu, verdict=f"{SOFT_FAILED}: {rule}{entry.why}")
    return pdu


def _denied(room: Room, origin: ServerName) -> str:
    return f"the server ACL of {named(room.room_id)} denies {origin}"


def _rooms_of(edu: Json) -> list[RoomId]:
    """The rooms that an EDU is about, as far as they can be read."""
    content = edu.get("content")
    if not isinstance(content, dict):
        return []
    texts: list[object] = []
    if edu.get("edu_type") == "m.typing":
        texts = [content.get("room_id")]
    elif edu.get("edu_type") == "m.receipt":
        texts = [*content][:_MAX_ROOMS]
    found: list[RoomId] = []
    for text in texts:
        if isinstance(text, str):
            try:
                found.append(parse_room_id(text))
            except InvalidParam:
                continue
    return found
