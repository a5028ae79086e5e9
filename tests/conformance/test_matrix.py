"""Every check that can be red has a fault that turns it red."""

from importlib import import_module
from pathlib import Path

from homeserver.conformance.check import Severity
from homeserver.conformance.registry import all_checks


def test_each_check_has_a_fault() -> None:
    """Those that only report a choice need none."""
    known: set[str] = set()
    for path in Path(__file__).parent.glob("test_*_faults.py"):
        module = import_module(f"tests.conformance.{path.stem}")
        for _, _, expected in module.ROWS:
            known |= expected
    checks = all_checks()
    assert known <= checks.keys()
    can_be_red = {c.id for c in checks.values() if c.severity is not Severity.INFO}
    assert can_be_red - known == set()
