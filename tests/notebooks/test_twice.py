"""Every code cell runs twice in a row, on one thread, and says what is stored.

A training that begins as nbval's did is read, not done again (trained_once/): had the first run of a cell changed what the
second begins with, it would train anew, and say something else. Then, with all of the notebook behind it, each question of
the quiz has one right answer, and every control of every live figure is moved: no cell may have broken another's.
"""

import sys

import nbformat
import pytest
from common import masters
from kernels import kernel_for, run, text_of

MOVE_ALL = """
def _move_all():  # in a function: a name of its own would be a name of the notebook's
    import gc
    import ipywidgets
    from helpers.live_figures import Live

    panels = [thing for thing in gc.get_objects() if isinstance(thing, Live)]
    quizzes = [panel for panel in panels if panel.text.startswith("1. not answered yet")]
    assert quizzes
    for quiz in quizzes:
        for place, (name, menu) in enumerate(quiz.controls.items()):
            said = []
            for option in menu.options:
                quiz.set(**{name: option})
                said.append(quiz.text.splitlines()[place])
            assert "not answered yet" in said[0] and sum("✓" in line for line in said) == 1, (menu.description, said)
            quiz.set(**{name: "?"})
    for panel in panels:
        for name, control in panel.controls.items():
            if isinstance(control, ipywidgets.Button):
                panel.set(**{name: 1})
            elif hasattr(control, "max"):
                panel.set(**{name: control.max})
                panel.set(**{name: control.min})
            elif hasattr(control, "options"):
                last = control.options[-1]
                panel.set(**{name: last[1] if isinstance(last, tuple) else last})  # a pair of word and value
            else:
                panel.set(**{name: "!"})
            assert "cannot be" not in panel.text, (control.description, panel.text)


_move_all()
"""
IGNORED = {"nbval-ignore-output", "nbval-skip"}


@pytest.mark.slow
@pytest.mark.parametrize("path", masters(), ids=lambda path: path.stem)
def test_every_cell_runs_twice(path, tmp_path, monkeypatch):
    kernel = kernel_for(sys.executable, tmp_path, monkeypatch, OMP_NUM_THREADS="1", COURSE_TRAINED_READ="1")
    stored = nbformat.read(path, as_version=4)
    doubled = nbformat.from_dict(stored)
    doubled.cells = [nbformat.from_dict({**cell, "id": f"{cell.id}-{n}"}) for cell in stored.cells for n in (1, 2)]
    doubled.cells.append(nbformat.v4.new_code_cell(MOVE_ALL, id="move-all"))
    run(doubled, path.parent, kernel)
    doubled.cells.pop()
    for cell, first, second in zip(stored.cells, doubled.cells[::2], doubled.cells[1::2], strict=True):
        if cell.cell_type == "code" and not IGNORED & set(cell.metadata.get("tags", [])):
            assert text_of(first) == text_of(cell), f"{cell.id}, the first time"
            assert text_of(second) == text_of(cell), f"{cell.id}, the second time"
