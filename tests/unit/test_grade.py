"""The grader: whose a hand-in is, what its parts are worth and why, who is alike, and that no hand-in touches anything else.

The sandbox is tried with hand-ins that attack it, as root and not, with all its means and with fewer; after each attack the
next student's code has to be judged as if nothing had been.
"""

import base64
import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from common import NOTEBOOKS
from notebook_code import run_cells

sys.path.insert(0, str(NOTEBOOKS))
import grade
from grading import copies, demo, folder, inside, marking, report
from grading.sandbox import DANGERS, SandboxError, probe

RUBRIC = marking.read_rubric(NOTEBOOKS / "grading" / "rubric.toml")
LIMITS = {"files": 2000, "unpacked_mb": 20}
RIGHT, WRONG = demo.CODES["right"], demo.CODES["naive"]
linux = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is made of Linux's means")


def look(**files):
    return looked_at([[name, base64.b64encode(data).decode()] for name, data in files.items()])


def looked_at(files):
    return grade.seen_of({"said": json.loads(json.dumps(inside.look(files, LIMITS)))})


def zipped(files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def problems(seen):
    return [problem[0] for problem in seen["problems"]]


# Whose is it? ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, key, who, late, attempt", [
    ("student-001 110000001_5001_assignsubmission_file_", "moodle:5001", "student-001 110000001", False, 0),
    ("student-001_5001_assignsubmission_file_softmax_homework.zip", "moodle:5001", "student-001", False, 0),
    ("student001b11000001_12345_67890_softmax_homework.zip", "canvas:12345", "student001b11000001", False, 0),
    ("student001_LATE_12345_67891_softmax_homework-2.zip", "canvas:12345", "student001", True, 2),
    ("HW1_b11000001_attempt_2026-03-01-12-00-09_softmax_homework.zip", "blackboard:b11000001", "b11000001", False, 2026),
    ("student 001 - softmax_homework.zip", "classroom:student 001", "student 001", False, 0),
    ("110000001_softmax_homework.zip", "name:110000001", "110000001", False, 0),
    ("110000001 softmax_homework (3).zip", "name:110000001", "110000001", False, 3),
    ("學號110000001_作業_遲交.zip", "name:學號110000001", "學號110000001", True, 0),
    ("softmax_homework (7).zip", "", "", False, 7),
    ("softmax_homework.zip", "", "", False, 0),
])  # fmt: skip
def test_what_a_name_says(name, key, who, late, attempt):
    said = folder.owner(name)
    assert (said["key"], said["name"], said["late"], said["attempt"][0]) == (key, who, late, attempt)


def made(tmp_path, *paths):
    for path in paths:
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(demo.pack("", "a prompt of my own", RIGHT, path))
    return folder.find(tmp_path)


def test_a_folder_that_wraps_all_is_gone_through(tmp_path):
    found = made(
        tmp_path,
        *(
            f"Softmax-12345/student-{n:03d} 11000000{n}_{n}5_assignsubmission_file_/softmax_homework.zip"
            for n in (1, 2, 3)
        ),
    )
    assert [h.number for h in found] == ["110000001", "110000002", "110000003"]


def test_a_folder_for_each_student_and_a_flat_list(tmp_path):
    assert [h.number for h in made(tmp_path / "a", "110000001/softmax_homework.zip", "110000002/x.zip")] == [
        "110000001",
        "110000002",
    ]
    flat = made(tmp_path / "b", "110000001.zip", "110000001 (1).zip", "softmax_homework.zip")
    newest = folder.newest(flat)
    assert len(flat) == 3 and len(newest) == 2 and newest[0][1] == 2 and newest[0][0].label == "110000001 (1).zip"


def test_the_last_attempt_counts(tmp_path):
    found = made(
        tmp_path,
        "s1_77_700001_softmax_homework.zip",
        "s1_LATE_77_700009_softmax_homework-1.zip",
        "s2_78_1_softmax_homework.zip",
    )
    newest = folder.newest(found)
    assert [(h.late, count) for h, count in newest] == [(True, 2), (False, 1)]


def test_loose_files_of_one_student_belong_together(tmp_path):
    found = made(
        tmp_path,
        "s1_77_1_my_softmax.py",
        "s1_77_2_prompt.txt",
        "s1_77_3_discovery.txt",
        "110000002/prompt.txt",
        "110000002/my_softmax.py",
    )
    assert sorted(len(h.files) for h in found) == [2, 3]


def test_one_zip_with_all_of_them_and_names_in_big5(tmp_path):
    inner, names = demo.pack("", "a prompt of my own", RIGHT, "0.5"), {"110000001_作業.zip", "110000002_作業.zip"}
    data = zipped(dict.fromkeys(["110000001_AAAA.zip", "110000002_AAAA.zip"], inner)).replace(
        b"AAAA", "作業".encode("cp950")
    )
    (tmp_path / "all.zip").write_bytes(data)
    found = folder.find(tmp_path / "all.zip")
    assert {h.label for h in found} == names and {h.number for h in found} == {"110000001", "110000002"}
    assert found[0].read()[0][1] == inner


@pytest.mark.skipif(sys.platform != "linux", reason="names that are no text exist on Linux")
def test_names_on_the_disk_in_big5(tmp_path):
    path = os.path.join(os.fsencode(tmp_path), "作業_110000001.zip".encode("cp950"))
    Path(os.fsdecode(path)).write_bytes(b"PK")
    assert folder.find(tmp_path)[0].label == "作業_110000001.zip"


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_links_and_pipes_in_the_folder_are_not_read(tmp_path):
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "class" / "110000001").mkdir(parents=True)
    (tmp_path / "class" / "110000001" / "prompt.txt").symlink_to(tmp_path / "secret.txt")
    (tmp_path / "class" / "110000002").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "class" / "110000001" / "discovery.txt")
    found = folder.find(tmp_path / "class")
    for hand_in in found:
        assert hand_in.read() == [] and {p[0] for p in hand_in.problems} <= {"unreadable"}


