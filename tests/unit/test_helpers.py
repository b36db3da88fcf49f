"""Self-checks, the one-sentence error, and files that are checked before they are read."""

import pytest

from helpers import CourseError, check, data, data_file


def test_check(capsys):
    check("one is one", True)
    assert capsys.readouterr().out == "✓ one is one\n"
    with pytest.raises(CourseError, match=r"one is two: this does not hold yet\. Count again\."):
        check("one is two", False, "Count again.")


def test_an_error_is_shown_as_one_sentence():
    assert CourseError("Do this.")._render_traceback_() == ["✗ Do this."]


def test_data_files_are_checked(data_folder):
    (data_folder / "a.txt").write_bytes(b"content")
    data.write_sum("a.txt")
    assert data_file("a.txt") == data_folder / "a.txt"
    data_file.cache_clear()
    (data_folder / "a.txt").write_bytes(b"changed")
    with pytest.raises(CourseError, match=r"data/a.txt is damaged or was changed .*fetch the course again"):
        data_file("a.txt")
    (data_folder / "a.txt").unlink()
    with pytest.raises(CourseError, match=r"data/a.txt is missing"):
        data_file("a.txt")
    (data_folder / "b.txt").write_bytes(b"new")
    with pytest.raises(CourseError, match=r"data/b.txt stands in no line"):
        data_file("b.txt")
    for damaged in (b"deadbeef", b"\xff\xfe"):
        (data_folder / "SHA256SUMS").write_bytes(damaged)
        with pytest.raises(CourseError, match=r"data/SHA256SUMS is damaged: fetch"):
            data_file("b.txt")
    (data_folder / "SHA256SUMS").unlink()
    with pytest.raises(CourseError, match=r"data/SHA256SUMS is missing"):
        data_file("b.txt")


def test_every_data_file_has_a_sum_and_a_line_in_the_datasheet():
    datasheet = (data.DATA / "README.md").read_text(encoding="utf-8")
    for path in data.DATA.iterdir():
        if path.suffix not in {".md", ".txt"} and path.is_file() and path.name != "SHA256SUMS":
            assert data_file(path.name) == path
            assert f"`{path.name}`" in datasheet
    for path in [*data.DATA.glob("results/*"), *data.DATA.glob("weights/*")]:
        assert data_file(f"{path.parent.name}/{path.name}") == path and f"`{path.name}`" in datasheet
