"""The image: its labels, its base, and what it is made of."""

import re
from pathlib import Path

from homeserver import __version__

TOP = Path(__file__).parent.parent
DOCKERFILE = (TOP / "Dockerfile").read_text("utf-8")
COMPOSE = (TOP / "docker-compose.yml").read_text("utf-8")


def test_labels() -> None:
    """The image says what it is, in this version."""
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="(.*)"', DOCKERFILE))
    assert labels.keys() == {"title", "description", "version", "licenses"}
    assert labels["version"] == __version__
    setup = (TOP / "setup.cfg").read_text("utf-8")
    assert f"description = {labels['description']}\n" in setup
    assert f"license = {labels['licenses']}\n" in setup


def test_one_base() -> None:
    """Both stages stand on the base that a build may give by its digest."""
    assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE) == ["${BASE}"] * 2


def test_base_by_its_digest() -> None:
    """A build by compose names a digest of the base that `docker build` takes."""
    [pinned] = re.findall(r"BASE:-(\S+)@sha256:[0-9a-f]{64}}", COMPOSE)
    assert f"ARG BASE={pinned}\n" in DOCKERFILE
    assert set(re.findall(r"^ +build: (.*)$", COMPOSE, re.MULTILINE)) == {"*build"}


def test_what_is_copied_is_there() -> None:
    """Each file that is copied is in the tree and in the context of a build."""
    kept = (TOP / ".dockerignore").read_text("utf-8").splitlines()
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    copied = [name for line in lines for name in line.split()]
    assert "scripts/pins" in copied
    for name in copied:
        assert (TOP / name).exists()
        assert f"!{name}" in kept
