"""What a new endpoint's directory has in it, and that nothing is overwritten."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import signedjson.key

from homeserver.config import reader
from homeserver.identity import identity, new_endpoint
from homeserver.net.addresses import AddressRange, SocketAddress
from homeserver.protocol.identifiers import ServerName
from tests.support.full_disk import full_disk

LISTEN = SocketAddress("0.0.0.0", 8448)
CONTROL = SocketAddress("127.0.0.1", 8008)

# (file, who may read and write it where the umask takes nothing away)
MODES: list[tuple[str, int]] = [
    ("homeserver.toml", 0o600),
    ("signing.key", 0o600),
    ("tls.crt", 0o644),
    ("tls.key", 0o600),
    ("control.token", 0o600),
]
FILES = [name for name, _ in MODES]


def settings(name: str = "own.example") -> new_endpoint.Settings:
    """What the configuration of an endpoint of a name is to say."""
    return new_endpoint.Settings(ServerName.parse(name), LISTEN, CONTROL)


def create(folder: Path, name: str = "own.example") -> list[Path]:
    """Create an endpoint of a name, with the default addresses."""
    return new_endpoint.create(folder, settings(name))


@pytest.fixture
def no_umask() -> Iterator[None]:
    """Take no permission away from new files."""
    before = os.umask(0)
    yield
    os.umask(before)


def test_files(tmp_path: Path) -> None:
    """There are five files, and their paths are returned."""
    assert create(tmp_path) == [tmp_path / name for name in FILES]
    assert sorted(tmp_path.iterdir()) == sorted(tmp_path / name for name in FILES)


def test_the_directory_is_made(tmp_path: Path) -> None:
    """A directory that is missing is made, and so are those above it."""
    create(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b" / "signing.key").is_file()


@pytest.mark.usefixtures("no_umask")
def test_mode_of_the_directory(tmp_path: Path) -> None:
    """A directory that is made is its owner's alone; one that is there is left."""
    create(tmp_path / "new")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    (tmp_path / "old").mkdir(mode=0o755)
    create(tmp_path / "old")
    assert stat.S_IMODE((tmp_path / "old").stat().st_mode) == 0o755


@pytest.mark.usefixtures("no_umask")
@pytest.mark.parametrize(("name", "mode"), MODES)
def test_mode(tmp_path: Path, name: str, mode: int) -> None:
    """Secrets are their owner's alone, whatever the umask; the rest is readable."""
    create(tmp_path)
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == mode


def test_the_umask_is_obeyed(tmp_path: Path) -> None:
    """A stricter umask makes files with fewer readers."""
    before = os.umask(0o077)
    try:
        create(tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "tls.crt").stat().st_mode) == 0o600


def test_signing_key(tmp_path: Path) -> None:
    """The signing key is one that signedjson reads, with a version of its own."""
    create(tmp_path)
    with (tmp_path / "signing.key").open() as file:
        [key] = signedjson.key.read_signing_keys(file)
    assert key.alg == "ed25519"
    assert key.version.startswith("a_")


def test_nothing_is_the_same_twice(tmp_path: Path) -> None:
    """Two endpoints share no key, no key ID, no certificate and no token."""
    create(tmp_path / "a")
    create(tmp_path / "b")
    for name in ("signing.key", "tls.crt", "tls.key", "control.token"):
        assert (tmp_path / "a" / name).read_bytes() != (
            tmp_path / "b" / name
        ).read_bytes()
    versions = {
        (tmp_path / folder / "signing.key").read_text().split()[1] for folder in "ab"
    }
    assert len(versions) == 2


def test_token(tmp_path: Path) -> None:
    """The token is a line that fits into a header and cannot be guessed."""
    create(tmp_path)
    token = (tmp_path / "control.token").read_text("ascii").removesuffix("\n")
    assert token.isprintable()
    assert len(token) == 43  # 32 bytes in base64


CONFIGURATIONS: list[tuple[str, str, str]] = [
    ("own.example", "0.0.0.0:8448", "127.0.0.1:8008"),
    ("own.example:8449", "127.0.0.1:8449", "127.0.0.1:0"),
    ("[2001:db8::1]:8449", "[::]:8449", "[::1]:8008"),
    ("192.0.2.1", "192.0.2.1:8448", "127.0.0.2:8008"),
]