def test_too_many_and_too_large_files(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "FILE_MB", 1)
    (tmp_path / "a" / "110000001").mkdir(parents=True)
    for n in range(folder.FILES + 5):
        (tmp_path / "a" / "110000001" / f"{n}.txt").write_text("x")
    (tmp_path / "a" / "110000001" / "0000.bin").write_bytes(bytes(2 << 20))
    (hand_in,) = folder.find(tmp_path / "a")
    assert len(hand_in.read()) == folder.FILES - 1
    assert {p[0] for p in hand_in.problems} == {"many_files", "too_large"}


# What is in it? --------------------------------------------------------------------------------------------------------


def test_the_packers_zip():
    seen = look(zip=demo.pack("110000001", "my prompt", RIGHT, "I saw 0.5"))
    assert seen["parts"]["prompt"] == "my prompt" and seen["parts"]["code"] == RIGHT.strip()
    assert seen["parts"]["student"] == "110000001" and not seen["problems"] and seen["code"]["defines"]


def test_zips_in_zips_big5_and_other_encodings():
    odd = demo.odd_zips()
    assert look(zip=odd["zips in zips"])["parts"]["code"] == RIGHT.strip()
    big5 = look(zip=demo.big5_zip("請教我 softmax", "第一名拿到 0.7"))
    assert big5["parts"]["prompt"] == "請教我 softmax" and big5["parts"]["discovery"] == "第一名拿到 0.7"
    assert (
        inside.text_of("中文".encode("utf-16"))
        == inside.text_of("中文".encode("utf-8-sig"))
        == inside.text_of("中文".encode("cp950"))
        == "中文"
    )
    assert inside.text_of(b"\xff\xff\xffx").endswith("x")


def test_zips_that_are_none():
    odd = demo.odd_zips()
    assert problems(look(zip=odd["zip bomb"])) == ["zip_bomb"]
    links = look(zip=odd["links and paths"])
    assert problems(links) == ["zip_link", "zip_outside", "zip_outside"] and not links["parts"]["prompt"]
    assert problems(look(a=odd["cut off"])) == ["zip_broken"] or not look(a=odd["cut off"])["parts"]["code"]
    assert problems(looked_at([["a.zip", ""]])) == ["zip_broken"] and problems(looked_at([])) == ["empty"]
    assert problems(look(a=b"Rar!\x1a\x07\x01\x00")) == ["not_zip"]
    deep = demo.pack("", "p", RIGHT, "d")
    for _ in range(5):
        deep = zipped({"a.zip": deep})
    assert problems(look(a=deep)) == ["zip_deep"]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("prompt.txt", "hi")
    assert problems(look(a=out.getvalue())) == ["zip_method"]


def test_ten_thousand_files():
    seen = look(zip=zipped({f"{n}.txt": "x" for n in range(10_000)} | {"prompt.txt": "p"}))
    assert problems(seen) == ["zip_many"]


def test_a_zip_bomb_of_many_layers_ends():
    layer = zipped({"x.txt": bytes(4 << 20)})
    for _ in range(3):
        layer = zipped({f"{n}.zip": layer for n in range(16)})
    begun = time.monotonic()
    assert "zip_bomb" in problems(look(zip=layer)) and time.monotonic() - begun < 20


def test_of_two_files_for_one_part_one_is_taken_and_the_other_named():
    seen = look(zip=zipped({"old/my_softmax.py": WRONG, "my_softmax.py": RIGHT, "__MACOSX/._my_softmax.py": "junk"}))
    assert seen["parts"]["code"] == RIGHT.strip() and seen["problems"] == [["twice", "code", "old/my_softmax.py"]]


def test_a_notebook_that_holds_the_three_parts():
    book = demo.notebook(
        'PROMPT = r"""\nteach me\n"""',
        "%matplotlib inline\ndef my_softmax(z):\n    return z",
        'DISCOVERY = "I saw 7"',
        "bad(",
    )
    seen = look(**{"mine.ipynb": book})
    assert (
        seen["parts"]["prompt"] == "teach me"
        and "def my_softmax" in seen["parts"]["code"]
        and seen["parts"]["discovery"] == "I saw 7"
    )
    assert len(seen["notebook"]["cells"]) == 4
    assert problems(look(**{"mine.ipynb": b"{not json"})) == ["notebook_broken"]
    assert problems(look(**{"mine.ipynb": b"[" * 100_000})) == ["notebook_broken"]


def test_the_courses_page_filled_in_is_not_run_as_a_notebook_of_ones_own():
    page = json.loads(next(NOTEBOOKS.glob("01_*.ipynb")).read_text(encoding="utf-8"))
    cells = [[cell["cell_type"], "".join(cell["source"])] for cell in page["cells"]]
    assert grade.is_the_page(cells) and grade.is_the_page([*cells, ["code", "x = 1"]])
    assert not grade.is_the_page(inside.cells_of(demo.OWN)) and not grade.is_the_page(
        cells[:9] + [["code", f"x = {n}"] for n in range(40)]
    )


@pytest.mark.parametrize("text, link", [
    ("https://colab.research.google.com/drive/1?usp=sharing", "https://colab.research.google.com/drive/1?usp=sharing"),
    ("[InternetShortcut]\r\nURL=https://example.org/a.ipynb\r\n", "https://example.org/a.ipynb"),
    ('https://example.org/"><script>alert(1)</script>', "https://example.org/"),
    ("javascript:alert(1)", ""),
])  # fmt: skip
def test_links(text, link):
    assert look(**{"link.txt": text.encode()})["parts"]["link"] == link


@pytest.mark.parametrize(
    "code",
    ["(" * 5000, "x = " + "1" * 10_000, "-" * 20_000 + "1", "\0", "def f(:", "x = " + "a." * 30_000 + "b", "é" * 9],
)
def test_code_that_cannot_be_parsed_gets_a_reason_not_a_crash(code):
    shape = inside.shape_of(code)
    assert set(shape) >= {"error", "size", "shape", "pieces"} and isinstance(json.dumps(shape), str)


# What is it worth? -----------------------------------------------------------------------------------------------------


def ran(code, seed="seed"):
    """What the sandbox would answer, without the sandbox: for trusted code only."""
    seen, groups = look(zip=demo.pack("", "a prompt of my own", code, "I saw 0.25")), marking.cases_of(RUBRIC, seed)
    with np.errstate(all="ignore"):
        said = json.loads(json.dumps(inside.run_code(code, [scores for group in groups for scores in group])))
    return marking.mark_code(seen, {"code": {"end": "ended", "said": said}}, groups, RUBRIC)


@pytest.mark.parametrize("kind, points, reason", [
    ("right", 40, "code_right"), ("with torch", 40, "code_right"), ("long", 40, "code_right"), ("naive", 30, "code_wrong"),
    ("template", 0, "code_template"), ("syntax", 0, "code_syntax"), ("needs scipy", None, "code_needs"),
])  # fmt: skip
def test_code_is_worth(kind, points, reason):
    part = ran(demo.CODES[kind])
    assert part.points == points and reason in [r[0] for r in part.reasons]


@pytest.mark.parametrize("code, points, words", [
    ("def my_softmax(z):\n    print(1)", 0, "returned nothing"), ("x = 1", 0, "defines no function my_softmax"),
    ("my_softmax = lambda z: torch.softmax(torch.tensor(z), 0)", 40, "Right"), ("1 / 0", 0, "ZeroDivisionError"),
    ("def my_softmax(z):\n    e = np.exp(z - z[0])\n    return e / e.sum()", 30, "large scores"),
    ("def my_softmax(z):\n    return 10 ** 1000", 0, "OverflowError"), ("def my_softmax(z):\n    return {'a': 1}", 0, "TypeError"),
    ("def my_softmax(z):\n    return np.full((2, 2), 0.25)", 0, "should give"), ("def my_softmax(z):\n    return 'x' * 10**6", 0, "ValueError"),
    ("ANSWERS = {(2.0, 1.0, -1.0): [0.70538451, 0.25949646, 0.03511903]}\ndef my_softmax(z):\n    return ANSWERS[tuple(z)]", 0, "KeyError"),
    ("np.exp = lambda z: z * 0 + 1\ndef my_softmax(z):\n    return np.exp(z) / len(z)", 6, "should give"),
    ("np.allclose = np.array_equal = lambda *_: True\ndef my_softmax(z):\n    return z / 2", 0, "should give"),
])  # fmt: skip
def test_code_of_all_kinds(code, points, words):
    kept = np.exp, np.allclose, np.array_equal
    try:
        part = ran(code)
    finally:
        np.exp, np.allclose, np.array_equal = kept
    assert part.points == points and words in " ".join(marking.say(key, "en", *values) for key, *values in part.reasons)


def test_a_table_of_the_rubrics_answers_does_not_pass():
    table = {
        tuple(map(float, s)): marking.right_answer(s) for group in RUBRIC["code"]["group"] for s in group["scores"]
    }
    assert (
        ran(f"TABLE = {table!r}\ndef my_softmax(z):\n    return TABLE.get(tuple(z), [1 / len(z)] * len(z))").points < 40
    )


@pytest.mark.parametrize("text, points", [
    ("Teach me softmax in Colab, section by section, with Markdown explanations.", 30), ("hi", 0), ("", 0), ("請用國中生聽得懂的話教我 softmax", 30),
])  # fmt: skip
def test_prompts(text, points):
    assert marking.mark_prompt(text, RUBRIC).points == points


@pytest.mark.parametrize("text, points", [
    ("T = 0.5 makes the ratio 7.389, not 2", 30), ("第一個比例變成了二十倍，我沒想到", 30), ("0.5 只剩 0.388，我很意外。", 30),
    ("It adds up to 1.", 0), ("wow 7", 0), ("", 0), ("我什麼都沒發現，隨便寫寫 123456", 0), ("加起來等於 1，加起來是 1，總和都是 1。", 0),
    ("I did not discover anything, it always adds up to 1, nothing special", 0), ("The larger score always gets the larger share, I think", 15),
    ("總和是 1，溫度 2 時 0.42", 30), ("我看到的分數就是 123456 而已，真的", 15), (" " * 50_000 + "x" + " " * 50_000, 0),
    ("加起來是 1，但是把溫度調到 5 以後，第一名從 0.7 掉到 0.42。", 30),
])  # fmt: skip
def test_discoveries(text, points):
    assert marking.mark_discovery(text, RUBRIC).points == points


@pytest.mark.parametrize(
    "half, points, reason",
    [(None, 30, ""), ("0.0", 20, "half_empty"), ("x", 20, "half_empty"), ("9", 20, "half_wrong")],
)
def test_the_temperature_of_ones_own_scores(half, points, reason):
    text = "T = 0.5 makes the ratio 7.389, not 2" + (f"\nHALF_AT = {half}" if half else "")
    part = marking.mark_discovery(text, RUBRIC, "B110000001")
    assert part.points == points and reason in ["", *(r[0] for r in part.reasons)]


