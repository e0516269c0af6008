"""Tests of the index of a cache."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blackstart.cdn.index import Index

steps = st.tuples(st.booleans(), st.integers(0, 6), st.sets(st.sampled_from("abc")))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(steps, max_size=40))
def test_a_tag_always_names_exactly_the_entries_that_carry_it(make_entry, done) -> None:
    index = Index()
    model: dict[str, set[str]] = {}
    for add, number, tags in done:
        key = str(number)
        if add:
            index.add(make_entry(key, primary=str(number % 3), tags=tuple(tags)))
            model[key] = tags
        else:
            index.discard(key)
            model.pop(key, None)
        for tag in "abc":
            assert set(index.keys_of_tags([tag])) == {k for k, t in model.items() if tag in t}
        for page in "012":
            assert set(index.keys_of_page(page)) == {k for k in model if str(int(k) % 3) == page}
        assert set(index.keys()) == set(model)


def test_an_entry_under_two_of_the_tags_is_named_once(make_entry) -> None:
    index = Index()
    index.add(make_entry("k", tags=("a", "b")))
    assert index.keys_of_tags(["a", "b", "c"]) == ["k"]


def test_an_empty_index_keeps_nothing_behind(make_entry) -> None:
    index = Index()
    index.add(make_entry("k", tags=("a",)))
    index.discard("k")
    assert not any([index._pages, index._by_tag, index._cards])
