"""Tables `[[servers]]`: what each server has of its own, and what is a mistake."""

import re
from pathlib import Path

import pytest

from homeserver.config import reader
from homeserver.config.values import Config, ConfigError, Delegation, Profile
from homeserver.net.addresses import SocketAddress
from homeserver.protocol.identifiers import ServerName
from tests.support.tables import cases

FILES = (
    "tls.crt",
    "tls.key",
    "a.key",
    "b.key",
    "b.crt",
    "signing.key",
    "control.token",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files that the tables name."""
    for name in FILES:
        (tmp_path / name).touch()
    return tmp_path


def load(folder: Path, text: str) -> Config:
    """The configuration of a file."""
    path = folder / "homeserver.toml"
    path.write_text(text, "utf-8")
    return reader.load(path)


A = '[[servers]]\nserver_name = "a.test"\nsigning = {key = "a.key"}\n'
B = '[[servers]]\nserver_name = "b.test"\nsigning = {key = "b.key"}\n'


def test_own_and_shared(folder: Path) -> None:
    """A server has what its table says, and else what stands at the top."""
    loaded = load(
        folder,
        'listen = "127.0.0.1:8448"\n'
        '[tls]\nclient_certificates = "ignore"\n'
        "[signing]\nkey_validity_seconds = 7200\n"
        '[discovery]\nwell_known = false\ndelegate_to = "all.test:1"\n'
        f"{A}{B}"
        'listen = "127.0.0.1:8449"\n'
        'tls = {certificate = "b.crt"}\n'
        'discovery = {delegate_to = "m.b.test:443"}\n'
        'profiles = {"@b:b.test" = {displayname = "B"}}\n',
    )
    a, b = loaded.servers
    assert loaded.first is a
    assert (a.server_name.name, b.server_name.name) == ("a.test", "b.test")
    assert a.listen == SocketAddress("127.0.0.1", 8448)
    assert b.listen == SocketAddress("127.0.0.1", 8449)
    assert a.tls.certificate == folder / "tls.crt"
    assert b.tls.certificate == folder / "b.crt"
    assert (a.tls.client_certificates, b.tls.client_certificates) == ("ignore",) * 2
    assert (a.signing.key, b.signing.key) == (folder / "a.key", folder / "b.key")
    assert b.signing.key_validity_seconds == 7200
    assert a.discovery == Delegation(ServerName.parse("all.test:1"))
    assert b.discovery == Delegation(ServerName.parse("m.b.test:443"))
    assert loaded.discovery.well_known is False
    assert a.profiles == {}
    assert b.profiles == {"@b:b.test": Profile("B")}


def test_one_table(folder: Path) -> None:
    """One table is the same as its keys at the top."""
    assert load(folder, A) == load(
        folder, 'server_name = "a.test"\nsigning = {key = "a.key"}\n'
    )


def test_find(folder: Path) -> None:
    """A server is found by its name."""
    loaded = load(folder, A + B)
    assert loaded.find(ServerName.parse("b.test")) is loaded.servers[1]
    assert loaded.find(ServerName.parse("c.test")) is None


MISTAKES: list[tuple[str, str, str]] = [
    ("both forms", f'server_name = "c.test"\n{A}', "server_name: a file has one"),
    ("profiles at the top", f'profiles = {{"@a:a.test" = {{}}}}\n{A}', "profiles: a"),
    ("no table", "servers = []\n", "servers: there is no server in it"),
    ("no array", "[servers]\nserver_name = 'a.test'\n", "servers: "),
    ("one name twice", A + B.replace("b.test", "a.test"), "[[servers]] a.test: is the"),
    (
        "one key",
        A + B.replace("b.key", "a.key"),
        "[[servers]] b.test: signing.key: {folder}/a.key is the key of a.test; each se",
    ),
    (
        "one key by another path",
        A + B.replace("b.key", "../{name}/a.key"),
        "[[servers]] b.test: signing.key: {folder}/../{name}/a.key is the key of a.t",
    ),
    (
        "one key by default",
        "".join(f'[[servers]]\nserver_name = "{n}.test"\n' for n in "ab"),
        "[[servers]] b.test: signing.key: {folder}/signing.key is the key of a.test",
    ),
    ("no name", f"{A}[[servers]]\n", "[[servers]] number 2: server_name: is missing"),
    ("an unknown key", f"{A}port = 1\n", "[[servers]] a.test: port: there is no such"),
    (
        "a shared key",
        f"{A}discovery = {{well_known = false}}\n",
        "[[servers]] a.test: discovery.well_known: there is no such key; known are del",
    ),
    (
        "no such file",
        f'{A}tls = {{certificate = "no.crt"}}\n{B}',
        "[[servers]] a.test: tls.certificate: {folder}/no.crt cannot be read: No such",
    ),
    (
        "a foreign user",
        f'{A}profiles = {{"@b:b.test" = {{}}}}\n{B}',
        "[[servers]] a.test: profiles: @b:b.test is not a user of a.test",
    ),
]


@cases("text message", MISTAKES)
def test_mistake(folder: Path, text: str, message: str) -> None:
    """Each mistake is one line, which names the server and the key."""
    with pytest.raises(ConfigError) as caught:
        load(folder, text.replace("{name}", folder.name))
    [problem] = caught.value.problems
    assert re.sub(r"^line \d+: ", "", problem).startswith(
        message.replace("{folder}", str(folder))
        .replace("{name}", folder.name)
        .replace("{{", "{")
        .replace("}}", "}")
    )
