"""`python3 notebooks/open.py` on a machine that knows nothing of the course: as root and as an ordinary user.

The machine is this one, seen from inside: a user who has just been made, an empty home, no variable of ours, a folder with
blanks and Chinese characters. Only the download is left out: a stand-in for pip notes what it is to install, and lends
the packages that the tests have.
"""

import contextlib
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from common import ROOT

# A user who has just been made, in a view of the machine that ends with the command: nothing here is changed.
NEW_USER = r"""set -e
mkdir "$1/etc" "$1/python" "$1/packages"
mount --make-rprivate /
cp -a /etc/. "$1/etc"
mount --bind "$1/etc" /etc
useradd --no-create-home --home-dir "$1/home" student
chown -R student "$1/home" "$1/here"
mount --bind "$2" "$1/python"
mount --bind "$3" "$1/packages"
cd "$1/here"
shift 3
exec setpriv --reuid=student --regid=student --clear-groups "$@"
"""
PIP = """import os, sys, sysconfig
with open(os.path.join(os.environ["HOME"], "pip.txt"), "a") as notes:
    print(*sys.argv[1:], file=notes)
lent = os.environ["LENT"]
with open(os.path.join(sysconfig.get_path("purelib"), "lent.pth"), "w") as path:
    path.write(os.path.join(lent, {packages!r}))
for name in ("share", "etc"):
    os.symlink(os.path.join(lent, name), os.path.join(sys.prefix, name))
"""
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="users and views of a machine are made as Linux does")


@pytest.fixture
def machine():
    """A folder with a home, the course in a folder of a difficult name, and a pip that lends what the tests have."""
    folder = Path(tempfile.mkdtemp())  # where every user may go, as not in pytest's own
    folder.chmod(0o755)
    course = folder / "here" / "我的 課程 (1)" / "course"
    for path in (folder / "home", course / "notebooks" / "zh-TW", course / "tests", folder / "pip"):
        path.mkdir(parents=True)
    for name in ("requirements.txt", "tests/constraints.txt", "notebooks/open.py", "notebooks/01_softmax.ipynb"):
        shutil.copy(ROOT / name, course / name)
    for edition in ("", "zh-TW/"):
        shutil.copy(ROOT / "notebooks" / edition / "00_jupyter_warm_up.ipynb", course / "notebooks" / edition)
    (folder / "pip" / "__init__.py").touch()
    packages = str(Path(sysconfig.get_path("purelib")).relative_to(sys.prefix))
    (folder / "pip" / "__main__.py").write_text(PIP.format(packages=packages))
    yield folder
    shutil.rmtree(folder)


def as_user(who, machine, command, **variables):
    """The command as root or as a new user, and its environment, with hardly a variable in it."""
    base, root = Path(sys.base_prefix), os.geteuid() == 0
    python, lent = Path(sys._base_executable).resolve(), sys.prefix
    if who == "root":
        before = [] if root else ["unshare", "--user", "--map-root-user"]
    elif not root:
        before = []
    else:
        before = ["unshare", "--mount", "sh", "-c", NEW_USER, "sh", str(machine), str(base), lent]
        # His own ways to a Python and to packages that may lie where only root may look.
        python, lent = machine / "python" / python.relative_to(base.resolve()), str(machine / "packages")
    clean = {
        "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
        "HOME": str(machine / "home"),
        "PYTHONPATH": str(machine),
        "LENT": lent,
        "LD_LIBRARY_PATH": str(python.parent.parent / "lib"),
        "LANG": "C.UTF-8",
        **variables,
    }
    return [*before, str(python), *command], clean


