"""Shared fixtures: a folder of data, no chosen device; what counts as slow, and which worker runs what, and when."""

import os
import re
import shutil
import tempfile
import zlib
from pathlib import Path

import matplotlib
import pytest

matplotlib.use("agg")
# What kernels train comes first: browser tours then read it (tools/start/). The long ones come before the short ones.
FIRST = ["notebooks/", "tests/browser/", "tests/colab/"]


def pytest_configure(config):
    """What tools/start/ does to each Python that the tests start: no network; in kernels, nothing is trained twice.

    What kernels train is kept as long as the tests run, or in the folder `COURSE_TRAINED=folder python3 tests/run.py …`
    """
    if not hasattr(config, "workerinput"):
        places = [str(Path(__file__).parent / "tools" / "start"), os.environ.get("PYTHONPATH")]
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, places))
        config.start = Path(tempfile.mkdtemp())
        os.environ.setdefault("COURSE_TRAINED", str(config.start))
        os.environ["IPYTHONDIR"] = str(config.start / "ipython")
        startup = config.start / "ipython" / "profile_default" / "startup"
        startup.mkdir(parents=True)
        (startup / "remember.py").write_text('__import__("trained_once").install()  # and leaves no name behind')


def pytest_unconfigure(config):
    if hasattr(config, "start"):
        shutil.rmtree(config.start, ignore_errors=True)


def pytest_make_parametrize_id(val, argname):
    """A short name for a long text: workers send each name about, and one of millions of signs costs minutes."""
    if isinstance(val, (str, bytes)) and len(val) > 100:
        return f"{argname} of {len(val)} signs, {zlib.crc32(val if isinstance(val, bytes) else val.encode(errors='replace')):08x}"


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items):
    for item in items:
        kernels = type(item).__name__ == "IPyNbCell" or item.nodeid.startswith("tests/colab/")
        if kernels or {"browser", "weekly"} & set(item.keywords):
            item.add_marker(pytest.mark.slow)
        item.add_marker(pytest.mark.xdist_group(group(item)))
    items.sort(key=place)  # a stable sort: within a group the order stays


def number_of(item):
    """The number of the notebook that a test is about, 0 if it is about none."""
    number = re.search(r"[/\[-](\d\d)[_\]]", item.nodeid)
    return int(number.group(1)) if number else 0


def place(item):
    """Where a test stands in the order: by kind, slow before fast; of the notebooks the late ones, which compute longest."""
    kind = next((i for i, start in enumerate(FIRST) if item.nodeid.startswith(start)), len(FIRST))
    return kind, "slow" not in item.keywords, "lab3" in item.nodeid, -number_of(item) if kind < len(FIRST) else 0


def group(item):
    """What one worker runs in one go: a notebook, three tours of one browser, a test of Colab's, of a module slow or fast."""
    if item.nodeid.startswith("tests/colab/"):
        return item.nodeid
    if item.nodeid.startswith("tests/browser/"):
        return f"{item.callspec.params['lab']} {number_of(item) // 3}"
    return f"{item.nodeid.split('::')[0]} {'slow' if 'slow' in item.keywords else 'fast'}"


@pytest.fixture(autouse=True)
def _automatic_device(monkeypatch):
    monkeypatch.delenv("COURSE_DEVICE", raising=False)


@pytest.fixture
def data_folder(tmp_path, monkeypatch):
    """A folder in the place of data/, with one file in SHA256SUMS that nobody asks for."""
    from helpers import data

    (tmp_path / "SHA256SUMS").write_text("00ff  other.npz\n")
    monkeypatch.setattr(data, "DATA", tmp_path)
    data.data_file.cache_clear()
    yield tmp_path
    data.data_file.cache_clear()


@pytest.fixture(scope="session")
def colab_python():
    """The Python of the environment with Colab's widget generation, made by tests/run.py."""
    python = os.environ.get("COURSE_COLAB_PYTHON")
    if not python:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("start the tests with `python3 tests/run.py`")
    return python
