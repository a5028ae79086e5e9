"""What we make of a PDU: its form, its signatures, its content hash.

Rules of the room: what is wrong with one PDU is that PDU's verdict and nobody else's
error. Keys that are missing are fetched from all servers at once, and not waited for
longer than the sender waits for us. The signatures of many PDUs are verified together,
in a thread: others have their turn meanwhile.

Specification: Server-server API, "Checks performed on receipt of a PDU", the first
three.
"""

from collections.abc import Mapping, Sequence

from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from homeserver.config.values import Events
from homeserver.inbound.pdu_candidates import Claim, Draft
from homeserver.keys.keyring import Keyring
from homeserver.net.cause import Cause
from homeserver.net.cooperate import InThread, Pace, together
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.unsigned_2014 import is_unsigned_2014
from homeserver.protocol.identifiers import RoomId, ServerName
from homeserver.storage.judged_pdus import JudgedPdu
from homeserver.storage.received import ReceivedStore

# For the keys of all servers in a transaction; its sender gives us a minute in all.
_KEYS_SECONDS = 20.0

# Signatures that are verified where the others are; more go to a thread, which costs
# as much as verifying one.
_MAX_INLINE = 8


class Judge:
    """Judges the PDUs of transactions."""

    def __init__(
        self,
        store: ReceivedStore,
        keyring: Keyring,
        clock: IReactorTime,
        in_thread: InThread,
        events: Events,
    ) -> None:
        """`events` is the configuration's table of that name."""
        self._store = store
        self._keyring = keyring
        self._clock = clock
        self._in_thread = in_thread
        self._events = events
        self._pace = Pace(clock)

    async def judge(
        self, pdus: Sequence[Json], origin: ServerName, cause: Cause
    ) -> list[JudgedPdu]:
        """The verdicts on the PDUs of one transaction of `origin`, in their order."""
        if not pdus:
            return []
        drafts = [Draft(pdu) for pdu in pdus]
        for draft in drafts:
            if is_unsigned_2014(draft.pdu):
                draft.judge_unsigned(origin, are_taken=self._events.unsigned_2014)
        rooms = {draft.room_id for draft in drafts if draft.room_id is not None}
        versions = await self._store.room_versions(sorted(rooms))
        late: set[ServerName] = set()
        # Create events first, wherever they stand: they tell of what version the
        # other events of their rooms are.
        creates = [draft for draft in drafts if draft.is_create]
        await self._judge(creates, versions, late, cause)
        for draft in creates:
            created = draft.conclude().created_room
            if created is not None:
                room_id, version = created
                versions.setdefault(room_id, version)
        others = [draft for draft in drafts if not draft.is_create]
        await self._judge(others, versions, late, cause)
        judged: list[JudgedPdu] = []
        for draft in drafts:
            await self._pace.pause()
            judged.append(draft.conclude())
        return judged

    async def _judge(
        self,
        drafts: Sequence[Draft],
        versions: Mapping[RoomId, str],
        late: set[ServerName],
        cause: Cause,
    ) -> None:
        """Judge each PDU, by the first room version that it proves to be of.

        The servers whose keys do not come in time are added to `late`.
        """
        for draft in drafts:
            draft.choose(versions, self._events.default_room_version)
        while True:
            claims: list[Claim] = []
            for draft in drafts:
                await self._pace.pause()
                claim = draft.next_claim()
                if claim is not None:
                    claims.append(claim)
            if not claims:
                return
            await self._find_known_signers(claims)
            await self._find_keys(claims, late, cause)
            await self._verify(claims)
            for claim in claims:
                await self._pace.pause()
                claim.draft.settle(claim)

    async def _find_known_signers(self, claims: Sequence[Claim]) -> None:
        """Tell each claim whose signatures of its event were verified before.

        The ID is a hash of what the servers sign: those that have signed it once have
        signed this. Others that have to sign it have not. Where the sender chooses the
        ID, none are recorded.
        """
        named = [
            (claim.event.event_id, claim.event.room_version.version) for claim in claims
        ]
        known = await self._store.signers(named)
        for claim, name in zip(claims, named, strict=True):
            claim.known_signers = known.get(name, frozenset())

    async def _find_keys(
        self, claims: Sequence[Claim], late: set[ServerName], cause: Cause
    ) -> None:
        """Give each claim the keys that may have signed it.

        What the keyring lacks is fetched from all servers at the same time.
        """
        by_server: dict[ServerName, list[Claim]] = {}
        for claim in claims:
            for name in claim.unproven:
                if name not in late:
                    by_server.setdefault(name, []).append(claim)

        async def find(name: ServerName) -> None:
            for claim in by_server[name]:
                claim.keys[name] = await self._keyring.event_keys(
                    name,
                    frozenset(claim.signatures[name]),
                    claim.event.origin_server_ts,
                    claim.event.room_version,
                    cause,
                )

        async def find_in_time(name: ServerName) -> None:
            try:
                await Deferred.fromCoroutine(find(name)).addTimeout(
                    _KEYS_SECONDS, self._clock
                )
            except defer.TimeoutError:
                late.add(name)

        await together(find_in_time(name) for name in by_server)

    async def _verify(self, claims: Sequence[Claim]) -> None:
        """Have each claim look at its signatures."""

        def work() -> None:
            for claim in claims:
                claim.verify()

        if sum(len(claim.unproven) for claim in claims) <= _MAX_INLINE:
            work()
        else:
            await self._in_thread(work)
