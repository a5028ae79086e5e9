"""X: what a target still knows after it was restarted.

Rules: nothing else runs beside a restart.
"""

from homeserver.conformance.check import RESTART, TRUSTED_NAME, check, should
from homeserver.conformance.checks.transactions import put
from homeserver.conformance.events import message, unknown_room
from homeserver.conformance.outcome import NoAnswer, NotTestable, Outcome, expect
from homeserver.conformance.setup import SetupFailed
from homeserver.conformance.target import Target

_BACK_MS = 60_000  # until the target answers again, after the command has ended


@check(
    "X27",
    should,
    "Server-server API, Transactions",
    needs=[TRUSTED_NAME, RESTART],
    is_alone=True,
    seconds=300.0,
)
async def again_after_restart(t: Target) -> Outcome:
    """A transaction is given the same reply again after the target was restarted."""
    ours, txn_id = t.server(), t.fresh("t")
    room_id = unknown_room(ours, t.fresh("room"))
    content = t.transaction(ours, [message(ours, room_id)])
    first = await put(t, ours, content, txn_id)
    await _restart(t)
    second = await put(t, ours, content, txn_id)
    return expect(
        first.is_ok and second.is_ok and first.json == second.json,
        f"first {first}, after the restart {second}",
        "the same reply" if first.json == second.json else "another reply",
    )


async def _restart(t: Target) -> None:
    """Restart the target, and wait until it answers; raises `NotTestable`."""
    if t.facts.setup is None:
        raise NotTestable("use --setup, which restarts it")
    try:
        await t.facts.setup.make("restart")
    except SetupFailed as problem:
        raise NotTestable(f"--setup: {problem}") from None
    end = t.now_ts + _BACK_MS
    while True:
        try:
            await t.plain("GET", "/_matrix/key/v2/server")
        except NoAnswer:
            if t.now_ts >= end:
                raise
            await t.wait_until(t.now_ts + 500)
        else:
            return
