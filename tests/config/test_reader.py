"""What each key of `homeserver.toml` may be, and is where it is left out.

Rules: a key has the value that it is given, and all others keep their default; the
sample has every key, and the defaults as they are.
"""

import re
from functools import reduce
from pathlib import Path

import msgspec
import pytest

from homeserver.config import reader
from homeserver.config.values import (
    Config,
    Limits,
    OldKey,
    ProcessConfig,
    Profile,
    ServerConfig,
)
from homeserver.net.addresses import AddressRange, SocketAddress
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import ServerName
from tests.support.config_files import DEFAULTS, load, write


def setting(loaded: Config, key: str) -> object:
    """The value of a key, given as in `tls.certificate`."""
    is_own = key.partition(".")[0] in OWN_KEYS or key == "discovery.delegate_to"
    return reduce(getattr, key.split("."), loaded.first if is_own else loaded)


OWN_KEYS = {"listen", "tls", "signing", "profiles"}
"""Those at the top that belong to the server."""

# (key, what is written, what is read; a path is relative to the file's folder)
VALUES: list[tuple[str, str, object]] = [
    ("listen", '"[::]:8449"', SocketAddress("::", 8449)),
    ("shutdown_seconds", "0.5", 0.5),
    ("shutdown_seconds", "5", 5.0),
    ("tls.certificate", '"extra/chain.pem"', Path("extra/chain.pem")),
    ("tls.private_key", '"extra/../tls.key"', Path("extra/../tls.key")),
    ("tls.present_client_certificate", "false", False),
    ("tls.client_certificates", '"ignore"', "ignore"),
    ("tls.client_certificates", '"if-presented"', "if-presented"),
    ("tls.client_certificates", '"required"', "required"),
    ("signing.key", '"extra/chain.pem"', Path("extra/chain.pem")),
    (
        "signing.old_keys",
        '[{id = "ed25519:a_0", key = "Zm9v", expired_ts = 1}]',
        (OldKey("ed25519:a_0", "Zm9v", 1),),
    ),
    ("signing.key_validity_seconds", "7200", 7200),
    ("verification.methods", '["key-document"]', ("key-document",)),
    (
        "verification.methods",
        '["key-document", "certificate"]',
        ("key-document", "certificate"),
    ),
    ("verification.ca_file", '"extra/chain.pem"', Path("extra/chain.pem")),
    ("verification.ca_file", '""', None),
    ("verification.system_roots", "false", False),
    ("discovery.well_known", "false", False),
    ("discovery.srv_services", '["_matrix._tcp"]', ("_matrix._tcp",)),
    ("discovery.srv_services", "[]", ()),
    (
        "discovery.delegate_to",
        '"m.own.example:443"',
        ServerName.parse("m.own.example:443"),
    ),
    ("discovery.delegate_to", '""', None),
    ("dns.servers", "[]", ()),
    (
        "dns.servers",
        '["127.0.0.1:5353", "[::1]:53"]',
        (SocketAddress("127.0.0.1", 5353), SocketAddress("::1", 53)),
    ),
    ("network.refuse", "[]", ()),
    ("network.refuse", '["10.0.0.0/8"]', (AddressRange.parse("10.0.0.0/8"),)),
    (
        "network.allow",
        '["127.0.0.1", "fc00::/7"]',
        (AddressRange.parse("127.0.0.1/32"), AddressRange.parse("fc00::/7")),
    ),
    ("storage.url", '"sqlite:/var/lib/h.db"', "sqlite:/var/lib/h.db"),
    ("storage.url", '"postgresql://u@h/d"', "postgresql://u@h/d"),
    ("sending.first_retry_seconds", "0.1", 0.1),
    ("sending.max_retry_seconds", "2", 2.0),
    ("limits.max_body_bytes", "1", 1),
    ("limits.max_connections", "1", 1),
    ("limits.max_connections_per_address", "1", 1),
    ("limits.request_seconds", "0.1", 0.1),
    ("limits.max_arriving_megabytes", "1", 1),
    (
        "limits.trusted_clients",
        '["127.0.0.0/8", "::1"]',
        (AddressRange.parse("127.0.0.0/8"), AddressRange.parse("::1/128")),
    ),
    ("events.default_room_version", '"3"', ROOM_VERSIONS["3"]),
    ("events.unsigned_2014", "false", False),
    ("notary.enabled", "false", False),
    ("control.listen", '"[::1]:1"', SocketAddress("::1", 1)),
    ("control.listen", '""', None),
    ("control.token_file", '"extra/chain.pem"', Path("extra/chain.pem")),
    ("control.hosts", '["lab", "a_b.internal"]', ("lab", "a_b.internal")),
    ("control.max_connections", "1", 1),
    ("retention.received_days", "0.5", 0.5),
    ("retention.sent_days", "365", 365.0),
    ("retention.max_megabytes", "1", 1),
    ("log.level", '"debug"', "debug"),
    ("log.level", '"info"', "info"),
    ("log.level", '"warn"', "warn"),
    ("log.level", '"error"', "error"),
    ("log.format", '"text"', "text"),
    ("log.format", '"json"', "json"),
    ("lab.rules", "true", True),
    ("run.workers", "2", 2),
    (
        "profiles",
        '{"@a:own.example" = {displayname = "A", avatar_url = "mxc://own.example/a"}}',
        {"@a:own.example": Profile("A", "mxc://own.example/a")},
    ),
    ("profiles", '{"@a:own.example" = {}}', {"@a:own.example": Profile(None, None)}),
]


