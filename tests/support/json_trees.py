"""JSON values, the notations of their texts, and texts in which members stand twice."""

import json

from hypothesis import strategies as st

from homeserver.protocol.canonical_json import MAX_INTEGER


def json_values(numbers: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    """JSON with the given numbers in it."""
    return st.recursive(
        st.none() | st.booleans() | st.text() | numbers,
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )


ENVELOPE = json_values(
    st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
)
CANONICAL = json_values(st.integers(-MAX_INTEGER, MAX_INTEGER))

NOTATIONS = [
    json.JSONEncoder(),
    json.JSONEncoder(ensure_ascii=False, separators=(",", ":")),
    json.JSONEncoder(indent="\t", separators=(" ,", " :\r\n")),
    json.JSONEncoder(ensure_ascii=False, sort_keys=True, indent=3),
]

Tree = str | list["Tree"] | tuple[tuple[str, "Tree"], ...]
"""JSON as it is written: an object is the tuple of its members, twice or not."""

KEYS = st.text('a:"\\', max_size=2)
TREES: st.SearchStrategy[Tree] = st.recursive(
    KEYS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(st.tuples(KEYS, inner), max_size=3).map(tuple)
    ),
    max_leaves=10,
)


def written(tree: Tree) -> str:
    """The JSON text of a tree."""
    if isinstance(tree, str):
        return json.dumps(tree)
    if isinstance(tree, list):
        return "[" + ",".join(map(written, tree)) + "]"
    return "{" + ",".join(f"{json.dumps(k)}:{written(v)}" for k, v in tree) + "}"
