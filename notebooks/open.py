"""Opens the course: sets up what it needs in .venv (the first time), then starts JupyterLab.

    python3 notebooks/open.py           # notebook 00
    python3 notebooks/open.py 01        # another one
    python3 notebooks/open.py 01 zh     # its Chinese edition
    python3 notebooks/open.py --help

Only Python's own library is used here, because on a fresh machine there is nothing else yet.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "tests" / "constraints.txt"


def make_environment(folder, requirements, constraints=()):
    """Make a virtual environment in `folder` with what the files `requirements` ask for; return its Python.

    Nothing is done when the files are the ones it was made from. A failed install says so in one sentence and exits.
    """
    if sys.version_info < (3, 10):  # noqa: UP036 (this file is what an older Python meets first)
        sys.exit(f"This is Python {platform.python_version()}; the course needs 3.10 or newer.")
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = folder / "course-requirements.sha256"
    wanted = hashlib.sha256(b"".join(Path(file).read_bytes() for file in [*requirements, *constraints])).hexdigest()
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return python
    print(f"Setting up {folder.name} (some minutes the first time) …", flush=True)
    venv.create(folder, with_pip=True, clear=folder.exists())
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += [part for file in requirements for part in ("-r", file)]
    command += [part for file in constraints for part in ("-c", file)]
    if subprocess.run(command, check=False).returncode:
        sys.exit(
            f"{folder.name} could not be set up: the reason stands above. Mend it and give the same command again."
        )
    stamp.write_text(wanted)
    return python


def run(command, **settings):
    """Run `command` to its end and return its code. A Ctrl-C reaches it, too; it may ask, and close what it opened."""
    process, presses = subprocess.Popen(command, **settings), 0
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            presses += 1
            if presses > 1:  # it does not hear, perhaps because the signal was sent to this process alone
                process.terminate()


def cpu_constraints():
    """On Linux without an NVIDIA GPU, a plain torch is gigabytes of CUDA; the tested version may be had as a CPU build."""
    return [CONSTRAINTS] if platform.system() == "Linux" and not shutil.which("nvidia-smi") else []


def main(arguments):
    if "--help" in arguments or "-h" in arguments:
        print(__doc__)
        return
    folder = ROOT / "notebooks" / ("zh-TW" if {"zh", "zh-TW"} & set(arguments) else "")
    wanted = next((word for word in arguments if word.isdigit()), "00")
    found = sorted(folder.glob(f"{int(wanted):02d}_*.ipynb"))
    if not found:
        there = ", ".join(path.name[:2] for path in sorted(folder.glob("[0-9]*.ipynb")))
        sys.exit(f"There is no notebook {wanted}; there are: {there}.")
    python = make_environment(ROOT / ".venv", [ROOT / "requirements.txt"], cpu_constraints())
    print(f"Opening {found[0].name}; press Ctrl-C here when you are done.", flush=True)
    path = found[0].relative_to(ROOT).as_posix()
    rest = [word for word in arguments if word.startswith("--")]  # for example --no-browser, --port=8899
    places = [f"--ServerApp.root_dir={ROOT}", f"--LabApp.default_url=/lab/tree/{path}"]
    sys.exit(run([python, "-m", "jupyter", "lab", *places, *rest]))


if __name__ == "__main__":
    main(sys.argv[1:])
