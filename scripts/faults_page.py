"""The page about the faults of rules, made from their descriptions in the code."""

from pathlib import Path

from homeserver.lab.faults.fault import Fault
from homeserver.lab.faults.registry import FAULTS

PAGE = Path(__file__).parent.parent / "docs" / "faults.md"

_HEAD = """\
# Faults

A rule of a lab makes a server answer wrongly; see [testing.md](testing.md). Its `do`
has these by their names, each with its argument. A fault of `dns` acts on questions to
the lab's name server, and on the look-ups of its own servers (`"direction": "out"`).
One of `connection` or `tls` acts on connections that come in while the rule is in
force, so a client that keeps a connection meets it with the next one. A fault of
`keys`, `notary`, `well-known`, `federation` or `policy` acts on requests of that kind
alone, and so does one of an answer about rooms: `template` (the event that a server
proposes for a join, a knock or a leave), `send-join`, `missing` (the events between
others), `backfill`, `state`, `state-ids`, `event`, `event-auth` and `invite`. Only
exchanges on which a fault of the rule can act count as matched.

What is in `vary` is legal, and unusual: whatever fails on it is wrong. It acts on the
answers of a server (`"direction": "in"`) and on the requests that it sends (`"out"`).
`tls.client-certificate` acts on the connections that a server makes; each of them goes
on showing what it has shown.

Events and requests that a server of the lab makes wrong need no rule: what they are,
and what a right server does about each, is in
[testing.md](testing.md#events-that-are-wrong-on-purpose).

This page is made by `scripts/faults_page`; change the code, not the page.

| fault | argument | what the other side gets | a right server |
|---|---|---|---|
"""

_TAIL = """
## How to write a fault

Add a `Fault` to the file of its family in `homeserver/lab/faults/`: a sentence about
the answer, one about what a right server does, the check of its argument, and a
coroutine `act(argument, go_on, case)`. `await go_on()` is the answer of the next fault,
or of the server; a fault that does not call it lets no work be done. `case` has the
request, the clock and the keys of the lab's servers. `routes` has the beginnings of the
templates that it acts on. What forges events for an answer about a room is in
`forger.py`. For a fault of `dns`, `case` has the question, and the answer
is a `Reply` of the name server, or None for silence. A fault of `connection` or `tls`
is a function `act(argument, plan)` that writes into the plan of a connection, which
`lab/front` follows. What `vary` does to a request is a function in `departing.py`. A
new family is a file with a mapping that `registry.py` includes, in the order in which
they act. Then run `scripts/faults_page`.
"""


def build_page() -> str:
    """The whole page."""
    return _HEAD + "".join(_row(*each) for each in FAULTS.items()) + _TAIL


def _row(name: str, fault: Fault[object]) -> str:
    return f"| `{name}` | {fault.argument} | {fault.summary} | {fault.right} |\n"


if __name__ == "__main__":
    PAGE.write_text(build_page(), "utf-8")
    print(PAGE)