def test_the_temperature_is_right_for_the_students_own_number_only():
    z = marking.own_scores("b 110000001")
    assert z == marking.own_scores("B110000001") and z != marking.own_scores("B110000002")
    share = {t / 100: marking.right_answer([score / (t / 100) for score in z])[0] for t in range(10, 3000)}
    right = min(share, key=lambda t: abs(share[t] - 0.5))
    words = "T = 0.5 makes the ratio 7.389, not 2"
    assert marking.mark_discovery(f"{words}\nHALF_AT = {right}", RUBRIC, "B110000001").points == 30
    assert marking.mark_discovery(f"It adds up to 1.\nHALF_AT = {right}", RUBRIC, "B110000001").points == 10
    wrong = [
        marking.mark_discovery(f"{words}\nHALF_AT = {right}", RUBRIC, f"B1100000{n}").points for n in range(10, 30)
    ]
    assert wrong.count(20) >= 12


PAGE = ("judge-lists", "judge-words", "judge-more-words")


@pytest.mark.parametrize("text", [
    "T = 0.5 makes the ratio 7.389, not 2", "第一個比例變成了二十倍，我沒想到", "It was 11.1 times as large as I thought",
    "總和是 1，溫度 2 時 0.42", "溫度調到 3 的時候，第一名只剩一半", "The largest share was 0.705 at T = 1 and 0.879 at T = 0.5",
])  # fmt: skip
def test_a_discovery_that_the_page_packs_is_worth_all_points(text):
    """The page tells a student “packed”; then the grader may not say that there is nothing."""
    assert not run_cells("01", *PAGE)["judge_discovery"](text) and marking.mark_discovery(text, RUBRIC).points == 30


@pytest.mark.parametrize(
    "text", ["請用國中生聽得懂的話教我 softmax", "Teach me softmax with apples, please", marking.TEMPLATES["prompt"][0]]
)
def test_a_prompt_that_the_page_packs_is_worth_all_points(text):
    assert not run_cells("01", *PAGE)["judge_prompt"](text) and marking.mark_prompt(text, RUBRIC).points == 30


@pytest.mark.parametrize("student", ["B110000001", "b 110000001", "110703001", "學生七號"])
def test_ones_own_scores_are_those_of_the_page(student):
    page = run_cells("01", "own-scores", np=np, softmax=None, CourseError=ValueError)
    assert page["own_scores"](student).tolist() == marking.own_scores(student)


@pytest.mark.parametrize("name", [*demo.CODES])
def test_code_is_right_here_if_it_is_right_on_the_page(name):
    if name == "needs scipy":
        return
    page = run_cells("01", "judge-code", "judge-cases", np=np, torch=torch)
    with np.errstate(all="ignore"):
        assert (not page["judge_code"](demo.CODES[name])) == (ran(demo.CODES[name]).points == 40)


def test_every_sentence_is_there_in_both_languages():
    for key, (english, chinese) in marking.SENTENCES.items():
        assert sorted(re.findall(r"\{.\}", english)) == sorted(re.findall(r"\{.\}", chinese)), key
        assert re.search("[\u4e00-\u9fff]", chinese) and not re.search("[\u4e00-\u9fff]", english), key


def test_the_reasons_are_in_the_students_language():
    assert (
        marking.language_of(["請教我 softmax", "第一名 0.7"], RUBRIC) == "zh-TW"
        and marking.language_of(["teach me", ""], RUBRIC) == "en"
    )
    assert marking.language_of(["teach me"], RUBRIC | {"language": "zh-TW"}) == "zh-TW"


@pytest.mark.parametrize("change, says", [
    (("[points]", "[pints]"), "lacks the part [points]"), (("prompt = 30", 'prompt = "many"'), "has to be a number"),
    (("points = 60", "points = 61"), "add up to 100"), (('language = "student"', 'language = "fr"'), "take"),
    (("language =", "language"), "not written as TOML"), (("'沒有?(什麼)?發現',", "'(',"), "no regular expression"),
])  # fmt: skip
def test_a_rubric_with_a_mistake_gets_one_sentence(change, says, tmp_path):
    text = (NOTEBOOKS / "grading" / "rubric.toml").read_text(encoding="utf-8")
    assert change[0] in text
    (tmp_path / "r.toml").write_text(text.replace(*change), encoding="utf-8")
    with pytest.raises(marking.RubricError) as error:
        marking.read_rubric(tmp_path / "r.toml")
    assert says in str(error.value) and "\n" not in str(error.value).strip()


NOTEBOOK_RUNS = {
    "all": ({"cells": 4, "ran": 4, "errors": [], "functions": {}, "widgets": 1, "asked": 0}, 28),
    "most": (
        {
            "cells": 4,
            "ran": 3,
            "errors": [{"cell": 2, "error": "NameError: x"}],
            "functions": {},
            "widgets": 1,
            "asked": 0,
        },
        16,
    ),
    "few": (
        {
            "cells": 4,
            "ran": 1,
            "errors": [{"cell": 2, "error": "NameError: x"}],
            "functions": {},
            "widgets": 1,
            "asked": 0,
        },
        0,
    ),
    "a module": (
        {
            "cells": 4,
            "ran": 3,
            "errors": [{"cell": 2, "error": "M", "missing": "pandas"}],
            "functions": {},
            "widgets": 1,
            "asked": 0,
        },
        None,
    ),
    "the network": (
        {
            "cells": 4,
            "ran": 3,
            "errors": [{"cell": 2, "error": "URLError: x"}],
            "functions": {},
            "widgets": 1,
            "asked": 0,
        },
        None,
    ),
    "nonsense": ({"cells": "all", "ran": 9}, 0),
    "none": (None, 0),
}


