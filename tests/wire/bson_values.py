"""Strategies: documents of every BSON type, and frames of every kind that is spoken."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from hypothesis import strategies as st

from blackstart.wire import Compressor, Flag, encode_command

names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
int64s = st.integers(-(2**63), 2**63 - 1)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**31), 2**31 - 1),
    int64s.map(Int64),
    st.floats(),
    texts,
    st.binary(max_size=9),
    st.builds(Binary, st.binary(max_size=9), st.sampled_from([0, 2, 4, 5, 128])),
    st.binary(min_size=12, max_size=12).map(ObjectId),
    st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)).map(lambda at: at.replace(tzinfo=UTC)),
    st.builds(Regex, names, st.sampled_from([0, 2, 10])),
    st.builds(Code, texts),
    st.builds(Timestamp, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)),
    st.decimals(
        allow_nan=False, allow_infinity=False, places=3, min_value=-(10**9), max_value=10**9
    ).map(Decimal128),
    st.just(MinKey()),
    st.just(MaxKey()),
    st.builds(DBRef, names, st.integers(0, 9)),
)
scoped_code = st.builds(Code, texts, st.dictionaries(names, scalars, max_size=2))


def _containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3)


documents = st.dictionaries(
    names, st.recursive(scalars | scoped_code, _containers, max_leaves=6), max_size=5
)
flags = st.sampled_from(
    [
        Flag(0),
        Flag.CHECKSUM_PRESENT,
        Flag.MORE_TO_COME,
        Flag.EXHAUST_ALLOWED | Flag.CHECKSUM_PRESENT,
    ]
)
compressors = st.sampled_from([None, *Compressor])
frames = st.builds(
    lambda document, flags, compressor: encode_command(
        document, request_id=7, flags=flags, compressor=compressor
    ),
    documents,
    flags,
    compressors,
)
