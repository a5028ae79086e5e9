"""The line of each key in a TOML file, for messages about it.

Rules: the reader of TOML keeps no lines, so the text is searched for the keys. The text
was parsed without an error before; a key that is not found has no line.
"""

import re
from collections.abc import Mapping

_TABLE = re.compile(r"\s*\[(?P<many>\[)?(?P<name>[^\[\]]+)\]")
_KEY = re.compile(r"\s*(?P<key>[A-Za-z0-9_.\"' -]+?)\s*=\s*(?P<value>.*)")
_QUOTES_AND_BLANKS = str.maketrans("", "", "\"' \t")


def find_lines(text: str) -> Mapping[str, int]:
    """The line of each key and of each table, from 1.

    A key is called as in messages: `log.level`, or `[[servers]] NAME: log.level` of the
    table whose `server_name` is NAME.
    """
    found = _Lines()
    for number, line in enumerate(text.splitlines(), 1):
        if table := _TABLE.match(line):
            found.begin_table(_bare(table["name"]), number, several=bool(table["many"]))
        elif key := _KEY.match(line):
            found.add_key(_bare(key["key"]), _bare(key["value"]), number)
    return found.lines


class _Lines:
    """The lines of a file that were looked through."""

    def __init__(self) -> None:
        self.lines: dict[str, int] = {}
        self._prefix = ""
        self._array = ""
        """The name of the array of tables that it is in, and a dot."""

        self._label = ""
        """What the keys of the table in that array begin with."""

        self._tables = 0

    def begin_table(self, name: str, number: int, *, several: bool) -> None:
        """A line `[name]`, or `[[name]]` with `several`."""
        if several:
            self._tables += 1
            self._array = f"{name}."
            self._label = self._prefix = f"[[{name}]] number {self._tables}: "
        elif self._array and name.startswith(self._array):
            name = self._label + name.removeprefix(self._array)
            self._prefix = f"{name}."
        else:
            self._prefix = f"{name}."
        self.lines.setdefault(name, number)

    def add_key(self, key: str, value: str, number: int) -> None:
        """A line `key = value`."""
        self.lines.setdefault(self._prefix + key, number)
        if key == "server_name" and self._label and self._prefix == self._label:
            self._rename(f"{self._label.partition(' ')[0]} {value}: ")

    def _rename(self, label: str) -> None:
        """Call the present table by its server's name."""
        for key in [each for each in self.lines if each.startswith(self._label)]:
            own = label + key.removeprefix(self._label)
            self.lines[own] = self.lines.pop(key)
        self._label = self._prefix = label


def _bare(text: str) -> str:
    """A key or a value without its quotes and without a comment after it."""
    return text.partition("#")[0].translate(_QUOTES_AND_BLANKS)


def with_line(lines: Mapping[str, int], problem: str) -> str:
    """A problem, which begins with its key and a colon, with the key's line before."""
    keys = [key for key in lines if problem.startswith(f"{key}: ")]
    if not keys:
        return problem
    return f"line {lines[max(keys, key=len)]}: {problem}"
