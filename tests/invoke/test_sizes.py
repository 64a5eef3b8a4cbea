"""What environments are counted for, against a model that counts them one by one."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from cumulet.invoke.sizes import FIRST_GUESS_MB, Sizes
from cumulet.runtimes.contract import FunctionSpec

SPEC = FunctionSpec("0", "r", "f", "a", "1", "c", "python3.11", "h", "code", "role", memory_mb=512)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.sampled_from("abc"), st.just(0)),
        st.tuples(st.just("give back"), st.sampled_from("abc"), st.just(0)),
        st.tuples(st.just("learn"), st.sampled_from("abc"), st.integers(0, 600)),
    )
)


@given(STEPS)
def test_the_sum_is_always_that_of_the_live(steps):
    sizes, live = Sizes(), []
    for what, name, peak_mb in steps:
        spec = replace(SPEC, function_id=name)
        if what == "take":
            sizes.take(spec)
            live.append(name)
        elif what == "give back" and name in live:
            sizes.give_back(spec)
            live.remove(name)
        elif what == "learn":
            sizes.learn(spec, peak_mb)
        assert sizes.used_mb == sum(sizes.of(replace(SPEC, function_id=each)) for each in live)
        assert all(4 <= sizes.of(replace(SPEC, function_id=each)) <= 512 for each in "abc")


def test_a_guess_is_made_once_and_then_known():
    sizes = Sizes()
    assert sizes.of(SPEC) == FIRST_GUESS_MB
    sizes.take(SPEC)
    assert sizes.learn(SPEC, 10) and sizes.of(SPEC) == 13
    assert not sizes.learn(SPEC, 8) and sizes.of(SPEC) == 13, "what one environment took another may take"
    assert not sizes.learn(SPEC, 100) and sizes.of(SPEC) == 126
    assert not sizes.learn(SPEC, 5000) and sizes.of(SPEC) == 512, "no environment can take more than its limit"
