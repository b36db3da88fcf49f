"""What the notebooks hold as they lie in the repository: their form, and nothing that does not belong there."""

import json
import os
import re
import subprocess
from pathlib import Path

import fold
import pytest
from common import ROOT, ZH, masters, read_notebook, repository, source

ANSWERS = {"softmax"}  # folded because the reader is to try first
EVERY = [*masters(), *(ZH / path.name for path in masters())]
every_notebook = pytest.mark.parametrize("path", EVERY, ids=lambda path: f"{path.parent.name}/{path.stem}")
UNWANTED = {
    "a home or temporary folder": r"(?<![\w.])/(?:home|root|Users|tmp|work|content|opt|var)/\w",
    "a Windows path": r"[A-Z]:\\\\",
    "a key": r"(?:sk-|ghp_|AKIA|AIza|hf_)[A-Za-z0-9]{16,}",
    "an object's address": r"at 0x[0-9a-f]{6,}",
    "a progress bar that has stopped": r"\d+%\|",
    "numbers of other settings": r"was made with other settings than this page",
    "a traceback": r"Traceback \(most recent",
}


def outputs(path):
    for cell in read_notebook(path)["cells"]:
        for output in cell.get("outputs", []):
            yield cell["id"], output


@every_notebook
def test_every_code_cell_has_run_in_order_and_without_an_error(path):
    code = [cell for cell in read_notebook(path)["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    for name, output in outputs(path):
        assert output["output_type"] != "error", f"{name} stores an error"
        assert output.get("name") != "stderr", f"{name} stores a warning: {output.get('text')}"


@every_notebook
def test_nothing_unwanted_is_stored(path):
    for name, output in outputs(path):
        text = json.dumps({**output, "data": {k: v for k, v in output.get("data", {}).items() if "image" not in k}})
        for what, pattern in UNWANTED.items():
            assert not re.search(pattern, text), f"{name} stores {what}"
        for folder in {str(ROOT), os.path.expanduser("~")}:
            assert folder not in text, f"{name} stores a path of this machine"


@every_notebook
def test_form(path):
    notebook = read_notebook(path)
    cells = notebook["cells"]
    assert path.stat().st_size < 1.5e6
    assert "widgets" not in notebook["metadata"]
    assert cells[0]["id"] == "title" and source(cells[0]).startswith(f"# {path.stem[:2]} · ")
    setup = next(c for c in cells if c["cell_type"] == "code")
    assert setup["id"] == "setup" and source(setup).startswith("# @title")
    assert setup["metadata"] == {"cellView": "form", "jupyter": {"source_hidden": True}}, "folded on Colab and at home"
    assert len({c["id"] for c in cells}) == len(cells)
    for cell in cells:
        if cell["cell_type"] == "code":
            lines = [line for line in source(cell).splitlines() if not line.startswith("# @title")]
            assert len(lines) <= 20, f"{cell['id']} is longer than one idea"
        else:
            assert re.fullmatch(r"[a-z0-9-]+", cell["id"])


@pytest.mark.parametrize("path", masters(), ids=lambda path: path.stem)
def test_what_only_sets_up_draws_or_marks_is_folded_and_the_subject_is_open(path):
    notebook = read_notebook(path)
    folded = [cell for cell in notebook["cells"] if "cellView" in cell["metadata"]]
    for cell in folded:
        assert cell["metadata"].items() >= fold.FOLDED.items(), f"{cell['id']} is folded in one place only"
        assert re.match(r"# @title \S.{5,}\n", source(cell)), f"{cell['id']} does not say what it does"
    names = {cell["id"] for cell in folded}
    assert {cell["id"] for cell, _ in fold.to_fold(notebook, path.name[:2])} <= names, "python3 tests/tools/fold.py"
    for cell in folded:
        hidden = fold.defined(source(cell)) & fold.spoken_of(notebook["cells"])
        assert cell["id"] in ANSWERS or not hidden, f"{cell['id']} hides {hidden}, of which the text speaks"


@every_notebook
def test_live_figures_leave_a_picture_for_pages_without_a_kernel(path):
    for cell in read_notebook(path)["cells"]:
        if cell["cell_type"] == "code" and re.search(r"^live\((?!None)(?!\s*None)", source(cell), re.MULTILINE):
            assert any("image/png" in output.get("data", {}) for output in cell["outputs"]), cell["id"]
    for name, output in outputs(path):
        assert "application/vnd.jupyter.widget-view+json" not in output.get("data", {}), name


def test_all_set_up_cells_are_the_same_and_name_the_repository():
    cells = {source(next(c for c in read_notebook(path)["cells"] if c["id"] == "setup")) for path in EVERY}
    assert len(cells) == 1 and f'REPOSITORY = "{repository()}"' in cells.pop()


def test_links_between_files_lead_somewhere():
    for path in [*EVERY, *ROOT.glob("*.md"), ROOT / "data" / "README.md"]:
        texts = [path.read_text("utf-8")]
        if path.suffix == ".ipynb":
            texts = [source(cell) for cell in read_notebook(path)["cells"] if cell["cell_type"] == "markdown"]
        for link in re.findall(r"\]\(([^)#\s]+)\)", "\n".join(texts)):
            if not link.startswith(("http", "attachment")):
                assert (path.parent / link).exists(), f"{path.name} links to {link}"


def test_no_file_names_this_machine_or_a_registry():
    places = [
        Path(ROOT).as_posix() + "/",
        "pypi." + "org",
        "files.python" + "hosted",
        "registry.npm" + "js",
        "download.py" + "torch",
    ]
    tops = [top for top in ROOT.iterdir() if not top.name.startswith((".v", ".git"))]  # environments are large
    tops.append(ROOT / ".github")
    for path in [inner for top in tops for inner in (top.rglob("*") if top.is_dir() else [top])]:
        if path.suffix in {".py", ".md", ".toml", ".yml", ".txt", ".ipynb", ".tsv"}:
            text = path.read_text(encoding="utf-8")
            for place in places:
                assert place not in text, f"{path.relative_to(ROOT)} names {place}"


def test_bold_chinese_is_bold():
    """Markdown does not close ** after a full-width sign when a character follows: the asterisks would be seen."""
    for path in [*ZH.glob("*.md"), *ROOT.glob("README.zh-TW.md")]:
        for bold, after in re.findall(r"\*\*([^*\n]+)\*\*(.?)", path.read_text(encoding="utf-8")):
            assert not (bold[-1] in "，。：；！？）」』" and after.strip() and after not in "，。：；！？）」』（"), (
                f"{path.name}: **{bold}**{after}"
            )


def test_the_repository_stays_small():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this copy of the course is no git checkout")
    sizes = [(ROOT / name).stat().st_size for name in listed.stdout.split("\0") if (ROOT / name).is_file()]
    assert sum(sizes) < 40e6, f"{sum(sizes) / 1e6:.1f} MB"
