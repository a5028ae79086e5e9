"""Every mistake in `homeserver.toml` is reported, all at once.

Rules: a mistake is told with its key and what is wrong; a file that cannot be read is
refused as a whole.
"""

from itertools import zip_longest
from pathlib import Path

import pytest

from homeserver.config import reader
from homeserver.config.values import ConfigError
from tests.support.config_files import DEFAULTS, write
from tests.support.tables import cases


def problems(path: Path) -> list[str]:
    """What is wrong with the configuration at `path`."""
    with pytest.raises(ConfigError) as caught:
        reader.load(path)
    assert caught.value.path == path
    assert str(caught.value) == "\n".join(f"{path}: {p}" for p in caught.value.problems)
    return caught.value.problems


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
