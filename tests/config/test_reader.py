"""What may stand in `homeserver.toml`, and every mistake in it, all at once."""

import re
from functools import reduce
from itertools import zip_longest
from pathlib import Path

import msgspec
import pytest

from homeserver.config import reader
from homeserver.config.values import (
    Config,
    ConfigError,
    Limits,
    OldKey,
    ProcessConfig,
    Profile,
    ServerConfig,
)
from homeserver.net.addresses import REFUSED_RANGES, AddressRange, SocketAddress
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import ServerName
from tests.support.tables import cases

NAMED_FILES = ("tls.crt", "tls.key", "signing.key", "control.token")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files that a configuration names by default."""
    for name in NAMED_FILES:
        (tmp_path / name).touch()
    return tmp_path


def write(folder: Path, text: str) -> Path:
    """Write a configuration of `own.example`, and return its path."""
    path = folder / "homeserver.toml"
    path.write_text(f'server_name = "own.example"\n{text}', "utf-8")
    return path


def load(folder: Path, text: str) -> Config:
    """The configuration of `own.example` with `text` in it."""
    return reader.load(write(folder, text))


def problems(path: Path) -> list[str]:
    """What is wrong with the configuration at `path`."""
    with pytest.raises(ConfigError) as caught:
        reader.load(path)
    assert caught.value.path == path
    assert str(caught.value) == "\n".join(f"{path}: {p}" for p in caught.value.problems)
    return caught.value.problems


def setting(loaded: Config, key: str) -> object:
    """The value of a key, given as in `tls.certificate`."""
    is_own = key.partition(".")[0] in OWN_KEYS or key == "discovery.delegate_to"
    return reduce(getattr, key.split("."), loaded.first if is_own else loaded)


OWN_KEYS = {"listen", "tls", "signing", "profiles"}
"""Those at the top that belong to the server."""

DEFAULTS: dict[str, object] = {
    "listen": SocketAddress("0.0.0.0", 8448),
    "shutdown_seconds": 10.0,
    "tls.certificate": Path("tls.crt"),
    "tls.private_key": Path("tls.key"),
    "tls.present_client_certificate": True,
    "tls.client_certificates": "if-presented",
    "signing.key": Path("signing.key"),
    "signing.old_keys": (),
    "signing.key_validity_seconds": 86400,
    "verification.methods": ("certificate", "key-document"),
    "verification.ca_file": None,
    "verification.system_roots": True,
    "discovery.well_known": True,
    "discovery.srv_services": ("_matrix-fed._tcp", "_matrix._tcp"),
    "discovery.delegate_to": None,
    "dns.servers": (),
    "network.refuse": REFUSED_RANGES,
    "network.allow": (),
    "storage.url": "sqlite:homeserver.db",
    "sending.first_retry_seconds": 2.0,
    "sending.max_retry_seconds": 3600.0,
    "limits.max_body_bytes": 13107200,
    "limits.max_connections": 10000,
    "limits.max_connections_per_address": 1000,
    "limits.request_seconds": 60.0,
    "limits.max_arriving_megabytes": 256,
    "limits.trusted_clients": (),
    "events.default_room_version": ROOM_VERSIONS["11"],
    "events.unsigned_2014": True,
    "notary.enabled": True,
    "control.listen": SocketAddress("127.0.0.1", 8008),
    "control.token_file": Path("control.token"),
    "control.hosts": (),
    "control.max_connections": 100,
    "retention.received_days": 30.0,
    "retention.sent_days": 30.0,
    "retention.max_megabytes": None,
    "log.level": "info",
    "log.format": "text",
    "lab.rules": False,
    "run.workers": 1,
    "profiles": {},
}

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
    """No key is without a line in the tables above."""
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


# (a line, or more, each with one mistake in all; what is said of it)
MISTAKES: list[tuple[str, str]] = [
    # Unknown keys.
    ("sever_name = 1", "there is no such key; known are control, disc"),
    ("[tsl]", "there is no such key; known are control, discovery, dns, "),
    (
        "tls.cert = 'tls.crt'",
        "there is no such key; known are certificate, client_certificat",
    ),
    ("notary.on = true", "there is no such key; known are enabled"),
    (
        'signing.old_keys = [{id = "ed25519:a", key = "", expired_ts = 1, on = 1}]',
        "`[0]` has no member 'on'; known are expired_ts, id, key",
    ),
    (
        'profiles = {"@a:own.example" = {avatar = ""}}',
        "`['@a:own.example']` has no member 'avatar'; known are avatar_",
    ),
    # No tables.
    ("tls = 1", "is not a table, [tls]"),
    ("[[tls]]", "is not a table, [tls]"),
    ("control = '127.0.0.1:8008'", "is not a table, [control]"),
    ("profiles = 1", "the value is not an object, but an integer"),
    # Other types.
    ("listen = 8448", "the value is not a string, but an integer"),
    ("shutdown_seconds = true", "the value is not a number, but true or false"),
    (
        "tls.present_client_certificate = 'yes'",
        "the value is not true or false, but a st",
    ),
    ("signing.old_keys = {}", "the value is not a list, but an object"),
    (
        "signing.key_validity_seconds = 86400.5",
        "the value is not an integer, but a number",
    ),
    ("dns.servers = [53]", "`[0]` is not a string, but an integer"),
    ("events.default_room_version = '13'", "default_room_version: unknown room"),
    (
        'profiles = {"@a:own.example" = {displayname = 1}}',
        "`[...].displayname` is not a string or null, but an integer",
    ),
    # Other values than there are.
    ("listen = ''", "expected HOST:PORT, for example 127.0.0.1:8448"),
    ("listen = '0.0.0.0'", "'0.0.0.0' has no port; did you mean '0.0.0.0:8448'?"),
    ("listen = '0.0.0.0:65536'", "65536 is not a port; ports go up to 65535"),
    ("listen = ':::8448'", "an IPv6 address needs brackets: [::1]:8448"),
    (
        "listen = 'localhost:1'",
        "'localhost' is not an IP address; did you mean '127.0.0.1:1'?",
    ),
    ("control.listen = '::1'", "an IPv6 address needs brackets: [::1]:8448"),
    (
        "dns.servers = ['127.0.0.1:53', '::1']",
        "an IPv6 address needs brackets: [::1]:8448",
    ),
    (
        "tls.client_certificates = 'no'",
        "the value is 'no', which is none of 'if-present",
    ),
    ("verification.methods = []", "the value has less than 1 item"),
    (
        "verification.methods = ['certificate', 'none']",
        "`[1]` is 'none', which is none of 'certificate', '",
    ),
    ("discovery.delegate_to = 'a b'", "not a server name: "),
    (
        "discovery.srv_services = ['matrix']",
        "`[0]` is 'matrix', which is not a service and it",
    ),
    (
        'discovery.srv_services = ["_a._tcp\\n"]',
        "`[0]` is '_a._tcp\\n', which is not a service and",
    ),
    (
        "discovery.srv_services = ['x_a._tcp']",
        "`[0]` is 'x_a._tcp', which is not a service and ",
    ),
    (
        "network.refuse = ['10.0.0.1/8']",
        "'10.0.0.1/8' is an address in a range; did you mean '10.",
    ),
    (
        "network.allow = ['localhost']",
        "'localhost' is neither an IP address nor a range of them,",
    ),
    (
        "control.hosts = ['lab:8008']",
        "`[0]` is 'lab:8008', which is not a host name without a port",
    ),
    ("control.hosts = ['']", "`[0]` is '', which is not a host name without a port"),
    (
        "storage.url = 'homeserver.db'",
        "'homeserver.db' is neither `sqlite:FILE` nor `postgresql://",
    ),
    (
        "storage.url = 'sqlite:'",
        "'sqlite:' is neither `sqlite:FILE` nor `postgresql://...`",
    ),
    (
        "log.level = 'trace'",
        "the value is 'trace', which is none of 'debug', 'error', 'inf",
    ),
    ("log.format = 'xml'", "the value is 'xml', which is none of 'json', 'text'"),
    ('signing.old_keys = [{id = "ed25519:a", expired_ts = 1}]', "`[0]` lacks `key`"),
    (
        'profiles = {"@a:own.example" = {avatar_url = "https://own.example/a"}}',
        "`['@a:own.example'].avatar_url` is 'https://own.example/a', wh",
    ),
    # Out of range.
    ("shutdown_seconds = 0", "the value is not more than 0"),
    ("shutdown_seconds = nan", "the value is not more than 0"),
    ("signing.key_validity_seconds = 7199", "the value is less than 7200"),
    (
        'signing.old_keys = [{id = "ed25519:a", key = "", expired_ts = -1}]',
        "`[0].expired_ts` is less than 0",
    ),
    # More than canonical JSON can carry in our key document.
    (
        f'signing.old_keys = [{{id = "ed25519:a", key = "", expired_ts = {2**53}}}]',
        "`[0].expired_ts` is more than 9007199254740991",
    ),
    ("sending.first_retry_seconds = 0", "the value is not more than 0"),
    ("sending.max_retry_seconds = -1", "the value is not more than 0"),
    ("limits.max_body_bytes = 0", "the value is less than 1"),
    ("limits.max_connections = 0", "the value is less than 1"),
    ("limits.max_connections_per_address = 0", "the value is less than 1"),
    ("limits.request_seconds = 0", "the value is not more than 0"),
    ("limits.max_arriving_megabytes = 0", "the value is less than 1"),
    (
        "limits.trusted_clients = ['10.0.0.1/8']",
        "'10.0.0.1/8' is an address in a range; did you m",
    ),
    ("control.max_connections = 0", "the value is less than 1"),
    ("retention.received_days = 0", "the value is not more than 0"),
    ("retention.sent_days = 0", "the value is not more than 0"),
    ("retention.max_megabytes = 0", "the value is less than 1"),
    # Right one by one, and wrong together.
    ("sending.max_retry_seconds = 1", "is less than first_retry_seconds"),
    (
        "sending.first_retry_seconds = 3601",
        "sending.max_retry_seconds: is less than first_retry_seconds",
    ),
    (
        'profiles = {"@a:other.example" = {}}',
        "@a:other.example is not a user of own.example",
    ),
    (
        'profiles = {"@a:own.example:8448" = {}}',
        "@a:own.example:8448 is not a user of own.example",
    ),
    ("profiles = {a = {}}", "not a user ID: 'a' is not `@`, a local part"),
    ('profiles = {"#a:own.example" = {}}', "not a user ID: '#a:own.exampl"),
    # Files.
    ("tls.certificate = 'no'", "no cannot be read: No such file or directory"),
    ("tls.private_key = 'no'", "no cannot be read: No such file or directory"),
    ("signing.key = 'no'", "no cannot be read: No such file or directory"),
    ("verification.ca_file = 'no'", "no cannot be read: No such file or directory"),
    ("control.token_file = 'no'", "no cannot be read: No such file or directory"),
    ("signing.key = '.'", "cannot be read: Is a directory"),
    ('signing.key = "\\u0000"', "has a NUL in it"),
    ('verification.ca_file = "\\u0000"', "has a NUL in it"),
    (
        'storage.url = "sqlite:\\u0000"',
        "'sqlite:\\x00' is neither `sqlite:FILE` nor `postgresql://...`",
    ),
    ("tls.certificate = ''", "cannot be read: Is a directory"),
]


@pytest.mark.parametrize(("text", "message"), MISTAKES)
def test_mistake(folder: Path, text: str, message: str) -> None:
    """A mistake is reported, and it alone, with its key and what is wrong with it."""
    [problem] = problems(write(folder, text))
    key, _, _ = text.strip("[]").partition(" ")
    assert problem.startswith((f"line 2: {key}: ", "sending.max_retry_seconds: "))
    assert message in problem


@pytest.mark.parametrize("key", DEFAULTS)
def test_another_type(folder: Path, key: str) -> None:
    """No key takes a date, which TOML has."""
    [problem] = problems(write(folder, f"{key} = 1979-05-27"))
    assert problem.startswith(f"line 2: {key}: the value is not ")


FILE_FULL_OF_MISTAKES = """
second = 1
listen = "here"
first = 1
notary = 1