def test_control_hosts(tmp_path: Path) -> None:
    """The names by which the control API is reached are in the configuration."""
    ranges = [AddressRange.parse("10.0.0.0/8")]
    chosen: list[list[str]] = [[], ["lab", "a_b"]]
    for hosts in chosen:
        folder = tmp_path / str(len(hosts))
        name = ServerName.parse("own.example")
        settings = new_endpoint.Settings(name, LISTEN, CONTROL, ranges, hosts)
        new_endpoint.create(folder, settings)
        loaded = reader.load(folder / "homeserver.toml")
        assert loaded.control.hosts == tuple(hosts)
        assert loaded.network.allow == tuple(ranges)


@pytest.mark.parametrize(("name", "listen", "control"), CONFIGURATIONS)
def test_it_can_be_run(tmp_path: Path, name: str, listen: str, control: str) -> None:
    """The endpoint that was created has a configuration and an identity."""
    path, *_ = new_endpoint.create(
        tmp_path,
        new_endpoint.Settings(
            ServerName.parse(name),
            SocketAddress.parse(listen),
            SocketAddress.parse(control),
        ),
    )
    loaded = reader.load(path)
    assert loaded.first.server_name == ServerName.parse(name)
    assert (loaded.first.listen, loaded.control.listen) == (
        SocketAddress.parse(listen),
        SocketAddress.parse(control),
    )
    assert loaded.control.token_file == tmp_path / "control.token"
    own = identity.load(path, loaded.first)
    assert own.server_name == ServerName.parse(name)
    assert len(own.signing_keys) == 1


def test_allowed_ranges(tmp_path: Path) -> None:
    """What may be connected to is in the configuration; without any, all is default."""
    ranges = tuple(map(AddressRange.parse, ["10.84.48.0/24", "fd00::/8"]))
    path, *_ = new_endpoint.create(
        tmp_path / "test",
        new_endpoint.Settings(ServerName.parse("a.test"), LISTEN, CONTROL, ranges),
    )
    assert reader.load(path).network.allow == ranges
    path, *_ = create(tmp_path / "public")
    assert reader.load(path).network.allow == ()


@pytest.mark.parametrize("kept", FILES)
def test_what_is_there_is_completed(tmp_path: Path, kept: str) -> None:
    """A file that is there stays as it is, and the others are made."""
    (tmp_path / kept).write_text("precious")
    made = new_endpoint.complete(tmp_path, settings())
    assert made == [tmp_path / name for name in FILES if name != kept]
    assert (tmp_path / kept).read_text() == "precious"
    assert sorted(tmp_path.iterdir()) == sorted(tmp_path / name for name in FILES)


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_overwritten(tmp_path: Path, name: str) -> None:
    """Where one of the files is there, none is written, and it is named."""
    (tmp_path / name).write_text("precious")
    with pytest.raises(FileExistsError, match=f"{name} is there already"):
        create(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "precious"


@pytest.mark.parametrize("name", FILES)
def test_a_link_is_not_followed(tmp_path: Path, name: str) -> None:
    """A link is there already, even where it leads nowhere."""
    (tmp_path / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError, match=f"{name} is there already"):
        create(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]


# Nothing can be written, the token alone, or all before the certificate.
@pytest.mark.parametrize("size", [0, 100, 300])
def test_a_full_disk(tmp_path: Path, size: int) -> None:
    """No file is left that would stop the next attempt, or be trusted by it."""
    with full_disk(size), pytest.raises(OSError, match="File too large"):
        create(tmp_path)
    assert list(tmp_path.iterdir()) == []
    create(tmp_path)


def test_a_full_disk_beside_a_file(tmp_path: Path) -> None:
    """A file that was there stays, where the others cannot be written."""
    (tmp_path / "signing.key").write_text("precious")
    with full_disk(), pytest.raises(OSError, match="File too large"):
        new_endpoint.complete(tmp_path, settings())
    assert [path.name for path in tmp_path.iterdir()] == ["signing.key"]
    assert (tmp_path / "signing.key").read_text() == "precious"


def test_what_else_is_there_stays(tmp_path: Path) -> None:
    """Other files are no reason to refuse a directory."""
    (tmp_path / "homeserver.db").write_text("precious")
    create(tmp_path)
    assert (tmp_path / "homeserver.db").read_text() == "precious"


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    """A file with the name of the directory stays as it is."""
    (tmp_path / "file").write_text("precious")
    with pytest.raises(FileExistsError):
        create(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "precious"
