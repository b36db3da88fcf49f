"""The Colab door: one notebook alone in an empty folder, Colab's widgets and kernel, the repository a clone away.

Each code cell runs twice in a row. Then, with all of the notebook behind it, each question of the quiz has one right
answer, and every control of every live figure is moved: no cell may have broken another's.
"""

import sys

import nbformat
import pytest
from common import ZH, masters, repository
from door import marks, push_to
from kernels import kernel_for, run, text_of
from quiz_answers import answers_of

MOVE_ALL = """
def _move_all():  # in a function: a name of its own would be a name of the notebook's
    import gc
    import ipywidgets
    from helpers.figures import Live

    # without those of each cell's first run, which have let go of their controls
    panels = [thing for thing in gc.get_objects() if isinstance(thing, Live) and thing.controls]
    quizzes = [panel for panel in panels if panel.text.startswith("1. not answered yet")]
    assert quizzes
    for quiz in quizzes:
        right = []
        for place, (name, menu) in enumerate(quiz.controls.items()):
            said = []
            for option in menu.options:
                quiz.set(**{name: option})
                said.append(quiz.text.splitlines()[place])
            assert "not answered yet" in said[0] and sum("✓" in line for line in said) == 1, (menu.description, said)
            right += [option for option, line in zip(menu.options, said) if "✓" in line]
            quiz.set(**{name: "?"})
        print("ANSWERS", *right, sep="\\t")
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


@pytest.fixture(scope="session")
def remote(tmp_path_factory):
    return push_to(tmp_path_factory.mktemp("remote"))


def door(tmp_path, monkeypatch, python, remote):
    """An empty folder, and a kernel that believes to be on Colab."""
    empty = tmp_path / "empty"
    empty.mkdir()
    return empty, kernel_for(python, tmp_path, monkeypatch, **marks(tmp_path, remote))


@pytest.mark.slow
@pytest.mark.parametrize("master", masters(), ids=lambda path: path.stem)
def test_a_notebook_alone_runs_each_cell_twice(master, tmp_path, monkeypatch, colab_python, remote):
    """The Chinese edition; what it says, both times, is what is stored.

    A training that begins as nbval's did is read, not done again (tools/start/): had the first run of a cell changed
    what the second begins with, it would train anew, and say something else.
    """
    empty, kernel = door(tmp_path, monkeypatch, colab_python, remote)
    stored = nbformat.read(ZH / master.name, as_version=4)
    doubled = nbformat.from_dict(stored)
    doubled.cells = [nbformat.from_dict({**cell, "id": f"{cell.id}-{n}"}) for cell in stored.cells for n in (1, 2)]
    doubled.cells.append(nbformat.v4.new_code_cell(MOVE_ALL, id="move-all"))
    run(doubled, empty, kernel)
    assert (empty / "course" / "helpers").is_dir()
    answers = [line.split("\t")[1:] for line in text_of(doubled.cells.pop()).splitlines() if line.startswith("ANSWERS")]
    wanted = answers_of(master.name[:2])
    assert wanted is None or all(right == wanted for right in answers), "teaching.md says something else than the page"
    for cell, first, second in zip(stored.cells, doubled.cells[::2], doubled.cells[1::2], strict=True):
        if cell.cell_type == "code" and not IGNORED & set(cell.metadata.get("tags", [])):
            assert text_of(first) == text_of(cell), f"{cell.id}, the first time"
            assert text_of(second) == text_of(cell), f"{cell.id}, the second time"
    sent = [o.data for cell in doubled.cells for o in cell.get("outputs", []) if "data" in o]
    views = [data for data in sent if "application/vnd.jupyter.widget-view+json" in data]
    assert views and not any("image/png" in view for view in views), "on Colab only the widget is sent"


def set_up(empty, kernel, replace=("", ""), times=1):
    """What the set-up cell says, run alone."""
    notebook = nbformat.read(masters()[0], as_version=4)
    (cell,) = (cell for cell in notebook.cells if cell.id == "setup")
    cell.source = cell.source.replace(*replace) if replace[0] else cell.source
    notebook.cells = [nbformat.from_dict({**cell, "id": f"setup-{n}"}) for n in range(times)]
    return text_of(run(notebook, empty, kernel, allow_errors=True).cells[-1])


def test_a_clone_that_fails_gets_one_sentence(tmp_path, monkeypatch, remote):
    said = set_up(*door(tmp_path, monkeypatch, sys.executable, tmp_path / "nowhere"))
    assert f"The course could not be fetched from github.com/{repository()} (git says:" in said
    assert "then run this cell again." in said and "Traceback" not in said


def test_a_clone_that_was_cut_off_is_made_again(tmp_path, monkeypatch, remote):
    empty, kernel = door(tmp_path, monkeypatch, sys.executable, remote)
    (empty / "course.part" / "helpers").mkdir(parents=True)
    (empty / "course.part" / "helpers" / "half a file.py").write_text("import")
    assert set_up(empty, kernel, times=2) == ""
    assert (empty / "course" / "notebooks" / "open.py").exists() and not (empty / "course.part").exists()


@pytest.mark.parametrize(("name", "folder"), [("course", True), ("course", False), ("course.part", False)])
def test_what_is_in_the_way_is_named_and_left_alone(tmp_path, monkeypatch, remote, name, folder):
    empty, kernel = door(tmp_path, monkeypatch, sys.executable, remote)
    notes = empty / name / "notes.txt" if folder else empty / name
    notes.parent.mkdir(exist_ok=True)
    notes.write_text("mine")
    said = set_up(empty, kernel)
    assert f"Something called {name} is in the way: rename it, then run this cell again." in said
    assert "Traceback" not in said and notes.read_text() == "mine" and len(list(empty.iterdir())) == 1


def test_without_git_there_is_a_sentence_too(tmp_path, monkeypatch, remote):
    said = set_up(*door(tmp_path, monkeypatch, sys.executable, remote), ("git -c", "git-is-not-here -c"))
    assert "The course could not be fetched" in said and "git-is-not-here" in said and "Traceback" not in said


@pytest.mark.parametrize("internet", [True, False])
def test_kaggle(tmp_path, monkeypatch, remote, internet):
    """Kaggle's rules: no mark of Colab, the working folder kaggle/working, the notebook elsewhere, internet a switch."""
    working = tmp_path / "kaggle" / "working"
    working.mkdir(parents=True)
    colab = marks(tmp_path, remote if internet else tmp_path / "nowhere")
    kaggle = {"GIT_CONFIG_GLOBAL": colab["GIT_CONFIG_GLOBAL"], "KAGGLE_KERNEL_RUN_TYPE": "Interactive"}
    said = set_up(working, kernel_for(sys.executable, tmp_path, monkeypatch, **kaggle), times=2)
    if internet:
        assert said == "" and (working / "course" / "helpers").is_dir() and len(list(working.iterdir())) == 1
    else:
        assert "(on Kaggle: Internet on, in the panel on the right)" in said and "Traceback" not in said
        assert not list(working.iterdir())
