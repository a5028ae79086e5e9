"""A group of commands, with what is said where one is used wrongly.

Rules: as in `main`.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from click.exceptions import NoArgsIsHelpError
from click.shell_completion import CompletionItem

from homeserver.cli.options import fail
from homeserver.protocol.errors import quote
from homeserver.protocol.shapes import did_you_mean


class _Text(click.types.StringParamType):
    """Text in UTF-8; names of files, which may be any bytes, have other types."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        """As `click.STRING`, which takes bytes that are no text as half characters."""
        text = super().convert(value, param, ctx)
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            shown = quote(text.encode("utf-8", "surrogateescape"))
            self.fail(f"{shown} is not text in UTF-8", param, ctx)
        if not text and isinstance(param, click.Argument):
            self.fail("it is empty", param, ctx)
        return text


_TEXT = _Text()


class _FileName(click.ParamType[Any]):
    """The name of a file or a folder; an empty one would be the current folder."""

    def __init__(self, kind: click.ParamType[Any]) -> None:
        self._kind = kind
        self.name = kind.name

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        """As the type itself."""
        if value == "":
            self.fail("the name is empty", param, ctx)
        return self._kind.convert(value, param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """As the type itself."""
        return self._kind.shell_complete(ctx, param, incomplete)


class Group(click.Group):
    """Commands; a mistake in their use is a line."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """As `click.Group`."""
        command = super().get_command(ctx, cmd_name)
        return None if command is None else with_types(command)

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


def with_types(command: click.Command) -> click.Command:
    """The command, whose options and arguments have the types of this module."""
    for each in command.params:
        if each.type is click.STRING:
            each.type = _TEXT
        elif isinstance(each.type, (click.Path, click.File)):
            each.type = _FileName(each.type)
    return command


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
        text = re.sub(r"a valid integer( range)?", "a whole number", text)
        text = re.sub(r"a valid float( range)?", "a number", text)
        text = re.sub(r"in the range (\S+)<=x<=(\S+)", r"from \1 to \2", text)
        text = re.sub(r"in the range x>=(\S+)", r"\1 or more", text)
        text = re.sub(
            r"\. \(?Did (you mean) (one of: )?([^?]*\?)\)?", r"; did \1 \3", text
        )
        path = (problem.ctx or ctx).command_path
        if problem.ctx is None and ctx.invoked_subcommand is not None:
            path += f" {ctx.invoked_subcommand}"  # whose parser has no context
        fail(2, text if text.endswith("?") else f"{text}; see {path} --help")
