"""How a quiz is marked. That each question of the course has one right answer is seen in tests/colab/."""

import numpy as np
import pytest
import torch
from common import NOTEBOOKS, read_notebook
from notebook_code import run_cells

from helpers import CourseError, direction, mark_quiz

INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize("before, after, moves", [
    (1, 2, "rises"), (2, 1, "falls"), (1, 1, "stays"), (0.0, 1e-9, "stays"), (0.1, 0.0001, "falls"),
    (1e6, 1e6 + 0.5, "stays"), (1e6, 1e6 + 5, "rises"), (np.float32(0.25), np.float64(0.25), "stays"),
    (np.array([0.5]), np.array([0.25]), "falls"), (torch.tensor(0.5), torch.tensor([0.75]), "rises"),
    (1, INF, "rises"), (INF, 1, "falls"), (-INF, INF, "rises"), (INF, -INF, "falls"), (INF, INF, "stays"),
    (-INF, -1e308, "rises"), (-1e308, 1e308, "rises"), (torch.tensor(INF), np.float32(INF), "stays"),
])  # fmt: skip
def test_direction(before, after, moves):
    assert direction(before, after) == moves


@pytest.mark.parametrize("before, after", [(NAN, 1), (1, NAN), (INF, NAN), (torch.tensor(NAN), 0), ("a", 1), (None, 1),
                                           (1j, 1), ([1, 2], 1), (torch.ones(2), 1), (1, np.ones(2))])  # fmt: skip
def test_what_has_no_direction_gets_a_sentence(before, after):
    with pytest.raises(CourseError, match="Only one number can rise or fall"):
        direction(before, after)


def test_direction_within():
    assert direction(0.30, 0.33, within=0.04) == "stays" and direction(0.30, 0.35, within=0.04) == "rises"


def test_marks():
    facts = {"a": ("rises", 2), "b": ("20", "“A third choice”"), "c": ("stays", 5)}
    said = mark_quiz({"a": "rises", "b": "?", "c": "falls"}, facts)
    assert said == "1. ✓\n2. not answered yet\n3. ✗ read section 5 again"
    assert "2. ✗ read “A third choice” again" in mark_quiz({"a": "?", "b": "24", "c": "?"}, facts)


PAGES = ["00", "01", "02", "03", "04", "05"]


@pytest.mark.parametrize("notebook", PAGES)
def test_every_option_of_a_quiz_has_its_sentence(notebook):
    menus = {}

    def keep(_, __, **given):
        menus.update(given)

    class Menu(list):
        layout = type("layout", (), {})()

    choice = lambda description, options: Menu(options)  # noqa: E731
    cells = [
        c["id"]
        for c in read_notebook(next(NOTEBOOKS.glob(f"{notebook}_*.ipynb")))["cells"]
        if c["id"].startswith("quiz-why")
    ]
    why = run_cells(notebook, *cells)["WHY"]
    run_cells(notebook, "quiz-live", live=keep, choice=choice, judge_answers=None, mark_quiz=None)
    assert why.keys() == menus.keys()
    for question, options in menus.items():
        assert why[question].keys() == set(options) - {"?"}
        assert all(len(sentence) > 15 for sentence in why[question].values())


def test_each_answer_is_told_why():
    facts = {"a": ("rises", {"rises": "it is warm", "falls": "it is not cold"}), "b": ("stays", {"stays": "so it is"})}
    assert mark_quiz({"a": "falls", "b": "stays"}, facts) == "1. ✗ it is not cold\n2. ✓ so it is"
    assert mark_quiz({"a": "rises", "b": "?"}, facts) == "1. ✓ it is warm\n2. not answered yet"
