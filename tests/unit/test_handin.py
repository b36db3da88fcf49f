"""Notebook 01's judge: right code of any make passes, wrong code does not, and each problem gets its own sentence."""

import io
import json
import re
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from IPython.core.inputtransformer2 import TransformerManager
from notebook_code import run_cells

from helpers import CourseError

JUDGES = ("softmax", "own-scores", "judge-lists", "judge-words", "judge-more-words", "judge-half")
JUDGES += ("judge-code", "judge-cases", "judge-notebook", "own-notebook")
judges = run_cells("01", *JUDGES, np=np, torch=torch, CourseError=CourseError, Path=Path)
judge_discovery, judge_code, judge_half = judges["judge_discovery"], judges["judge_code"], judges["judge_half"]
judge_notebook, own_scores = judges["judge_notebook"], judges["own_scores"]

RIGHT = {
    "numpy": "def my_softmax(z):\n    e = np.exp(z - np.max(z))\n    return e / e.sum()",
    "a list of floats": "import math\ndef power(x):\n    return math.exp(x)\ndef my_softmax(z):\n    e = [power(x - max(z)) for x in z]\n    return [x / sum(e) for x in e]",
    "torch": "def my_softmax(z):\n    return torch.softmax(torch.tensor(z, requires_grad=True), 0)",
    "filled in": "def my_softmax(z):\n    out = np.array(z)\n    for i in range(len(z)):\n        out[i] = 1 / np.exp(z - z[i]).sum()\n    return out",
}
WRONG = {
    "the template": ("def my_softmax(scores):\n    return scores", "still the template"),
    "naive": ("def my_softmax(z):\n    return np.exp(z) / np.exp(z).sum()", "section 3 tells why"),
    "the first taken off": ("def my_softmax(z):\n    e = np.exp(z - z[0])\n    return e / e.sum()", "section 3"),
    "sorted": ("def my_softmax(z):\n    e = np.sort(np.exp(z - max(z)))[::-1]\n    return e / e.sum()", "should give"),
    "clipped": (
        "def my_softmax(z):\n    e = np.exp(np.maximum(z - max(z), -3))\n    return e / e.sum()",
        "should give",
    ),
    "a sign": ("def my_softmax(z):\n    e = np.exp(max(z) - z)\n    return e / e.sum()", "should give"),
    "prints": ("def my_softmax(z):\n    print('hi')", "it returned nothing"),
    "the notebook's own": ("def my_softmax(z):\n    return softmax(z)", "NameError"),
    "no such function": ("x = 1", "KeyError"),
    "bad indentation": ("def my_softmax(z):\nreturn z", "IndentationError"),
    "leaves": ("def my_softmax(z):\n    exit()", "stopped with"),
    "a number": ("def my_softmax(z):\n    return 1.0", "should give"),
    "nothing": ("", "stopped with"),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_code_passes(name):
    assert judge_code(RIGHT[name]) == ""


@pytest.mark.parametrize("name", WRONG)
def test_wrong_code_gets_its_sentence(name):
    code, says = WRONG[name]
    assert says in judge_code(code)


@pytest.mark.parametrize(
    "text",
    [
        "T = 0.5 makes the ratio 7.389, not 2",
        "第一個比例變成了二十倍，我沒想到",
        "0.5 只剩 0.388，我很意外。",
        "It was 11.1 times as large as I thought",
    ],
)
def test_discoveries_that_count(text):
    assert judge_discovery(text) == ""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("It adds up to 1.", "still the template"),
        ("it adds up to 1", "still the template"),
        ("wow 7", "too short"),
        ("Every time the shares add up to 1 again, I did not expect that", "no number"),
    ],
)
def test_discoveries_that_do_not(text, says):
    assert says in judge_discovery(text)


def half_of(student):
    """Where the largest share of a student's scores is one half, by halving an interval."""
    low, high = 0.01, 100.0
    for _ in range(60):
        middle = (low * high) ** 0.5
        powers = np.exp((own_scores(student) - own_scores(student).max()) / middle)
        low, high = (middle, high) if (powers / powers.sum()).max() > 0.5 else (low, middle)
    return low


def test_everybody_has_scores_of_their_own_and_a_temperature_to_find():
    students = [f"B11{n:06d}" for n in range(500)]
    scores = {tuple(own_scores(student)) for student in students}
    assert len(scores) > 450 and all(a > b > c for a, b, c in scores)
    assert tuple(own_scores(" b11 000007 ")) == tuple(own_scores("B11000007"))
    halves = [half_of(student) for student in students]
    assert min(halves) > 0.2 and max(halves) < 9.9, "within the slider"
    assert all(
        judge_half(student, half) == judge_half(student, 1.01 * half) == ""
        for student, half in zip(students, halves, strict=True)
    )
    foreign = sum(judge_half(student, halves[n - 1]) == "" for n, student in enumerate(students))
    assert foreign < 100, "somebody else's number passes for hardly anybody"


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf"), None, "0.5"])
def test_a_half_that_is_no_temperature_gets_its_sentence(value):
    assert "HALF_AT" in judge_half("B123", value)


def as_notebook(*cells):
    return json.dumps({"cells": [{"cell_type": kind, "source": [text]} for kind, text in cells], "nbformat": 4})


WORDS = (
    "# Softmax in my own words\n"
    + "The largest score gets the largest share, and when I raise T they become alike. " * 4
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (as_notebook(("markdown", WORDS), ("code", "z = input()\nnp.exp(2)")), ""),
        (as_notebook(("markdown", "我的說明" * 20), ("code", "interact(f, a=(0, 5))\nsoftmax(z)")), ""),
        (as_notebook(("markdown", "short"), ("code", "interact(f)\nnp.exp(z)")), "hardly any explanations"),
        (as_notebook(("markdown", WORDS), ("code", "np.exp(z) / np.exp(z).sum()")), "nothing to type or to move"),
        (as_notebook(("markdown", WORDS), ("code", "input()")), "no cell computes a softmax"),
        (as_notebook(("markdown", WORDS), ("code", "def judge_notebook(text): ...")), "the course's page"),
        ("<html>", "no notebook"),
        ("[1]", "no notebook"),
        ('{"cells": [{}]}', "no notebook"),
    ],
)
def test_a_notebook_of_ones_own(text, says):
    assert says in judge_notebook(text) if says else judge_notebook(text) == ""


@pytest.fixture
def pack(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    typed = SimpleNamespace(input_hist_raw=["", RIGHT["numpy"], "def other():\n    pass"])
    shell = SimpleNamespace(history_manager=typed, transform_cell=TransformerManager().transform_cell)
    shared = {
        "get_ipython": lambda: shell,
        "PROMPT": r"請用 $\theta$ 教我 softmax，要有例子",
        "DISCOVERY": "T = 0.5 makes the ratio 7.389, not 2",
        "HALF_AT": half_of("B123"),
        "CourseError": CourseError,
        "Path": Path,
        "live": lambda *_, **__: None,
        "textbox": lambda *_: None,
        "button": lambda *_: None,
    }
    (tmp_path / "my own.ipynb").write_text(as_notebook(("markdown", WORDS), ("code", "input(); np.exp(1)")))
    names = run_cells(
        "01", *JUDGES, "plain-python", "newest-cell", "pack-parts", "pack-run", np=np, torch=torch, **shared
    )
    return names, names["pack_hand_in"]


def typed_in(names):
    return names["get_ipython"]().history_manager.input_hist_raw


def contents(path):
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_a_whole_hand_in_is_packed_and_its_code_runs_alone(pack, tmp_path):
    names, pack_hand_in = pack
    assert "All parts are packed" in pack_hand_in("B123", "my own", 1)
    files = contents(tmp_path / "softmax_homework.zip")
    assert set(files) == {"student.txt", "prompt.txt", "my_softmax.py", "notebook.ipynb", "discovery.txt"}
    assert json.loads(files["notebook.ipynb"])["nbformat"] == 4 and "HALF_AT = " in files["discovery.txt"]
    assert files["prompt.txt"] == names["PROMPT"] + "\n"
    alone = {}
    exec(files["my_softmax.py"], alone)
    np.testing.assert_allclose(alone["my_softmax"](np.log([1.0, 3.0])), [0.25, 0.75])


AS_TYPED = {
    "%%time above": "%%time\n" + RIGHT["numpy"],
    "two magics above": "\n%%capture out\n%%time\n" + RIGHT["numpy"],
    "%timeit below": RIGHT["numpy"] + "\n%timeit -n 1 -r 1 my_softmax(np.array([2.0, 1, -1]))",
    "magics of all kinds": "%matplotlib inline\n!pip list\n"
    + RIGHT["numpy"]
    + "\nfiles = !ls\nt = %time 1\nmy_softmax?",
    "__future__": "from __future__ import annotations\n# mine\n" + RIGHT["numpy"],
    "a docstring and __future__": '"""Mine."""\nfrom __future__ import annotations\n' + RIGHT["numpy"],
    "two of __future__": "from __future__ import (annotations,\n    division)\n" + RIGHT["numpy"],
    "an annotation": "from typing import Callable\nmy_softmax: Callable = lambda z: np.exp(z - z.max()) / np.exp(z - z.max()).sum()",
    "a lambda": "my_softmax = lambda z: np.exp(z - z.max()) / np.exp(z - z.max()).sum()",
    "a remainder": "def my_softmax(z):\n    e = np.exp(z - z.max())\n    return (e / e.sum()\n    % 2)",
    "a magic inside": RIGHT["numpy"].replace("    return", "    %time\n    return"),
    "a comment": "# 我的 softmax\n" + RIGHT["numpy"],
}


@pytest.mark.parametrize("name", AS_TYPED)
def test_what_runs_in_the_notebook_is_packed_so_that_it_runs_alone(pack, tmp_path, name):
    names, pack_hand_in = pack
    typed_in(names).append(AS_TYPED[name])
    assert "All parts are packed" in pack_hand_in("B123", "my own", 1)
    file, alone = contents(tmp_path / "softmax_homework.zip")["my_softmax.py"], {}
    exec(compile(file, "my_softmax.py", "exec", dont_inherit=True), alone)
    assert np.allclose(alone["my_softmax"](np.log([1.0, 3.0])), [0.25, 0.75])
    assert ("我的" in file) == ("我的" in AS_TYPED[name])


def test_a_slip_is_named(pack):
    names, pack_hand_in = pack
    for code in ("def my_softmax(z)\n    return z", "def my_softmax(z):\n    return (z", "my_softmax: int = 3"):
        typed_in(names).append(code)
        assert re.search(r"✗ my_softmax.py: .* stopped with (SyntaxError|TypeError)", pack_hand_in("B123", "my own", 1))


def test_what_is_missing_is_named_and_the_rest_is_packed(pack, tmp_path):
    names, pack_hand_in = pack
    names["DISCOVERY"], names["PROMPT"] = None, 7
    typed_in(names).append("def my_softmax(scores):\n    return scores")
    report = pack_hand_in("B123\ud800", "no such", 2)
    assert (
        len(re.findall("✗", report)) == 4
        and "holds 0 of 4 files" in report
        and "notebooks here: my own.ipynb" in report
    )
    assert set(contents(tmp_path / "softmax_homework.zip")) == {"student.txt"}


def test_without_a_number_nothing_is_written(pack, tmp_path):
    _, pack_hand_in = pack
    assert "no student number yet" in pack_hand_in("  ", "my own", 1)
    assert not list(tmp_path.glob("*.zip"))


def test_a_link_is_packed_in_the_notebooks_place(pack, tmp_path):
    _, pack_hand_in = pack
    assert "All parts are packed" in pack_hand_in("B123", " https://colab.research.google.com/drive/abc ", 1)
    assert contents(tmp_path / "softmax_homework.zip")["link.txt"] == "https://colab.research.google.com/drive/abc"


def test_a_folder_that_cannot_be_written_gets_a_sentence(pack, tmp_path):
    _, pack_hand_in = pack
    (tmp_path / "softmax_homework.zip").mkdir()
    with pytest.raises(CourseError, match="cannot be written here"):
        pack_hand_in("B123", "my own", 1)
