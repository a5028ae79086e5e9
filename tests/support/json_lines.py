"""A program that answers each line of JSON on its input with one on its output."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any


class JsonLines:
    """The program, running."""

    def __init__(self, process: "Popen[str]") -> None:
        self._process = process

    def ask(self, asked: object) -> Any:
        """The answer to one question."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@contextmanager
def running(command: Sequence[str | Path]) -> Iterator[JsonLines]:
    """Start a program, and end it by the end of its input."""
    with Popen(command, stdin=PIPE, stdout=PIPE, text=True) as process:
        yield JsonLines(process)
        assert process.stdin is not None
        process.stdin.close()
