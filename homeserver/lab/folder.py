"""The files of a lab: its authority's root, what it trusts, and perhaps its seed.

Rules: without a folder of the operator's, they lie in a temporary one that ends with
the lab. With one, a lab that is started again has the same seed, and so the same
authority.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from homeserver.config.values import OptionError
from homeserver.identity.new_file import write_new
from homeserver.lab.seed import Seed


@contextmanager
def _usable(file: Path) -> Iterator[None]:
    """Raises `OptionError` where a file of the operator's folder cannot be used."""
    try:
        yield
    except OSError as problem:
        raise OptionError("--data", f"{file}: {problem.strerror}") from None
    except UnicodeError:
        raise OptionError("--data", f"{file}: it is not text in UTF-8") from None


class Folder:
    """Where a lab has its files."""

    def __init__(self, data: Path | None) -> None:
        """Raises `OptionError` if `data` cannot be a folder."""
        self._is_temporary = data is None
        if data is None:
            self.path = Path(mkdtemp(prefix="homeserver-lab-"))
            return
        self.path = data.absolute()
        with _usable(data):
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def ca_file(self) -> Path:
        """The root of the lab's authority, in PEM."""
        return self.path / "ca.pem"

    @property
    def trusted(self) -> Path:
        """All authorities that are trusted beside the system's."""
        return self.path / "trusted.pem"

    def seed(self, text: str | None) -> Seed:
        """The seed that is kept here, or a new one, or that of `text`.

        Raises `OptionError` if another one is kept than is asked for, or if none can
        be read or kept.
        """
        file = self.path / "seed"
        if text == "":
            raise OptionError("--seed", "it is empty; leave it out for a new one")
        with _usable(file):
            kept = file.read_text("utf-8") if file.exists() else None
        if kept == "":
            raise OptionError(
                "--data",
                f"{file}: it is empty; remove it, and a new seed is kept there",
            )
        if kept is not None and text not in {None, kept}:
            raise OptionError(
                "--seed", f"another one is kept in {file}; choose another --data"
            )
        given = kept or text
        seed = Seed.random() if given is None else Seed(given)
        if not self._is_temporary and kept is None:
            with _usable(file):
                write_new(file, seed.text.encode())
        return seed

    def write_authorities(self, own: str, others: Sequence[Path]) -> None:
        """Write the root, and it with others; raises `OptionError`."""
        trusted = [own]
        for other in others:
            try:
                text = other.read_text("utf-8")
            except OSError as problem:
                raise OptionError("--trust", f"{other}: {problem.strerror}") from None
            except UnicodeDecodeError:
                raise OptionError(
                    "--trust", f"{other}: it is not text in UTF-8"
                ) from None
            if "-----BEGIN CERTIFICATE-----" not in text:
                raise OptionError(
                    "--trust", f"{other}: it has no PEM certificates in it"
                )
            trusted.append(text)
        for file, certificates in ((self.ca_file, [own]), (self.trusted, trusted)):
            with _usable(file):
                file.write_text("\n".join(certificates))

    def remove(self) -> None:
        """Remove the files, unless they are the operator's."""
        if self._is_temporary:
            shutil.rmtree(self.path, ignore_errors=True)
