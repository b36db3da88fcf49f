"""The README's commands are the ones that CI runs, and a wrong word to them gets a sentence."""

import os
import re
import shutil
import signal
import subprocess
import sys

import pytest
from common import ROOT, chosen, masters, read_notebook, source


def lines_of(path):
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


def test_ci_runs_the_readmes_test_command():
    commands = re.findall(r"^```\n(.+?)\n```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert commands[:2] == ["python3 notebooks/open.py", "python3 tests/run.py"]
    assert commands[1] in (ROOT / ".ci" / "run").read_text().splitlines()
    assert "bash .ci/run" in (ROOT / ".github" / "workflows" / "ci.yml").read_text()


def test_the_readmes_name_every_notebook():
    for readme in ("README.md", "README.zh-TW.md"):
        text = (ROOT / readme).read_text(encoding="utf-8")
        for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"):
            for edition in ("", "zh-TW/"):  # on Colab and on Kaggle
                assert text.count(f"/blob/main/notebooks/{edition}{path.name})") == 2


def test_titles_readmes_and_the_measured_table_give_the_same_times():
    """RESULTS.md holds what measure.py printed; a title and both READMEs round it to five seconds."""
    table = (ROOT / "tests" / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")
    for path in masters():
        waits = int(re.search(rf"\| {path.stem} \| \d+ \| (\d+) \|", table).group(1))
        title = source(read_notebook(path)["cells"][0])
        seconds = int(re.search(r"the computer needs about (\d+) seconds", title).group(1))
        assert abs(seconds - waits) <= 3, f"{path.name}: run tests/tools/measure.py and write what it says"
        for readme, unit in (("README.md", "s"), ("README.zh-TW.md", "秒")):
            row = next(line for line in (ROOT / readme).read_text(encoding="utf-8").splitlines() if path.name in line)
            assert row.endswith(f"| {seconds} {unit} |"), f"{readme}, {path.name}"


@pytest.mark.parametrize("name", ["requirements.txt", "tests/requirements.txt"])
def test_requirements_are_ranges_never_pins(name):
    lines = lines_of(ROOT / name)
    assert lines and not [line for line in lines if "==" in line]


def test_the_oldest_environment_has_the_lowest_versions_that_are_promised():
    lowest = dict(re.match(r"([a-z]+)>=([\d.]+)", line).groups() for line in lines_of(ROOT / "requirements.txt"))
    oldest = dict(line.split("==") for line in lines_of(ROOT / "tests" / "environments" / "oldest.txt"))
    assert {name: (version + ".0")[: len(oldest[name])] for name, version in lowest.items()} == oldest


def test_colabs_versions_lie_within_what_is_promised():
    colab = dict(line.split("==") for line in lines_of(ROOT / "tests" / "environments" / "colab.txt"))
    for line in lines_of(ROOT / "requirements.txt"):
        name, least, below = re.match(r"([a-z]+)>=([\d.]+)(?:,<(\d+))?", line).groups()
        if name not in ("jupyter", "nbval"):  # which Colab lacks, and the notebooks do not import
            version = [int(part) for part in colab[name].split(".")]
            assert [int(part) for part in least.split(".")] <= version < [int(below)], line


def test_both_environments_are_built_on_github_too():
    workflow = (ROOT / ".github" / "workflows" / "environments.yml").read_text()
    for path in (ROOT / "tests" / "environments").glob("*.txt"):
        assert f"environment: {path.stem}\n" in workflow
        assert f"tests/run.py --environment {path.stem}" in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert "run: python3 tests/run.py --environment ${{ matrix.environment }}" in workflow


@pytest.mark.skipif(os.name == "nt", reason="Windows has no process groups to send an interrupt to")
def test_a_ctrl_c_leaves_the_program_the_time_to_close():
    """JupyterLab asks and ends its kernels, pytest says what failed: both need more than subprocess.run gives them."""
    program = """import os, signal, sys, time
def close(*_):
    time.sleep(1)
    os.write(1, b"closed\\n")
    sys.exit(7)
signal.signal(signal.SIGINT, close)
time.sleep(0.5)  # meanwhile whoever started it has begun to wait
os.write(1, b"there\\n")  # not print: the signal may come while it is still printing, and may not print then
time.sleep(60)"""
    code = f"import sys; from open import run; sys.exit(run([sys.executable, '-c', {program!r}]))"
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT / "notebooks", stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout.readline() == "there\n"
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=50)[0] == "closed\n" and process.returncode == 7


def test_data_comes_out_of_git_as_it_went_in(tmp_path):
    """Git for Windows changes the ends of lines in text, and with them the SHA-256, unless it is told not to."""
    (tmp_path / "data" / "results").mkdir(parents=True)
    shutil.copy(ROOT / ".gitattributes", tmp_path)
    paths = [tmp_path / "data" / "poems.tsv", tmp_path / "data" / "results" / "table.json"]
    for path in paths:
        path.write_bytes(b"a\nb\n")

    def git(*words):
        subprocess.run(["git", "-c", "core.autocrlf=true", *words], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    git("add", ".")
    for path in paths:
        path.unlink()
    git("checkout", "--", ".")
    assert all(path.read_bytes() == b"a\nb\n" for path in paths)


def test_what_cannot_be_chosen_is_named():
    command = [sys.executable, ROOT / "tests" / "run.py", "--environment", "newest"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "invalid choice: 'newest'" in done.stderr


@pytest.mark.parametrize("tool", ["execute", "measure", "screenshots"])
@pytest.mark.parametrize("words", [["gan"], ["1x"], ["--all"], ["05", "77"], ["05_gaan.ipynb"]])
def test_tools_refuse_what_names_no_notebook(tool, words):
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "tools" / f"{tool}.py", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and f"There is no notebook {words[-1]!r}; there are: 00_jupyter" in done.stderr
    assert not done.stdout


def test_words_name_what_they_say():
    assert [path.name[:2] for path in chosen(["1"])] == [path.name[:2] for path in chosen(["01_softmax"])] == ["01"]
    assert [path.name[:2] for path in chosen(["10", "5", "05_gan.ipynb"])] == ["05", "10"]
    assert chosen([]) == masters()


def test_ruff_is_clean():
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "."], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout
