"""The README's commands are the ones that CI runs, and a wrong word to them gets a sentence."""

import re
import subprocess
import sys

import pytest
from common import ROOT


def test_ci_runs_the_readmes_test_command():
    commands = re.findall(r"^```\n(.+?)\n```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert commands[:2] == ["python3 notebooks/open.py", "python3 tests/run.py"]
    assert commands[1] in (ROOT / ".ci" / "run").read_text().splitlines()
    assert "bash .ci/run" in (ROOT / ".github" / "workflows" / "ci.yml").read_text()


def test_the_readmes_name_every_notebook():
    for readme in ("README.md", "README.zh-TW.md"):
        text = (ROOT / readme).read_text(encoding="utf-8")
        for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"):
            assert f"/blob/main/notebooks/{path.name})" in text and f"/blob/main/notebooks/zh-TW/{path.name})" in text


def test_open_knows_what_there_is():
    done = subprocess.run(
        [sys.executable, ROOT / "notebooks" / "open.py", "77"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and done.stderr.startswith("There is no notebook 77; there are: 00, 01")


@pytest.mark.parametrize("name", ["requirements.txt", "tests/requirements.txt"])
def test_requirements_are_ranges_never_pins(name):
    lines = [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith("#")]
    assert lines and not [line for line in lines if "==" in line]


def test_ruff_is_clean():
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "."], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout
