"""How the suite is cut for the workers: every test in one piece, the long ones first."""

from order import piece, turn

TOUR = "tests/browser/test_tour.py::test_every_control_answers[{}-{}]"


def test_a_notebook_is_one_piece_and_each_long_test_is_one():
    assert piece("notebooks/04_distillation.ipynb::Cell 3") == piece("notebooks/04_distillation.ipynb::Cell 7")
    twice = "tests/colab/test_colab.py::test_a_notebook_alone_runs_each_cell_twice[{}]"
    assert piece(twice.format("04_distillation")) != piece(twice.format("05_gan"))
    assert piece("tests/unit/test_live.py::test_a") == piece("tests/unit/test_live.py::test_b[3]")


def test_a_browser_piece_needs_one_lab_only():
    lab4, lab3 = "lab4-widgets8", "lab3-colab"
    assert piece(TOUR.format(lab4, "04_distillation")) == piece(TOUR.format(lab4, "05_gan"))
    assert piece(TOUR.format(lab4, "04_distillation")) != piece(TOUR.format(lab3, "04_distillation"))
    assert piece(TOUR.format(lab4, "04_distillation")) != piece(TOUR.format(lab4, "10_cyclegan"))
    hand_in = f"tests/browser/test_tour.py::test_the_hand_in_of_01_names_what_is_missing[{lab4}]"
    assert piece(hand_in) == piece(TOUR.format(lab4, "01_softmax"))


def test_notebooks_train_before_browsers_read_and_units_come_last():
    names = ["tests/unit/test_softmax.py::test_a", TOUR.format("lab4-widgets8", "10_cyclegan"),
             "notebooks/03_losses.ipynb::Cell 0", "notebooks/10_cyclegan.ipynb::Cell 0",
             "tests/colab/test_colab.py::test_a_notebook_alone_runs_each_cell_twice[00_jupyter_warm_up]"]  # fmt: skip
    assert [names.index(name) for name in sorted(names, key=turn)] == [3, 2, 1, 4, 0]
