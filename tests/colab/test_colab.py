"""The Colab door: one notebook alone in an empty folder, Colab's widgets and kernel, the repository a clone away."""

import os
import shutil
import subprocess
import sys

import nbformat
import pytest
from common import ROOT, ZH, masters, repository
from kernels import kernel_for, run, text_of

GOOGLE = '''"""A stand-in for Colab's own module, loaded at the start as Colab does."""
import sys, types
for name in ("google", "google.colab"):
    sys.modules.setdefault(name, types.ModuleType(name))
sys.modules["google"].colab = sys.modules["google.colab"]
import loopback_only, trained_once
loopback_only.install()
trained_once.install()
'''
TRAINED_ONCE = ROOT / "tests" / "trained_once"


@pytest.fixture(scope="session")
def remote(tmp_path_factory):
    """What a push of the working tree would put on GitHub."""
    folder = tmp_path_factory.mktemp("remote")
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listing.stdout.decode().split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    me = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    for command in (["init", "-q"], ["add", "-A"], [*me, "commit", "-qm", "all"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def door(tmp_path, monkeypatch, python, remote):
    """An empty folder, Colab's marks, and git told that GitHub is the folder `remote`."""
    empty, start = tmp_path / "empty", tmp_path / "start"
    empty.mkdir()
    start.mkdir()
    (start / "sitecustomize.py").write_text(GOOGLE)
    config = tmp_path / "gitconfig"
    config.write_text(
        f'[url "file://{remote}"]\n\tinsteadOf = https://github.com/{repository()}\n[safe]\n\tdirectory = *\n'
    )
    marks = {"COLAB_RELEASE_TAG": "release-colab", "GIT_CONFIG_GLOBAL": str(config), "COURSE_TRAINED_READ": "1"}
    marks["PYTHONPATH"] = os.pathsep.join(map(str, (start, TRAINED_ONCE)))
    return empty, kernel_for(python, tmp_path, monkeypatch, **marks)


@pytest.mark.slow
@pytest.mark.parametrize("master", masters(), ids=lambda path: path.stem)
def test_a_notebook_alone_finds_the_course(master, tmp_path, monkeypatch, colab_python, remote):
    empty, kernel = door(tmp_path, monkeypatch, colab_python, remote)
    shutil.copy(ZH / master.name, empty)
    done = run(empty / master.name, empty, kernel)
    assert (empty / "course" / "helpers").is_dir()
    views = [
        o
        for cell in done.cells
        for o in cell.get("outputs", [])
        if "jupyter.widget-view" in str(o.get("data", {}).keys())
    ]
    assert views and not any("image/png" in view["data"] for view in views), "on Colab only the widget is sent"


@pytest.mark.slow
def test_a_clone_that_fails_gets_one_sentence(tmp_path, monkeypatch, remote):
    empty, kernel = door(tmp_path, monkeypatch, sys.executable, tmp_path / "nowhere")
    notebook = nbformat.read(masters()[0], as_version=4)
    notebook.cells = [cell for cell in notebook.cells if cell.id == "setup"]
    said = text_of(run(notebook, empty, kernel, allow_errors=True).cells[0])
    assert f"The course could not be fetched from github.com/{repository()} (git says:" in said
    assert "Check the network, then run this cell again." in said and "Traceback" not in said


def test_without_git_there_is_a_sentence_too(tmp_path, monkeypatch, remote):
    empty, kernel = door(tmp_path, monkeypatch, sys.executable, remote)
    notebook = nbformat.read(masters()[0], as_version=4)
    notebook.cells = [cell for cell in notebook.cells if cell.id == "setup"]
    notebook.cells[0].source = notebook.cells[0].source.replace('["git",', '["git-is-not-here",')
    said = text_of(run(notebook, empty, kernel, allow_errors=True).cells[0])
    assert "The course could not be fetched" in said and "git-is-not-here" in said and "Traceback" not in said


@pytest.mark.slow
def test_set_up_runs_twice_and_clones_once(tmp_path, monkeypatch, remote):
    empty, kernel = door(tmp_path, monkeypatch, sys.executable, remote)
    notebook = nbformat.read(masters()[0], as_version=4)
    setup = next(cell for cell in notebook.cells if cell.id == "setup")
    notebook.cells = [
        setup,
        nbformat.v4.new_code_cell("from helpers import check"),
        nbformat.from_dict({**setup, "id": "again"}),
    ]
    run(notebook, empty, kernel)
    assert [path.name for path in empty.iterdir()] == ["course"]
