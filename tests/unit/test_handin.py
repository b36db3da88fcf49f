"""Notebook 01's judge: right code of any make passes, wrong code does not, and each problem gets its own sentence."""

import io
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from notebook_code import run_cells

from helpers import CourseError

judges = run_cells("01", "judge-words", "judge-code", "judge-cases", np=np, torch=torch)
judge_prompt, judge_discovery, judge_code = judges["judge_prompt"], judges["judge_discovery"], judges["judge_code"]

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


def test_prompts():
    assert "still the template" in judge_prompt(
        "Teach me softmax in  Colab, section by section, with Markdown explanations"
    )
    assert "too short" in judge_prompt("hi")
    assert judge_prompt("請用國中生聽得懂的話教我 softmax") == ""


@pytest.fixture
def pack(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shared = {
        "In": ["", RIGHT["numpy"], "def other():\n    pass"],
        "PROMPT": r"請用 $\theta$ 教我 softmax，要有例子",
        "DISCOVERY": "T = 0.5 makes the ratio 7.389, not 2",
        "CourseError": CourseError,
        "Path": Path,
        "live": lambda *_, **__: None,
        "textbox": lambda *_: None,
        "button": lambda *_: None,
    }
    names = run_cells(
        "01", "judge-words", "judge-code", "judge-cases", "pack-parts", "pack-run", np=np, torch=torch, **shared
    )
    return names, names["pack_hand_in"]


def contents(path):
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_a_whole_hand_in_is_packed_and_its_code_runs_alone(pack, tmp_path):
    names, pack_hand_in = pack
    assert "All 3 parts are packed" in pack_hand_in("B123", 1)
    files = contents(tmp_path / "softmax_homework.zip")
    assert set(files) == {"student.txt", "prompt.txt", "my_softmax.py", "discovery.txt"}
    assert files["prompt.txt"] == names["PROMPT"] + "\n"
    alone = {}
    exec(files["my_softmax.py"], alone)
    np.testing.assert_allclose(alone["my_softmax"](np.log([1.0, 3.0])), [0.25, 0.75])


def test_what_is_missing_is_named_and_the_rest_is_packed(pack, tmp_path):
    names, pack_hand_in = pack
    names["DISCOVERY"], names["PROMPT"] = None, 7
    names["In"].append("def my_softmax(scores):\n    return scores")
    report = pack_hand_in("B123\ud800", 2)
    assert len(re.findall("✗", report)) == 3 and "holds 0 of 3 parts" in report
    assert set(contents(tmp_path / "softmax_homework.zip")) == {"student.txt"}


def test_without_a_number_nothing_is_written(pack, tmp_path):
    _, pack_hand_in = pack
    assert "no student number yet" in pack_hand_in("  ", 1)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_gets_a_sentence(pack, tmp_path):
    _, pack_hand_in = pack
    (tmp_path / "softmax_homework.zip").mkdir()
    with pytest.raises(CourseError, match="cannot be written here"):
        pack_hand_in("B123", 1)
