"""A JupyterLab in a real Chromium, on a copy of the course, for the browser tests."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import time
import urllib.request
from contextlib import contextmanager

from common import ROOT
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
# JupyterLab opens again what was open before: only the notebook that was asked for counts.
READY = """path => {
  const panel = window.jupyterapp && jupyterapp.shell.currentWidget, session = panel && panel.sessionContext;
  const kernel = session && session.session && session.session.kernel;
  return Boolean(panel && panel.context && panel.context.path === path && panel.context.isReady && session.isReady && kernel
    && kernel.connectionStatus === 'connected' && kernel.status === 'idle');
}"""
DONE = """path => {
  const panel = jupyterapp.shell.currentWidget, session = panel && panel.sessionContext && panel.sessionContext.session;
  if (!session || !session.kernel || !panel.context || panel.context.path !== path) return false;
  const cells = panel.content.widgets.filter(cell => cell.model.type === 'code');
  const failed = cells.some(({model: {outputs}}) => {
    for (let i = 0; i < outputs.length; i++) if (outputs.get(i).type === 'error') return true;
    return false;
  });
  return (failed || cells.every(cell => cell.model.executionCount > 0 || cell.model.sharedModel.execution_count > 0))
    && session.kernel.status === 'idle';
}"""


# While a picture is being exchanged, there is for a moment none to read: wait for the next.
DIGEST = """async image => {
  for (let tries = 0; ; tries++) {
    try {
      await image.decode();
      const bytes = await (await fetch(image.src)).arrayBuffer();
      return Array.from(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))).join();
    }
    catch (error) { if (tries == 100) throw error; await new Promise(done => setTimeout(done, 50)); }
  }
}"""
# The kernel has answered all that it was asked, and nothing has followed for as long as a dragged slider may hold back.
SETTLED = """async () => {
  const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel;
  for (let still = 0; still < 4; still++) {
    await new Promise(done => setTimeout(done, 50));
    if (kernel.status !== 'idle') still = -1;
  }
}"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def server(python, folder):
    """Start JupyterLab of `python` on a fresh copy of the course in `folder`; yield its address with the token."""
    copy = folder / "course"
    keep = shutil.ignore_patterns(".git", ".venv*", "__pycache__", ".*_cache", ".hypothesis", "tests")
    shutil.copytree(ROOT, copy, ignore=keep)
    (folder / "settings").mkdir()
    (folder / "settings" / "overrides.json").write_text(json.dumps(SETTINGS))
    port, token = free_port(), secrets.token_hex(8)
    places = {
        name: str(folder / name)
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    }
    options = [
        "--no-browser",
        "--ip=127.0.0.1",
        f"--port={port}",
        f"--ServerApp.root_dir={copy}",
        f"--IdentityProvider.token={token}",
    ]
    options += ["--expose-app-in-browser", f"--LabApp.app_settings_dir={folder / 'settings'}", "--allow-root"]
    log = (folder / "server.log").open("wb")
    process = subprocess.Popen(
        [python, "-m", "jupyterlab", *options],
        stdout=log,
        stderr=log,
        env={**os.environ, **places, "COURSE_TRAINED_READ": "1"},
        cwd=folder,
    )
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api?token={token}", timeout=2)
                break
            except OSError:
                assert process.poll() is None, (folder / "server.log").read_text()[-2000:]
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/lab/tree/{{path}}?reset&token={token}", copy
    finally:
        process.terminate()
        process.wait(20)
        log.close()


@contextmanager
def browser_page(executable):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(60_000)
        try:
            yield page
        finally:
            browser.close()


def open_and_run(page, address, path, seconds=1500):
    """Open a notebook, wait until its kernel is ready, run all cells, wait until the last has run; return its errors."""
    page.goto(address.format(path=path))
    page.wait_for_function(READY, arg=path, timeout=120_000)
    page.evaluate(
        "() => { jupyterapp.shell.currentWidget.content.widgets.forEach(cell => { if (cell.model.type === 'code')"
        " { cell.model.outputs.clear(); (cell.model.sharedModel || cell.model).execution_count = null; } }) }"
    )
    page.evaluate("() => { jupyterapp.commands.execute('notebook:run-all-cells') }")
    page.wait_for_function(DONE, arg=path, timeout=seconds * 1000, polling=500)
    page.wait_for_timeout(500)
    return page.locator(
        ".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.error'], .jp-RenderedText[data-mime-type*='error']"
    ).all_inner_texts()


class Panel:
    """One live figure in the page: its controls, its picture, its sentence."""

    def __init__(self, box):
        self.box = box

    def picture(self):
        """A digest of the picture's bytes: the `src` of a blob changes with every update, also to the same picture."""
        return self.box.locator("img").first.evaluate(DIGEST)

    def settle(self):
        """Wait until all that was asked of the kernel has been answered."""
        self.box.page.evaluate(SETTLED)

    def words(self):
        says = self.box.locator("[role=status], [role=alert]").first
        return says.text_content()  # inner_text would lay out the whole page

    def wait_for_change(self, words, seconds=60):
        """Wait until the sentence differs from `words`; return it."""
        for _ in range(int(seconds * 20)):
            now = self.words()
            if now != words:
                return now
            time.sleep(0.05)
        raise AssertionError(f"nothing changed within {seconds} s: {words!r}")

    def wait_until_still(self, still=1.5, seconds=120):
        """Wait until the sentence has not changed for `still` seconds; return those that were seen."""
        seen, since, end = [self.words()], time.monotonic(), time.monotonic() + seconds
        while time.monotonic() - since < still:
            assert time.monotonic() < end, f"still moving after {seconds} s: {seen[-1]!r}"
            time.sleep(0.05)
            if (now := self.words()) != seen[-1]:
                seen.append(now)
                since = time.monotonic()
        return seen

    def wait_for_picture(self, picture, seconds=60):
        """Wait until the picture differs from `picture`: the page decodes it a moment after the sentence is there."""
        for _ in range(int(seconds * 10)):
            if self.picture() != picture:
                return
            time.sleep(0.1)
        raise AssertionError(f"the sentence changed to {self.words()!r}, but not the picture")
