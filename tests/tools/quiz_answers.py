"""Keeps the quiz answers of notebooks/teaching.md and its Chinese edition in step with the pages.

    python3 tests/tools/quiz_answers.py          # the questions of every page, with the answers known so far
    python3 tests/tools/quiz_answers.py --run 03 # runs page 03 and writes down what its own judge takes for right

The tables stand between `<!-- quiz 03 -->` and `<!-- end -->`. The column "why" is written by hand, and kept.
"""

import ast
import json
import re
import sys
import tempfile

from common import NOTEBOOKS, ZH, masters, read_notebook, source

EDITIONS = {NOTEBOOKS / "teaching.md": ("question", "answer", "why"), ZH / "teaching.md": ("題目", "答案", "為什麼")}
UNKNOWN = "…"
# In a kernel, behind all of a page: each question of each quiz, and the one option that its judge ticks.
ASK = """
def _ask():
    import gc
    import json
    from helpers.figures import Live

    found = []
    for quiz in [thing for thing in gc.get_objects() if isinstance(thing, Live) and "1. not answered yet" in thing.text]:
        for place, (name, menu) in enumerate(quiz.controls.items()):
            for option in menu.options:
                quiz.set(**{name: option})
                if "✓" in quiz.text.splitlines()[place]:
                    found.append([menu.description, option])
            quiz.set(**{name: "?"})
    print("ANSWERS" + json.dumps(found))


_ask()
"""


def questions(master):
    """{question: options} of a page's quiz, as its code has them."""
    found = {}
    for cell in read_notebook(master)["cells"]:
        if cell["cell_type"] != "code" or not cell["id"].startswith("quiz"):
            continue
        tree, names = ast.parse(source(cell)), {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.List):
                names[node.targets[0].id] = node.value
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "choice" and len(node.args) > 1:
                label, options = node.args[0], node.args[1]
                options = names.get(options.id) if isinstance(options, ast.Name) else options
                found[ast.literal_eval(label)] = [str(option) for option in ast.literal_eval(options)]
    return dict(sorted(found.items(), key=lambda pair: int(re.match(r"\d+", pair[0]).group())))


def in_chinese(answer):
    """What the Chinese edition's menu says for an answer; where it stays English, the same."""
    lines = (ZH / "words.tsv").read_text(encoding="utf-8").splitlines()
    return dict(line.split("\t")[:2] for line in lines if "\t" in line).get(answer, answer)


def block(text, number):
    """Where the table of page `number` stands in `text`."""
    return re.search(rf"(?<=<!-- quiz {number} -->\n)(.*?)(?=<!-- end -->)", text, re.DOTALL)


def table(text, number):
    """[[question, answer, why], …] of a page, as it stands there."""
    lines = block(text, number).group(1).splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]


def answers_of(number, edition=NOTEBOOKS / "teaching.md"):
    """The answers to page `number`'s quiz, in their order; None where the page has no table yet."""
    text = edition.read_text(encoding="utf-8")
    if not block(text, number):
        return None
    return [answer.strip("*") for _, answer, _ in table(text, number)]


def run_page(master):
    """{question: right answer}, as the page's own judge says at its end."""
    import nbformat
    from execute import Client

    notebook = nbformat.read(master, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(ASK, id="ask"))
    with tempfile.TemporaryDirectory() as folder:
        place = folder if (NOTEBOOKS.parent / "helpers").is_relative_to(folder) else str(NOTEBOOKS)
        Client(notebook, timeout=1800, resources={"metadata": {"path": place}}).execute()
    said = "".join(output.get("text", "") for output in notebook.cells[-1].outputs)
    return dict(json.loads(said.split("ANSWERS")[1].splitlines()[0]))


def write(known):
    """Write every page's table into both editions; `known`: {page: {question: right answer}} from runs just made."""
    missing = []
    for path, header in EDITIONS.items():
        text = path.read_text(encoding="utf-8")
        english = (NOTEBOOKS / "teaching.md").read_text(
            encoding="utf-8"
        )  # written first, then read for the Chinese one
        for master in masters():
            number = master.name[:2]
            if not block(text, number):
                missing.append(f"{path.name}: no place for the quiz of page {number}")
                continue
            before = {row[0]: row[1:] for row in table(text, number)}
            old = table(english, number)
            rows = [f"| {' | '.join(header)} |", "|---|---|---|"]
            for place, question in enumerate(questions(master)):
                shown = question.replace("|", "¦")
                kept = before.get(shown, [UNKNOWN, UNKNOWN])
                if path.parent == ZH and place < len(old) and old[place][0] == shown and place < len(before):
                    shown, kept = list(before.items())[place]  # the Chinese one, by its place
                right = known.get(number, {}).get(question)
                if path.parent == ZH and place < len(old) and old[place][1] != UNKNOWN:
                    right = in_chinese(old[place][1].strip("*"))
                rows.append(f"| {shown} | {f'**{right}**' if right else kept[0]} | {kept[1]} |")
            text = text.replace(block(text, number).group(1), "\n".join(rows) + "\n") if block(text, number).group(1) else re.sub(
                rf"<!-- quiz {number} -->\n<!-- end -->", lambda _, n=number, r=rows: f"<!-- quiz {n} -->\n" + "\n".join(r) + "\n<!-- end -->", text
            )  # fmt: skip
        path.write_text(text, encoding="utf-8")
    return missing


def main(arguments):
    known = {}
    if arguments[:1] == ["--run"]:
        for number in arguments[1:]:
            master = next(path for path in masters() if path.name.startswith(number))
            known[number] = run_page(master)
    missing = write(known)
    print("\n".join(missing) or "The questions in teaching.md are those of the pages.")
    return bool(missing)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
