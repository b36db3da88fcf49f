"""Runs the tests: sets up what they need (environments, Chromium), then starts pytest.

    python3 tests/run.py                   # everything
    python3 tests/run.py -m "not slow"     # an answer in a minute
    python3 tests/run.py tests/unit -k softmax    # what pytest understands is handed on

The environments go to .venv-tests and .venv-colab, or below $COURSE_ENVIRONMENTS.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "notebooks"))
from open import CONSTRAINTS, make_environment  # noqa: E402

TESTS = ROOT / "tests"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def find_browser():
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def install_browser():
    """Install Chromium and a Chinese font with Debian's packages, where that is ours to do."""
    if find_browser() or not shutil.which("apt-get"):
        return
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    print("Installing Chromium for the browser tests …", flush=True)
    quiet = {"stdout": subprocess.DEVNULL, "check": False, "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}}
    try:
        subprocess.run([*sudo, "apt-get", "update"], **quiet)
        packages = ["chromium", "fonts-noto-cjk"]
        subprocess.run([*sudo, "apt-get", "install", "-y", "--no-install-recommends", *packages], **quiet)
    except OSError as error:
        print(f"Chromium could not be installed ({error}).")


def main(arguments):
    home = Path(os.environ.get("COURSE_ENVIRONMENTS", ROOT))
    here = [ROOT / "requirements.txt", TESTS / "requirements.txt"]
    python = make_environment(home / ".venv-tests", here, [CONSTRAINTS])
    # One thread for each worker: with more they would only wait for one another. Three workers for two cores, because
    # a worker whose test moves sliders in a browser waits half of the time.
    settings = {**os.environ, "JUPYTER_PLATFORM_DIRS": "1", "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    if "not slow" not in arguments:
        install_browser()
        colab = make_environment(home / ".venv-colab", [TESTS / "colab" / "requirements.txt"], [CONSTRAINTS])
        settings["COURSE_COLAB_PYTHON"] = str(colab)
    if not find_browser():
        print("No Chromium or Chrome was found: the browser tests are skipped (under CI=true they fail).")
    cores = min(os.cpu_count() or 2, 8)
    workers = [] if "-n" in arguments else ["-n", str(cores + 1), "--dist", "loadscope", "--no-loadscope-reorder"]
    return subprocess.run(
        [python, "-m", "pytest", *workers, *arguments], cwd=ROOT, env=settings, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
