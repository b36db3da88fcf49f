"""Stored tables: what is written can be read, carries its settings, and is refused once it was changed."""

import pytest

from helpers import CourseError, data_file, full_budget, load_results, save_results
from helpers import data as data_module


@pytest.fixture
def data(tmp_path, monkeypatch):
    (tmp_path / "SHA256SUMS").write_text("00ff  other.npz\n")
    monkeypatch.setattr(data_module, "DATA", tmp_path)
    data_file.cache_clear()
    yield tmp_path
    data_file.cache_clear()


def test_what_is_saved_is_loaded(data):
    for value in (0.5, 0.25):  # the second time it is replaced
        save_results("04_x", {"seeds": 10}, {"errors": [value]}, 90)
        table = load_results("04_x")
        assert table["settings"] == {"seeds": 10} and table["values"] == {"errors": [value]} and table["minutes"] == 1.5
        assert "torch" in table["versions"]
    assert [line.split()[1] for line in (data / "SHA256SUMS").read_text().splitlines()] == [
        "other.npz",
        "results/04_x.json",
    ]


def test_a_changed_table_is_refused(data):
    save_results("04_x", {}, {"errors": [0.5]}, 1)
    path = data / "results" / "04_x.json"
    path.write_text(path.read_text().replace("0.5", "0.4"))
    with pytest.raises(CourseError, match="damaged"):
        load_results("04_x")


def test_the_budget_is_asked_of_the_environment(monkeypatch):
    monkeypatch.delenv("COURSE_BUDGET", raising=False)
    assert not full_budget()
    monkeypatch.setenv("COURSE_BUDGET", "full")
    assert full_budget()
