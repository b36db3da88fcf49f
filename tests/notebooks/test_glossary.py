"""The glossary says what the notebooks say: each term stands, in both languages, in the notebooks that it names."""

import re

import pytest
from common import NOTEBOOKS, ZH, masters, read_notebook, source

LINES = (NOTEBOOKS / "glossary.md").read_text(encoding="utf-8").splitlines()
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in LINES if re.match(r"\| (?!English)\w", line)]


def prose(path):
    cells = read_notebook(path)["cells"]
    return "\n".join(source(cell) for cell in cells if cell["cell_type"] == "markdown").lower()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_term_stands_where_the_glossary_says(row):
    english, chinese, places, *meanings = row
    assert len(meanings) == 2 and all(meanings)
    for number in places.split(", "):
        master = next(path for path in masters() if path.name.startswith(number))
        assert english.lower() in prose(master), f"{master.name} does not say {english!r}"
        assert chinese.lower() in prose(ZH / master.name), f"zh-TW/{master.name} does not say {chinese}"


def test_the_glossary_covers_the_course_and_repeats_nothing():
    assert {number for row in ROWS for number in row[2].split(", ")} == {path.name[:2] for path in masters()}
    assert len({row[0].lower() for row in ROWS}) == len(ROWS) and len({row[1] for row in ROWS}) == len(ROWS)
