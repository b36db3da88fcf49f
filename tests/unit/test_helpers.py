"""The small helpers, and the promise that importing them costs nothing."""

import ast
import hashlib
import subprocess
import sys

import pytest
from common import ROOT

import helpers
from helpers import CourseError, check, data_file, files


def test_every_public_name_can_be_had_and_has_a_docstring():
    for name in helpers.__all__:
        value = getattr(helpers, name)
        assert name.isupper() or value.__doc__, f"{name} has no docstring"
    with pytest.raises(AttributeError, match="helpers has no 'nothing'"):
        helpers.nothing  # noqa: B018


def public_functions(tree):
    """(its own or its class's node, the function) for all that a user may call, classes by their __init__."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node, node
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            methods = [inner for inner in node.body if isinstance(inner, ast.FunctionDef)]
            yield from ((node, m) for m in methods if m.name == "__init__")
            yield from ((m, m) for m in methods if not m.name.startswith("_"))


def test_docstrings_name_the_errors_that_the_function_raises():
    seen = 0
    for path in (ROOT / "helpers").glob("*.py"):
        for said, function in public_functions(ast.parse(path.read_text(encoding="utf-8"))):
            errors = [n.exc for n in ast.walk(function) if isinstance(n, ast.Raise) and n.exc is not None]
            if any("CourseError" in ast.unparse(error) for error in errors):
                seen += 1
                words = ast.get_docstring(said) or ""
                assert "CourseError" in words or "refuse" in words, f"{path.name}: {said.name} does not name its error"
    assert seen > 25, "the errors were not found"


def test_no_public_name_is_hidden_by_its_module():
    assert not set(helpers.__all__) & {path.stem for path in (ROOT / "helpers").glob("*.py")}


def test_import_helpers_imports_nothing_heavy():
    code = "import sys; before = set(sys.modules); import helpers; print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert {name.partition(".")[0] for name in done.stdout.split()} <= {"helpers", "importlib", "warnings"}


def test_each_file_is_short_and_says_what_it_is_for():
    for path in (ROOT / "helpers").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert text.startswith('"""'), f"{path.name} does not begin by saying what it is for"
        assert len(text.splitlines()) <= 220, f"{path.name} is too long: one idea a file"


def code_lines(path):
    """The lines that hold code: no blank ones, no comments, no docstrings, no imports."""
    text = path.read_text(encoding="utf-8")
    said = set()
    for node in ast.walk(ast.parse(text)):
        first = node.body[0] if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            said |= set(range(first.lineno, first.end_lineno + 1))
        if isinstance(node, ast.Import | ast.ImportFrom):
            said |= set(range(node.lineno, node.end_lineno + 1))
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    return sum(bool(line) and not line.startswith("#") and number not in said for number, line in lines)


def test_all_of_helpers_reads_in_half_an_hour():
    """At one line of code a second; what the docstrings say is read on the way, or looked up."""
    assert sum(map(code_lines, (ROOT / "helpers").glob("*.py"))) < 30 * 60 - 5 * 60, "leave five minutes for the words"


def test_check(capsys):
    check("one is one", True)
    assert capsys.readouterr().out == "✓ one is one\n"
    with pytest.raises(CourseError, match=r"one is two: this does not hold yet\. Count again\."):
        check("one is two", False, "Count again.")


def test_an_error_is_shown_as_one_sentence():
    assert CourseError("Do this.")._render_traceback_() == ["✗ Do this."]


@pytest.fixture
def data(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_bytes(b"content")
    (tmp_path / "SHA256SUMS").write_text(f"{hashlib.sha256(b'content').hexdigest()}  a.txt\n")
    monkeypatch.setattr(files, "DATA", tmp_path)
    data_file.cache_clear()
    yield tmp_path
    data_file.cache_clear()


def test_data_files_are_checked(data):
    assert data_file("a.txt") == data / "a.txt"
    data_file.cache_clear()
    (data / "a.txt").write_bytes(b"changed")
    with pytest.raises(CourseError, match=r"data/a.txt is damaged or was changed .*fetch the course again"):
        data_file("a.txt")
    (data / "a.txt").unlink()
    with pytest.raises(CourseError, match=r"data/a.txt is missing"):
        data_file("a.txt")
    (data / "b.txt").write_bytes(b"new")
    with pytest.raises(CourseError, match=r"data/b.txt stands in no line"):
        data_file("b.txt")
    for damaged in (b"deadbeef", b"\xff\xfe"):
        (data / "SHA256SUMS").write_bytes(damaged)
        with pytest.raises(CourseError, match=r"data/SHA256SUMS is damaged: fetch"):
            data_file("b.txt")
    (data / "SHA256SUMS").unlink()
    with pytest.raises(CourseError, match=r"data/SHA256SUMS is missing"):
        data_file("b.txt")


def test_every_data_file_has_a_sum_and_a_line_in_the_datasheet():
    datasheet = (files.DATA / "README.md").read_text(encoding="utf-8")
    for path in files.DATA.iterdir():
        if path.suffix not in {".md", ".txt"} and path.is_file() and path.name != "SHA256SUMS":
            assert data_file(path.name) == path
            assert f"`{path.name}`" in datasheet
    for path in [*files.DATA.glob("results/*"), *files.DATA.glob("weights/*")]:
        assert data_file(f"{path.parent.name}/{path.name}") == path and f"`{path.name}`" in datasheet
