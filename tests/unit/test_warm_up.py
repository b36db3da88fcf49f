"""Notebook 00 in a kernel of today and in one of Colab's generation: the magics work, the verdicts judge what was mended."""

import matplotlib.pyplot as plt
import nbformat
import pytest
from common import NOTEBOOKS
from kernels import kernel_for, run, text_of
from notebook_code import run_cells

from helpers import CourseError, parse_numbers

PATH = NOTEBOOKS / "00_jupyter_warm_up.ipynb"
MOVE = """def move({argument}):
    print("·" * {used} + "softmax")


interact(move, {given});"""
WAVE = """def draw_wave(n=3):
    {first}
    plt.plot(x, np.sinc({n} * x))
    {last}


interact(draw_wave, n=(1, 20));"""
# What a student may put in place of the program of the notes, and what the verdict has to say.
MOVES = {
    "n in the function": (MOVE.format(argument="n=1", used="n", given="n=(1, 50)"), "✓ mended"),
    "x in the call": (MOVE.format(argument="x=1", used="x", given="x=(1, 50)"), "✓ mended"),
    "no starting value": (MOVE.format(argument="n", used="n", given="n=(1, 50)"), "✓ mended"),
    "the notes": (MOVE.format(argument="x=1", used="x", given="n=(1, 50)"), "found: x from -1 to 3"),
    "another range": (MOVE.format(argument="n=1", used="n", given="n=(0, 50)"), "found: n from 0 to 50"),
    "decimals": (MOVE.format(argument="n=1", used="int(n)", given="n=(1.0, 50.0)"), "✓ mended"),
    "stands still": (MOVE.format(argument="n=1", used="3", given="n=(1, 50)"), "the word does not move"),
    "another name inside": (MOVE.format(argument="n=1", used="m", given="n=(1, 50)"), "stopped with NameError"),
}
WAVES = {
    "show at the end": (WAVE.format(first="pass", n="n", last="plt.show()"), "✓ mended"),
    "the notes": (WAVE.format(first="pass", n="n", last="pass"), "they showed 0, 0, 0"),
    "show first": (WAVE.format(first="plt.show()", n="n", last="pass"), "they showed 0, 1, 1"),
    "shown and kept": (
        WAVE.format(first="pass", n="n", last="display(plt.gcf())"),
        "curves pile up on the table: 1, 2, 3",
    ),
    "always the same": (WAVE.format(first="pass", n="2", last="plt.show()"), "does not change with n"),
    "another name inside": (WAVE.format(first="pass", n="m", last="plt.show()"), "stopped with NameError"),
}


@pytest.fixture(params=["today", "colab"])
def kernel(request, tmp_path, monkeypatch):
    if request.param == "today":
        return "python3"
    return kernel_for(request.getfixturevalue("colab_python"), tmp_path, monkeypatch)


@pytest.mark.slow
def test_each_mending_gets_its_verdict(kernel):
    notebook, wanted = nbformat.read(PATH, as_version=4), {}
    for judge, tries in {"name-judge": MOVES, "show-judge": WAVES}.items():
        place = next(n for n, cell in enumerate(notebook.cells) if cell.id == judge)
        judging, added = notebook.cells[place], []
        for n, (code, verdict) in enumerate(tries.values()):
            name = f"{judge}-{n}"
            verdict_of = "judge_move" if judge == "name-judge" else "judge_wave"
            pressed = f"{judging.source}\nprint({verdict_of}(1))"  # as after the first click
            added += [
                nbformat.v4.new_code_cell(code, id=f"try-{name}"),
                nbformat.from_dict({**judging, "source": pressed, "id": name}),
            ]
            added[-2].metadata["tags"] = ["raises-exception"]  # a student's error: the verdict still has to come
            wanted[name] = verdict
        notebook.cells[place + 1 : place + 1] = added
    done = run(notebook, PATH.parent, kernel)
    said = {cell.id: text_of(cell) for cell in done.cells if cell.id in wanted}
    assert len(said) == len(MOVES) + len(WAVES)
    for name, verdict in wanted.items():
        assert verdict in said[name], said[name]
        assert said[name].startswith("Verdict 1: ✓" if verdict == "✓ mended" else "Verdict 1: not yet."), said[name]


@pytest.mark.slow
def test_magics_and_commands_say_the_same_on_both(kernel):
    """Every output that is compared is the stored one, also in Colab's generation; and nothing is left behind."""
    before = sorted(NOTEBOOKS.glob("*.py"))
    stored = nbformat.read(PATH, as_version=4)
    done = run(nbformat.from_dict(stored), PATH.parent, kernel)
    for old, new in zip(stored.cells, done.cells, strict=True):
        if old.cell_type == "code" and "nbval-ignore-output" not in old.metadata.get("tags", []):
            assert text_of(new) == text_of(old), old.id
    assert sorted(NOTEBOOKS.glob("*.py")) == before


@pytest.mark.slow
def test_the_quiz_knows_its_answers(kernel):
    notebook = nbformat.read(PATH, as_version=4)
    truth = "print({name: right for name, (right, _) in quiz_facts().items()})"
    notebook.cells.append(nbformat.v4.new_code_cell(truth, id="truth"))
    said = text_of(run(notebook, PATH.parent, kernel).cells[-1])
    assert said == "{'first': '0', 'match': '9', 'differ': '6', 'curves': '3'}"


@pytest.mark.slow
def test_save_takes_the_number_of_a_box(kernel, tmp_path):
    """The text says so; nbval's kernels keep no numbered history, so the notebook itself saves by name."""
    boxes = ["one = 1", f"%save -f {tmp_path}/box.py 1", f"print(open('{tmp_path}/box.py').read())"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(box) for box in boxes])
    assert "one = 1" in text_of(run(notebook, tmp_path, kernel).cells[-1])


def test_a_style_that_is_none_is_refused():
    figure, axes = plt.subplots()
    names = {"parse_numbers": parse_numbers, "CourseError": CourseError, "points_axes": axes}
    draw_points = run_cells("00", "points-draw", **names)["draw_points"]
    plt.close(figure)
    assert draw_points("1, 4", " g^ ").startswith("2 numbers as")
    for style, why in ((" ", "No style was given"), ("hello", "is not a style")):
        with pytest.raises(CourseError, match=why):
            draw_points("1, 4", style)
