"""Conformance: what another homeserver does right and wrong, through federation alone.

A signed request from a name makes the target discover, connect to and verify that name,
to fetch its key. So a name is a test case, and the lab makes the names.

A check is a function with the decorator `check`, or a row of a table, in a module of
`checks/`; `checks/own_keys.py` shows how one is written:

    @check("M02", must, "Server-server API, Publishing Keys", needs=[TRUSTED_NAME])
    async def expired_document(t: Target) -> Outcome:
        \"\"\"A key document whose valid_until_ts has passed verifies no request.\"\"\"
        ours = t.server(keys=lambda o: o.document(valid_until_ts=1))
        reply = await t.ask(ours)
        return not_authenticated(reply)
"""
