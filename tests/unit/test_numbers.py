"""What a student may type, and what gets a sentence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import CourseError, parse_numbers


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("2, 1, -1", [2, 1, -1]),
        ("２，１，－１", [2, 1, -1]),
        ("１．５、２；3　4", [1.5, 2, 3, 4]),
        ("[1, 2, 3]", [1, 2, 3]),
        ("−0.5 .5 1e3", [-0.5, 0.5, 1000]),
        ("1,,2,", [1, 2]),
        ("3", [3]),
        ("1\t2\n3", [1, 2, 3]),
        (",".join("1" * 20), [1] * 20),
        ("0.5, 0, -0", [0.5, 0, 0]),
        ("–2 ‑3", [-2, -3]),
        ("{1}", [1]),
        ("（１）", [1]),
    ],
)
def test_understood(text, numbers):
    assert parse_numbers(text) == numbers


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "You typed 0 numbers"),
        (",".join("1" * 21), "You typed 21 numbers"),
        ("2**3", "“2**3” is not a number"),
        ("1/3", "“1/3” is not a number"),
        ("__import__('os').system('ls')", "is not a number"),
        ("nan", "“nan” is not a number"),
        ("inf", "“inf” is not a number"),
        ("1e999", "too large"),
        ("二", "“二” is not a number"),
        ("1_000", "“1_000” is not a number"),
        ("1,000", "without a comma inside"),
        ("9" * 400, "too large"),
        ("10²", "“²” is not a plain digit"),
        ("①", "“①” is not a plain digit"),
    ],
)
def test_refused_in_one_sentence(text, says):
    with pytest.raises(CourseError) as refusal:
        parse_numbers(text)
    assert says in str(refusal.value) and "\n" not in str(refusal.value) and len(str(refusal.value)) < 140


@given(st.text(max_size=60))
def test_nothing_typed_raises_anything_else(text):
    try:
        assert 1 <= len(parse_numbers(text)) <= 20
    except CourseError:
        pass


@given(st.lists(st.integers(-10_000, 10_000), min_size=1, max_size=20), st.sampled_from([",", "，", "、", " ", "; "]))
def test_what_was_written_is_read(numbers, between):
    assert parse_numbers(between.join(map(str, numbers))) == numbers
