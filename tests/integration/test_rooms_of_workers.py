"""What several processes of one daemon do in one room."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from homeserver.config.reader import load
from homeserver.control.client import ControlClient, ControlError
from homeserver.protocol.canonical_json import as_list
from homeserver.testing import Lab, Server
from scripts.processes import LOOPBACK, first_line, free_ports, make_endpoint
from tests.support.eventually import eventually
from tests.support.lab_rules import acted
from tests.support.worker_processes import CONFIGURATION, kill_all

PATIENCE_SECONDS = 9.5  # a little less than a transaction waits for a join


def test_one_room(tmp_path: Path) -> None:
    """Workers that change one room at the same time do so one after the other."""
    [port] = free_ports(1)
    where = f"{LOOPBACK}:{port}"
    allowed = f'{CONFIGURATION}[network]\nallow = ["127.0.0.0/8", "::1"]\n'
    alpha = make_endpoint(tmp_path / "alpha", f"localhost:{port}", allowed, where)
    with alpha.running() as process, Lab() as lab, ThreadPoolExecutor(12) as pool:
        first_line(process)
        client = ControlClient.of_config(alpha.configuration, load(alpha.configuration))
        made = client.post("v1", "rooms", content={"preset": "public_chat"})
        servers = lab.servers(12, listen="own")

        def join(server: Server) -> int:
            body = {"user_id": f"@u:{server.name}", "via": [alpha.name]}
            steps = (
                "v1",
                "servers",
                server.name,
                "rooms",
                str(made["room_id"]),
                "join",
            )
            return len(
                lab.link.call("POST", *steps, content=body, seconds=60)["failures"]
            )

        assert list(pool.map(join, servers)) == [0] * 12
        found = client.get("v1", "rooms", str(made["room_id"]), "members")
    assert len(as_list(found["members"], "members")) == 13
    log = alpha.log.read_text()
    assert log.count("PUT /_matrix/federation/v2/send_join/") == 12
    assert ": 503 in " not in log


def test_a_room_that_worker_1_joins(tmp_path: Path) -> None:
    """What comes of it waits in every worker, as long as it may, for that join."""
    [port] = free_ports(1)
    allowed = f'{CONFIGURATION}[network]\nallow = ["127.0.0.0/8", "::1"]\n'
    where = f"{LOOPBACK}:{port}"
    alpha = make_endpoint(tmp_path / "alpha", f"localhost:{port}", allowed, where)
    with alpha.running() as process, Lab() as lab, ThreadPoolExecutor(9) as pool:
        first_line(process)
        client = ControlClient.of_config(alpha.configuration, load(alpha.configuration))
        resident, *others = lab.servers(9, listen="own")
        there = "v1", "servers", resident.name, "rooms"
        new = {"preset": "public_chat"}
        room_id = str(lab.link.call("POST", *there, content=new)["room_id"])
        resident.rule({"http.silence": True}, match={"method": "PUT"})

        def join() -> None:
            with suppress(ControlError):
                via: dict[str, object] = {"via": [resident.name]}
                client.post("v1", "rooms", room_id, "join", content=via)

        def send(server: Server) -> float:
            pdu = {"type": "m.room.message", "room_id": room_id, "content": {}}
            body = {"origin": server.name, "origin_server_ts": 1, "pdus": [pdu]}
            path = f"/_matrix/federation/v1/send/{server.name}"
            sent = server.request(
                alpha.name, path, method="PUT", content=body, timeout=60.0
            )
            assert sent.status == 200, sent
            [exchange] = server.exchanges(direction="out", method="PUT")
            return float(exchange.json["seconds"])

        joining = pool.submit(join)
        eventually(lambda: acted(lab, resident)[0][0] == 1)
        try:
            assert min(pool.map(send, others)) > PATIENCE_SECONDS
        finally:
            kill_all(process)
        joining.result()
