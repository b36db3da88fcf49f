"""Folds the cells that only set up, draw or mark: in Colab as a form with a title, in JupyterLab and Notebook 7 as a line.

    python3 tests/tools/fold.py            # all pages; a page's new cells get a title that you may write better
    python3 tests/tools/fold.py --check    # writes nothing; names what is open and should not be, exit 1 if anything is

What is the subject stays open: page 00 (drawing *is* its subject), and every cell that checks a claim, is for the reader
to change, or defines a name of which the text of the page speaks. A folded cell still runs with Shift + Enter.
"""

import ast
import re
import sys

from common import masters, read_notebook, source, write_notebook

FOLDED = {"cellView": "form", "jupyter": {"source_hidden": True}}
RUN_ME, QUIZ, MARKS = "Run me: what this page needs", "The quiz: choose in each menu", "What the quiz is marked by"
JUDGE, PACK = "What your hand-in is judged by", "What packs your hand-in"


def defined(code):
    """The names that a cell's functions, classes and assignments give."""
    plain = "\n".join(line for line in code.splitlines() if not line.startswith(("%", "!")))
    names = set()
    for node in ast.parse(plain).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        for target in getattr(node, "targets", []):
            names |= {part.id for part in ast.walk(target) if isinstance(part, ast.Name)}
    return names


def spoken_of(cells):
    """The names that stand in the page's text as code."""
    text = "\n".join(source(cell) for cell in cells if cell["cell_type"] == "markdown")
    return {name for code in re.findall(r"`([^`\n]+)`", text) for name in re.findall(r"[A-Za-z_]\w*", code)}


def title_for(cell, number):
    """What a cell that may be folded is called: None for a cell that stays open."""
    name, code = cell["id"], source(cell)
    if number == "01" and name.startswith(("judge-", "pack-")):  # the homework
        return PACK if name.startswith("pack-") else JUDGE
    if name == "imports":
        return RUN_ME
    if name == "quiz-live":
        return QUIZ
    if name.startswith("quiz-"):
        return MARKS
    if name.endswith(("-live", "-figure")) and "check(" not in code:
        said = re.findall(r'(?:set_title\(|[( ]title=)"([^"\\{]+)"', code)
        kind = "Sliders" if name.endswith("-live") else "Figure"
        return f"{kind}: {said[0]}" if said else f"{kind} (drawing)"
    return None


def to_fold(notebook, number):
    """The cells of a page to be folded, each with a title."""
    if number == "00":
        return []
    spoken = spoken_of(notebook["cells"])
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code" and cell["id"] != "setup"]
    named = [(cell, title_for(cell, number)) for cell in code]
    return [(cell, title) for cell, title in named if title and not defined(source(cell)) & spoken]


def fold(cell, title):
    """Fold a cell; one that has a title keeps it. Whether anything has changed."""
    text, was = source(cell), dict(cell["metadata"])
    cell["metadata"] |= FOLDED
    if not text.startswith("# @title "):
        cell["source"] = f"# @title {title}\n{text}".splitlines(keepends=True)
        return True
    return was != cell["metadata"]


def main(words):
    changed = []
    for path in masters():
        notebook = read_notebook(path)
        names = [cell["id"] for cell, title in to_fold(notebook, path.name[:2]) if fold(cell, title)]
        changed += [f"{path.name}: {name}" for name in names]
        if names and "--check" not in words:
            write_notebook(path, notebook)
    for name in changed:
        print(name, "is open" if "--check" in words else "is folded now")
    return 1 if changed and "--check" in words else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
