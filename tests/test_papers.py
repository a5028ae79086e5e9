"""The papers name code that is there."""

import re
from importlib import import_module
from pathlib import Path

import pytest

_DOCS = Path(__file__).parent.parent / "docs"
_PACKAGE = _DOCS.parent / "homeserver"

# `module.name` or `folder.module.name`, or a name alone, of the module named last.
_NAME = re.compile(r"`([a-z_]+(?:\.[A-Za-z_0-9]+)+|[A-Z_a-z0-9]+(?:\.[a-z_]+)?)[`(]")


def named() -> list[tuple[str, str]]:
    """Each (rule, what carries it out) of the table of the specification."""
    found: list[tuple[str, str]] = []
    for line in (_DOCS / "specification.md").read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if len(cells) != 2 or cells[0] in {"Rule", "---"}:
            continue
        module = ""
        for name in _NAME.findall(cells[1]):
            is_whole = "." in name and (_PACKAGE / name.split(".")[0]).is_dir()
            path = name if is_whole else f"{module}.{name}"
            found.append((cells[0], path))
            if is_whole:
                module = _module(path)
    return found


def _module(path: str) -> str:
    """The longest start of `path` that is a module."""
    parts = path.split(".")
    while not _PACKAGE.joinpath(*parts).with_suffix(".py").is_file():
        parts.pop()
    return ".".join(parts)


@pytest.mark.parametrize(("rule", "path"), named())
def test_what_carries_out_a_rule_is_there(rule: str, path: str) -> None:
    """Each rule of the specification leads to code with that name."""
    module = _module(path)
    here: object = import_module(f"homeserver.{module}")
    for name in path.removeprefix(module).strip(".").split("."):
        here = getattr(here, name) if name else here


def test_the_table_is_read() -> None:
    """The table has as many rows as a person sees."""
    assert len(named()) > 50


def _modules(name: str) -> list[Path]:
    """The modules of that name, of whatever folder."""
    return sorted(_PACKAGE.rglob(f"{name.replace('.', '/')}.py"))


_THREATS = sorted(
    set(
        re.findall(
            r"`([a-z_]+(?:\.[a-z_]+(?=\.))*)\.([A-Za-z_.]+)`",
            (_DOCS / "threats.md").read_text("utf-8"),
        )
    )
)


@pytest.mark.parametrize(("module", "names"), _THREATS)
def test_what_stops_an_attack_is_there(module: str, names: str) -> None:
    """Each part that is said to stop an attack is defined in a module of that name."""
    *_, last = names.split(".")
    defined = re.compile(rf"(?:def |class |^|self\.){last}\b", re.MULTILINE)
    sources = [path.read_text("utf-8") for path in _modules(module)]
    assert any(defined.search(source) for source in sources)


def test_the_threats_are_read() -> None:
    """As many parts are named as a person sees."""
    assert len(_THREATS) > 30


@pytest.mark.parametrize("paper", sorted(_DOCS.glob("*.md")), ids=lambda p: p.name)
def test_a_row_is_there_once(paper: Path) -> None:
    """No row of a table is there twice, and no empty line cuts a table in two."""
    lines = paper.read_text("utf-8").splitlines()
    rows = [line.split(" | ")[0] for line in lines if line.startswith("| **")]
    assert len(rows) == len(set(rows))
    for before, line, after in zip(lines, lines[1:], lines[2:], strict=False):
        assert line or not (before.startswith("|") and after.startswith("|"))


_ARCHITECTURE = (_DOCS / "architecture.md").read_text("utf-8")
_PLACES = sorted(set(re.findall(r"`([a-z_]+(?:/[a-z_]+)+)/?[`.]", _ARCHITECTURE)))


@pytest.mark.parametrize("place", _PLACES)
def test_a_place_of_the_architecture_is_there(place: str) -> None:
    """Each module and folder that the architecture names is in the tree."""
    roots = (_PACKAGE, _DOCS.parent)
    assert any(
        path.exists() for root in roots for path in (root / place, root / f"{place}.py")
    )


def test_each_folder_is_in_the_architecture() -> None:
    """The table of layers has each folder of the package."""
    listed = set(re.findall(r"^\| (`.*?`) \|", _ARCHITECTURE, re.MULTILINE))
    folders = {each.parent.name for each in _PACKAGE.glob("*/__init__.py")}
    assert folders == set(re.findall(r"`([a-z]+)/`", " ".join(listed)))


_STATEMENT = re.compile(
    r"^CREATE TABLE (?P<made>\w+)"
    r"|^DROP TABLE (?P<dropped>\w+)"
    r"|^ALTER TABLE (?P<moved>\w+) RENAME TO (?P<to>\w+)"
    r"|^ALTER TABLE (?P<changed>\w+) (?:ADD|RENAME) COLUMN",
    re.MULTILINE,
)


def _described() -> dict[str, list[str]]:
    """The files that made and changed each table of the store."""
    files: dict[str, list[str]] = {}
    for path in sorted((_PACKAGE / "storage" / "migrations").glob("*.sql")):
        for found in _STATEMENT.finditer(path.read_text("utf-8")):
            if found["made"]:
                files[found["made"]] = [path.name]
            elif found["dropped"]:
                files.pop(found["dropped"])
            elif found["moved"]:
                files[found["to"]] = files.pop(found["moved"])
            elif path.name not in files[found["changed"]]:
                files[found["changed"]].append(path.name)
    return files


def test_each_table_is_described_where_the_architecture_says() -> None:
    """The architecture names the files that made and changed each table."""
    told: dict[str, list[str]] = {}
    for row in re.findall(r"^\| .*\.sql`.*$", _ARCHITECTURE, re.MULTILINE):
        tables, *places = row.strip("|").split("|")
        for table in re.findall(r"`(\w+)`", tables):
            told[table] = re.findall(r"`(\w+\.sql)`", " ".join(places))
    assert told == _described()
