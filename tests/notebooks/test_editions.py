"""Both editions are one: same cells, same code, same outputs; no paragraph of the Chinese one is stale."""

import copy

import build_zh_tw
import pytest
from common import NOTEBOOKS, ZH, masters, read_notebook, source


def test_there_are_notebooks():
    assert masters()


@pytest.mark.parametrize("master", masters(), ids=lambda path: path.stem)
def test_same_cells_code_and_outputs(master):
    english, chinese = read_notebook(master), read_notebook(ZH / master.name)
    assert [c["id"] for c in english["cells"]] == [c["id"] for c in chinese["cells"]]
    for one, other in zip(english["cells"], chinese["cells"], strict=True):
        if one["cell_type"] == "code":
            assert one == other
        else:
            assert source(one) != source(other), f"{one['id']} is not translated"


def test_the_chinese_edition_is_what_the_builder_makes(capsys):
    assert build_zh_tw.main(["--check"]) == 0, capsys.readouterr().out


def test_each_notebook_has_both_editions():
    names = {path.stem for path in masters()}
    assert names == {path.stem for path in ZH.glob("[0-9]*.ipynb")} == {path.stem for path in ZH.glob("[0-9]*.md")}


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A course of one small notebook, in both editions."""
    cells = [
        {"cell_type": "markdown", "id": "intro", "metadata": {}, "source": ["# One\n", "\n", "Two."]},
        {"cell_type": "code", "id": "run", "metadata": {}, "source": ["1"], "outputs": [], "execution_count": 1},
    ]
    notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (tmp_path / "zh-TW").mkdir()
    master = tmp_path / "01_small.ipynb"
    build_zh_tw.write_notebook(master, notebook)
    monkeypatch.setattr(build_zh_tw, "ZH", tmp_path / "zh-TW")
    monkeypatch.setattr(build_zh_tw, "masters", lambda: [master])
    sidecar = tmp_path / "zh-TW" / "01_small.md"
    pairs = [(build_zh_tw.fingerprint("# One"), "# 一"), (build_zh_tw.fingerprint("Two."), "二。")]
    sidecar.write_text(build_zh_tw.write_sidecar({"intro": pairs}), encoding="utf-8")
    assert build_zh_tw.main([]) == 0
    return master, sidecar, notebook


def test_the_builder_joins_prose_and_code(small):
    master, _, _ = small
    built = read_notebook(build_zh_tw.ZH / master.name)
    assert source(built["cells"][0]) == "# 一\n\n二。" and built["cells"][1] == read_notebook(master)["cells"][1]
    assert build_zh_tw.main(["--check"]) == 0


def test_check_names_what_is_stale_and_keeps_the_old_wording(small, capsys):
    master, sidecar, notebook = small
    changed = copy.deepcopy(notebook)
    changed["cells"][0]["source"] = ["# One\n", "\n", "Three."]
    build_zh_tw.write_notebook(master, changed)
    capsys.readouterr()
    assert build_zh_tw.main(["--check"]) == 1
    assert "01_small.md, cell intro: no Chinese for “Three.”" in capsys.readouterr().out
    assert build_zh_tw.main([]) == 1
    assert "二。" in sidecar.read_text(encoding="utf-8") and build_zh_tw.TODO in sidecar.read_text(encoding="utf-8")
    build_zh_tw.main(["--accept", "01", "intro"])
    assert build_zh_tw.main(["--check"]) == 0
    assert source(read_notebook(build_zh_tw.ZH / master.name)["cells"][0]) == "# 一\n\n二。"


def test_outgrown_wording_stays_where_it_stood():
    old = [("a", "一"), ("b", "二"), ("c", "三"), ("d", "四"), ("e", build_zh_tw.TODO)]
    new = [("a", "一"), ("x", build_zh_tw.TODO), ("y", build_zh_tw.TODO), ("d", "四")]
    kept = build_zh_tw.keep_outgrown(new, old)
    assert [text for _, text in kept if text != build_zh_tw.TODO] == ["一", "二", "三", "四"]
    assert [digest for digest, text in kept if text == build_zh_tw.TODO] == ["x", "y"]


@pytest.mark.parametrize(
    "english, chinese",
    [
        ("## Exercises", "- 一\n- 二"),
        ("## Papers", "1. 一\n2. 二"),
        ("- one\n- two\n- three", "- 一\n- 二"),
        ("And the other way round.", "- 一"),
        ("$$x$$", "公式"),
        ("```\na\n```", "程式"),
        ("| a |\n|---|\n| 1 |", "| 一 |\n|---|"),
        ("After 6,000 steps 13 of 16 seeds.", "走 800 步，8 個裡有 7 個。"),
        ("Run `fit(x)`, then `draw(y)`.", "看 `show(z)` 和 $q$。"),
    ],
)
def test_two_paragraphs_that_cannot_be_one(english, chinese):
    assert build_zh_tw.unlike(english, chinese)


@pytest.mark.parametrize(
    "english, chinese",
    [
        ("## Exercises", "## 習題"),
        ("Two of three.", "3 個裡有 2 個。"),
        ("Choose an answer.", "選一個答案。第 1 題：$q$；第 2 題：`x`。"),
        ("After 400,000 rounds at 0.1 with `fit(x)`.", "走 40 萬步，學習率 0.1，用 `fit(x)`。"),
        ("- one\n  and more\n- two", "- 一\n- 二"),
    ],
)
def test_two_paragraphs_that_may_be_one(english, chinese):
    assert build_zh_tw.unlike(english, chinese) is None


def test_texts_under_each_others_hashes_are_noticed(small, capsys):
    _, sidecar, _ = small
    first, second = build_zh_tw.fingerprint("# One"), build_zh_tw.fingerprint("Two.")
    sidecar.write_text(build_zh_tw.write_sidecar({"intro": [(first, "二。"), (second, "# 一")]}), encoding="utf-8")
    assert build_zh_tw.main([]) == 1
    assert "01_small.md, cell intro: “二。” is not “# One” (heading against prose)" in capsys.readouterr().out
    assert build_zh_tw.main(["--check"]) == 1


def test_accept_does_not_pair_what_cannot_be_a_pair(small):
    _, sidecar, _ = small
    text = build_zh_tw.write_sidecar({"intro": [("0" * 8, "二。"), ("1" * 8, "# 一")]})
    sidecar.write_text(text, encoding="utf-8")
    with pytest.raises(SystemExit, match="would stand for"):
        build_zh_tw.main(["--accept", "01", "intro"])
    assert sidecar.read_text(encoding="utf-8") == text


def test_check_notices_a_hand_edited_chinese_notebook(small, capsys):
    master, _, _ = small
    path = build_zh_tw.ZH / master.name
    edited = read_notebook(path)
    edited["cells"][1]["source"] = ["2"]
    build_zh_tw.write_notebook(path, edited)
    assert build_zh_tw.main(["--check"]) == 1
    assert "not what the master and the sidecar give" in capsys.readouterr().out


def test_check_names_a_cell_that_is_gone(small, capsys):
    master, _, notebook = small
    build_zh_tw.write_notebook(master, {**notebook, "cells": notebook["cells"][1:]})
    assert build_zh_tw.main(["--check"]) == 1
    assert "the English edition has no such cell" in capsys.readouterr().out


def change(small, name=None, text=None):
    """Give the text cell another name, or another text; return what the builder says, and what the sidecar then holds."""
    master, sidecar, _ = small
    notebook = read_notebook(master)
    notebook["cells"][0]["id"] = name or notebook["cells"][0]["id"]
    notebook["cells"][0]["source"] = (text or source(notebook["cells"][0])).splitlines(keepends=True)
    build_zh_tw.write_notebook(master, notebook)
    code = build_zh_tw.main([])
    return code, sidecar.read_text(encoding="utf-8")


def test_a_renamed_cell_takes_its_chinese_along(small):
    code, sidecar = change(small, name="opening")
    assert code == 0 and "# cell: opening" in sidecar and "二。" in sidecar and "# cell: intro" not in sidecar
    assert build_zh_tw.main(["--check"]) == 0
    assert source(read_notebook(build_zh_tw.ZH / "01_small.ipynb")["cells"][0]) == "# 一\n\n二。"


def test_a_cell_renamed_and_changed_keeps_what_it_had(small, capsys):
    code, sidecar = change(small, name="opening", text="# One\n\nThree.")
    assert code == 1 and "# 一" in sidecar and "二。" in sidecar and build_zh_tw.TODO in sidecar
    said = capsys.readouterr().out
    assert (
        "cell opening: no Chinese for “Three.”" in said and "cell intro: the English edition has no such cell" in said
    )
    assert change(small)[1] == sidecar, "and keeps it the second time"
    build_zh_tw.main(["--prune", "1"])
    assert "二。" not in (sidecar := small[1].read_text(encoding="utf-8")) and "# 一" in sidecar


def test_a_paragraph_that_moves_to_another_cell_takes_its_chinese_along(small):
    master, sidecar, notebook = small
    cells = copy.deepcopy(notebook["cells"])
    cells[0]["source"], more = ["# One"], {**cells[0], "id": "more", "source": ["Two."]}
    build_zh_tw.write_notebook(master, {**notebook, "cells": [*cells, more]})
    assert build_zh_tw.main([]) == 0
    assert sidecar.read_text(encoding="utf-8").index("# cell: more") < sidecar.read_text(encoding="utf-8").index("二。")


def test_a_paragraph_whose_english_is_gone_is_kept_and_named(small, capsys):
    code, sidecar = change(small, text="# One")
    assert code == 1 and "二。" in sidecar and "whose English is gone" in capsys.readouterr().out
    assert source(read_notebook(build_zh_tw.ZH / "01_small.ipynb")["cells"][0]) == "# 一"
    assert build_zh_tw.main(["--prune", "01_small"]) == 0 and build_zh_tw.main(["--check"]) == 0
    assert "二。" not in small[1].read_text(encoding="utf-8")


@pytest.mark.parametrize("words", [["--chek"], ["--check", "01"], ["01"], ["--accept"], ["--accept", "01"], ["--prune"],
                                   ["--prune", "7"], ["--accept", "1", "no-such-cell"], ["--accept", "1", "run"]])  # fmt: skip
def test_words_that_the_builder_does_not_know_change_nothing(small, words):
    sidecar = small[1]
    sidecar.write_text(sidecar.read_text(encoding="utf-8") + "# cell: zz\n", encoding="utf-8")
    before = sidecar.read_text(encoding="utf-8")
    with pytest.raises(SystemExit) as end:
        build_zh_tw.main(words)
    assert any(say in end.value.code for say in ("does not know", "There is no notebook '7'", "has no text cell"))
    assert sidecar.read_text(encoding="utf-8") == before


def test_help_writes_nothing(small, capsys):
    small[1].unlink()
    assert build_zh_tw.main(["--help"]) == 0 and "--prune" in capsys.readouterr().out and not small[1].exists()


def test_paragraphs_keep_code_and_formulas_whole():
    text = "One.\n\n```\na\n\nb\n```\n\n$$\nx\n\ny\n$$\n\n$$z$$\n\nTwo\nlines."
    assert build_zh_tw.paragraphs(text) == ["One.", "```\na\n\nb\n```", "$$\nx\n\ny\n$$", "$$z$$", "Two\nlines."]


def test_editions_are_where_the_links_say():
    for master in masters():
        title = source(read_notebook(master)["cells"][0])
        assert f"(zh-TW/{master.name})" in title and title.count(f"/blob/main/notebooks/{master.name})") == 2
        chinese = source(read_notebook(ZH / master.name)["cells"][0])
        assert f"(../{master.name})" in chinese and chinese.count(f"/blob/main/notebooks/zh-TW/{master.name})") == 2
        assert title.count("open-in-kaggle.svg") == title.count("colab-badge.svg") == 1, "Colab and Kaggle"
        assert (NOTEBOOKS / master.name).exists()


def test_two_paragraphs_under_one_hash_are_not_taken_for_one():
    same = "# cell: a\n\n<!-- en: 00000000 -->\n一。\n\n<!-- en: 00000000 -->\n二。\n"
    with pytest.raises(SystemExit, match="Cell a has two paragraphs under the hash 00000000"):
        build_zh_tw.read_sidecar(same)
    assert build_zh_tw.read_sidecar(same.replace("0 -->\n二", "1 -->\n二")) == {
        "a": [("00000000", "一。"), ("00000001", "二。")]
    }
