"""Who we are at this moment, and the TLS of both directions that shows it.

Rules: signing keys and certificate are taken up together, so that no key
document names a certificate that is not presented. Who uses them asks for them anew
each time.
"""

from pathlib import Path

from OpenSSL import SSL

from homeserver.app.discovery import build_client_tls
from homeserver.config import reader
from homeserver.config.values import Config, ConfigError
from homeserver.identity import identity as identities
from homeserver.identity.identity import Identity
from homeserver.net.tls.server import ServerTls


class Credentials:
    """The identity that is used, until it is replaced."""

    def __init__(self, path: Path, config: Config, identity: Identity) -> None:
        """`path` is that of the configuration. Raises `ConfigError`."""
        self._path = path
        self._config = config
        self._identity = identity
        self._client_tls = build_client_tls(path, config, identity.certificate)
        self.server_tls = ServerTls(
            identity.certificate,
            asks_for_certificate=config.tls.client_certificates != "ignore",
        )

    def identity(self) -> Identity:
        """What we are called, and what we sign with."""
        return self._identity

    def client_context(self) -> SSL.Context:
        """For the next connection that we make."""
        return self._client_tls.context()

    def reload(self) -> None:
        """Take up the signing keys and the certificate that are configured now.

        Raises `ConfigError` where they are of no use; then the present ones stay.
        """
        identity = identities.load(self._path, reader.load(self._path))
        if identity.server_name != self._identity.server_name:
            raise ConfigError(self._path, ["another name needs another process"])
        client_tls = build_client_tls(self._path, self._config, identity.certificate)
        self.server_tls.renew(identity.certificate)
        self._client_tls = client_tls
        self._identity = identity
