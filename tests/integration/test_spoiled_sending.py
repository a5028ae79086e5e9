"""Queued transactions that are wrong on purpose, sent by a lab to its own servers."""

import subprocess
from typing import Any

import pytest

from homeserver.testing import Lab, LabError, Server
from scripts.processes import PROGRAM
from tests.support.pdus import unsigned_message

EDU = {"edu_type": "m.test", "content": {}}


def sent(ours: Server, theirs: Server, *texts: str, **members: Any) -> dict[str, Any]:
    """How far a transaction with mistakes is."""
    pdus = [unsigned_message(ours.name)]
    return ours.send(
        theirs.name, pdus=pdus, edus=[EDU], spoil=list(texts), **members
    ).json


MISTAKES = [
    ("signature", "rejected"),
    ("no-auth", "rejected"),
    ("other-key-same-id", "rejected"),
    ("pdus:51", "rejected"),
    ("no-destination", "delivered"),
    ("replay", "delivered"),
    ("sni:other.test", "delivered"),
    ("pdu-signature", "delivered"),
    ("pdu-size", "delivered"),
    ("edu-sender", "delivered"),
]


@pytest.mark.parametrize(("text", "state"), MISTAKES)
def test_each_mistake_is_met(lab: Lab, text: str, state: str) -> None:
    """It is over with the first answer, which is that of a right server."""
    ours, theirs = lab.servers(2)
    found = sent(ours, theirs, text)
    assert (found["state"], found["as_expected"]) == (state, True), found
    assert found["attempts"] == 1
    assert all(sentence.endswith(".") for sentence in found["expected"])


def test_a_queue_goes_on(lab: Lab) -> None:
    """After a mistake that is refused, the next transaction is sent, and right."""
    ours, theirs = lab.servers(2)
    assert sent(ours, theirs, "signature", txn_id="mine")["txn_id"] == "mine"
    right = ours.send(theirs.name, edus=[EDU]).json
    assert right["state"] == "delivered"
    assert not {"expected", "as_expected"} & right.keys()


def test_the_same_mistakes_again(lab: Lab) -> None:
    """What is sent again has its mistakes, and the same bytes."""
    ours, theirs = lab.servers(2)
    first = sent(ours, theirs, "signature", "float")
    again = ours.send(theirs.name, again=first["id"]).json
    assert (again["state"], again["as_expected"]) == ("rejected", True)
    both = theirs.expect(count=2, method="PUT")
    seen = [lab.exchange(each.id)["request"] for each in both]
    assert seen[0] == seen[1]
    assert "1.5" in seen[0]["body"]


def test_what_is_signed(lab: Lab) -> None:
    """`sign` chooses what is signed, and says nothing of what is right."""
    ours, theirs = lab.servers(2)
    members: dict[str, Any] = {"sign": {"method": "POST"}}
    found = ours.send(theirs.name, edus=[EDU], **members).json
    assert (found["state"], "as_expected" in found) == ("rejected", False)
    # Not those of its key documents, which it may not have at each path.
    steps, query = ("v1", "servers", theirs.name, "refused"), {"origin": ours.name}
    call = lab.link.call
    [refused] = call("GET", *steps, query=query | {"wait": 25}, seconds=25)["refused"]
    assert [hint["code"] for hint in refused["hints"]] == ["method"]


@pytest.mark.parametrize(
    ("text", "status", "state"),
    [("signature", 200, "delivered"), ("replay", 503, "queued")],
)
def test_a_server_that_is_wrong(lab: Lab, text: str, status: int, state: str) -> None:
    """A server that takes what it must refuse, or fails, is not as expected."""
    ours, theirs = lab.servers(2)
    rule = {"do": {"http.status": status}}
    lab.link.call("POST", "v1", "servers", theirs.name, "rules", content=rule)
    found = sent(ours, theirs, text, wait=2.0)
    assert (found["state"], found["as_expected"]) == (state, False)


def test_a_server_that_is_not_reached(lab: Lab) -> None:
    """Nothing is known of it, and the transaction stays queued."""
    [ours] = lab.servers(1)
    found = ours.send("nowhere.lab.test", edus=[EDU], spoil=["path"], wait=0.5).json
    assert (found["state"], found["as_expected"]) == ("queued", None)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"spoil": ["signatur"]}, "did you mean 'signature'"),
    ({"spoil": ["pdu-hash"]}, "'pdu-hash' needs a PDU in `pdus`"),
    ({"spoil": ["expired-key"]}, "PATCH it with"),
    ({"spoil": ["path"] * 11}, "`spoil`"),
    ({"sign": {"omit": ["x"]}}, "`sign.omit` has"),
    ({"sign": {"x": 1}}, "`sign.x`|'x'"),
    ({"again": 1, "edus": [], "spoil": ["path"]}, "`again` sends a transaction unch"),
]


