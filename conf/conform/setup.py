"""Makes what `homeserver conform --setup` needs of a Synapse or a Dendrite.

Both register users by a shared secret at the same path. It reads `{"need": "user"}`,
`{"need": "room", "version": "10"}`, `{"need": "media"}` or `{"need": "restart"}` on
standard input, and answers JSON. The need of a room may have `state`, `power_levels`,
and users to `invite` or to `ban`. `{"need": "join"}` has `user_id`, `room_id` and
`via`: a user that was made joins a room through another server. These are in its
environment:

CONFORM_CLIENT_API       http://127.0.0.1:8008
CONFORM_SHARED_SECRET    registration_shared_secret of the configuration
CONFORM_RESTART          a command that restarts the server, if it may be restarted

    homeserver conform matrix.test --setup "python3 conf/conform/setup.py"

It needs nothing but Python.
"""

import hashlib
import hmac
import json
import os
import secrets
import struct
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
import zlib

API = os.environ.get("CONFORM_CLIENT_API", "http://127.0.0.1:8008").rstrip("/")
SECRET = os.environ.get("CONFORM_SHARED_SECRET", "")
REGISTER = "/_synapse/admin/v1/register"

WIDTH, HEIGHT = 400, 300  # of a picture; servers make thumbnails of up to 320 by 240


def ask(method, path, content=None, token=None, kind="application/json"):
    """The JSON of an answer; ends the program where it is an error.

    `content` is JSON, or the bytes of something else.
    """
    headers = {"Content-Type": kind}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    is_json = content is not None and not isinstance(content, bytes)
    body = json.dumps(content).encode() if is_json else content
    request = urllib.request.Request(API + path, body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)
    except urllib.error.HTTPError as problem:
        sys.exit(f"{method} {path}: {problem.code}: {problem.read(500).decode()}")
    except OSError as problem:
        sys.exit(f"{API} does not answer: {problem}")


def register():
    """A new user: the answer, with an access token."""
    if not SECRET:
        sys.exit("CONFORM_SHARED_SECRET is not set: registration_shared_secret")
    nonce = ask("GET", REGISTER)["nonce"]
    name = f"conform-{secrets.token_hex(4)}"
    password = password_of(name)
    words = [nonce, name, password, "notadmin"]
    mac = hmac.new(SECRET.encode(), "\0".join(words).encode(), hashlib.sha1)
    return ask(
        "POST",
        REGISTER,
        {
            "nonce": nonce,
            "username": name,
            "password": password,
            "admin": False,
            "mac": mac.hexdigest(),
        },
    )


def password_of(name):
    """The password of a user, by which a later run of this program logs it in."""
    return hmac.new(
        SECRET.encode(), f"password of {name}".encode(), "sha256"
    ).hexdigest()


def join(user_id, room_id, via):
    """Let a user join a room of another server."""
    name = user_id.removeprefix("@").partition(":")[0]
    logged_in = ask(
        "POST",
        "/_matrix/client/v3/login",
        {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": name},
            "password": password_of(name),
        },
    )
    room, server = (urllib.parse.quote(each, safe="") for each in (room_id, via))
    path = f"/_matrix/client/v3/join/{room}?server_name={server}&via={server}"
    ask("POST", path, {}, logged_in["access_token"])
    return {}


def make_room(version, state=None, power_levels=None, invite=(), ban=()):
    """A room with an alias: public, unless its state is to be another one."""
    user = register()
    levels = dict(power_levels or {})
    if "users" in levels:
        levels["users"] = {user["user_id"]: 100, **levels["users"]}
    alias = f"conform-{secrets.token_hex(4)}"
    server = user["user_id"].partition(":")[2]
    made = ask(
        "POST",
        "/_matrix/client/v3/createRoom",
        {
            "preset": "public_chat",
            "visibility": "public",
            "room_version": version,
            "room_alias_name": alias,
            "initial_state": [
                {"type": kind, "state_key": "", "content": content}
                for kind, content in (state or {}).items()
            ],
            "power_level_content_override": levels,
            "invite": list(invite),
        },
        user["access_token"],
    )
    room = urllib.parse.quote(made["room_id"], safe="")
    for each in ban:
        path = f"/_matrix/client/v3/rooms/{room}/ban"
        ask("POST", path, {"user_id": each}, user["access_token"])
    return {"room_id": made["room_id"], "alias": f"#{alias}:{server}"}


def make_media():
    """A picture that a user has uploaded."""
    made = ask(
        "POST",
        "/_matrix/media/v3/upload",
        picture(),
        register()["access_token"],
        "image/png",
    )
    return {"media_id": made["content_uri"].rpartition("/")[2]}


def picture():
    """A grey picture as PNG."""
    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 0, 0, 0, 0)
    rows = (b"\0" + b"\x80" * WIDTH) * HEIGHT
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data))
        + name
        + data
        + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def main():
    """Answer one need."""
    told = json.load(sys.stdin)
    need = told.pop("need")
    if need == "user":
        answer = {"user_id": register()["user_id"]}
    elif need == "room":
        answer = make_room(**told)
    elif need == "media":
        answer = make_media()
    elif need == "join":
        answer = join(**told)
    elif need == "restart" and os.environ.get("CONFORM_RESTART"):
        command = os.environ["CONFORM_RESTART"]
        subprocess.run(command, shell=True, check=True, stdout=sys.stderr)
        answer = {}
    else:
        sys.exit(f"cannot make: {need}")
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
