"""What `scripts/bench` runs: servers, rounds, one table.

This server runs with its defaults and its durable store. The first row
calibrates: what libsodium takes for one signature on this machine. Compare ratios
between machines, and times only within one run.
"""

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from homeserver.protocol.identifiers import ServerName
from scripts.benchmarks import alone, large_rooms, large_store, ours, page, rooms, rows
from scripts.benchmarks.outbound import Outbound
from scripts.benchmarks.servers import start_all
from scripts.benchmarks.setting import NAME, make, running_others
from scripts.benchmarks.table import OURS, Row, head, measure, render
from scripts.benchmarks.transactions import TransactionMaker
from scripts.processes import ProcessError

_OTHERS = 100  # servers that are sent to
_ORIGINS = 32  # of them, that send


class _Command(click.Command):
    """A mistake in its options is told in one line."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As `click.Command`."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as problem:
            why = problem.format_message()
            print(f"scripts/bench: {why} See scripts/bench --help", file=sys.stderr)
            sys.exit(2)


@click.command(cls=_Command)
@click.option("--rounds", default=5, show_default=True, help="Of each row.")
@click.option("--scale", default=1.0, show_default=True, help="Of each round.")
@click.option("--only", multiple=True, help="Rows whose name has this in it.")
@click.option("--without", multiple=True, help="A yardstick to leave out.")
@click.option(
    "--before",
    type=click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path),
    help="Another tree of this server, to measure beside this one.",
)
@click.option(
    "--same", is_flag=True, help="Measure this server twice: what differs is noise."
)
@click.option("--parse-only", is_flag=True, hidden=True)
def main(  # noqa: PLR0913 - its options
    rounds: int,
    scale: float,
    only: tuple[str, ...],
    without: tuple[str, ...],
    before: Path | None,
    *,
    same: bool,
    parse_only: bool,
) -> None:
    """Measure, and print one table.

    Example: scripts/bench --rounds 3 --only PUT --without synapse
    """
    if parse_only:
        return  # before the yardsticks are installed

    def show(measured: list[Row]) -> None:
        chosen = [r for r in measured if not only or any(o in r.what for o in only)]
        for row, samples in measure(chosen, rounds):
            print(render(row, samples), flush=True)

    alone_rows = [
        alone.verifications(),
        alone.resolutions(),
        alone.recordings(),
        rooms.creations(),
        *rooms.state_resolutions(),
    ]
    with ExitStack() as stack, _told():
        alone_rows += page.scrolling(stack)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        if shutil.which("wrk") is None:
            print("wrk is not installed: no server is measured")
            print(head())
            show(alone_rows)
            return
        setting = make(folder, _OTHERS)
        known_room = large_rooms.make_known(setting.endpoint, setting.others[:_ORIGINS])
        others = stack.enter_context(running_others(setting))
        running = start_all(setting, without, before, stack, has_same=same)
        maker = TransactionMaker(
            setting.others[:_ORIGINS],
            ServerName.parse(NAME),
            time.time_ns() // 1_000_000,
        )
        print(head())
        show(alone_rows)
        show(rows.starts(setting.other, running))
        show(rows.gets(folder, running, scale))
        show(rows.handshakes(running, scale))
        rows.introduce(folder, running, maker, _ORIGINS)
        if ours.LARGE in running:
            large_store.fill(ours.large_store(setting))
        show(rows.puts(folder, running, maker, known_room, scale))
        outbound = Outbound(setting, running[OURS].pid, others.pid)
        show(rows.sends(outbound, _OTHERS, scale))
        show(rows.ends(running))
        show(large_rooms.LargeJoins(folder, setting.others).rows())


@contextmanager
def _told() -> Iterator[None]:
    """Report a server that could not be measured in one line."""
    try:
        yield
    except ProcessError as problem:
        raise click.ClickException(str(problem)) from None


if __name__ == "__main__":
    main()
