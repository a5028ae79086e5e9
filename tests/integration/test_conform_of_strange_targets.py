"""A run of checks ends with a report or a sentence, whatever its target does."""

import json
from pathlib import Path

import pytest

from tests.support.conform_runs import AREAS, SECONDS, UNDER_WAY, conform, run_against
from tests.support.strange_targets import Answer, json_response, strange_target


def _garbage(number: int, _: bytes) -> bytes:
    return [b"\0" * 100, b"HTTP/1.1 2000 ?\r\n\r\n", b"", b"{}" * 40000][number % 4]


def _half(_: int, __: bytes) -> bytes:
    return json_response(b'{"server": [')[:-5]


def _wrong_shapes(_: int, __: bytes) -> bytes:
    wrong = {name: [1, None] for name in ("server", "verify_keys", "signatures")}
    return json_response(json.dumps(wrong).encode())


def assert_no_mistake_of_ours(report: str) -> None:
    """No check fell over; on a slow machine, some may have had too little time."""
    observed = [each["observed"] for each in json.loads(report)["checks"]]
    assert [each for each in observed if "our own mistake" in each] == []


def test_a_target_that_answers_wrongly(tmp_path: Path) -> None:
    """There is a report of failures, and no error of ours."""
    with strange_target(_wrong_shapes, tmp_path) as target:
        done = conform("--format", "json", "--timeout", "5", address=target.address)
    assert done.returncode == 1, done.stderr
    assert_no_mistake_of_ours(done.stdout)


@pytest.mark.parametrize(
    ("answer", "said"), [(_garbage, "HTTP"), (_half, "closed in the middle of a body")]
)
def test_a_target_that_answers_no_http(
    tmp_path: Path, answer: Answer, said: str
) -> None:
    """It counts as one that is not reached."""
    with strange_target(answer, tmp_path) as target:
        done = conform(address=target.address)
    assert (done.returncode, done.stdout) == (3, "")
    assert said in done.stderr


def test_a_target_that_ends_in_the_middle(tmp_path: Path) -> None:
    """What was not run is not testable, nothing is wrong, and the status says why."""
    with (
        strange_target(lambda *_: json_response(b"{}"), tmp_path) as target,
        run_against(target, *AREAS) as process,
    ):
        assert target.wait_for(UNDER_WAY, SECONDS)
        target.end()
        output, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 3, errors
    assert_no_mistake_of_ours(output)
    results = {each["result"] for each in json.loads(output)["checks"]}
    assert "not-testable" in results


def test_a_target_that_hangs_in_the_middle(tmp_path: Path) -> None:
    """It is found out, and what was not run is not testable."""

    def answer(number: int, _: bytes) -> bytes | None:
        return json_response(b"{}") if number < UNDER_WAY else None

    with (
        strange_target(answer, tmp_path) as target,
        run_against(target, *AREAS) as process,
    ):
        output, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 3, errors
    assert_no_mistake_of_ours(output)
    results = {each["result"] for each in json.loads(output)["checks"]}
    assert "not-testable" in results
