"""A JupyterLab in a real Chromium, for the browser tests."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from common import ROOT, masters, read_notebook, write_notebook
from playwright.sync_api import sync_playwright

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
]
SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},  # or cells out of sight have no page elements
    "@jupyterlab/docmanager-extension:plugin": {"autosave": False},
}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def copy_of_course(folder):
    """A fresh copy of the course in `folder`, its English notebooks without outputs: what is seen then has been run."""
    keep = shutil.ignore_patterns(".git", ".venv*", "__pycache__", ".*_cache", ".hypothesis", "tests")
    shutil.copytree(ROOT, folder, ignore=keep)
    for master in masters():
        copy_without_outputs(master, folder / "notebooks")
    return folder


def copy_without_outputs(path, folder):
    notebook = read_notebook(path)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
    write_notebook(folder / path.name, notebook)


@contextmanager
def server(python, root, folder, **environment):
    """Start JupyterLab of `python`, which shows the folder `root` and keeps its own things in `folder`; yield its address."""
    (folder / "settings").mkdir()
    (folder / "settings" / "overrides.json").write_text(json.dumps(SETTINGS))
    port, token = free_port(), secrets.token_hex(8)
    places = {name: str(folder / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")}
    options = [
        "--no-browser",
        "--ip=127.0.0.1",
        f"--port={port}",
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={root}",
        f"--IdentityProvider.token={token}",
    ]
    options += ["--expose-app-in-browser", f"--LabApp.app_settings_dir={folder / 'settings'}", "--allow-root"]
    log = (folder / "server.log").open("wb")
    process = subprocess.Popen(
        [python, "-m", "jupyterlab", *options],
        stdout=log,
        stderr=log,
        env={**os.environ, **places, "COURSE_TRAINED_READ": "1", **environment},
        cwd=folder,
    )
    try:
        for _ in range(1800):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api?token={token}", timeout=2)
                break
            except OSError:
                assert process.poll() is None, (folder / "server.log").read_text()[-2000:]
                time.sleep(0.1)
        else:
            raise AssertionError(f"JupyterLab does not answer: {(folder / 'server.log').read_text()[-2000:]}")
        yield f"http://127.0.0.1:{port}/lab?reset&token={token}"
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()


@contextmanager
def browser_page(executable, address):
    """A page of Chromium in which JupyterLab has started; what page.js can do is there as `course`."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(60_000)
        page.add_init_script(path=Path(__file__).with_name("page.js"))
        try:
            page.goto(address)
            page.wait_for_function("window.jupyterapp && jupyterapp.shell", timeout=120_000)
            page.evaluate("async () => { await jupyterapp.restored }")
            yield page
        finally:
            browser.close()


def open_and_run(page, path, seconds=1500):
    """Open a notebook and run all its cells; return its first error, or None."""
    page.evaluate("path => course.open(path)", path)
    error = page.evaluate("seconds => course.run(seconds)", seconds)
    return error and f"{error['ename']}: {error['evalue']}"


class Panel:
    """One live figure in the page. What it shows: {"words": its sentence, "picture": a digest, None without one}."""

    def __init__(self, box):
        self.box = box

    def look(self):
        return self.box.evaluate("box => course.look(box)")

    def changed(self, before, picture=True, seconds=60):
        """Wait until it shows something else than `before`, and has answered all; return it, with the sentences `seen`."""
        picture = picture and before["picture"] is not None
        return self.box.evaluate(
            "(box, [before, picture, seconds]) => course.changed(box, before, picture, seconds)",
            [before, picture, seconds],
        )
