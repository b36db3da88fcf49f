"""The project's files say the same: versions in three places, what is run before a commit, and how Codespaces begins."""

import json
import re
import subprocess
import sys

import pytest
import yaml
from common import ROOT, repository

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def lines_of(path):
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]


def test_dependencies_are_those_of_the_requirements():
    groups = PROJECT["dependency-groups"]
    assert PROJECT["project"]["dependencies"] == lines_of(ROOT / "requirements.txt")
    assert groups["test"] == lines_of(ROOT / "tests" / "requirements.txt")
    assert groups["benchmark"] == lines_of(ROOT / "tests" / "benchmarks" / "requirements.txt")


def test_the_oldest_python_is_the_same_everywhere():
    least = PROJECT["project"]["requires-python"].removeprefix(">=")
    assert f"sys.version_info < ({least.replace('.', ', ')})" in (ROOT / "notebooks" / "open.py").read_text()
    assert f"Python {least} or newer" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert PROJECT["tool"]["ruff"]["target-version"] == "py" + least.replace(".", "")
    assert f'"{least}"' in (ROOT / ".github" / "workflows" / "ci.yml").read_text()


def test_the_citation_names_the_project_this_version_and_no_person():
    about = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    version = PROJECT["project"]["version"]
    assert about["version"] == version and about["repository-code"] == f"https://github.com/{repository()}"
    assert [set(author) for author in about["authors"]] == [{"name"}], "an entity"
    newest = re.search(r"^## (\S+), (\S+?)(:|$)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest.groups()[:2] == (version, about["date-released"])


def test_hooks_fetch_nothing_and_check_what_the_tests_check():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repo["repo"] for repo in config["repos"]] == ["local"]
    hooks = {hook["id"]: hook for hook in config["repos"][0]["hooks"]}
    assert {hook["language"] for hook in hooks.values()} == {"system"}
    assert hooks["ruff-check"]["entry"].startswith("ruff check") and hooks["ruff-format"]["entry"] == "ruff format"
    words = hooks["editions"]["entry"].split()[1:]
    assert (ROOT / words[0]).exists() and words[1:] == ["--check"]


def test_codespaces_sets_up_and_opens_the_course():
    """What the container runs, open.py understands; it listens on the port that is handed on."""
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    (port,) = container["forwardPorts"]
    assert list(container["portsAttributes"]) == [str(port)]
    code = "import sys; sys.path.insert(0, 'notebooks'); import open; print(open.read_arguments(sys.argv[1:])[1:3])"
    for name, says in (("postCreateCommand", "(None, {'--set-up'})"), ("postAttachCommand", f"({port}, set())")):
        program, script, *words = container[name].split()
        assert (program, script) == ("python3", "notebooks/open.py")
        done = subprocess.run(
            [sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == says


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda path: path.stem)
def test_workflows_can_be_read(path):
    assert yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]


def test_one_python_runs_the_whole_suite_and_the_others_the_fast_one():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    assert workflow["concurrency"]["cancel-in-progress"] is True
    runs = {name: [step.get("run") for step in job["steps"]] for name, job in workflow["jobs"].items()}
    assert "bash .ci/run" in runs["whole"] and 'python3 tests/run.py -m "not slow"' in runs["fast"]
    for job in workflow["jobs"].values():
        (python,) = (step["with"] for step in job["steps"] if "setup-python" in step.get("uses", ""))
        assert python["cache"] == "pip"
