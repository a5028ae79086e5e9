"""A mapping has at most so many entries, and evicts the oldest."""

from homeserver.net.bounded_map import BoundedMap, ByteLimit, SharedLimit


def test_the_oldest_entry_makes_room() -> None:
    """One entry more than the limit evicts the one that was set first."""
    evicted: list[int] = []
    entries: BoundedMap[str, int] = BoundedMap(2, evicted.append)
    for value, key in enumerate("abcd"):
        entries[key] = value
        assert len(entries) <= 2
    assert list(entries.items()) == [("c", 2), ("d", 3)]
    assert evicted == [0, 1]


def test_an_entry_that_is_set_again_is_the_newest() -> None:
    """Setting a key again replaces its value, and the other one is the oldest."""
    evicted: list[int] = []
    entries: BoundedMap[str, int] = BoundedMap(2, evicted.append)
    entries.update(a=0, b=1)
    entries["a"] = 2
    assert evicted == []
    entries["c"] = 3
    assert list(entries.items()) == [("a", 2), ("c", 3)]
    assert evicted == [1]


def test_reading_does_not_make_an_entry_newer() -> None:
    """Only setting a key counts: what is read often is not kept for ever."""
    entries: BoundedMap[str, int] = BoundedMap(2)
    entries.update(a=0, b=1)
    assert entries["a"] == entries.get("a") == 0
    entries["c"] = 2
    assert list(entries) == ["b", "c"]


def test_an_entry_that_is_removed_is_not_evicted() -> None:
    """Removing an entry makes room without an eviction."""
    evicted: list[int] = []
    entries: BoundedMap[str, int] = BoundedMap(2, evicted.append)
    entries.update(a=0, b=1)
    assert entries.pop("b") == 1
    entries["c"] = 2
    assert evicted == []
    entries.evict_oldest()
    assert evicted == [0]
    assert list(entries) == ["c"]


def test_shared_limit() -> None:
    """A map that has few entries loses none to one that has many."""
    limit, evicted = SharedLimit(10), list[str]()
    maps: list[BoundedMap[int, str]] = [
        BoundedMap(limit, evicted.append) for _ in range(3)
    ]
    flooded, few, idle = maps
    for number in range(3):
        few[number] = f"few {number}"
    for number in range(1000):
        flooded[number] = f"flood {number}"
    assert (len(few), len(flooded), len(idle), limit.use) == (3, 7, 0, 10)
    assert evicted[0] == "flood 0"
    assert list(flooded) == list(range(993, 1000))
    for number in range(1000):
        idle[number] = f"other {number}"
    assert len(few) == 3
    assert (len(flooded), len(idle)) in {(3, 4), (4, 3)}


def test_shared_limit_counts_every_change() -> None:
    """Whatever takes an entry out of a map makes room for others."""
    limit = SharedLimit(10)
    one: BoundedMap[int, int] = BoundedMap(limit)
    for number in range(6):
        one[number] = number
    one[5] = 6
    assert limit.use == 6
    assert one.pop(0) == 0
    assert one.pop(0, None) is None
    del one[1]
    assert one.popitem() == (5, 6)
    assert limit.use == 3
    one.evict_oldest()
    assert limit.use == 2
    one.clear()
    assert limit.use == 0
    one[1] = 1
    assert limit.use == 1
    del one
    assert limit.use == 0


def test_bytes() -> None:
    """Of a map with a limit on its bytes, the oldest make room for the newest."""
    limit, evicted = ByteLimit(10, len), list[str]()
    entries: BoundedMap[str, str] = BoundedMap(limit, evicted.append)
    for key, value in (("a", "1111"), ("b", "22"), ("c", "3333")):
        entries[key] = value
    assert (limit.use, evicted) == (10, [])
    entries["a"] = "11"  # it is the newest now
    assert limit.use == 8
    entries["d"] = "444444"
    assert (list(entries), limit.use, evicted) == (["a", "d"], 8, ["22", "3333"])
    entries["e"] = "5" * 20
    assert (list(entries), limit.use) == (["e"], 20)


def test_bytes_of_removed_entries() -> None:
    """An entry counts until it is removed, in whichever way."""
    limit = ByteLimit(100, len)
    entries: BoundedMap[str, str] = BoundedMap(limit)
    for key in "abcde":
        entries[key] = "1234567890"
    entries.pop("a")
    assert entries.pop("none", None) is None
    assert limit.use == 40
    del entries["b"]
    assert limit.use == 30
    entries.popitem()
    assert limit.use == 20
    entries.evict_oldest()
    assert limit.use == 10
    entries.clear()
    assert limit.use == 0
