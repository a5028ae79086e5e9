"""A mapping has at most so many entries, and evicts the oldest."""

from homeserver.net.bounded_map import BoundedMap


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
