"""The daemon of a command: that of a configuration, or one at a URL.

Rules: a mistake in the options that name the daemon ends the command with 2, as one
that the daemon finds in the request (400); a daemon that does not answer, or refuses,
ends it with 1. An option on the command line wins over the environment.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import wraps
from pathlib import Path
from typing import Any

import click
from msgspec import Struct

from homeserver.cli.options import config_option, fail, json_option, load, parsed
from homeserver.control.client import (
    MAX_WAIT_SECONDS,
    ControlClient,
    ControlError,
    parse_token,
)
from homeserver.net.interruptions import ending
from homeserver.protocol.identifiers import ServerName

_TOKEN_VARIABLE = "HOMESERVER_LAB_TOKEN"  # noqa: S105 - its name

_PAGE_SECONDS = 60.0  # a page about a large room takes some


class Daemon(Struct, frozen=True):
    """The daemon, and the server in it."""

    path: Path
    """Of the configuration, where no URL is given."""

    url: str | None
    token_file: Path | None
    server: ServerName | None

    @property
    def chosen(self) -> str:
        """The options that name it, as typed on the command line."""
        words = ["--lab", self.url] if self.url else ["-c", str(self.path)]
        if self.url and self.token_file is not None:
            words += ["--token-file", str(self.token_file)]
        if self.server is not None:
            words += ["--server", self.server.name]
        return " ".join(words)

    def client(self, *, needs_token: bool = True) -> ControlClient:
        """A client of the daemon; ends the command if there is none."""
        try:
            return self.find(needs_token=needs_token)
        except ControlError as problem:
            fail(2, str(problem))

    def find(self, *, needs_token: bool = True) -> ControlClient:
        """A client of the daemon; raises `ControlError` if the configuration has none.

        A mistake in the options that name the daemon ends the command.
        """
        server = None if self.server is None else self.server.name
        if self.url is None:
            config = load(self.path, reads_files=needs_token)
            return ControlClient.of_config(
                self.path, config, server, needs_token=needs_token
            )
        try:
            token, source = self._token(needs_token=needs_token)
            return ControlClient.at_url(self.url, token, source, server)
        except ValueError as problem:
            fail(2, str(problem))

    def _token(self, *, needs_token: bool) -> tuple[str | None, str]:
        """The token, and where it comes from; raises `ValueError`."""
        if not needs_token:
            return None, ""
        if self.token_file is None:
            token = os.environb.get(_TOKEN_VARIABLE.encode())
            if token is None:
                fail(2, f"--lab needs --token-file FILE or {_TOKEN_VARIABLE}")
            return parse_token(token, _TOKEN_VARIABLE), _TOKEN_VARIABLE
        source = str(self.token_file)
        try:
            return parse_token(self.token_file.read_bytes(), source), source
        except OSError as problem:
            fail(2, f"{self.token_file} cannot be read: {problem.strerror}")

    def print_list(
        self,
        steps: Sequence[str],
        member: str,
        show: Callable[[Any], str],
        *,
        follow: bool,
        after: int = 0,
        **arguments: object,
    ) -> None:
        """Print the entries of a list, oldest first.

        With `follow`, it waits for more until it is interrupted.
        """
        client = self.client()
        wait = MAX_WAIT_SECONDS if follow else 0
        limit = MAX_WAIT_SECONDS + _PAGE_SECONDS
        with ending(0) if follow else nullcontext():
            while True:
                page: Any = client.get(
                    "v1", *steps, timeout=limit, after=after, wait=wait, **arguments
                )
                for each in page[member]:
                    print(show(each), flush=True)
                if page["next"] == after and not follow:
                    return
                after = page["next"]

    def items(
        self, steps: Sequence[str], member: str, **arguments: object
    ) -> Iterator[Any]:
        """The items of a list that has an end, page by page."""
        client, after = self.client(), ""
        while after is not None:
            page: Any = client.get(
                "v1", *steps, timeout=_PAGE_SECONDS, after=after, **arguments
            )
            yield from page[member]
            after = page["next"]


def asking_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of a command that asks a daemon and prints text or JSON."""
    return daemon_options(json_option(command))


def daemon_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that name the daemon, and a server in it."""
    option = click.option(
        "--server",
        metavar="NAME",
        callback=parsed(ServerName.parse),
        help="Which of the daemon's servers is meant, where it has several.  "
        "[default: all for what is listed, else the first]",
    )
    return whole_daemon_options(option(command))


def whole_daemon_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that name the daemon; the command gets a `Daemon`."""

    @wraps(command)
    def with_daemon(
        *,
        path: Path,
        lab: str | None,
        token_file: Path | None,
        server: ServerName | None = None,
        **options: object,
    ) -> None:
        given = click.get_current_context().get_parameter_source
        if lab is not None and given("path") is click.core.ParameterSource.COMMANDLINE:
            if given("lab") is click.core.ParameterSource.COMMANDLINE:
                fail(2, "-c and --lab name two daemons; give one of them")
            lab = None
        try:
            command(daemon=Daemon(path, lab, token_file, server), **options)
        except ControlError as problem:
            # What the daemon cannot read is a mistake of the caller.
            fail(2 if problem.status == 400 else 1, str(problem))

    options = [
        config_option,
        click.option(
            "--lab",
            envvar="HOMESERVER_LAB",
            show_envvar=True,
            metavar="URL",
            help="The control API of a daemon, in place of FILE.",
        ),
        click.option(
            "--token-file",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Where the token for --lab is.  [env var: HOMESERVER_LAB_TOKEN has "
            "the token itself]",
        ),
    ]
    for option in reversed(options):
        with_daemon = option(with_daemon)
    return with_daemon