[tls]
client_certificates = "no"
certificate = "no.crt"
third = 1

[discovery]
srv_services = [1]
delegate_to = ":"

[sending]
first_retry_seconds = 0

[limits]
max_body_bytes = 0
max_connections = 0

[control]
token_file = "no.token"
"""
ITS_MISTAKES = [
    "line 4: first: there is no such key",
    "line 2: second: there is no such key",
    "line 13: discovery.srv_services: `[0]` is not a string",
    "line 14: discovery.delegate_to: not a server name",
    "line 17: sending.first_retry_seconds: the value is not more than 0",
    "line 20: limits.max_body_bytes: the value is less than 1",
    "line 21: limits.max_connections: the value is less than 1",
    "line 5: notary: is not a table",
    "line 3: listen: expected HOST:PORT",
    "line 10: tls.third: there is no such key",
    "line 8: tls.client_certificates: the value is 'no', which is none of",
    "server_name: is missing",
    "line 9: tls.certificate: ",
    "signing.key: ",
    "line 24: control.token_file: ",
]


def test_all_mistakes_at_once(folder: Path) -> None:
    """Every mistake is reported, so that none has to be found by another start."""
    path = folder / "homeserver.toml"
    path.write_text(FILE_FULL_OF_MISTAKES, "utf-8")
    (folder / "signing.key").unlink()
    assert [
        problem[: len(expected)]
        for problem, expected in zip_longest(
            problems(path), ITS_MISTAKES, fillvalue="one too many or too few"
        )
    ] == ITS_MISTAKES


NAMES: list[tuple[str, str]] = [
    ("", "server_name: is missing"),
    ("server_name = 1", "line 1: server_name: the value is not a string, but an int"),
    ("server_name = ''", "line 1: server_name: not a server name: "),
    ("server_name = 'own.example:0'", "line 1: server_name: not a server name: "),
    (
        "server_name = 'https://own.example/'",
        "line 1: server_name: not a server name: 'https://own.example/' is a URL; did ",
    ),
    ("server-name = 'own.example'", "line 1: server-name: there is no such key; known"),
    ("ServerName = 'own.example'", "line 1: ServerName: there is no such key; known a"),
]


@pytest.mark.parametrize(("text", "message"), NAMES)
def test_no_server_name(folder: Path, text: str, message: str) -> None:
    """Without a server name there is no server; nothing else is said of its users."""
    path = folder / "homeserver.toml"
    path.write_text(f'{text}\n[profiles]\n"@a:own.example" = {{}}\n', "utf-8")
    [problem] = problems(path)
    assert problem.startswith(message)


FILES: list[tuple[str, bytes, str]] = [
    ("no TOML", b"server_name = own.example", "is not TOML: "),
    ("twice", b"listen = ''\nlisten = ''", "is not TOML: "),
    ("no UTF-8", b"\na = '\xff'", "is not TOML: line 2 is not text in UTF-8"),
    ("digits without end", b"a = " + b"9" * 5000, "is not TOML: "),
    ("nesting without end", b"a = " + b"[" * 5000, "is not TOML: "),
]


@cases("content message", FILES)
def test_no_toml(folder: Path, content: bytes, message: str) -> None:
    """A file that is not TOML is refused as a whole."""
    path = folder / "homeserver.toml"
    path.write_bytes(content)
    [problem] = problems(path)
    assert problem.startswith(message)


def test_no_file(tmp_path: Path) -> None:
    """A file that is not there is refused, and it is told what makes one."""
    [problem] = problems(tmp_path / "no.toml")
    assert problem.startswith("cannot be read: No such file or directory; ")
    assert "homeserver init" in problem
    assert "--lab URL" in problem


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """A folder is refused with the system's reason."""
    assert problems(tmp_path) == ["cannot be read: Is a directory"]


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
