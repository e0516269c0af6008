"""Strategies: documents and filters over every type that documents hold, and over no few paths."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from bson import Decimal128, Int64, ObjectId, Regex, Timestamp
from hypothesis import strategies as st

scalars: st.SearchStrategy[Any] = st.sampled_from(
    [
        None, True, False, 0, 1, 2, -1, 1.0, 1.5, float("nan"), Int64(1), Int64(2**40),
        Decimal128("1"), Decimal128("1.5"), "", "a", "b", "ab", "A",
        datetime(2017, 2, 2, tzinfo=UTC), datetime(2018, 2, 2, tzinfo=UTC),
        ObjectId("0" * 24), ObjectId("1" * 24), Timestamp(1, 1), b"x",
    ]
)  # fmt: skip
values = scalars | st.sampled_from(
    [
        {}, {"x": 1}, {"x": 2, "y": 1}, {"y": 1, "x": 2}, {"x": None}, {"x": [1, 2]},
        {"x": {"z": 1}}, [], [1], [1, 2], [2, 1], ["a"], ["ab"], [None], [True], [[1]],
        [{"x": 1}], [{"x": 1}, {"x": 2}], [{"x": 1, "y": 2}, {"x": 2, "y": 1}], [{}],
        [[1, 2], 3], [{"x": [1, 2]}], [{"x": "a"}, 1],
    ]
)  # fmt: skip
documents = st.dictionaries(st.sampled_from("abc"), values, max_size=3)
paths = st.sampled_from(["a", "b", "c", "a.x", "b.x", "a.x.z", "b.y"])
patterns = st.builds(Regex, st.sampled_from(["a", "^a", "b$"]), st.sampled_from([0, re.IGNORECASE]))
types = st.sampled_from(
    [1, 2, 3, 4, 8, 9, 10, 16, 18, "string", "number", "object", "array", "null", "date"]
)


def _of(operator: str, argument: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return argument.map(lambda value: {operator: value})


comparisons = st.one_of(
    *(_of(name, values) for name in ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte"))
)
in_value = st.one_of(
    comparisons,
    st.fixed_dictionaries({"$gte": scalars, "$lt": scalars}),
    _of("$in", st.lists(values | patterns, max_size=3)),
    _of("$nin", st.lists(values, max_size=3)),
    _of("$exists", st.sampled_from([True, False, 0, 1])),
    _of("$type", types | st.lists(types, min_size=1, max_size=2)),
    _of("$size", st.integers(0, 2)),
    _of("$mod", st.tuples(st.sampled_from([2, 3, -2]), st.integers(-1, 1)).map(list)),
    st.fixed_dictionaries(
        {"$regex": st.sampled_from(["a", "^a", "b$"]), "$options": st.sampled_from(["", "i"])}
    ),
    _of("$all", st.lists(scalars.filter(lambda value: value is not None), max_size=2)),
)
elements = _of(
    "$elemMatch",
    st.one_of(
        _of("x", values),
        _of("x", comparisons),
        st.fixed_dictionaries({"x": scalars, "y": scalars}),
        st.fixed_dictionaries({"$gte": scalars, "$lt": scalars}),
        _of("$in", st.lists(scalars, max_size=2)),
    ),
)
fields = st.one_of(values, patterns, in_value, elements, _of("$not", in_value | patterns))
filters = st.recursive(
    st.tuples(paths, fields).map(lambda pair: {pair[0]: pair[1]}),
    lambda inner: st.one_of(
        *(_of(name, st.lists(inner, min_size=1, max_size=2)) for name in ("$and", "$or", "$nor"))
    ),
    max_leaves=3,
)
