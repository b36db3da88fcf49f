"""One command writes the repository's address everywhere, and back."""

import shutil
import subprocess
import sys

import pytest
from common import ROOT


@pytest.fixture
def copy(tmp_path):
    keep = shutil.ignore_patterns(".git", ".venv*", "__pycache__", ".*_cache", ".hypothesis", "*.otf", "*.tsv")
    shutil.copytree(ROOT, tmp_path / "course", ignore=keep)
    return tmp_path / "course"


def set_address(copy, *arguments):
    command = [sys.executable, copy / "tests" / "tools" / "set_address.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def holding(copy, words):
    return {
        path.relative_to(copy).as_posix()
        for path in copy.rglob("*")
        if path.is_file() and words.encode() in path.read_bytes()
    }


@pytest.mark.slow
@pytest.mark.parametrize("given", ["some-one/their.course", "https://github.com/some-one/their.course.git"])
def test_it_goes_everywhere_and_leaves_nothing_behind(copy, given):
    old = set_address(copy, "--show").stdout.strip()
    files = {path for path in holding(copy, old) if not path.startswith("tests/")}
    assert {"pyproject.toml", "README.md", "README.zh-TW.md", "notebooks/01_softmax.ipynb"} <= files
    done = set_address(copy, given)
    assert done.returncode == 0, done.stderr
    assert files <= holding(copy, "some-one/their.course")
    assert not {path for path in holding(copy, old) if not path.startswith(("tests/", ".github/"))}
    check = subprocess.run([sys.executable, copy / "tests" / "tools" / "build_zh_tw.py", "--check"], check=False)
    assert check.returncode == 0, "a fork's Chinese edition is as fresh as ours"


@pytest.mark.parametrize("given", [[], ["no-slash"], ["a/b", "c/d"], ["a/b; rm -rf"], ["https://example.org/a/b"]])
def test_anything_else_gets_a_sentence_and_changes_nothing(copy, given):
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    done = set_address(copy, *given)
    assert (
        done.returncode == 1 and "give one address such as OWNER/NAME" in done.stderr and "Traceback" not in done.stderr
    )
    assert before == {
        path: path.read_bytes() for path in copy.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    }
