"""The command that prints the manual page, made of the commands' own help.

Rules: nothing is said here that `--help` does not say.

Reference: man(7), groff_man(7).
"""

import re
from collections.abc import Iterator

import click

from homeserver import __version__

_HEAD = r""".TH HOMESERVER 1 "" "homeserver {version}" "User Commands"
.SH NAME
homeserver \- {summary}
.SH SYNOPSIS
.B homeserver
.I COMMAND
.RI [ OPTION ]...
.SH DESCRIPTION
"""

_TAIL = """.SH EXIT STATUS
.TP
0
Success.
.TP
1
The operation has failed.
.TP
2
A mistake of the caller: an option, a file, the configuration.
"""


@click.command(short_help="Print the manual page.")
@click.pass_context
def man(context: click.Context) -> None:
    """Print the manual page of all commands.

    \b
    Example:
      homeserver man | man -l -
    """
    top = context.find_root()
    print("".join(_page(top)), end="")


def _page(top: click.Context) -> Iterator[str]:
    group = top.command
    assert isinstance(group, click.Group)  # noqa: S101 - `main` is one
    summary, _, rest = (group.help or "").partition("\n\n")
    yield _HEAD.format(version=_escape(__version__), summary=_line(summary))
    yield _paragraphs(rest)
    yield ".SH COMMANDS\n"
    for context in _commands(top):
        if not context.command.hidden:
            yield from _command(context)
    yield _TAIL


def _commands(parent: click.Context) -> Iterator[click.Context]:
    """The commands below one, each before those below it."""
    group = parent.command
    if not isinstance(group, click.Group):
        return
    for name in group.list_commands(parent):
        command = group.get_command(parent, name)
        if command is None:
            continue
        context = click.Context(command, info_name=name, parent=parent)
        yield context
        yield from _commands(context)


def _command(context: click.Context) -> Iterator[str]:
    yield f'.SS "{_escape(_usage(context))}"\n'
    yield _paragraphs(context.command.help or "")
    for parameter in context.command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None:
            name, text = record
            yield f".TP\n.B {_line(name)}\n{_line(text)}\n"


def _usage(context: click.Context) -> str:
    """A command with its arguments: `homeserver run [OPTIONS]`."""
    parts = context.command.collect_usage_pieces(context)
    return " ".join([context.command_path, *parts])


def _paragraphs(text: str) -> str:
    """The paragraphs of a help text; those after `\\b` keep their lines."""
    made = []
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        if paragraph.startswith("\b"):
            lines = paragraph.removeprefix("\b").strip("\n").split("\n")
            kept = "\n".join(_escape(line) for line in lines)
            made.append(f".PP\n.nf\n{kept}\n.fi\n")
        elif paragraph:
            made.append(f".PP\n{_line(paragraph)}\n")
    return "".join(made)


def _line(text: str) -> str:
    return _escape(" ".join(text.split()))


def _escape(text: str) -> str:
    """A text without what roff reads as a request or an escape."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-").replace('"', r"\(dq")
    return rf"\&{escaped}" if escaped.startswith((".", "'")) else escaped
