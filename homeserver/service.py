"""The bill of materials: puts the parts together, starts them and stops them.

Rules of the room: every part is made here, once, and is given what it needs. Read
`Endpoint.__init__` and you know the program.
"""

from functools import partial
from pathlib import Path
from random import Random

from twisted.internet import task
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.posixbase import PosixReactorBase
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool

from homeserver import config_file
from homeserver import identity as identities
from homeserver.addresses import SocketAddress
from homeserver.config import Config, ConfigError
from homeserver.control import api
from homeserver.control.access import Guard
from homeserver.control.inspection import describe_keys, describe_resolution
from homeserver.control.peers import PeerBook
from homeserver.control.sending import Submitter
from homeserver.identity import Identity
from homeserver.inbound import federation
from homeserver.inbound.authentication import Authenticator
from homeserver.inbound.client_certificates import ClientCertificates
from homeserver.inbound.federation import Gate
from homeserver.inbound.judge import Judge
from homeserver.inbound.keys import KeyPublisher, NotaryQueries, key_tree
from homeserver.inbound.listener import BoundedTls, ServerTls
from homeserver.inbound.notary import Notary
from homeserver.inbound.receiver import Receiver
from homeserver.inbound.refusals import Refusals
from homeserver.inbound.resource import JsonResource
from homeserver.inbound.site import BoundedSite
from homeserver.keyring import Keyring
from homeserver.outbound.agent import FederationAgent
from homeserver.outbound.client import FederationClient
from homeserver.outbound.connector import Connector
from homeserver.outbound.dialer import Dialer
from homeserver.outbound.presence import PresenceAnswers
from homeserver.outbound.sender import Sender
from homeserver.outbound.verification import Verifier
from homeserver.protocol.canonical import Json
from homeserver.protocol.names import ServerName
from homeserver.reach import build_address_policy, build_context, build_discovery
from homeserver.storage.changes import Changes
from homeserver.storage.database import (
    SqliteDatabase,
    StoreTooNew,
    StoreUnavailable,
)
from homeserver.storage.documents import DocumentStore
from homeserver.storage.outbound import OutboundQueue
from homeserver.storage.peers import PeerStore
from homeserver.storage.received import ReceivedStore

# That verify signatures, which takes a core: there are requests to be read as well.
_THREADS = 4


