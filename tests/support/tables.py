"""Tables of cases: each row is its name, and then a value for each parameter."""

from collections.abc import Iterable

import pytest


def cases(parameters: str, rows: Iterable[tuple[object, ...]]) -> pytest.MarkDecorator:
    """Run a test for each row; `parameters` are their names, with spaces between."""
    values = [pytest.param(*row[1:], id=str(row[0])) for row in rows]
    return pytest.mark.parametrize(parameters.split(), values)
