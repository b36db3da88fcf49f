"""The characters of notebooks 09 and 10: one split, what may be typed, and the ruler on known answers."""

import pytest
import torch

from helpers import CourseError, find_glyphs, load_glyphs, recovered

glyphs = load_glyphs()


def test_the_split_the_ranges_and_the_rows():
    assert glyphs.sans.shape == glyphs.reggae.shape == glyphs.brush.shape == (1800, 1, 32, 32)
    assert glyphs.test_sans.shape == (200, 1, 32, 32) and glyphs.missing_sans.shape == (120, 1, 32, 32)
    lists = glyphs.characters, glyphs.test_characters, glyphs.missing
    assert [len(set(letters)) for letters in lists] == [1800, 200, 120] and len(set("".join(lists))) == 2120
    for pictures in (glyphs.sans, glyphs.reggae, glyphs.brush):
        assert pictures.min() == 0 and pictures.max() == 1
        assert pictures.mean() < 0.5, "0 is paper: most of a page is"


def test_the_missing_ones_are_those_of_the_story():
    assert glyphs.missing.startswith("貓說爸您垃妳姊拋")


def test_a_row_is_the_same_character_in_each_font():
    one = glyphs.characters.index("一")
    for font in ("sans", "reggae", "brush"):
        rows = getattr(glyphs, font)[one, 0].sum(dim=1)
        assert rows[10:22].sum() > 0.95 * rows.sum(), f"一 is one stroke in the middle, also in {font}"
    assert recovered(glyphs.test_reggae, glyphs.test_sans).float().mean() > 0.5


def test_both_parts_go_from_few_strokes_to_many():
    for part in (glyphs.sans, glyphs.test_sans):
        few, many = part[: len(part) // 4].mean(), part[-len(part) // 4 :].mean()
        assert many > 1.2 * few


def test_typed_characters_are_found_in_all_three_lists():
    typed = glyphs.characters[3] + " " + glyphs.test_characters[0] + "貓"
    pictures, places = find_glyphs(typed, glyphs)
    assert places == [("", 3), ("test_", 0), ("missing_", 0)]
    assert torch.equal(pictures, torch.stack([glyphs.sans[3], glyphs.test_sans[0], glyphs.missing_sans[0]]))


@pytest.mark.parametrize("typed, says", [("A", "“A” is not"), ("", "0 characters"), ("貓" * 9, "9 characters")])
def test_what_is_not_there_gets_a_sentence(typed, says):
    with pytest.raises(CourseError, match=says):
        find_glyphs(typed, glyphs)


def test_recovered_on_known_answers():
    truth = glyphs.test_reggae
    assert recovered(truth, truth).all(), "the truth is most like itself"
    assert recovered(0.3 * truth + 0.2, truth).all(), "a correlation sees neither contrast nor brightness"
    assert not recovered(truth.roll(1, 0), truth).any(), "each is most like another one"
    assert recovered(truth[:1].expand_as(truth), truth).sum() == 1, "always the same drawing: one hit, by chance"
    assert not recovered(torch.zeros_like(truth), truth).any(), "an empty page hits nothing"
