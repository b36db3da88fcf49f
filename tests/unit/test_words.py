"""What the Chinese edition says: chosen by the notebook's place, looked up in one table, and never a change of code."""

import sys
import types

import pytest
from common import NOTEBOOKS, read_notebook
from notebook_code import run_cells
from test_quizzes import PAGES

from helpers import choice, live, mark_quiz, page, slider, textbox


@pytest.fixture
def chinese(monkeypatch, tmp_path):
    table = tmp_path / "words.tsv"
    lines = [
        "rises\t上升",
        "hello {} and {}\t{1} 和 {0} 你好",
        "✗ {}\t✗ {}",
        "not answered yet\t還沒作答",
        "so it is\t就是這樣",
    ]
    table.write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setattr(page, "TABLE", table)
    monkeypatch.setenv("COURSE_LANGUAGE", "zh-TW")
    clear()
    yield
    monkeypatch.undo()
    clear()


def clear():
    page.language.cache_clear()
    page._table.cache_clear()


def test_words_are_looked_up_with_what_differs(chinese):
    assert page.translated("rises") == "上升" and page.translated("hello 3 and rises") == "上升 和 3 你好"
    assert page.translated("rises\nunknown") == "上升\nunknown" and page.translated("✗ rises") == "✗ 上升"
    assert page.translated(3) == 3 and page.translated("") == ""


def test_a_menu_shows_chinese_and_answers_in_the_codes_words(chinese):
    menu = choice("rises", ["?", "rises"])
    assert menu.description == "上升" and menu.options == (("?", "?"), ("上升", "rises"))
    menu.value = "rises"
    said = live(None, lambda a: f"hello {a} and 1", a=menu).text
    assert said == "1 和 上升 你好"
    assert textbox("rises", "").description == slider("rises", 0, 1, 0).description == "上升"
    assert (
        mark_quiz({"a": "x", "b": "?"}, {"a": ("x", {"x": "so it is"}), "b": ("y", {})}) == "1. ✓ 就是這樣\n2. 還沒作答"
    )


def test_english_is_left_as_it_is():
    clear()
    assert page.language() == "en" and page.translated("rises") == "rises"
    assert choice("a", ["b"]).options == ("b",)


@pytest.mark.parametrize("session, place", [("notebooks/zh-TW/01_softmax.ipynb", "x"), ("", "zh-TW")])
def test_the_notebooks_place_decides(monkeypatch, tmp_path, session, place):
    (tmp_path / place).mkdir()
    monkeypatch.chdir(tmp_path / place)
    monkeypatch.setenv("JPY_SESSION_NAME", session)
    clear()
    assert page.language() == "zh-TW"
    clear()


@pytest.mark.parametrize(
    "link, wanted", [("[English](../01_softmax.ipynb)", "zh-TW"), ("[中文版](zh-TW/01.ipynb)", "en"), (None, "en")]
)
def test_on_colab_the_notebook_itself_is_asked(monkeypatch, link, wanted):
    colab = types.ModuleType("google.colab")
    cells = [{"source": ["# 01\n", f"badge · {link}"]}]
    if link:
        ask = lambda *_, **__: {"ipynb": {"cells": cells}}  # noqa: E731
        colab._message = types.SimpleNamespace(blocking_request=ask)
    monkeypatch.setitem(sys.modules, "google", types.ModuleType("google"))
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    clear()
    assert page.language() == wanted
    clear()


def lines_of_the_table():
    return [line.split("\t") for line in page.TABLE.read_text(encoding="utf-8").splitlines()]


def test_the_table_is_in_order():
    lines = lines_of_the_table()
    assert all(len(line) == 2 and all(line) for line in lines)
    english = [line[0] for line in lines]
    assert len(set(english)) == len(english), "nothing stands there twice"
    assert [one for one, two in lines if one.count("{}") != two.count("{}")] == []


@pytest.mark.parametrize("notebook", PAGES)
def test_every_quiz_has_its_chinese(notebook):
    known, asked = {line[0] for line in lines_of_the_table()}, []
    ids = [c["id"] for c in read_notebook(next(NOTEBOOKS.glob(f"{notebook}_*.ipynb")))["cells"]]
    why = run_cells(notebook, *[name for name in ids if name.startswith("quiz-why")])["WHY"]

    class Menu:
        layout = type("layout", (), {})()

        def __init__(self, description, options):
            asked.extend([description, *[option for option in options if option.isalpha()]])

    run_cells(notebook, "quiz-live", live=lambda *_, **__: None, choice=Menu, judge_answers=None, mark_quiz=None)
    asked += [sentence for options in why.values() for sentence in options.values()]
    assert [text for text in asked if text not in known] == []
