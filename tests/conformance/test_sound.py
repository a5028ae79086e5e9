"""Our endpoint passes every check that applies to it."""

from tests.support.conformance_stage import Stage

# It trusts no notary.
_NOT_TESTABLE = {f"W{number:02}" for number in range(1, 14)}


def test_nothing_is_wrong_with_the_endpoint(on_stage: Stage) -> None:
    """No check fails, warns or errs; only known ones are not testable."""
    results = on_stage.run([])
    wrong = {
        each.id: f"{each.result}: {each.observed}"
        for each in results.values()
        if each.result not in {"pass", "info", "not-testable"}
    }
    assert wrong == {}
    found = {e.id: e.observed for e in results.values() if e.result == "not-testable"}
    assert found.keys() == _NOT_TESTABLE | (
        results.keys() - on_stage.testable(results)
    ), found
