"""The poems as numbers: a split that shares no line, and examples worked out by hand."""

import pytest
import torch

from helpers import CourseError, examples_of, lines_of, load_poems
from helpers.data import Poems, apart


@pytest.fixture(scope="module")
def poems():
    return load_poems()


def test_the_split_is_the_one_that_the_pages_speak_of(poems):
    assert (poems.rows, poems.different, len(poems.characters)) == (3957, 3772, 3743)
    assert poems.train.shape == (3400, 20) and poems.held_out.shape == (328, 20) and poems.left_out == 44
    assert len(poems.eight) > 20_000 and poems.eight.shape[1] == 20
    assert poems.train.min() == poems.eight.min() == 1 and poems.eight.max() <= 3743


def test_no_line_that_is_held_out_is_read(poems):
    held_out = set(lines_of(poems.held_out))
    assert held_out.isdisjoint(lines_of(poems.train)) and held_out.isdisjoint(lines_of(poems.eight))


def test_a_text_comes_back(poems):
    assert (
        poems.write(poems.read("春眠不覺曉")) == "春眠不覺曉"
        and poems.write(torch.tensor([0, 1])) == "·" + poems.characters[0]
    )
    with pytest.raises(CourseError, match="“x” is in none of the poems"):
        poems.read("春x")


def test_examples_by_hand():
    before, place, came = examples_of(torch.arange(1, 41).reshape(2, 20), before=3)
    assert before[:4].tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 2], [1, 2, 3]] and came[:4].tolist() == [1, 2, 3, 4]
    assert before[20].tolist() == [0, 0, 0] and before[39].tolist() == [37, 38, 39] and came[39] == 40
    assert place.tolist() == [*range(20)] * 2


def test_halves_with_a_line_that_is_held_out_or_an_unknown_character_are_not_read():
    numbers = torch.randint(0x4E00, 0x5200, (3450, 20), generator=torch.Generator().manual_seed(0))
    texts = ["".join(map(chr, row)) for row in numbers.tolist()]
    lines = [f"author\ttitle\t{text}" for text in texts]
    secret = (few := Poems(lines, [])).write(few.held_out[0])
    known = next(text for text in texts if text != secret)
    assert len(few.eight) == 0
    read = Poems(lines, [known + secret, known[:15] + secret[:5] + known, "x" * 40]).eight
    assert [few.write(half) for half in read] == [known, known]


def test_apart_by_hand():
    texts = torch.arange(60).reshape(3, 20)
    assert apart(texts, torch.cat([texts[1, 5:], texts[1, :5]])[None]).tolist() == texts[[0, 2]].tolist()
