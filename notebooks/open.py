"""Opens the course: sets up what it needs in .venv (the first time), then starts JupyterLab.

    python3 notebooks/open.py           # notebook 00
    python3 notebooks/open.py 01        # another one
    python3 notebooks/open.py 01 zh     # its Chinese edition
    python3 notebooks/open.py --no-browser --port 8899    # print the address only; use this port
    python3 notebooks/open.py --set-up  # set up .venv and open nothing
    python3 notebooks/open.py 01 -- --ServerApp.password=…    # what follows -- goes to JupyterLab as it stands
    python3 notebooks/open.py --help

JupyterLab listens to this machine alone. Its settings for the course lie in .venv, yours are left as they are.
Only Python's own library is used here, because on a fresh machine there is nothing else yet.
"""

import hashlib
import json
import os
import platform
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import webbrowser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "tests" / "constraints.txt"
SETTINGS = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}}
# The notebooks are the course's own: signed, JupyterLab shows all that is stored in them.
SIGN = """import sys
from nbformat import read, sign
notary = sign.NotebookNotary(secret_file=sys.argv[1], db_file=sys.argv[2])
for path in sys.argv[3:]:
    notary.sign(read(path, 4))
"""


def make_environment(folder, requirements, constraints=()):
    """Make a virtual environment in `folder` with what the files `requirements` ask for; return its Python.

    Nothing is done when the files are the ones it was made from. What does not work out says so in one sentence and exits.
    """
    if sys.version_info < (3, 10):  # noqa: UP036 (this file is what an older Python meets first)
        sys.exit(f"This is Python {platform.python_version()}; the course needs 3.10 or newer.")
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = folder / "course-requirements.sha256"
    wanted = hashlib.sha256(b"".join(Path(file).read_bytes() for file in [*requirements, *constraints])).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted and works(python):
        return python
    again = "and give the same command again."
    lines = [line for file in requirements for line in Path(file).read_text(encoding="utf-8").splitlines()]
    packages = ", ".join(re.match(r"[\w.-]+", line).group() for line in lines if re.match(r"\w", line))
    print(f"Setting up {folder} with {packages} (some minutes the first time) …", flush=True)
    try:
        import ensurepip  # noqa: F401 (Debian and Ubuntu take both out of Python, into a package of their own)
        import venv

        venv.create(folder, with_pip=True, clear=os.path.lexists(folder))
    except ImportError:
        package = "python3-venv, or python{}.{}-venv".format(*sys.version_info)
        sys.exit(
            f"Python {platform.python_version()} has come without venv, which makes a place for the course's packages: "
            f"install it (on Debian and Ubuntu: sudo apt install {package}) {again}"
        )
    except subprocess.CalledProcessError as error:
        said = (error.output or b"").decode(errors="replace").strip().splitlines() or [str(error)]
        sys.exit(f"{folder} could not be made ({said[-1]}): delete that folder {again}")
    except (OSError, ValueError) as error:  # ValueError: a name that no environment can have, such as one with a colon
        sys.exit(
            f"{folder} could not be made ({getattr(error, 'strerror', '') or error}). If it is there, delete it; otherwise copy the "
            f"course into a folder of your own, with room for some gigabytes, {again}"
        )
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += [part for file in requirements for part in ("-r", file)]
    command += [part for file in constraints for part in ("-c", file)]
    if run(command):
        sys.exit(f"{folder} could not be set up: the reason stands above. Mend it {again}")
    stamp.write_text(wanted)
    return python


def works(python):
    """Whether this Python starts, and has pip: it may have been deleted in part, or be that of a machine of yesterday."""
    try:
        return not subprocess.run([python, "-c", "import pip"], check=False, capture_output=True).returncode
    except OSError:
        return False


def run(command, ready=None, **settings):
    """Run `command` to its end and return its code. A Ctrl-C reaches it, too; it may ask, and close what it opened.

    `ready(process)` is called as soon as it has started.
    """
    process, presses = subprocess.Popen(command, **settings), 0
    while True:
        try:
            if ready:
                ready = ready(process)
            return process.wait()
        except KeyboardInterrupt:
            presses += 1
            if presses > 1:  # it does not hear, perhaps because the signal was sent to this process alone
                process.terminate()


def cpu_constraints():
    """On Linux without an NVIDIA GPU, a plain torch is gigabytes of CUDA; the tested version may be had as a CPU build."""
    return [CONSTRAINTS] if platform.system() == "Linux" and not shutil.which("nvidia-smi") else []


