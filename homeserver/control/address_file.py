"""The file that tells the commands at which address the control API listens.

Rules: it is written only where the configured port is 0, which is any free one, and it
goes with the daemon. It lies beside the file of the token, which the commands need as
well, and has its name with `.address` at the end: `control.address`.
"""

from contextlib import suppress
from pathlib import Path

from homeserver.net.addresses import SocketAddress


def path_of(token_file: Path) -> Path:
    """The file beside that of the token."""
    return token_file.with_suffix(".address")


def find(configured: SocketAddress, token_file: Path) -> SocketAddress:
    """Where the daemon listens whose configuration says `configured`.

    Raises `FileNotFoundError` if that is any free port and no daemon runs, and
    `ValueError` for a file that has no address in it.
    """
    if configured.port != 0:
        return configured
    file = path_of(token_file)
    try:
        return SocketAddress.parse(file.read_text("ascii").strip())
    except ValueError as problem:
        raise ValueError(f"{file}: {problem}") from None


def publish(
    configured: SocketAddress, token_file: Path, listening: SocketAddress
) -> None:
    """Tell where the daemon listens, if its configuration does not; `OSError`."""
    if configured.port == 0:
        path_of(token_file).write_text(f"{listening}\n", "ascii")


def remove(configured: SocketAddress, token_file: Path) -> None:
    """Remove the file that `publish` has written, if it has."""
    if configured.port == 0:
        with suppress(OSError):
            path_of(token_file).unlink()