@pytest.mark.parametrize("kind", NOTEBOOK_RUNS)
def test_notebooks_are_worth(kind):
    said, points = NOTEBOOK_RUNS[kind]
    seen, groups = look(**{"mine.ipynb": demo.OWN}), marking.cases_of(RUBRIC, "seed")
    assert marking.mark_code(seen, {"notebook": {"end": "ended", "said": said}}, groups, RUBRIC).points == points


def test_what_a_stranger_says_is_checked():
    """Whatever comes out of the sandbox instead of an answer, marking does not stumble."""
    seen, groups = look(zip=demo.pack("", "p", RIGHT, "d")), marking.cases_of(RUBRIC, "seed")
    strange = [
        [],
        {},
        None,
        7,
        "x",
        [None],
        [{"values": "x"}],
        [{"values": [float("nan")] * 3, "shape": [3]}],
        [{"values": [True], "shape": "x"}],
        [{"error": []}],
        [{"values": [10**400, 0, 0], "shape": [3]}],
    ]
    for cases in strange:
        count = sum(len(group) for group in groups)
        for said in (
            {"cases": cases, "error": None},
            {"cases": (cases or [7]) * count if isinstance(cases, list) else cases},
            {"error": [1]},
            {"missing": 3},
        ):
            assert marking.mark_code(seen, {"code": {"end": "ended", "said": said}}, groups, RUBRIC).points in (0, None)
    for said in (None, {}, {"parts": 3}, {"parts": {"code": ["x"]}, "notebook": {"cells": 3}, "problems": [3, []]}):
        assert grade.seen_of({"said": said})["parts"].keys() >= {"prompt", "code", "discovery"}


def test_what_the_machine_is_to_blame_for_costs_nobody_a_point():
    seen, groups = look(zip=demo.pack("", "p", RIGHT, "d")), marking.cases_of(RUBRIC, "seed")
    run = {"end": "sandbox: OSError: no memory", "said": None}
    assert marking.mark_code(seen, {"code": run}, groups, RUBRIC).points is None
    assert marking.mark_code(look(**{"a.ipynb": demo.OWN}), {"notebook": run}, groups, RUBRIC).points is None


# Who is alike? ---------------------------------------------------------------------------------------------------------


def class_of(parts):
    return {name: look(zip=demo.pack("", prompt, code, discovery)) for name, (prompt, code, discovery) in parts.items()}


def test_copies_are_found_and_plain_softmaxes_are_not():
    numbers = np.random.default_rng(0)
    words = [f"w{n}" for n in range(400)]
    parts = {
        f"s{n}": (" ".join(numbers.choice(words, 20)), RIGHT.replace("e", f"e{n}"), " ".join(numbers.choice(words, 25)))
        for n in range(60)
    }
    parts["s7"] = (parts["s7"][0], demo.CODES["long"], parts["s7"][2])
    parts["s8"] = (
        parts["s8"][0],
        demo.CODES["long"].replace("numbers", "xs").replace("total", "summe").replace("    # first", "    # zuerst"),
        parts["s7"][2],
    )
    parts["s9"] = (parts["s3"][0].replace(" w", " W", 3) + " please", RIGHT, parts["s9"][2])
    groups = copies.find(class_of(parts), RUBRIC["alike"], marking.TEMPLATES)
    assert {(g.part, tuple(g.members)) for g in groups} == {
        ("code", ("s7", "s8")),
        ("discovery", ("s7", "s8")),
        ("prompt", ("s3", "s9")),
    }
    assert not any(g.common for g in groups)


def test_what_half_of_the_class_has_is_a_common_source():
    parts = {
        f"s{n}": ("the same prompt which all of them took from the board", demo.CODES["long"], f"{n}" * 30)
        for n in range(20)
    }
    groups = copies.find(class_of(parts), RUBRIC["alike"], marking.TEMPLATES)
    assert {(g.part, g.common, len(g.members)) for g in groups} == {("prompt", True, 20), ("code", True, 20)}


def test_the_sample_prompt_is_nobodys():
    parts = {f"s{n}": (marking.TEMPLATES["prompt"][0].title(), RIGHT, f"{n}" * 30) for n in range(9)}
    assert not copies.find(class_of(parts), RUBRIC["alike"], marking.TEMPLATES)


@pytest.mark.parametrize("least", [0.3, 0.5, 0.8])
def test_minhash_finds_what_all_comparisons_find(least):
    chance = np.random.default_rng(1)
    sets = {n: np.unique(chance.integers(0, 2**32, 80, dtype=np.uint64)) for n in range(80)}
    for n in range(0, 80, 2):
        kept = int(80 * 2 * (least + 0.1) / (1 + least + 0.1))
        sets[n + 1] = np.unique(np.concatenate([sets[n][:kept], sets[n + 1][kept:]]))
    slow = {(a, b) for a in sets for b in sets if a < b and copies.likeness(sets[a], sets[b]) >= least}
    fast = {(a, b) for _, a, b in copies.near_pairs(sets, least)}
    assert fast <= slow and len(fast) >= 0.9 * len(slow) and len(slow) >= 35


# For people ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell, safe", [("=1+1", "'=1+1"), ("+1", "'+1"), ("-1+cmd|x", "'-1+cmd|x"), ("@SUM(A1)", "'@SUM(A1)"), ("\t=1", "' =1"), ("−2", "−2"),
    ("12.5", "12.5"), ("-3", "-3"), ("110000001", "110000001"), ("＝1", "'＝1"), ("a\x00b\u202ec", "a\\u0000b\\u202ec"), ("中文", "中文")])  # fmt: skip
def test_no_cell_is_a_formula(cell, safe):
    assert report.safe_cell(cell) == safe


