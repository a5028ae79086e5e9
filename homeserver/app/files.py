"""The files that a configuration names, checked together.

Rules: each is read again by the part that uses it; here all mistakes are found at once,
so that an operator mends them in one go.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from homeserver.config.values import Config, ConfigError
from homeserver.control.client import load_token
from homeserver.identity import identity
from homeserver.identity.identity import Identity
from homeserver.net.tls.client import ClientTls
from homeserver.protocol.identifiers import ServerName


def load_files(path: Path, config: Config) -> Mapping[ServerName, Identity]:
    """The identities of all servers.

    Raises `ConfigError` with every mistake in the files of the configuration at `path`:
    keys, certificates, trusted authorities, and the token.
    """
    problems: list[str] = []
    identities: Mapping[ServerName, Identity] = {}
    try:
        identities = identity.load_all(path, config)
    except ConfigError as problem:
        problems += problem.problems
    ca_file, control = config.verification.ca_file, config.control
    if ca_file is not None:
        check = partial(ClientTls, ca_file, system_roots=False)
        problems += _mistakes("verification.ca_file: ", check)
    if control.listen is not None:
        problems += _mistakes("", partial(load_token, control.token_file))
    if problems:
        raise ConfigError(path, problems)
    return identities


def _mistakes(where: str, check: Callable[[], object]) -> list[str]:
    try:
        check()
    except ValueError as problem:
        return [f"{where}{problem}"]
    return []
