"""The command that explains a request, an event or a key document in a file."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from homeserver.cli.main import main
from homeserver.protocol.canonical_json import encode
from homeserver.protocol.key_documents import build_v2
from tests.support.pdus import message
from tests.support.signed_requests import THEM


class Files:
    """Files, and what the command says of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keys = self.write("keys", encode(DOCUMENT))

    def write(self, name: str, data: bytes) -> str:
        """Write a file; its path."""
        path = self.folder / name
        path.write_bytes(data)
        return str(path)

    def explain(self, data: bytes, *arguments: str) -> Result:
        """Run the command on a file with this content, with the keys."""
        command = ["explain", self.write("given", data), "--keys", self.keys]
        return CliRunner().invoke(main, [*command, *arguments], prog_name="homeserver")


DOCUMENT = build_v2(THEM.server_name, [THEM.key], [], 10**15)
SEND = "/_matrix/federation/v1/send/1"


def raw(body: str) -> bytes:
    """A request whose empty body was signed."""
    header = f"Authorization: {THEM.authorize('PUT', SEND, {})}"
    return f"PUT {SEND} HTTP/1.1\r\n{header}\r\n\r\n{body}".encode()


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Files in a folder that goes."""
    return Files(tmp_path)


def test_files_that_verify(files: Files) -> None:
    """A request, an event and a document that verify end with 0."""
    request, event, document = (
        files.explain(each)
        for each in (raw("{}"), encode(message("11")), encode(DOCUMENT))
    )
    assert (request.exit_code, request.stdout) == (0, "request: it verifies\n")
    assert event.exit_code == 0
    assert event.stdout.startswith("event $")
    assert event.stdout.endswith(", as of room version 11: it verifies\n")
    assert document.stdout == "key document: it verifies\n"


def test_files_that_do_not(files: Files) -> None:
    """What has to change is told in a sentence, and the command ends with 1."""
    result = files.explain(raw('{"a":"\\u001b"}'))
    assert result.exit_code == 1
    assert result.stdout == (
        "request: it does not verify\n"
        "  content-empty: `content` was signed as {}; sign the body of the request: it "
        "has '{}', and should have '{\"a\":\"\\\\u001b\"}'\n"
    )
    result = files.explain(raw("{}"), "--destination", "other.example", "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert (told["kind"], told["verifies"]) == ("request", False)
    assert [hint["code"] for hint in told["hints"]] == ["name-other", "destination"]
    formless = files.explain(b'{"type":"m.x"}', "--room-version", "11")
    assert "event (no ID), as of room version 11: it does not" in formless.stdout


def test_files_without_keys(files: Files) -> None:
    """What cannot be checked is told, and does not count as verified."""
    command = ["explain", files.write("given", raw("{}"))]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 1
    assert result.stdout == (
        "request: not checked\n"
        "  not checked: the signature: --keys has no keys of them.example\n"
    )


def test_files_that_cannot_be_read(files: Files) -> None:
    """What is no request, event or document ends with 2, and so do bad keys."""
    result = files.explain(b"hello")
    assert result.exit_code == 2
    assert result.stderr.startswith(str(files.folder / "given"))
    files.keys = files.write("keys", b"[{}]")
    result = files.explain(raw("{}"))
    assert result.exit_code == 2
    assert "`server_name`" in result.stderr


@pytest.mark.parametrize("arguments", [[], ["--room", "-", "-"]])
def test_what_to_explain(arguments: list[str]) -> None:
    """Either a file or a room is explained."""
    result = CliRunner().invoke(main, ["explain", *arguments], input="[]")
    assert result.exit_code == 2
    assert result.stderr == (
        "give a FILE to explain, or a room with --room FILE; not both\n"
    )