def open_it(who, machine, *words, **variables):
    """Run open.py to its end; return its code and what it said."""
    course = next(machine.glob("here/*/course"))
    command, clean = as_user(who, machine, [str(course / "notebooks" / "open.py"), *words], **variables)
    done = subprocess.run(command, env=clean, capture_output=True, text=True, timeout=200, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(address, path=""):
    """What the server answers under this address, which carries the token."""
    start, _, token = address.partition("?")
    where = f"http://{start.split('/')[2]}/{path}?{token}" if path else address
    return urllib.request.urlopen(where, timeout=60).read().decode()


@pytest.mark.slow
@pytest.mark.parametrize("who", ["root", "student"])
def test_the_course_opens(who, machine):
    port, course = free_port(), next(machine.glob("here/*/course"))
    words = [str(course / "notebooks" / "open.py"), "00", "ZH-tw", "--port", str(port)]
    command, clean = as_user(who, machine, words)
    with (machine / "said.txt").open("w+") as said:
        process = subprocess.Popen(
            command, env=clean, stdout=subprocess.PIPE, stderr=said, text=True, start_new_session=True
        )
        try:
            told = ""
            while "Ctrl-C" not in told:
                line = process.stdout.readline()
                said.seek(0)
                assert line, told + said.read()
                told += line
            assert (
                told.startswith(f"Setting up {course / '.venv'} with jupyter, ipywidgets, numpy, ")
                and "Open this" in told
            )
            address = re.search(r"http://127\.0\.0\.1:\S+", told).group()
            assert address.startswith(
                f"http://127.0.0.1:{port}/lab/tree/notebooks/zh-TW/00_jupyter_warm_up.ipynb?token="
            )
            assert "jupyter-config-data" in ask(address)
            with pytest.raises(urllib.error.HTTPError):  # nobody else of this machine comes in
                ask(f"http://127.0.0.1:{port}/x?token=wrong", "api/contents")
            wanted = f"{port:04X}"
            bound = [row.split()[1] for row in Path("/proc/net/tcp").read_text().splitlines() if f":{wanted} 0" in row]
            assert bound and {place.split(":")[0] for place in bound} == {"0100007F"}, "127.0.0.1 alone"
            asks = json.loads(ask(address, "lab/api/settings/@jupyterlab/apputils-extension:notification"))
            asks = {name: about["default"] for name, about in asks["schema"]["properties"].items()}
            assert asks["fetchNews"] == "false" and asks["checkForUpdates"] is False
            assert json.loads(ask(address, "lab/api/news"))["news"] == []
            for path in ("00_jupyter_warm_up.ipynb", "zh-TW/00_jupyter_warm_up.ipynb", "01_softmax.ipynb"):
                cells = json.loads(ask(address, f"api/contents/notebooks/{path}"))["content"]["cells"]
                assert all(cell["metadata"]["trusted"] for cell in cells if cell["cell_type"] == "code"), path
            said.seek(0)
            assert "Traceback" not in said.read()
        finally:
            for _ in range(3):  # Ctrl-C; it asks; Ctrl-C
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGINT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(2)
            process.wait(60)
    assert (machine / "home" / "pip.txt").read_text().count("install") == 1
    assert not (machine / "home" / ".jupyter" / "lab" / "user-settings").exists(), "his own settings are left alone"


def test_a_course_that_belongs_to_somebody_else(machine):
    course = next(machine.glob("here/*/course"))
    if os.geteuid() == 0:
        (machine / "here").rename(machine / "there")  # what is made his own is another folder
        (machine / "here").mkdir()
        course = next(machine.glob("there/*/course"))
    else:
        course.chmod(0o500)
    command, clean = as_user("student", machine, [str(course / "notebooks" / "open.py")])
    done = subprocess.run(command, env=clean, capture_output=True, text=True, timeout=100, check=False)
    course.chmod(0o700)
    assert done.returncode == 1 and f"{course / '.venv'} could not be made (Permission denied)" in done.stderr
    assert "of your own, with room for some gigabytes, and give the same command again." in done.stderr
    assert "Traceback" not in done.stderr


def test_a_python_without_venv(machine):
    (machine / "ensurepip.py").write_text("raise ImportError('as on Debian')")
    code, said = open_it("root", machine)
    version = "python{}.{}-venv".format(*sys.version_info)
    assert code == 1 and f"sudo apt install python3-venv, or {version}) and give the same command again." in said


def test_something_else_is_called_venv(machine):
    (next(machine.glob("here/*/course")) / ".venv").write_text("mine")
    code, said = open_it("root", machine)
    assert code == 1 and "could not be made (Not a directory). If it is there, delete it" in said


@pytest.fixture
def opening():
    spec = importlib.util.spec_from_file_location("opening", ROOT / "notebooks" / "open.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("broken", ["half made", "python gone", "packages gone", "whole", "other packages"])
def test_a_broken_environment_is_made_anew(opening, tmp_path, monkeypatch, broken):
    folder, wanted, calls = tmp_path / ".venv", tmp_path / "requirements.txt", []
    wanted.write_text("# what it needs\nsome-thing>=1\n")

    def create(place, with_pip, clear):
        calls.append(clear)
        (place / "bin").mkdir(parents=True, exist_ok=True)
        (place / "bin" / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        (place / "bin" / "python").chmod(0o755)

    monkeypatch.setattr("venv.create", create)
    monkeypatch.setattr(opening, "run", lambda command: 0)
    python = opening.make_environment(folder, [wanted])
    assert calls == [False]
    if broken == "half made":
        (folder / "course-requirements.sha256").unlink()
    elif broken == "python gone":
        python.unlink()
        python.symlink_to("python-of-yesterday")
    elif broken == "packages gone":
        python.write_text("#!/bin/sh\nexit 1\n")
    elif broken == "other packages":
        wanted.write_text("other>=1\n")
    if python.is_symlink():
        monkeypatch.setattr("venv.create", lambda place, **how: (python.unlink(), create(place, **how)))
    assert opening.make_environment(folder, [wanted]) == python
    assert calls == ([False] if broken == "whole" else [False, True])


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(28, "No space left on device"), "(No space left on device)"),
        (OSError(30, "Read-only file system"), "(Read-only file system)"),
        (ValueError("Refusing to create a venv: it contains the PATH separator :."), "PATH separator"),
        (
            subprocess.CalledProcessError(1, "ensurepip", b"one\nensurepip is disabled"),
            "(ensurepip is disabled): delete",
        ),
    ],
)
def test_an_environment_that_cannot_be_made_gets_a_sentence(opening, tmp_path, monkeypatch, error, says):
    def create(*_, **__):
        raise error

    monkeypatch.setattr("venv.create", create)
    with pytest.raises(SystemExit) as end:
        opening.make_environment(tmp_path / ".venv", [])
    assert says in end.value.code and end.value.code.endswith("and give the same command again.")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([], "00_jupyter_warm_up.ipynb"),
        (["1"], "01_softmax.ipynb"),
        (["05_gan"], "05_gan.ipynb"),
        (["05_gan.ipynb", "--no-browser"], "05_gan.ipynb"),
        (["zh", "05"], "zh-TW/05_gan.ipynb"),
        (["05", "zh-tw"], "zh-TW/05_gan.ipynb"),
        (["--port", "8899", "07"], "07_progressive_gan.ipynb"),
        (["--port=8899"], "00_jupyter_warm_up.ipynb"),
    ],
)
def test_words_that_open_knows(opening, words, found):
    notebook, port, said, rest = opening.read_arguments(words)
    assert notebook == ROOT / "notebooks" / found and not rest
    assert port == (8899 if "8899" in "".join(words) else None) and said == {"--no-browser"} & set(words)
    assert opening.read_arguments([*words, "--", "--debug", "gan"])[-1] == ["--debug", "gan"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["gan"], "does not know 'gan'. Give a notebook's number (there are: 00_jupyter_warm_up, 01_softmax,"),
        (["05", "06"], "does not know '06'"),
        (["²"], "does not know '²'"),
        (["05_g"], "There is no notebook 05_g; there are: 00_jupyter_warm_up, 01_softmax,"),
        (["77"], "There is no notebook 77"),
        (["--browser"], "does not know '--browser'"),
        (["-v"], "does not know '-v'"),
        (["english"], "does not know 'english'"),
        (["--port"], "--port needs a number from 1 to 65535, such as --port 8899; it got none."),
        (["--port", "zh"], "it got none"),
        (["--port", "0"], "it got 0"),
        (["--port=70000"], "it got 70000"),
    ],
)
def test_words_that_open_does_not_know_get_a_sentence(opening, words, says):
    with pytest.raises(SystemExit) as end:
        opening.read_arguments(words)
    assert says in end.value.code and "Traceback" not in end.value.code


