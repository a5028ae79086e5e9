"""The servers that are measured, as real processes.

Rules: all run at the same time. A yardstick that is not installed is left out.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from http.client import HTTPSConnection
from pathlib import Path

from scripts.benchmarks.load import Server
from scripts.benchmarks.ours import (
    BEFORE,
    ONCE_MORE,
    SAME,
    running_before,
    running_ours,
)
from scripts.benchmarks.setting import UNVERIFIED, Setting
from scripts.benchmarks.table import OURS
from scripts.benchmarks.yardsticks import YARDSTICKS
from scripts.processes import LOOPBACK


def start_all(
    setting: Setting,
    without: Sequence[str],
    before: Path | None,
    stack: ExitStack,
    *,
    has_same: bool = False,
) -> dict[str, Server]:
    """Start ours and every yardstick that is installed: {name: server}.

    Those named in `without` are left out. `before` is the tree of `BEFORE`; None
    leaves it out. `SAME` is there only if asked for.
    """
    ours = stack.enter_context(running_ours(setting.endpoint))
    servers = {OURS: ours}
    folder = setting.endpoint.folder
    client = HTTPSConnection(LOOPBACK, setting.endpoint.port, context=UNVERIFIED)
    client.request("GET", "/_matrix/key/v1")
    (folder / "v1.json").write_bytes(client.getresponse().read())
    client.close()
    if before is not None:
        servers[BEFORE] = stack.enter_context(running_before(setting, before))
    for name, run in {**ONCE_MORE, **YARDSTICKS}.items():
        if name in without or (name == SAME and not has_same):
            continue
        try:
            servers[name] = stack.enter_context(run(setting))
        except FileNotFoundError:
            print(f"{name} is not installed and left out")
    return servers