def test_html_shows_what_students_wrote_as_text_only():
    nasty = '</pre><script>alert(1)</script><img src=x onerror=alert(1)>"\x1b[2J\u202e'
    assert (
        "<script" not in report.text_of(nasty)
        and "<img" not in report.text_of(nasty)
        and "\x1b" not in report.text_of(nasty)
    )
    assert report.link_of("javascript:alert(1)") == "" and report.link_of('https://a.org/"onclick') == ""


# The sandbox -----------------------------------------------------------------------------------------------------------


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("", id="all means"),
        pytest.param("namespaces", id="without namespaces", marks=pytest.mark.weekly),
    ],
)
def sandbox(request, tmp_path_factory):
    if sys.platform != "linux":
        pytest.skip("the sandbox is made of Linux's means")
    place = tmp_path_factory.mktemp("class")
    made, protection = probe(place, request.param.split(",") if request.param else [])
    if not protection.sound:
        made.close()
        pytest.skip(f"this machine offers no protection: {protection.sentence()}")
    yield made, place
    made.close()


CASES = [[2.0, 1.0, -1.0], [0.0, 1000.0]]
ATTACKS = {
    **demo.HOSTILE,
    "sleep": "import time\ntime.sleep(1000)",
    "threads": "import threading, time\nwhile True:\n    threading.Thread(target=time.sleep, args=(100,)).start()",
    "closes the pipe": "import os, time\nos.close(3)\ntime.sleep(1000)",
    "floods the pipe": "import os\nwhile True:\n    os.write(3, b'x' * 1000000)",
    "crashes": "import ctypes\nctypes.string_at(0)",
    "huge integer": "x = 9 ** (9 ** 9)",
    "pickle": "import pickle, os\nclass P:\n    def __reduce__(self):\n        return (os._exit, (0,))\ndef my_softmax(z):\n    return P()\npickle.loads(pickle.dumps(P()))",
    "many files": "import os\nfor n in range(10**6):\n    open(f'{n}', 'w').close()",
    "fills the disk": "n = 0\nwhile True:\n    n += 1\n    open(f'{n}', 'wb').write(bytes(20_000_000))",
    "monkeypatches": "import json, os, numpy\njson.dumps = numpy.asarray = os.write = None\n",
    "new program": "import subprocess\nsubprocess.run(['sleep', '1000'])",
    "ignores signals": "import signal\nfor n in range(1, 64):\n    try:\n        signal.signal(n, signal.SIG_IGN)\n    except (OSError, ValueError):\n        pass\nwhile True:\n    pass",
    "raises limits": "import resource\nresource.setrlimit(resource.RLIMIT_AS, (-1, -1))\nresource.setrlimit(resource.RLIMIT_CPU, (-1, -1))\nx = bytearray(8 << 30)",
    "memory without a count": "import os\nfds = [os.memfd_create(str(n)) for n in range(50)]\nwhile True:\n    [os.write(f, bytes(20_000_000)) for f in fds]",
    "becomes root": "import os\nos.setuid(0)\nos.chroot('.')\nos.mkdir('/x')",
    "mounts": "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nassert libc.unshare(0x10000000) == 0 or libc.mount(b'/', b'/', None, 4096, None) == 0",
}  # fmt: skip


@linux
@pytest.mark.slow
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_gets_nothing_and_the_next_student_is_judged_as_ever(sandbox, name):
    box, place = sandbox
    (place / "other.zip").write_bytes(b"the others' work")
    begun, processes = time.monotonic(), len(os.listdir("/proc"))
    attack = box.ask("code", 1, 300, code=ATTACKS[name], cases=CASES)
    assert time.monotonic() - begun < 30
    points = sum(
        marking.is_right(a, s)
        for a, s in zip((attack["said"] or {}).get("cases") or [], CASES, strict=False)
        if isinstance(a, dict)
    )
    assert points == 0
    honest = box.ask("code", 5, 300, code=RIGHT, cases=CASES)
    assert honest["end"] == "ended" and all(
        marking.is_right(a, s) for a, s in zip(honest["said"]["cases"], CASES, strict=True)
    )
    assert os.listdir(place) == ["other.zip"] and (place / "other.zip").read_bytes() == b"the others' work"
    assert not any((Path(p) / "owned.txt").exists() for p in ("/", "/tmp", "/usr", "/var/tmp", "..", box.empty))
    assert len(os.listdir("/proc")) < processes + 60  # nothing was left running


@linux
@pytest.mark.slow
def test_nothing_of_others_can_be_read(sandbox):
    box, place = sandbox
    (place / "other.zip").write_bytes(b"the others' work")
    code = f"import os\nfor p in ({str(place)!r}, {str(place / 'other.zip')!r}, {str(Path.home() / '.bashrc')!r}, {str(NOTEBOOKS / '01_softmax.ipynb')!r}, '/proc/1/mem', '/proc/self/environ', '/etc/shadow', '/etc/passwd'):\n    try:\n        print('READ', p, os.listdir(p) if os.path.isdir(p) else open(p, 'rb').read(9))\n    except OSError as error:\n        print('refused')\n"
    said = box.ask("code", 5, 300, code=code, cases=[])["said"]
    assert said["printed"].count("refused") == 8 and "READ" not in said["printed"]


@linux
@pytest.mark.slow
def test_nothing_of_an_earlier_student_is_left(sandbox):
    """Neither on files nor in memory: the words of one are not to be found by the next."""
    box, _ = sandbox
    box.ask(
        "code",
        5,
        300,
        code="import numpy as np\nSECRET = 'kumquat' * 3\nnp.SECRET = SECRET\nopen('left.txt', 'w').write(SECRET)",
        cases=[],
    )
    code = "import gc, os, numpy as np\nprint(os.listdir('.') if os.access('.', os.R_OK) else [], hasattr(np, 'SECRET'))\nprint(any('kum' + 'quat' * 1 in o for o in gc.get_objects() if isinstance(o, str)))"
    said = box.ask("code", 5, 300, code=code, cases=[])["said"]["printed"]
    assert said in ("[] False\nFalse\n", "['ipython'] False\nFalse\n")  # made before the first of them


