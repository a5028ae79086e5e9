"""A group of commands, with what is said where one is used wrongly.

Rules: as in `main`.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import click
from click.exceptions import NoArgsIsHelpError

from homeserver.cli.options import fail
from homeserver.protocol.shapes import did_you_mean


class Group(click.Group):
    """Commands; a mistake in their use is a line."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As `click.Group`."""
        with _misuse_in_one_line(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """As `click.Group`."""
        with _misuse_in_one_line(ctx):
            return super().invoke(ctx)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As `click.Group`, with one wording for all groups."""
        known = self.list_commands(ctx)
        name = args[0]
        if not name.startswith("-") and name not in known and not ctx.resilient_parsing:
            meant = did_you_mean(name, known) or f"; see {ctx.command_path} --help"
            fail(2, f"no command is called {name!r}{meant}")
        return super().resolve_command(ctx, args)


@contextmanager
def _misuse_in_one_line(ctx: click.Context) -> Iterator[None]:
    """End the command with a line where it, or a command in it, was used wrongly.

    A group of commands without arguments still shows its help.
    """
    try:
        yield
    except NoArgsIsHelpError:
        raise
    except click.UsageError as problem:
        text = " ".join(problem.format_message().split()).rstrip(".")
        text = text[:1].lower() + text[1:]
        text = re.sub(
            r"\. \(?Did (you mean) (one of: )?([^?]*\?)\)?", r"; did \1 \3", text
        )
        path = (problem.ctx or ctx).command_path
        if problem.ctx is None and ctx.invoked_subcommand is not None:
            path += f" {ctx.invoked_subcommand}"  # whose parser has no context
        fail(2, text if text.endswith("?") else f"{text}; see {path} --help")
