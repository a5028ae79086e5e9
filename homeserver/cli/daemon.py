"""The daemon of a command: that of a configuration, or one at a URL.

Rules: a mistake in the options that name the daemon ends the command with 2. An option
on the command line wins over the environment.
"""

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path

import click
from msgspec import Struct

from homeserver.cli.options import config_option, fail, load, parsed
from homeserver.control.client import ControlClient, ControlError, load_token
from homeserver.protocol.identifiers import ServerName

_TOKEN_VARIABLE = "HOMESERVER_LAB_TOKEN"  # noqa: S105 - its name


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
        """The token, and where it comes from."""
        if not needs_token:
            return None, ""
        if self.token_file is None:
            token = os.environ.get(_TOKEN_VARIABLE)
            if token is None:
                fail(2, f"--lab needs --token-file FILE or {_TOKEN_VARIABLE}")
            return token, _TOKEN_VARIABLE
        try:
            return load_token(self.token_file), str(self.token_file)
        except OSError as problem:
            fail(2, f"{self.token_file} cannot be read: {problem.strerror}")


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
        command(daemon=Daemon(path, lab, token_file, server), **options)

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