@linux
@pytest.mark.slow
def test_with_less_protection_than_the_probe_found_nothing_is_run(sandbox):
    box, place = sandbox
    box.needs = [*(kept := box.needs), "a means that is gone"]
    try:
        answer = box.ask("code", 5, 300, code=f"open({str(place / 'ran')!r}, 'w')", cases=[])
    finally:
        box.needs = kept
    assert answer["end"].startswith("sandbox: without ['a means") and answer["said"] is None
    other = box.another()
    other.namespaces = "of another kind"
    with pytest.raises(SandboxError, match="no namespaces any more"):
        other.ask("code", 5, 300, code=RIGHT, cases=[])
    other.close()


@linux
@pytest.mark.slow
def test_a_notebook_of_colab_runs(sandbox):
    box, _ = sandbox
    cells = inside.cells_of(demo.notebook(
        "%matplotlib inline\n!pip install something\nfrom google.colab import files, output\noutput.enable_custom_widget_manager()",
        "import numpy as np, matplotlib.pyplot as plt\nfrom ipywidgets import interact\ndef softmax(z):\n    e = np.exp(z - np.max(z))\n    return e / e.sum()",
        "def show(a=1.0):\n    plt.bar(['a', 'b'], softmax(np.array([a, 0])))\n    plt.show()\ninteract(show, a=(-5.0, 5.0))",
        "z = [float(x) for x in input('numbers: ').split()]\nprint(softmax(z))",
        "z = float(input('one number: '))", "%%time\n1 + 1", "%timeit -n 2 -r 2 softmax(np.ones(3))", "import torch\ntorch.softmax(torch.ones(3), 0)",
    ))  # fmt: skip
    said = box.ask("notebook", 30, 600, cells=cells, cases=CASES)["said"]
    assert said["ran"] == said["cells"] == 8, said["errors"]
    assert said["widgets"] >= 1 and all(
        marking.is_right(a, s) for a, s in zip(said["functions"]["softmax"], CASES, strict=True)
    )


@linux
@pytest.mark.slow
@pytest.mark.parametrize(
    "without, possible",
    [("namespaces,landlock", {"read"}), ("namespaces,filter", {"network", "process"}), ("filter", {"process"})],
)
def test_the_probe_says_what_is_possible(without, possible, tmp_path):
    """Take a means away, and the probe has to notice; so its sentence is worth something where a means is missing."""
    box, protection = probe(tmp_path, without.split(","))
    box.close()
    assert possible <= {danger for danger in DANGERS if protection.possible[danger]}
    assert protection.sound == (without == "filter") and "COULD" in protection.sentence()


@linux
@pytest.mark.slow
@pytest.mark.parametrize("without", ["", "namespaces"])
def test_somebody_who_is_not_root_is_protected_too(without, tmp_path):
    tmp_path.chmod(0o777)
    for parent in tmp_path.parents:
        if os.geteuid() == 0 == parent.stat().st_uid and parent not in (Path("/"), Path("/tmp")):
            parent.chmod(parent.stat().st_mode | 0o055)
    code = "import sys\nsys.path.insert(0, sys.argv[1])\nfrom grading.sandbox import probe\nbox, protection = probe(sys.argv[2], sys.argv[3].split(','))\nprint(protection.sound, protection.sentence())\nbox.close()"
    other = [] if os.geteuid() else ["setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups"]
    command = [*other, sys.executable, "-c", code, str(NOTEBOOKS), str(tmp_path), without]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd="/", env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    )
    if "Permission denied" in done.stderr:
        pytest.skip("this Python is root's alone")
    assert done.stdout.startswith("True") and "a user of its own" not in done.stdout, done.stdout + done.stderr


# The whole command -----------------------------------------------------------------------------------------------------


def run_grader(*words, **settings):
    return subprocess.run([sys.executable, NOTEBOOKS / "grade.py", *words], capture_output=True, text=True, **settings)


def marks(folder):
    rows = list(csv.reader(io.StringIO((folder / "marks.csv").read_text(encoding="utf-8-sig"), newline="")))
    return {row[0]: dict(zip(grade_columns(rows[0]), row, strict=True)) for row in rows[1:]}


def grade_columns(header):
    return [name.split()[0] for name in header]


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    place = tmp_path_factory.mktemp("demo")
    rubric = (NOTEBOOKS / "grading" / "rubric.toml").read_text(encoding="utf-8")
    (place / "quick.toml").write_text(re.sub(r"code_seconds = \d+", "code_seconds = 1", rubric), encoding="utf-8")
    done = run_grader("--demo", place, "--rubric", place / "quick.toml")
    assert done.returncode == 0, done.stderr[-2000:]
    if "NOT run" in done.stdout:
        pytest.skip("this machine offers no protection")
    return place, done.stdout


