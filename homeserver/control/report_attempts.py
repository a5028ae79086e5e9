"""The transactions of another server in their order: how it repeats what failed.

Rules: as in `reports`.
"""

from collections.abc import Iterator, Sequence

from homeserver.control.peer_views import AttemptView, CheckView
from homeserver.protocol.diagnosis.retries import (
    PATIENCE_MS,
    Attempt,
    remarks_on_retries,
    unrepeated,
)
from homeserver.storage.behaviour import Behaviour
from homeserver.storage.refusals import RecordedRefusal

_SEND = "/_matrix/federation/v1/send/"


def retry_checks(attempts: Sequence[Attempt], now_ts: int) -> Iterator[CheckView]:
    """Whether what failed for now is repeated as it should be."""
    if not any(each.has_failed_for_now for each in attempts):
        return
    remarks = list(remarks_on_retries(attempts, now_ts))
    for code in dict.fromkeys(each.code for each in remarks):
        those = [each for each in remarks if each.code == code]
        yield CheckView(code, "failed", those[0].text, len(those))
    open_ones = unrepeated(attempts)
    if open_ones and not remarks:
        text = (
            f"{open_ones[0].txn_id!r} was answered with {open_ones[0].status} and is "
            f"not repeated yet; it is waited for {PATIENCE_MS // 1000} s"
        )
        yield CheckView("retries", "remarked", text, len(open_ones))
    elif not remarks:
        text = "what failed for now was repeated as it should be"
        yield CheckView("retries", "passed", text)


def attempts_of(
    behaviour: Behaviour, refused: Sequence[RecordedRefusal]
) -> list[Attempt]:
    """The transactions of a server, accepted or not, in their order."""
    accepted = [
        Attempt(each.received_ts, each.txn_id, 200, each.content)
        for each in behaviour.arrivals
    ]
    failed = [
        Attempt(
            each.refused_ts, _txn_id(each.path), each.status, each.content, each.seconds
        )
        for each in refused
        if each.path.startswith(_SEND)
    ]
    return sorted([*accepted, *failed], key=lambda each: each.ts)


def _txn_id(path: str) -> str:
    return path.removeprefix(_SEND).partition("?")[0].rstrip("/")


def time_line(attempts: Sequence[Attempt]) -> list[AttemptView]:
    """Each attempt with its pause, and whether it has the content of the one before."""
    lines: list[AttemptView] = []
    last: dict[str, Attempt] = {}
    for each in attempts:
        before = last.get(each.txn_id)
        same: bool | None = None
        if before is not None and None not in {before.content, each.content}:
            same = before.content == each.content
        pause = None if before is None else each.pause_after(before) / 1000
        lines.append(AttemptView(each.ts, each.txn_id, each.status, pause, same))
        last[each.txn_id] = each
    return lines
