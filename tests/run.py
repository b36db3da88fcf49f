"""Runs the tests: sets up what they need (environments, Chromium), then starts pytest.

    python3 tests/run.py                   # everything
    python3 tests/run.py -m "not slow"     # an answer in a minute
    python3 tests/run.py -m weekly         # what only costs: stored tables trained again, all tours on the older widgets
    python3 tests/run.py tests/unit -k softmax    # what pytest understands is handed on
    python3 tests/run.py --sudo                   # may install Chromium with sudo, where you are not root
    python3 tests/run.py --offline notebooks      # with the network cut off (Linux), here the notebooks alone
    ATEN_CPU_CAPABILITY=default python3 tests/run.py notebooks    # as on a processor without vector instructions
    python3.10 tests/run.py --environment oldest  # with the oldest versions that requirements.txt allows
    python3.13 tests/run.py --environment colab   # with Colab's versions

The environments go to .venv-tests and .venv-colab, or below $COURSE_ENVIRONMENTS. The two last, .venv-oldest and
.venv-colab-versions, take their versions from tests/environments/; each may fetch gigabytes, since an old torch comes
with CUDA where pip knows no index of CPU builds. Their widgets are not those of their JupyterLab: without browser tests.
"""

import argparse
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "notebooks"), str(ROOT / "tests" / "tools")]
from common import find_browser  # noqa: E402
from open import CONSTRAINTS, make_environment, run  # noqa: E402

TESTS = ROOT / "tests"
HERE = [ROOT / "requirements.txt", TESTS / "requirements.txt"]
OTHERS = {"oldest": ".venv-oldest", "colab": ".venv-colab-versions"}
# A network of its own, in which there is only the machine itself: kernels are spoken to over 127.0.0.1.
CUT_OFF = ["unshare", "--net", "--map-current-user", "--keep-caps", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]


def install_browser(sudo):
    """Install Chromium and a Chinese font with Debian's packages, where that is ours to do: for root, or with --sudo."""
    if find_browser() or not shutil.which("apt-get"):
        return
    packages = ["chromium", "fonts-noto-cjk"]
    if os.geteuid() and not sudo:
        print(
            f"Chromium is not installed: `sudo apt-get install {' '.join(packages)}` does it, --sudo lets this command do it."
        )
        return
    before = ["sudo"] if os.geteuid() else []
    print(f"Installing {' and '.join(packages)} on this machine with {' '.join([*before, 'apt-get'])} …", flush=True)
    quiet = {"stdout": subprocess.DEVNULL, "check": False, "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}}
    try:
        subprocess.run([*before, "apt-get", "update"], **quiet)
        subprocess.run([*before, "apt-get", "install", "-y", "--no-install-recommends", *packages], **quiet)
    except OSError as error:
        print(f"Chromium could not be installed ({error}).")


def cut_off():
    """The words before a command that cut it off from the network; where that cannot be done, say so and end."""
    try:
        subprocess.run([*CUT_OFF, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = (getattr(error, "stderr", b"") or str(error).encode()).decode().strip()
        sys.exit(f"The network cannot be cut off here ({reason}): --offline needs Linux, and often root.")
    return CUT_OFF


def main(arguments):
    if {"--help", "-h"} & set(arguments):
        print(__doc__)
        return 0
    parser = argparse.ArgumentParser(usage="see the top of tests/run.py", allow_abbrev=False, add_help=False)
    parser.add_argument("--environment", choices=OTHERS)
    parser.add_argument("--offline", action="store_true")
    parser.add_argument("--sudo", action="store_true")
    chosen, arguments = parser.parse_known_args(arguments)
    before = cut_off() if chosen.offline else []
    home = Path(os.environ.get("COURSE_ENVIRONMENTS", ROOT))
    # One thread for each worker: with more they would only wait for one another. With the slow tests three workers for
    # two cores, because a worker whose test moves sliders in a browser waits part of the time.
    settings = {**os.environ, "JUPYTER_PLATFORM_DIRS": "1", "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    settings.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # and if there are more all the same, they do not wait in a loop
    # For pytest itself; conftest.py gives it to what pytest starts, also where this file was not used.
    settings["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(TESTS / "tools" / "start"), os.environ.get("PYTHONPATH")])
    )
    settings.pop("PYTHONDONTWRITEBYTECODE", None)  # a hundred processes: what one has compiled, the others need not
    if chosen.environment:
        versions = TESTS / "environments" / f"{chosen.environment}.txt"
        python = make_environment(home / OTHERS[chosen.environment], HERE, [versions])
        settings["COURSE_COLAB_PYTHON"] = str(python)  # the Colab door is tried with these versions too
        arguments = arguments if "-m" in arguments else ["-m", "not browser and not weekly", *arguments]
    else:
        with ThreadPoolExecutor() as side_by_side:
            tests = side_by_side.submit(make_environment, home / ".venv-tests", HERE, [CONSTRAINTS])
            if "not slow" not in arguments:
                browser = side_by_side.submit(install_browser, chosen.sudo)
                wanted = [TESTS / "colab" / "requirements.txt"]
                colab = side_by_side.submit(make_environment, home / ".venv-colab", wanted, [CONSTRAINTS])
                settings["COURSE_COLAB_PYTHON"] = str(colab.result())
                browser.result()
            python = tests.result()
        if not find_browser():
            print("No Chromium or Chrome was found: the browser tests are skipped (under CI=true they fail).")
    processes = min(os.cpu_count() or 2, 8) + ("not slow" not in arguments)
    workers = [] if "-n" in arguments else ["-n", str(processes), "--dist", "loadgroup", "--no-loadscope-reorder"]
    return run([*before, python, "-m", "pytest", *workers, *arguments], cwd=ROOT, env=settings)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
