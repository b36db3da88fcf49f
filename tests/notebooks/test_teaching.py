"""The lecturer's page says what the pages say: every quiz question, in both editions, and plans that fill their time.

That each answer is the right one is seen in tests/colab/, where the pages run.
"""

import re
import sys

import pytest
import quiz_answers
from common import NOTEBOOKS, ZH, masters

ENGLISH, CHINESE = ((folder / "teaching.md").read_text(encoding="utf-8") for folder in (NOTEBOOKS, ZH))
PAGES = {path.name[:2]: path for path in masters() if f"<!-- quiz {path.name[:2]} -->" in ENGLISH}
MEND = "give `python3 tests/tools/quiz_answers.py --run {0}`, then write why, in both editions"


def section(text, number):
    return re.search(rf"^## {number} .*?(?=^## )", text, re.MULTILINE | re.DOTALL).group()


def plan(text, number):
    """The rows of a page's plan: [[minutes, show, ask, hear], …]."""
    rows = [line.strip("|").split("|") for line in section(text, number).splitlines() if re.match(r"\| \d+ \|", line)]
    return [[cell.strip() for cell in row] for row in rows]


@pytest.mark.parametrize("number", PAGES)
def test_the_questions_are_those_of_the_page(number):
    asked = quiz_answers.questions(PAGES[number])
    english, chinese = quiz_answers.table(ENGLISH, number), quiz_answers.table(CHINESE, number)
    assert [row[0] for row in english] == list(asked), MEND.format(number)
    for (_, answer, _), (_, translated, _) in zip(english, chinese, strict=True):
        plain = answer.strip("*")
        assert translated.strip("*") in (plain, quiz_answers.in_chinese(plain)), MEND.format(number)
    for (question, answer, why), options, (translated, _, reason) in zip(english, asked.values(), chinese, strict=True):
        assert answer.strip("*") in options[1:] and options[0] == "?", question
        assert why != quiz_answers.UNKNOWN and re.search("[\u4e00-\u9fff]", translated), question
        assert reason != quiz_answers.UNKNOWN and not re.search("[\u4e00-\u9fff]", why), question


@pytest.mark.parametrize("number", PAGES)
def test_a_plan_fills_fifty_minutes_in_both_editions(number):
    english, chinese = plan(ENGLISH, number), plan(CHINESE, number)
    assert [row[0] for row in english] == [row[0] for row in chinese]
    assert sum(int(row[0]) for row in english) == 50 and all(len(row) == 4 for row in english + chinese)


def test_both_editions_have_the_same_parts():
    def parts(text):
        return [line.split()[0] for line in re.findall(r"^##+ .*", text, re.MULTILINE)]

    assert parts(ENGLISH) == parts(CHINESE) and set(PAGES) >= {f"{n:02d}" for n in range(13)}
    assert re.findall(r"^python3 .*?(?= |$)", ENGLISH, re.MULTILINE) == re.findall(
        r"^python3 .*?(?= |$)", CHINESE, re.MULTILINE
    )
    assert len(re.findall(r"^- ", ENGLISH, re.MULTILINE)) == len(re.findall(r"^- ", CHINESE, re.MULTILINE))


@pytest.mark.parametrize("path", [NOTEBOOKS / "teaching.md", ZH / "teaching.md"], ids=["en", "zh-TW"])
def test_links_lead_somewhere(path):
    for link in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
        assert (path.parent / link).exists(), link


def test_what_it_says_of_points_is_what_the_rubric_says():
    sys.path.insert(0, str(NOTEBOOKS))
    from grading.marking import read_rubric

    rubric = read_rubric(NOTEBOOKS / "grading" / "rubric.toml")
    for text in (ENGLISH, CHINESE):
        points = [
            int(n)
            for n in re.findall(r"^\| (?:prompt|code|discovery|提示詞|程式|發現) \| (\d+) \|", text, re.MULTILINE)
        ]
        assert points == [rubric["points"][part] for part in ("prompt", "code", "discovery")]
        (code,) = re.findall(r"^\| (?:code|程式) \|.*", text, re.MULTILINE)
        named = [group["points"] for group in rubric["code"]["group"]] + [rubric["notebook"]["runs"]]
        assert all(re.search(rf"\b{n}\b|{n}）", code) for n in named)
