"""The folder of a lab, of which some files cannot be used."""

from pathlib import Path

import pytest

from homeserver.config.values import OptionError
from homeserver.lab.folder import Folder
from tests.support.full_disk import full_disk


def use(data: Path, *, trust: tuple[Path, ...] = (), seed: str | None = None) -> None:
    """Do with a folder what a lab does at its start."""
    folder = Folder(data)
    folder.seed(seed)
    folder.write_authorities("own\n", trust)


@pytest.mark.parametrize("name", ["seed", "ca.pem", "trusted.pem"])
def test_a_file_that_cannot_be_used(tmp_path: Path, name: str) -> None:
    """It is named, with the option, and with what the system says of it."""
    (tmp_path / name).mkdir()
    with pytest.raises(OptionError, match=f"^--data: /.*/{name}: Is a directory$"):
        use(tmp_path)


def test_a_seed_that_is_no_text(tmp_path: Path) -> None:
    """A seed is text."""
    (tmp_path / "seed").write_bytes(b"\xff")
    with pytest.raises(
        OptionError, match=r"^--data: /.*/seed: it is not text in UTF-8$"
    ):
        use(tmp_path)


def test_a_seed_that_cannot_be_kept(tmp_path: Path) -> None:
    """A seed of the command line may have bytes that are no text."""
    with pytest.raises(
        OptionError, match=r"^--data: /.*/seed: it is not text in UTF-8$"
    ):
        use(tmp_path, seed="\udcff")


def test_a_seed_on_a_full_disk(tmp_path: Path) -> None:
    """No part of it is left, which the next start would use."""
    with (
        full_disk(),
        pytest.raises(OptionError, match=r"^--data: /.*/seed: File too large$"),
    ):
        use(tmp_path)
    assert list(tmp_path.iterdir()) == []
    use(tmp_path)


def test_an_empty_seed_that_is_kept(tmp_path: Path) -> None:
    """Keys would follow from nothing; the sentence says what to do."""
    (tmp_path / "seed").touch()
    with pytest.raises(OptionError, match=r"^--data: /.*/seed: it is empty; remove"):
        use(tmp_path)


def test_an_empty_seed_that_is_given(tmp_path: Path) -> None:
    """It would be kept, and refused at the next start."""
    with pytest.raises(OptionError, match=r"^--seed: it is empty; leave it out"):
        use(tmp_path, seed="")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "No such file or directory"),
        (b"\xff", "it is not text in UTF-8"),
        (b"x", "it has no PEM certificates in it"),
    ],
)
def test_an_authority_that_cannot_be_trusted(
    tmp_path: Path, content: bytes | None, why: str
) -> None:
    """The file is named, with the option."""
    file = tmp_path / "x.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(OptionError, match=f"^--trust: /.*/x.pem: {why}$"):
        use(tmp_path / "data", trust=(file,))
