"""A stand-in for Colab: its marks, and git that takes what a push of the working tree would put on GitHub."""

import os
import shutil
import subprocess

from common import ROOT, repository

GOOGLE = '''"""A stand-in for Colab's own module, loaded at the start as Colab does."""
import sys, types
for name in ("google", "google.colab"):
    sys.modules.setdefault(name, types.ModuleType(name))
sys.modules["google"].colab = sys.modules["google.colab"]
import loopback_only
loopback_only.install()
'''
START = ROOT / "tests" / "tools" / "start"


def push_to(folder):
    """Make `folder` the repository that a push of the working tree would leave on GitHub."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listing.stdout.decode().split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    me = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    quick = ["config", "core.compression", "0"]  # pictures and data are packed as it is
    for command in (["init", "-q"], quick, ["add", "-A"], [*me, "commit", "-qm", "all"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def marks(folder, remote):
    """The environment variables by which a kernel takes this machine for Colab, and the folder `remote` for GitHub."""
    start, config = folder / "start", folder / "gitconfig"
    start.mkdir()
    (start / "sitecustomize.py").write_text(GOOGLE)
    config.write_text(
        f'[url "file://{remote}"]\n\tinsteadOf = https://github.com/{repository()}\n[safe]\n\tdirectory = *\n'
    )
    return {
        "COLAB_RELEASE_TAG": "release-colab",
        "GIT_CONFIG_GLOBAL": str(config),
        "COURSE_TRAINED_READ": "1",
        "PYTHONPATH": os.pathsep.join(map(str, (start, START))),
    }
