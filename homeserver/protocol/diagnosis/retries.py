"""How a server repeats the transactions that were not accepted.

Rules: only what was seen here is judged. An attempt that failed for now (5xx, 429) is
to be repeated under the same ID, with the same bytes, after a pause that grows.

Specification: Server-server API, "Transactions".
"""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from homeserver.protocol.remarks import Remark

PATIENCE_MS = 60_000  # after which a server that has not repeated it will not

_TOO_SOON_MS = 500  # a handshake between slow machines; servers wait a second or more


class Attempt(Struct, frozen=True):
    """A transaction that a server sent, with our answer."""

    ts: int
    """When it was answered, in milliseconds since 1970."""

    txn_id: str
    status: int
    content: str | None = None
    """The digest of its PDUs and EDUs, in hexadecimal; None if it is unknown."""

    seconds: float = 0.0
    """How long the answer took, if that is known."""

    def pause_after(self, earlier: "Attempt") -> int:
        """The milliseconds from the answer to `earlier` until this one began."""
        return max(0, self.ts - round(self.seconds * 1000) - earlier.ts)

    @property
    def has_failed_for_now(self) -> bool:
        """Whether it is to be repeated."""
        return self.status >= 500 or self.status == 429


def unrepeated(attempts: Sequence[Attempt]) -> list[Attempt]:
    """The last attempts of transactions that failed for now and came no more."""
    last = {each.txn_id: each for each in attempts}
    return [each for each in last.values() if each.has_failed_for_now]


def remarks_on_retries(attempts: Sequence[Attempt], now_ts: int) -> Iterator[Remark]:
    """What is wrong in how a server repeats; `attempts` are in their order."""
    pauses: dict[str, list[int]] = {}
    for index, attempt in enumerate(attempts):
        if not attempt.has_failed_for_now:
            continue
        later = attempts[index + 1 :]
        again = next((each for each in later if each.txn_id == attempt.txn_id), None)
        if again is None:
            yield from _not_repeated(attempt, later, now_ts)
            continue
        pauses.setdefault(attempt.txn_id, []).append(again.pause_after(attempt))
        known = attempt.content is not None and again.content is not None
        if known and attempt.content != again.content:
            text = (
                f"{attempt.txn_id!r} was repeated with other content; repeat the same "
                "bytes until they are accepted"
            )
            yield Remark("retry_other_content", text)
    for txn_id, those in pauses.items():
        yield from _pauses(txn_id, those)


def _not_repeated(
    attempt: Attempt, later: Sequence[Attempt], now_ts: int
) -> Iterator[Remark]:
    for other in later:
        if attempt.content is not None and other.content == attempt.content:
            text = (
                f"{attempt.txn_id!r} was answered with {attempt.status} and repeated "
                f"as {other.txn_id!r}; repeat a transaction under its ID"
            )
            yield Remark("retry_other_id", text)
            return
    if now_ts - attempt.ts >= PATIENCE_MS:
        text = (
            f"{attempt.txn_id!r} was answered with {attempt.status} and never "
            "repeated; repeat it until it is accepted"
        )
        yield Remark("no_retry", text)


def _pauses(txn_id: str, pauses: Sequence[int]) -> Iterator[Remark]:
    shown = ", ".join(f"{pause / 1000:.1f}" for pause in pauses[:10])
    if min(pauses) < _TOO_SOON_MS:
        text = f"{txn_id!r} was repeated without a pause (seconds: {shown}); wait first"
        yield Remark("retry_without_pause", text)
    elif len(pauses) > 2 and pauses[-1] <= pauses[0]:
        text = (
            f"{txn_id!r} was repeated without a back-off (seconds: {shown}); let the "
            "pauses grow"
        )
        yield Remark("retry_without_back_off", text)
