"""Shared fixtures: notebooks and their cells, figures without a screen, and what counts as slow."""

import os

import matplotlib
import pytest

matplotlib.use("agg")


def pytest_collection_modifyitems(items):
    for item in items:
        if type(item).__name__ == "IPyNbCell" or "browser" in item.keywords:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def _automatic_device(monkeypatch):
    monkeypatch.delenv("COURSE_DEVICE", raising=False)


@pytest.fixture(scope="session")
def colab_python():
    """The Python of the environment with Colab's widget generation, made by tests/run.py."""
    python = os.environ.get("COURSE_COLAB_PYTHON")
    if not python:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("start the tests with `python3 tests/run.py`")
    return python