def read_arguments(arguments):
    """Return the notebook asked for, the port (or None), what else was said of ours, and what goes to JupyterLab."""
    at = arguments.index("--") if "--" in arguments else len(arguments)
    words, rest, folder = list(arguments[:at]), arguments[at + 1 :], ROOT / "notebooks"
    if any(word.lower() in ("zh", "zh-tw") for word in words):
        folder, words = folder / "zh-TW", [word for word in words if word.lower() not in ("zh", "zh-tw")]
    found, port, said = None, None, set()
    there = {path.name[:2]: path for path in sorted(folder.glob("[0-9][0-9]_*.ipynb"))}
    while words:
        word = words.pop(0)
        name, _, value = word.partition("=")
        number = re.fullmatch(r"([0-9]{1,2})(_\w+(\.ipynb)?)?", word)
        if number and not found:
            found = there.get(f"{int(number.group(1)):02d}")
            if not found or (number.group(2) and word not in (found.stem, found.name)):
                sys.exit(f"There is no notebook {word}; there are: {', '.join(p.stem for p in there.values())}.")
        elif word in ("--no-browser", "--set-up"):
            said.add(word)
        elif name == "--port":
            value = value or (words.pop(0) if words else "")
            if not re.fullmatch(r"[0-9]{1,5}", value) or not 0 < int(value) < 65536:
                sys.exit(f"--port needs a number from 1 to 65535, such as --port 8899; it got {value or 'none'}.")
            port = int(value)
        else:
            notebooks = ", ".join(path.stem for path in there.values())
            sys.exit(f"open.py does not know {word!r}. Give a notebook's number (there are: {notebooks}), zh, --no-browser, --set-up, "
                     f"--port NUMBER or --help; what JupyterLab is to get stands behind --.")  # fmt: skip
    return found or there["00"], port, said, rest


def free_port(wanted):
    """The port `wanted` or, where nobody wants one, the first free from 8888 on; a port in use gets a sentence."""
    for port in [wanted] if wanted else [*range(8888, 8988), 0]:
        with socket.socket() as probe:
            if os.name == "posix":  # one that has just been left is free; on Windows this would take another's
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return probe.getsockname()[1]
            except OSError as error:
                reason = error.strerror or error
    return sys.exit(f"Port {wanted} cannot be used ({reason}): leave --port out, or give another number.")


def has_browser():
    """Whether a browser with a window can be opened here: a text browser would sit in this very terminal."""
    if platform.system() == "Linux" and not {"DISPLAY", "WAYLAND_DISPLAY", "BROWSER"} & set(os.environ):
        return False
    try:
        return bool(webbrowser.get())
    except webbrowser.Error:
        return False


def sign(python, own):
    """Sign the course's notebooks, in a file of our own, where one has changed since; return options for JupyterLab."""
    paths = sorted((ROOT / "notebooks").rglob("[0-9][0-9]_*.ipynb"))
    files = [str(own / "notary_secret"), str(own / "signatures.db")]
    wanted = hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()
    stamp = own / "signed.sha256"
    if not stamp.exists() or stamp.read_text() != wanted:
        try:
            subprocess.run([python, "-c", SIGN, *files, *paths], check=True)
            stamp.write_text(wanted)
        except (OSError, subprocess.CalledProcessError) as error:  # unsigned, they open all the same
            print(f"The notebooks could not be signed ({error}); JupyterLab will call them not trusted.")
    return [f"--NotebookNotary.{name}={file}" for name, file in zip(("secret_file", "db_file"), files, strict=True)]


def main(arguments):
    if {"--help", "-h"} & set(arguments):
        print(__doc__)
        return
    notebook, port, said, rest = read_arguments(arguments)
    python = make_environment(ROOT / ".venv", [ROOT / "requirements.txt"], cpu_constraints())
    if "--set-up" in said:
        return
    port, token, browser = free_port(port), secrets.token_hex(16), "--no-browser" not in said and has_browser()
    own = ROOT / ".venv" / "course-settings"
    try:
        own.mkdir(parents=True, exist_ok=True)
        (own / "overrides.json").write_text(json.dumps(SETTINGS))
        signed = sign(python, own)
    except OSError as error:
        sys.exit(
            f"{own} cannot be written to ({error.strerror}): delete {ROOT / '.venv'} and give the same command again."
        )
    path = notebook.relative_to(ROOT).as_posix()
    options = ["--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--ServerApp.port_retries=0", *signed]
    options += [
        f"--ServerApp.root_dir={ROOT}",
        f"--LabApp.default_url=/lab/tree/{path}",
        "--Application.log_level=WARN",
    ]
    options += [f"--LabApp.app_settings_dir={own}", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    options += ["--LabApp.news_url=None", *([] if browser else ["--no-browser"])]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.append("--allow-root")  # containers and most cloud machines know no other user
    if os.environ.get("CODESPACES") == "true":  # its proxy hands on what the browser sends, under another name
        options += [
            "--ServerApp.allow_remote_access=True",
            r"--ServerApp.allow_origin_pat=https://.*\.app\.github\.dev",
        ]
    address = f"http://127.0.0.1:{port}/lab/tree/{path}?token={token}"

    def say(process):
        for _ in range(1200):
            time.sleep(0.1)
            with socket.socket() as probe:
                if process.poll() is not None or not probe.connect_ex(("127.0.0.1", port)):
                    break
        if process.poll() is None:
            how = "If no browser opens by itself, click" if browser else "Open"
            print(f"{how} this address:\n\n    {address}\n\nPress Ctrl-C here when you are done.", flush=True)

    print(f"Starting JupyterLab with {notebook.name} …", flush=True)
    # by the environment, not by an option, which everybody on this machine could read
    sys.exit(run([python, "-m", "jupyterlab", *options, *rest], say, env={**os.environ, "JUPYTER_TOKEN": token}))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit("\nStopped; the same command goes on from here.")
