"""How remarks are read that were stored."""

from homeserver.protocol.remarks import read_remarks


def test_stored_remarks() -> None:
    """Sentences that were stored before there were codes are read as well."""
    found = read_remarks('["x",{"code":"no_sni","text":"y"}]')
    assert [(each.code, each.text) for each in found] == [
        ("other", "x"),
        ("no_sni", "y"),
    ]
