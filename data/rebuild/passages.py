"""course_passages.jsonl: the paragraphs of notebooks 00 to 10 in both editions, as they stood in one commit of this repository.

It is frozen: of today's pages it would be another file, and notebook 12 would find other things.
"""

import json
import re
import subprocess
from pathlib import Path

from helpers import CourseError

ROOT = Path(__file__).resolve().parents[2]
FROZEN = "2774f04"  # the commit whose pages they are
LEAST = {"en": 60, "zh": 20}  # letters of a paragraph that is worth finding
NO_PROSE = ("$$", "|")  # formulas and tables


def git(*command):
    """What git says; its refusal is a sentence."""
    done = subprocess.run(["git", "-C", str(ROOT), *command], capture_output=True, check=False)
    if done.returncode:
        raise CourseError(f"the pages of commit {FROZEN} are not here: clone the repository with its whole history")
    return done.stdout.decode()


def pages(commit):
    """Every notebook from 00 to 10 of a commit, English ones first: (path, language, cells)."""
    for folder, language in (("notebooks/", "en"), ("notebooks/zh-TW/", "zh")):
        for path in sorted(git("ls-tree", "--name-only", commit, folder).split("\n")):
            if re.search(r"/(0\d|10)_\w+\.ipynb$", path):
                yield path, language, json.loads(git("show", f"{commit}:{path}"))["cells"]


def plain(paragraph):
    """The paragraph without links, asterisks and backquotes, in one line."""
    words = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", paragraph)
    return " ".join(re.sub(r"[*`]", "", words).split())


def passages(cells, path, language):
    """The passages of one page, {"url", "title", "content", "language"}."""
    title = ""
    for cell in cells:
        if cell["cell_type"] != "markdown" or cell["id"] in ("title", "how-to"):
            continue
        for paragraph in re.split(r"\n\s*\n", "".join(cell["source"])):
            if heading := re.match(r"#+ (.*)", paragraph):
                title = re.sub(r"^\d+ · ", "", plain(heading[1]))
                continue
            if re.match("Exercises|Papers|習題|論文", title):  # also 07's 論文為什麼需要它, three paragraphs
                continue
            text = plain(paragraph)
            if len(text) >= LEAST[language] and not text.startswith(NO_PROSE):
                yield {"url": f"{path}#{cell['id']}", "title": title, "content": text, "language": language}


def freeze(target, commit=FROZEN):
    """Write every passage of every page, one a line."""
    rows = [row for path, language, cells in pages(commit) for row in passages(cells, path, language)]
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    target.write_text("".join(lines), encoding="utf-8", newline="\n")