class Endpoint:
    """One server name's endpoint: what runs."""

    _log = Logger()

    def __init__(
        self,
        path: Path,
        config: Config,
        identity: Identity,
        reactor: PosixReactorBase,
        random: Random,
    ) -> None:
        """`path` is that of the configuration. Raises `ConfigError`."""
        self._path = path
        self._config = config
        self._identity = identity
        self._reactor = reactor
        self._ports: list[IListeningPort] = []
        # Not the reactor's threads, which hanging look-ups of names may occupy.
        self._threads = ThreadPool(0, _THREADS, "verify")
        self._client_context = build_context(path, config, identity.certificate)
        self._database = self._open_database()

        def current() -> Identity:
            return self._identity

        received = ReceivedStore(self._database, Changes(reactor))
        peers = PeerStore(self._database, reactor)
        queue = OutboundQueue(self._database)
        lookups, resolver = build_discovery(path, config, reactor, random)
        dialer = Dialer(
            reactor,
            lookups.addresses,
            build_address_policy(config),
            lambda: self._client_context,
        )
        verifier = Verifier(config.verification.methods, peers, reactor)
        self._agent = FederationAgent(
            reactor, resolver, Connector(dialer, verifier, reactor)
        )
        self._client = FederationClient(self._agent, current, reactor)
        self._sender = Sender(
            config.server_name,
            queue,
            self._client,
            config.sending,
            reactor,
            random,
        )
        demand = config.tls.client_certificates
        certificates = ClientCertificates(
            demand,
            peers,
            self._client,
            (lambda: self._client_context)
            if "certificate" in config.verification.methods
            else None,
            reactor,
        )
        keyring = Keyring(current, peers, self._client, reactor)
        refusals = Refusals(reactor)
        presence = PresenceAnswers(config.server_name, config.profiles, self._sender)
        publisher = KeyPublisher(current, config.signing.key_validity_seconds, reactor)
        notary = Notary(
            current, publisher.v2, DocumentStore(self._database), keyring, reactor
        )
        self._server_tls = ServerTls(
            identity.certificate, asks_for_certificate=demand != "ignore"
        )
        self._site = self._build_site(
            federation.build_tree(
                key_tree(
                    publisher,
                    NotaryQueries(notary, reactor) if config.notary.enabled else None,
                ),
                Gate(Authenticator(current, keyring, certificates), refusals),
                Receiver(
                    received,
                    Judge(
                        received,
                        keyring,
                        reactor,
                        partial(deferToThreadPool, reactor, self._threads),
                    ),
                    presence.answer,
                    reactor,
                ),
                config.profiles,
                config.discovery.delegate_to,
            )
        )
        self._control_site: BoundedSite | None = None
        if config.control.listen is not None:
            routes = {
                "send": api.send_tree(Submitter(current, self._sender), self._sender),
                "received": api.received_resource(received),
                "refused": api.refused_resource(refusals),
                "peers": api.peer_tree(PeerBook(peers, queue, self._sender)),
                "resolve": api.named_tree(partial(describe_resolution, resolver)),
                "keys": api.named_tree(partial(describe_keys, self._client)),
            }
            guard = Guard(self._read_token())
            self._control_site = self._build_site(
                api.build_tree(guard, self._is_healthy, routes)
            )

    async def start(self) -> SocketAddress:
        """Accept connections and send what is owed; returns where others connect to.

        Raises `ConfigError` where a port cannot be had, and `StoreUnavailable`.
        """
        self._database.start()
        self._threads.start()
        tls = BoundedTls(
            self._server_tls, self._site, self._config.limits, self._reactor
        )
        listening = self._listen("listen", self._config.listen, tls)
        if self._control_site is not None and self._config.control.listen is not None:
            self._listen(
                "control.listen", self._config.control.listen, self._control_site
            )
        await self._sender.start()
        return listening

    async def stop(self) -> None:
        """Take nothing new, finish what is in flight within the configured time."""
        for port in self._ports:
            await maybeDeferred(port.stopListening)
        # Not cancelled when time is up: what is in flight may still be lucky while
        # the rest is closed, and what is not done stays owed.
        finishing = Deferred.fromCoroutine(self._finish())
        time_up: Deferred[None] = task.deferLater(
            self._reactor, self._config.shutdown_seconds
        )
        await DeferredList([finishing, time_up], fireOnOneCallback=True)
        if not finishing.called:
            self._log.warn("stopped with work in flight")
        self._threads.stop()
        await self._database.close()

    async def describe_keys(self, server_name: ServerName) -> Json:
        """What `inspection.describe_keys` says, of an endpoint that was not started."""
        self._database.start()
        try:
            return await describe_keys(self._client, server_name)
        finally:
            await self._agent.close()
            await self._database.close()

    def reload(self) -> None:
        """Take up the signing keys and the certificate that are configured now.

        Where they are of no use, this is logged and the present ones stay.
        """
        try:
            identity = identities.load(self._path, config_file.load(self._path))
            client_context = build_context(
                self._path, self._config, identity.certificate
            )
        except ConfigError as problem:
            self._log.error("nothing reloaded: {problem}", problem=problem)
            return
        if identity.server_name != self._identity.server_name:
            self._log.error("nothing reloaded: another name needs another process")
            return
        # All at once: a key document never names a certificate that is not presented.
        self._server_tls.renew(identity.certificate)
        self._client_context = client_context
        self._identity = identity
        self._log.info("signing keys and certificate reloaded")

    async def _finish(self) -> None:
        await self._site.drain()
        if self._control_site is not None:
            await self._control_site.drain()
        await self._sender.stop()
        await self._agent.close()

    async def _is_healthy(self) -> bool:
        try:
            await self._database.read(lambda cursor: cursor.execute("SELECT 1"))
        except StoreUnavailable:
            return False
        return bool(self._ports)

    def _listen(
        self,
        key: str,
        where: SocketAddress,
        factory: BoundedTls | BoundedSite,
    ) -> SocketAddress:
        try:
            port = self._reactor.listenTCP(where.port, factory, interface=where.host)
        except CannotListenError as problem:
            raise ConfigError(
                self._path, [f"{key}: {where}: {problem.socketError}"]
            ) from None
        self._ports.append(port)
        return SocketAddress(where.host, port.getHost().port)

    def _build_site(self, root: JsonResource) -> BoundedSite:
        limits = self._config.limits
        return BoundedSite(
            root, limits.max_body_bytes, limits.request_seconds, self._reactor
        )

    def _open_database(self) -> SqliteDatabase:
        location = self._config.storage.url.removeprefix("sqlite:")
        try:
            return SqliteDatabase(
                self._path.absolute().parent / location, self._reactor
            )
        except (StoreTooNew, StoreUnavailable) as problem:
            raise ConfigError(self._path, [f"storage.url: {problem}"]) from None

    def _read_token(self) -> str:
        path = self._config.control.token_file
        token = path.read_bytes().strip().decode("ascii", "replace")
        if not token.isascii() or not token:
            raise ConfigError(
                self._path, [f"control.token_file: {path} has no ASCII token in it"]
            )
        return token
