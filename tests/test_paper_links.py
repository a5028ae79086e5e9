"""The papers lead somewhere: links, commands with their options, scripts, routes."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from homeserver.cli.main import main
from tests.support.control_side import Panel
from tests.support.lab_routes import lab_table

TOP = Path(__file__).parent.parent
PAPERS = sorted([*TOP.glob("*.md"), *TOP.glob("docs/**/*.md")])

_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def of_papers(pattern: str) -> list[tuple[str, str]]:
    """Each (paper, found text) once; lines that go on with a backslash are joined."""
    found: dict[tuple[str, str], None] = {}
    for paper in PAPERS:
        text = paper.read_text("utf-8").replace("\\\n", " ")
        for each in re.findall(pattern, text, re.MULTILINE):
            found[str(paper.relative_to(TOP)), each] = None
    return list(found)


def anchor(heading: str) -> str:
    """The fragment that leads to a heading, as GitHub makes it."""
    bare = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower())
    return bare.strip().replace(" ", "-")


@pytest.mark.parametrize(("paper", "link"), of_papers(_LINK.pattern))
def test_a_link_leads_to_something(paper: str, link: str) -> None:
    """A file is there, and a heading of that name in it; addresses are of the web."""
    if link.startswith("https://"):
        return
    path, _, fragment = link.partition("#")
    target = (TOP / paper).parent / path if path else TOP / paper
    assert target.exists()
    if fragment:
        headings = _HEADING.findall(target.read_text("utf-8"))
        assert fragment in map(anchor, headings)


def commands() -> Iterator[tuple[str, str]]:
    """What a person would type, of all papers but the history of changes."""
    typed = r"^ {4,}(?:\S+ )*?((?:\S*/)?homeserver [a-z].*)$"
    quoted = r"`((?:\.venv/bin/)?homeserver [^`]+)`"
    for paper, line in [*of_papers(typed), *of_papers(quoted)]:
        if paper != "CHANGELOG.md":
            yield paper, line.replace("\n", " ")


COMMANDS = [each for each in commands() if re.match(r"\S*homeserver [a-z]", each[1])]


@pytest.mark.parametrize(("paper", "line"), COMMANDS)
def test_a_command_is_there(paper: str, line: str) -> None:
    """The command of a line is known, and takes the options that stand there."""
    # In a table of commands, what one does stands behind it.
    typed = re.split(r"[|>;&]|\s{3,}", line)[0].replace("'s ", " ")
    words = shlex.split(typed)[1:]
    command: click.Command = main
    context = click.Context(main)
    while words and isinstance(command, click.Group):
        if words[0].startswith("-"):
            break
        [name, *words] = words
        if name not in command.list_commands(context):
            # A container of that name, or a file beside the program.
            assert "docker" in line or name in {"is", "and"}, name
            return
        found = command.get_command(context, name)
        assert found is not None
        command, context = found, click.Context(found, parent=context)
    known = {each for one in command.get_params(context) for each in one.opts}
    for word in words:
        if word.startswith("--"):
            assert word.split("=")[0] in known


def test_commands_are_read() -> None:
    """As many commands are found as a person sees."""
    assert len(COMMANDS) > 50
    assert ("README.md", ".venv/bin/homeserver lab") in COMMANDS


@pytest.mark.parametrize(
    ("paper", "script"), of_papers(r"(?<![\w/.])(scripts/[a-z][a-z_-]+)(?![\w/.-])")
)
def test_a_script_is_there(paper: str, script: str) -> None:
    """A script that is named can be run."""
    path = TOP / script
    assert path.is_dir() or path.stat().st_mode & 0o100


_METHODS = "GET|POST|PUT|PATCH|DELETE"
_ROUTES = [
    (each.method, re.sub(r"{\w+}", "[^/]+", each.template))
    for each in [*Panel().table, *lab_table()]
]


@pytest.mark.parametrize(
    ("paper", "asked"), of_papers(rf"`?((?:{_METHODS}) /(?:v1|health|metrics)[^\s`]*)")
)
def test_a_route_is_there(paper: str, asked: str) -> None:
    """A route that is named is one of a daemon or of a lab."""
    method, path = asked.split(" ")
    bare = re.split(r"[?#]", path)[0].rstrip(".,;:)")
    of_lab = "rules|request|sign|rooms/[^/]+/forge"
    bare = re.sub(rf"^/v1/servers/[^/]+/(?!{of_lab})", "/v1/", bare)
    known = _ROUTES + [(m, r.replace("/[^/]+/rules", "/rules")) for m, r in _ROUTES]
    own = [("GET", "/v1/servers"), ("GET", "/v1/openapi.json")]
    assert any(
        method == each and re.fullmatch(route, bare) for each, route in [*known, *own]
    )