@pytest.mark.parametrize(("members", "why"), BAD)
def test_a_mistake_that_cannot_be_made(
    lab: Lab, members: dict[str, Any], why: str
) -> None:
    """400 names it, and nothing is queued."""
    ours, theirs = lab.servers(2)
    with pytest.raises(LabError, match=why):
        ours.send(theirs.name, **({"edus": [EDU]} | members))
    assert ours.send(theirs.name, edus=[EDU], txn_id="x").state == "delivered"


def run(lab: Lab, ours: Server, *words: str) -> subprocess.CompletedProcess[str]:
    """`homeserver send`, asked of a lab."""
    environment = {
        "HOMESERVER_LAB": lab.link.url,
        "HOMESERVER_LAB_TOKEN": lab.link.token,
    }
    return subprocess.run(
        [PROGRAM, "send", "--server", ours.name, *words],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )


def test_the_command(lab: Lab) -> None:
    """`homeserver send --spoil` says what is right, and ends with 1 otherwise."""
    ours, theirs = lab.servers(2)
    edu = '{"edu_type": "m.test", "content": {}}'
    done = run(lab, ours, theirs.name, "--edu", edu, "--spoil", "signature")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "expected: A right server answers 401 or 403: the signature does not verify.\n"
        "as expected: it was rejected\n"
    )
    rule = {"do": {"http.status": 200}}
    lab.link.call("POST", "v1", "servers", theirs.name, "rules", content=rule)
    done = run(lab, ours, theirs.name, "--edu", edu, "--spoil", "signature")
    assert (done.returncode, done.stderr) == (1, "not as expected: it was delivered\n")


def outcomes(lab: Lab, ours: Server, theirs: Server) -> dict[str, tuple[str, int]]:
    """The checks of the report of one server on another."""
    steps = ("v1", "servers", ours.name, "report", theirs.name)
    checks = lab.link.call("GET", *steps)["checks"]
    return {each["name"]: (each["outcome"], each["count"]) for each in checks}


def test_the_report(lab: Lab) -> None:
    """A report blames no server for refusing what is wrong on purpose."""
    ours, theirs = lab.servers(2)
    sent(ours, theirs, "signature")
    sent(ours, theirs, "no-destination")
    found = outcomes(lab, ours, theirs)
    assert "rejections" not in found
    assert found["mistakes on purpose"] == ("passed", 2)
    rule = {"do": {"http.status": 403}, "times": 1}
    lab.link.call("POST", "v1", "servers", theirs.name, "rules", content=rule)
    sent(ours, theirs, "no-destination")
    found = outcomes(lab, ours, theirs)
    assert "rejections" not in found
    assert found["mistakes on purpose"] == ("passed", 2)
    assert found["mistakes on purpose, answered wrongly"] == ("failed", 1)
    rule["do"] = {"http.status": 413}
    lab.link.call("POST", "v1", "servers", theirs.name, "rules", content=rule)
    ours.send(theirs.name, edus=[EDU])
    assert outcomes(lab, ours, theirs)["rejections"] == ("failed", 1)


OMITTED = {"omit": ["destination"]}


@pytest.mark.parametrize(
    ("sign", "do"),
    [
        (None, {"http.delay": 0}),  # it is refused, before a rule acts
        (OMITTED, {"http.delay": 0}),
        (OMITTED, {"http.status": 200}),
        (OMITTED, {"http.status": 500}),
        (OMITTED, {"http.drop-request": True}),
    ],
)
def test_the_report_on_what_is_signed(
    lab: Lab, sign: dict[str, list[str]] | None, do: dict[str, object]
) -> None:
    """It says neither right nor wrong of an answer to what is only signed wrongly."""
    ours, theirs = lab.servers(2)
    rule = {"do": do, "match": {"method": "PUT"}}
    lab.link.call("POST", "v1", "servers", theirs.name, "rules", content=rule)
    ours.send(theirs.name, edus=[EDU], sign=sign, wait=0)
    ours.expect(direction="out", method="PUT")
    found = outcomes(lab, ours, theirs).keys()
    mistakes = {"mistakes on purpose", "mistakes on purpose, answered wrongly"}
    assert not {"rejections", *mistakes} & found