def keys_of(kind: type[msgspec.Struct], prefix: str = "") -> set[str]:
    """The keys of a table and of those in it."""
    found: set[str] = set()
    for field in msgspec.structs.fields(kind):
        if isinstance(field.default, msgspec.Struct):
            found |= keys_of(type(field.default), f"{prefix}{field.name}.")
        else:
            found.add(prefix + field.name)
    return found


def test_the_tables_are_complete() -> None:
    """No key is without a line in the tables of defaults and values."""
    keys = keys_of(ServerConfig) | keys_of(ProcessConfig)
    keys -= {"server_name"}
    assert keys == DEFAULTS.keys()
    assert keys == {key for key, _, _ in VALUES}


SAMPLE = Path(__file__).parent.parent.parent / "conf" / "homeserver.toml"


def test_the_sample_has_the_defaults(folder: Path) -> None:
    """What the sample sets is what holds where it is left out."""
    path = folder / "homeserver.toml"
    path.write_text(SAMPLE.read_text("utf-8"), "utf-8")
    sample = reader.load(path)
    own = load(folder, "")
    server = msgspec.structs.replace(own.first, server_name=sample.first.server_name)
    assert sample == msgspec.structs.replace(own, servers=(server,))


def test_the_sample_has_every_key() -> None:
    """Each key stands in its table of the sample, set or in a comment."""
    found, table = set[str](), ""
    for line in SAMPLE.read_text("utf-8").splitlines():
        if match := re.match(r"\[(\w+)\]", line):
            table = f"{match[1]}."
            found.add(match[1])
        elif match := re.match(r"(?:# )?(\w+) = ", line):
            found.add(table + match[1])
    assert keys_of(ServerConfig) | keys_of(ProcessConfig) <= found


def resolved(folder: Path, value: object) -> object:
    """`value`, relative to the folder where it is a path."""
    return folder / value if isinstance(value, Path) else value


@pytest.mark.parametrize(("key", "expected"), DEFAULTS.items())
def test_default(folder: Path, key: str, expected: object) -> None:
    """A key that is left out has its default."""
    assert setting(load(folder, ""), key) == resolved(folder, expected)


TABLES = sorted({key.partition(".")[0] for key in DEFAULTS if "." in key})


@pytest.mark.parametrize("table", TABLES)
def test_an_empty_table(folder: Path, table: str) -> None:
    """A table with nothing in it is as good as none."""
    assert load(folder, f"[{table}]") == load(folder, "")


@pytest.mark.parametrize(("key", "written", "expected"), VALUES)
def test_value(folder: Path, key: str, written: str, expected: object) -> None:
    """A key has the value that it is given, and all others keep their default."""
    (folder / "extra").mkdir()
    (folder / "extra" / "chain.pem").touch()
    loaded = load(folder, f"{key} = {written}\n")
    assert setting(loaded, key) == resolved(folder, expected)
    assert {k: setting(loaded, k) for k in DEFAULTS if k != key} == {
        k: resolved(folder, value) for k, value in DEFAULTS.items() if k != key
    }


def test_server_name(folder: Path) -> None:
    """The server name is the one key that has to be there."""
    assert load(folder, "").first.server_name == ServerName.parse("own.example")


def test_paths_are_relative_to_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path means the same wherever the command is run."""
    write(folder, "")
    monkeypatch.chdir(folder.parent)
    loaded = reader.load(Path(folder.name) / "homeserver.toml")
    assert loaded.first.signing.key == folder / "signing.key"
    assert loaded.first.tls.certificate == folder / "tls.crt"


def test_an_absolute_path_stays(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A path that is absolute has nothing to do with the file's folder."""
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "ca.pem"
    elsewhere.touch()
    loaded = load(folder, f"verification.ca_file = '{elsewhere}'")
    assert loaded.verification.ca_file == elsewhere


def test_without_control_no_token_is_needed(folder: Path) -> None:
    """The token file is not looked for where there is no control API."""
    (folder / "control.token").unlink()
    assert load(folder, 'control.listen = ""').control.listen is None


# (the configured ranges, the address of a client, whether it is trusted)
CLIENTS = [
    ([], "127.0.0.1", False),
    (["127.0.0.0/8"], "127.0.0.1", True),
    (["127.0.0.0/8"], "128.0.0.1", False),
    (["127.0.0.0/8"], "::ffff:127.0.0.1", True),
    (["127.0.0.0/8"], "::1", False),
    (["127.0.0.0/8", "::1"], "::1", True),
    (["fe80::/10"], "fe80::1%eth0", True),
    (["::/0"], "192.0.2.1", False),
    (["::/0"], "::ffff:192.0.2.1", False),
]


@pytest.mark.parametrize(("ranges", "address", "expected"), CLIENTS)
def test_trusted_clients(ranges: list[str], address: str, *, expected: bool) -> None:
    """A client is trusted by its address, however a listener writes it."""
    limits = Limits(trusted_clients=tuple(map(AddressRange.parse, ranges)))
    assert limits.trusts(address) is expected