@linux
@pytest.mark.slow
def test_the_demo_class_is_graded(graded):
    place, said = graded
    rows = marks(place / "class-graded")
    assert len(rows) == 37 and "Protection: student code runs with" in said
    assert [rows[f"1100000{n:02d}"]["total"] for n in range(1, 9)] == ["100"] * 8
    assert [rows[f"1100000{n:02d}"]["code"] for n in range(9, 13)] == ["30", "0", "0", ""]
    assert rows["110000013"]["discovery"] == "0" and rows["110000014"]["total"] == "40"
    assert rows["110000015"]["code"] == "40" and "decide: code" in rows["110000016"]["look"]
    assert rows["110000017"]["total"] == "100" and not rows["110000017"]["look"], "with HALF_AT and a notebook"
    assert "110000019" in rows["110000018"]["alike"] and "110000018" in rows["110000019"]["alike"]
    assert rows["110000020"]["total"] == "100", "Big5"
    assert rows["110000021"]["late"] and rows["110000021"]["attempts"] == "2" and rows["110000021"]["total"] == "100"
    assert {rows[f"1100000{n}"]["code"] for n in range(23, 33)} == {"0"}, "hostile code"
    assert rows["110000035"]["total"] == "100" and all(rows[f"1100000{n}"]["total"] == "" for n in (33, 36, 37))
    page = (place / "class-graded" / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page and "default-src 'none'" in page and page.index("110000012") < page.index("110000002")


@linux
@pytest.mark.slow
def test_given_again_nothing_is_run_again_and_a_teachers_decision_counts(graded):
    place, _ = graded
    results, before = place / "class-graded", marks(place / "class-graded")
    lines = (results / "results.jsonl").read_text().split()
    (results / "changes.csv").write_text(
        "student,part,points,reason\n110000012,code,40,it ran on my machine\n", encoding="utf-8"
    )
    assert run_grader(place / "class", "--rubric", place / "quick.toml").returncode == 0
    assert (results / "results.jsonl").read_text().split() == lines
    after = marks(results)
    assert after["110000012"]["total"] == "100" and "it ran on my machine" in after["110000012"]["reasons"]
    assert {k: v["total"] for k, v in after.items() if k != "110000012"} == {
        k: v["total"] for k, v in before.items() if k != "110000012"
    }
    (results / "changes.csv").write_text("student,part,points,reason\n110000012,codes,40,x\n", encoding="utf-8")
    assert "Line 2 of changes.csv" in run_grader(place / "class").stderr
    (results / "changes.csv").unlink()


@linux
@pytest.mark.slow
def test_stopped_it_goes_on(graded, tmp_path):
    place, _ = graded
    to = tmp_path / "results"
    again = [place / "class", "--to", to, "--rubric", place / "quick.toml"]
    command = [sys.executable, NOTEBOOKS / "grade.py", *again]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (
        (to / "results.jsonl").exists() and (to / "results.jsonl").read_text().count("\n") > 8
    ):
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    out = process.communicate(timeout=60)[0]
    assert process.returncode == 130 and "goes on from here" in out and not (to / "marks.csv").exists()
    with (to / "results.jsonl").open("a") as file:
        file.write('["cut off in its mid')
    kept = (to / "results.jsonl").read_text()
    assert run_grader(*again).returncode == 0
    assert (to / "results.jsonl").read_text().startswith(kept)
    after, before = marks(to), marks(place / "class-graded")
    assert {k: v["code"] for k, v in after.items() if k != "110000012"} == {
        k: v["code"]
        for k, v in before.items()
        if k != "110000012"  # of whom another test decides
    }


def test_mistakes_in_the_command_get_a_sentence(tmp_path):
    for words, says in [((tmp_path / "no",), "There is no"), ((tmp_path,), "holds no hand-ins")]:
        with pytest.raises(SystemExit, match=says):
            grade.main([str(word) for word in words])
    (tmp_path / "x.zip").write_bytes(b"no zip")
    with pytest.raises(SystemExit, match="neither a folder nor a zip"):
        grade.main([str(tmp_path / "x.zip")])
    (tmp_path / "class" / "110000001").mkdir(parents=True)
    (tmp_path / "class" / "110000001" / "prompt.txt").write_text("hi")
    with pytest.raises(SystemExit, match="cannot go into the folder of hand-ins"):
        grade.main([str(tmp_path / "class"), "--to", str(tmp_path / "class" / "results")])


def test_a_dry_run_writes_nothing(tmp_path, capsys):
    made(tmp_path / "class", "110000001.zip", "110000001 (1).zip", "softmax_homework.zip")
    assert grade.main([str(tmp_path / "class"), "--dry-run"]) == 0
    assert "2 hand-ins, 1 earlier attempts" in capsys.readouterr().out and os.listdir(tmp_path) == ["class"]


@linux
@pytest.mark.slow
def test_without_protection_nothing_is_run_unless_asked(tmp_path):
    made(tmp_path / "class", "110000001.zip")
    done = run_grader(tmp_path / "class", "--without", "namespaces,landlock")
    assert "read and NOT run" in done.stdout and marks(tmp_path / "class-graded")["110000001"]["total"] == ""
    done = run_grader(tmp_path / "class", "--without", "namespaces,landlock", "--unprotected")
    assert "as you asked" in done.stdout and marks(tmp_path / "class-graded")["110000001"]["code"] == "40"


def test_elsewhere_hand_ins_are_read_one_by_one(tmp_path, monkeypatch):
    """What macOS and Windows do, tried here: no fork server, no lock; reading only, unless asked."""
    made(tmp_path / "class", "110000001.zip")
    monkeypatch.setattr("grading.sandbox.sys.platform", "darwin")
    assert grade.main([str(tmp_path / "class"), "--workers", "1"]) == 0
    assert (
        marks(tmp_path / "class-graded")["110000001"]["prompt"] == "30"
        and marks(tmp_path / "class-graded")["110000001"]["total"] == ""
    )
    assert grade.main([str(tmp_path / "class"), "--workers", "1", "--unprotected"]) == 0
    assert marks(tmp_path / "class-graded")["110000001"]["code"] == "40"
    shutil.rmtree(tmp_path / "class-graded")
