"""Negative numbers in queries of the control API."""

import pytest

from tests.support.control_side import Panel

CASES = [
    ("limit", "-1", "`limit` is '-1', not a whole number from 0 on"),
    ("after", "-5", "`after` is '-5', not a whole number from 0 on"),
    ("wait", "-1", "`wait` is '-1', not a number of seconds from 0 on"),
    ("wait", "nan", "`wait` is 'nan', not a number of seconds from 0 on"),
]


@pytest.mark.parametrize(("name", "value", "error"), CASES)
def test_negative(name: str, value: str, error: str) -> None:
    """They are refused with what they would have to be."""
    answer = Panel().ask("GET", f"/v1/received?{name}={value}")
    assert answer.error == (400, "M_INVALID_PARAM")
    assert answer.json["error"] == error