def test_a_port_in_use(opening):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit, match=rf"Port {port} cannot be used \(.+\): leave --port out, or give another"):
            opening.free_port(port)
        assert opening.free_port(None) != port
    with pytest.raises(SystemExit, match="Port 80 cannot") if os.geteuid() else contextlib.nullcontext():
        opening.free_port(80)


def test_a_text_browser_is_no_browser(opening, monkeypatch):
    monkeypatch.setattr(opening.platform, "system", lambda: "Linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    assert not opening.has_browser()
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(opening.webbrowser, "get", lambda: "a browser")
    assert opening.has_browser()


@pytest.mark.parametrize(
    ("root", "words", "wanted"),
    [(True, [], ["apt-get"]), (False, ["--sudo"], ["sudo", "apt-get"]), (False, [], [])],
)
def test_the_tests_name_what_they_install_and_use_sudo_only_where_told(monkeypatch, capsys, root, words, wanted):
    sys.path.insert(0, str(ROOT / "tests"))
    try:
        import run as tests_run
    finally:
        sys.path.remove(str(ROOT / "tests"))
    calls = []

    def call(command, **_):
        assert f"Installing chromium and fonts-noto-cjk on this machine with {' '.join(wanted)} …" in said()
        calls.append(command[: len(wanted)])

    def said():
        heard.append(capsys.readouterr().out)
        return "".join(heard)

    heard = []
    monkeypatch.setattr(tests_run, "find_browser", lambda: None)
    monkeypatch.setattr(tests_run.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(tests_run.os, "geteuid", lambda: 0 if root else 1000)
    monkeypatch.setattr(tests_run.subprocess, "run", call)
    tests_run.install_browser("--sudo" in words)
    assert calls == ([wanted] * 2 if wanted else [])
    if not wanted:
        assert "sudo apt-get install chromium fonts-noto-cjk" in said() and "--sudo" in said()
