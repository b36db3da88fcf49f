"""Notebook 01's softmax: values worked out by hand, properties, refusals, and mutations that these catch."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from notebook_code import run_cells

from helpers import CourseError


def load(*changes):
    return run_cells("01", "softmax", change=list(changes), np=np, CourseError=CourseError)["softmax"]


softmax = load()
scores = st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=20)
temperatures = st.floats(0.01, 100)


def test_values_worked_out_by_hand():
    total = math.e**2 + math.e + 1 / math.e
    np.testing.assert_allclose(softmax([2, 1, -1]), [math.e**2 / total, math.e / total, 1 / math.e / total], rtol=1e-12)
    np.testing.assert_allclose(softmax([math.log(1), math.log(2), math.log(5)]), [1 / 8, 2 / 8, 5 / 8], rtol=1e-12)
    np.testing.assert_allclose(softmax([math.log(3), 0], temperature=0.5), [9 / 10, 1 / 10], rtol=1e-12)
    np.testing.assert_allclose(softmax([math.log(4), 0], temperature=2), [2 / 3, 1 / 3], rtol=1e-12)


def test_one_score_gets_everything():
    assert softmax([-3]) == [1]


def test_minus_infinity_gets_exactly_nothing():
    assert softmax([0, -math.inf]).tolist() == [1, 0]


def test_overflow():
    assert softmax([1e4, -1e4]).tolist() == [1, 0]
    assert softmax([-1e4, -1e4]).tolist() == [0.5, 0.5]
    assert softmax([1e4, 1e4 - 1], temperature=1e-300).tolist() == [1, 0]


def test_axes():
    table = np.log([[1.0, 3.0], [1.0, 1.0]])
    np.testing.assert_allclose(softmax(table), [[0.25, 0.75], [0.5, 0.5]])
    np.testing.assert_allclose(softmax(table, axis=0), [[0.5, 0.75], [0.5, 0.25]])


@pytest.mark.parametrize("bad", [[], [1, math.nan], [math.inf, 1], [-math.inf, -math.inf], np.zeros((2, 0))])
def test_refusals_are_one_clear_sentence(bad):
    with pytest.raises(CourseError) as refusal:
        softmax(bad)
    assert (
        str(refusal.value).startswith("Softmax") and str(refusal.value).endswith(".") and len(str(refusal.value)) < 120
    )


@pytest.mark.parametrize("temperature", [0, -1, math.nan, math.inf])
def test_a_temperature_has_to_be_above_zero(temperature):
    with pytest.raises(CourseError, match="finite one above 0"):
        softmax([1, 2], temperature)


@given(scores, temperatures)
def test_shares_add_up_to_one(z, temperature):
    shares = softmax(z, temperature)
    assert np.all((shares >= 0) & (shares <= 1)) and math.isclose(shares.sum(), 1, rel_tol=1e-12)


@given(scores, temperatures)
def test_order_is_kept(z, temperature):
    assert np.all(np.diff(softmax(z, temperature)[np.argsort(z)]) >= 0)


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=20), st.floats(-1e3, 1e3))
def test_only_differences_count(z, shift):
    np.testing.assert_allclose(softmax(np.array(z) + shift), softmax(z), atol=1e-11)


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=10), st.floats(0.1, 10))
def test_scaling_is_temperature(z, factor):
    np.testing.assert_allclose(softmax(np.array(z) * factor), softmax(z, 1 / factor), rtol=1e-9, atol=1e-300)


@settings(max_examples=50)
@given(arrays(float, (3, 4), elements=st.floats(-100, 100)))
def test_a_table_is_its_rows(table):
    np.testing.assert_allclose(softmax(table), [softmax(row) for row in table], rtol=1e-12)


MUTATIONS = {
    "the maximum is added": ("(scores - largest)", "(scores + largest)"),
    "the maximum is not taken off": ("(scores - largest)", "(scores)"),
    "the minimum is taken off": ("scores.max(axis=axis", "scores.min(axis=axis"),
    "T multiplies": (") / temperature", ") * temperature"),
    "T divides the powers": ("np.exp((scores - largest) / temperature)", "np.exp(scores - largest) / temperature"),
    "T divides the maximum only": ("(scores - largest) / temperature", "scores - largest / temperature"),
    "one total for the whole table": ("powers.sum(axis=axis, keepdims=True)", "powers.sum()"),
    "the axis is ignored": ("axis=axis", "axis=0"),
    "the sign is turned": ("np.exp((", "np.exp(-("),
    "NaN is let in": ("np.isnan(scores).any()", "False"),
    "T = 0 is let in": ("0 < temperature", "0 <= temperature"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutations_are_caught(name, monkeypatch):
    monkeypatch.setitem(globals(), "softmax", load(MUTATIONS[name]))
    tests = [
        test_values_worked_out_by_hand,
        test_overflow,
        test_axes,
        lambda: test_refusals_are_one_clear_sentence([1, math.nan]),
        lambda: test_a_temperature_has_to_be_above_zero(0),
    ]
    with np.errstate(all="ignore"):
        assert not all(passes(test) for test in tests), f"no test notices that {name}"


def passes(test):
    try:
        test()
    except (AssertionError, CourseError, pytest.fail.Exception):
        return False
    return True
