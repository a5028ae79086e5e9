"""The numbers that the text of each room version gives to its rules.

One line a rule: its name here, and its number in each span of versions.
"""

_TABLE = """
create.prev_events         1-12 1.1
create.room_id             1-12 1.2
create.version             1-12 1.3
create.creator             1-10 1.4
create.additional          12 1.4
create.allow               1-10 1.5   11 1.4    12 1.5
room_id                    12 2
auth.duplicate             1-11 2.1   12 3.1
auth.selection             1-11 2.2   12 3.2
auth.rejected              1-11 2.3   12 3.3
auth.create                1-11 2.4
auth.room                  1-11 2.5   12 3.4
federate                   1-11 3     12 4
aliases.key                1-5 4.1
aliases.domain             1-5 4.2
aliases.allow              1-5 4.3
member.form                1-5 5.1    6-11 4.1   12 5.1
member.signed              8-11 4.2   12 5.2
join.first                 1-5 5.2.1  6-7 4.2.1  8-11 4.3.1  12 5.3.1
join.self                  1-5 5.2.2  6-7 4.2.2  8-11 4.3.2  12 5.3.2
join.banned                1-5 5.2.3  6-7 4.2.3  8-11 4.3.3  12 5.3.3
join.invited               1-5 5.2.4  6-7 4.2.4  8-11 4.3.4  12 5.3.4
join.restricted.invited    8-11 4.3.5.1  12 5.3.5.1
join.restricted.authorised 8-11 4.3.5.2  12 5.3.5.2
join.restricted.allow      8-11 4.3.5.3  12 5.3.5.3
join.public                1-5 5.2.5  6-7 4.2.5  8-11 4.3.6  12 5.3.6
join.otherwise             1-5 5.2.6  6-7 4.2.6  8-11 4.3.7  12 5.3.7
third.banned               1-5 5.3.1.1  6-7 4.3.1.1  8-11 4.4.1.1  12 5.4.1.1
third.signed               1-5 5.3.1.2  6-7 4.3.1.2  8-11 4.4.1.2  12 5.4.1.2
third.members              1-5 5.3.1.3  6-7 4.3.1.3  8-11 4.4.1.3  12 5.4.1.3
third.mxid                 1-5 5.3.1.4  6-7 4.3.1.4  8-11 4.4.1.4  12 5.4.1.4
third.token                1-5 5.3.1.5  6-7 4.3.1.5  8-11 4.4.1.5  12 5.4.1.5
third.sender               1-5 5.3.1.6  6-7 4.3.1.6  8-11 4.4.1.6  12 5.4.1.6
third.allow                1-5 5.3.1.7  6-7 4.3.1.7  8-11 4.4.1.7  12 5.4.1.7
third.otherwise            1-5 5.3.1.8  6-7 4.3.1.8  8-11 4.4.1.8  12 5.4.1.8
invite.sender              1-5 5.3.2  6-7 4.3.2  8-11 4.4.2  12 5.4.2
invite.target              1-5 5.3.3  6-7 4.3.3  8-11 4.4.3  12 5.4.3
invite.allow               1-5 5.3.4  6-7 4.3.4  8-11 4.4.4  12 5.4.4
invite.otherwise           1-5 5.3.5  6-7 4.3.5  8-11 4.4.5  12 5.4.5
leave.self                 1-5 5.4.1  6-7 4.4.1  8-11 4.5.1  12 5.5.1
leave.sender               1-5 5.4.2  6-7 4.4.2  8-11 4.5.2  12 5.5.2
leave.unban                1-5 5.4.3  6-7 4.4.3  8-11 4.5.3  12 5.5.3
leave.allow                1-5 5.4.4  6-7 4.4.4  8-11 4.5.4  12 5.5.4
leave.otherwise            1-5 5.4.5  6-7 4.4.5  8-11 4.5.5  12 5.5.5
ban.sender                 1-5 5.5.1  6-7 4.5.1  8-11 4.6.1  12 5.6.1
ban.allow                  1-5 5.5.2  6-7 4.5.2  8-11 4.6.2  12 5.6.2
ban.otherwise              1-5 5.5.3  6-7 4.5.3  8-11 4.6.3  12 5.6.3
knock.rule                 7 4.6.1    8-11 4.7.1  12 5.7.1
knock.self                 7 4.6.2    8-11 4.7.2  12 5.7.2
knock.allow                7 4.6.3    8-11 4.7.3  12 5.7.3
knock.otherwise            7 4.6.4    8-11 4.7.4  12 5.7.4
member.unknown             1-5 5.6    6 4.6   7 4.7   8-11 4.8   12 5.8
sender                     1-5 6      6-11 5     12 6
third_party_invite         1-5 7.1    6-11 6.1   12 7.1
level                      1-5 8      6-11 7     12 8
state_key                  1-5 9      6-11 8     12 9
power.scalars              10-11 9.1  12 10.1
power.entries              10-11 9.2  12 10.2
power.users                1-5 10.1   6-9 9.1   10-11 9.3   12 10.3
power.creators             12 10.4
power.first                1-5 10.2   6-9 9.2   10-11 9.4   12 10.5
power.levels               1-5 10.3   6-9 9.3   10-11 9.5   12 10.6
power.take_entries         1-5 10.4   6-9 9.4   10-11 9.6   12 10.7
power.give_entries         1-5 10.5   6-9 9.5   10-11 9.7   12 10.8
power.take_users           1-5 10.6   6-9 9.6   10-11 9.8   12 10.9
power.give_users           1-5 10.7   6-9 9.7   10-11 9.9   12 10.10
power.allow                1-5 10.8   6-9 9.8   10-11 9.10  12 10.11
redaction.level            1-2 11.1
redaction.own              1-2 11.2
redaction.otherwise        1-2 11.3
allow                      1-2 12     3-5 11    6-11 10     12 11
"""


def _parse(line: str) -> dict[str, str]:
    cells = line.split()[1:]
    numbers: dict[str, str] = {}
    for span, number in zip(cells[::2], cells[1::2], strict=True):
        first, _, last = span.partition("-")
        versions = range(int(first), int(last or first) + 1)
        numbers |= {str(version): number for version in versions}
    return numbers


NUMBERS: dict[str, dict[str, str]] = {
    line.split()[0]: _parse(line) for line in _TABLE.strip().splitlines()
}
"""{rule: {room version: number}}."""
