"""Finds the hand-ins in a folder (or one zip) as an LMS gives it: whose, which attempt, late or not.

Known are the downloads of Moodle (a folder a student, or flat), Canvas and with it NTU COOL, Blackboard and Google Classroom, a
folder for each student, and a flat list of files. What names say is believed before what a student wrote inside.
"""

import os
import re
import stat
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

from grading import inside

MOODLE = re.compile(r"^(?P<name>.+?)_(?P<user>\d{2,})_assignsubmission_(?:file|onlinetext)_?(?P<rest>.*)$")
CANVAS = re.compile(r"^(?P<name>[^_]+)_(?:(?P<late>LATE)_)?(?P<user>\d+)_(?P<paper>\d+)_(?P<rest>.+)$")
BLACKBOARD = re.compile(r"^(?P<name>.+)_attempt_(?P<when>\d{4}(?:-\d\d){5})(?:_(?P<rest>.+)|\.txt)$")
CLASSROOM = re.compile(r"^(?P<name>.+?) - (?P<rest>.+\.(?:zip|ipynb))$", re.I)
NUMBER = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{0,2}\d{6,10}[A-Za-z]?(?![A-Za-z0-9])")
AGAIN = re.compile(r"[ _-]*(?:\((\d+)\)|（(\d+)）|-(\d{1,2})|的副本|copy)(?=\.\w+$|$)", re.I)
LATE = re.compile(r"(?:^|[^A-Za-z])late(?:[^A-Za-z]|$)|遲交|补交|補交", re.I)
FILE_MB, FILES = 60, 300


@dataclass
class HandIn:
    """One attempt of one student, before anybody has looked into it."""

    key: str  # the same for all attempts of one student; "" where the names do not tell
    name: str
    number: str
    late: bool
    attempt: tuple
    files: list  # [(name, function that reads it)]
    problems: list = field(default_factory=list)

    @property
    def label(self):
        return self.files[0][0].split("/")[0] if self.files else self.name

    def read(self):
        """[(name, bytes)]; what is too large, or no file at all, becomes a problem instead."""
        pieces, room = [], FILE_MB << 20
        if len(self.files) > FILES:
            self.problems.append(["many_files", len(self.files), FILES])
        for name, reader in self.files[:FILES]:
            try:
                data = reader(room)
            except OSError:
                self.problems.append(["unreadable", name[-100:]])
                continue
            if data is None or len(data) > room:
                self.problems.append(["too_large", name[-100:], FILE_MB])
                continue
            room -= len(data)
            pieces.append((name.split("/", 1)[-1], data))
        return pieces


def read_file(path, most):
    """The bytes of an ordinary file, of `most` at most; a link, a pipe or a device is not read (OSError)."""
    number = os.open(
        path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    )
    with os.fdopen(number, "rb") as opened:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise OSError("no ordinary file")
        return opened.read(most + 1)


def readable(name):
    """A file's name as text, if its bytes are Big5 from another computer, too."""
    return inside.text_of(os.fsencode(name)) if any("\udc80" <= c <= "\udcff" for c in name) else name


def files_of(folder):
    """[(path below `folder`, time, reader)] of a folder or a zip. Links are listed, and refused when they are read."""
    folder = Path(folder)
    if folder.is_file():
        archive = zipfile.ZipFile(folder)
        members = [m for m in archive.infolist() if not m.is_dir()]

        def reader(member):
            def read(most):
                if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise OSError("locked, or packed in an unknown way")
                try:
                    with archive.open(member) as opened:
                        return opened.read(most + 1)
                except (zipfile.BadZipFile, ValueError, EOFError) as error:
                    raise OSError(str(error)) from None

            return read

        return [(inside.name_of(m).replace("\\", "/").lstrip("/"), m.date_time, reader(m)) for m in members]
    listed = []
    for place, folders, names in os.walk(folder, followlinks=False):
        folders.sort()
        for name in sorted(names):
            path = Path(place) / name
            below = "/".join(readable(part) for part in path.relative_to(folder).parts)
            listed.append((below, (path.lstat().st_mtime,), lambda most, path=path: read_file(path, most)))
    return listed


def owner(name):
    """What a file's or folder's name says: {"key", "name", "late", "attempt", "rest"}; key is "" where it says nothing."""
    for kind, pattern in (("moodle", MOODLE), ("blackboard", BLACKBOARD), ("canvas", CANVAS), ("classroom", CLASSROOM)):
        if found := pattern.match(name):
            parts = found.groupdict()
            rest = parts.get("rest") or ""
            again = AGAIN.search(rest)
            times = tuple(int(n) for n in re.findall(r"\d+", parts.get("when") or "")) if parts.get("when") else ()
            count = next((int(n) for n in again.groups() if n), 1) if again else 0
            who = parts["name"] if kind in ("blackboard", "classroom") else parts["user"]
            if kind == "blackboard":  # “Homework_user_attempt_…”: the user is the last piece
                parts["name"] = who = who.rsplit("_", 1)[-1]
            late = bool(parts.get("late")) or bool(LATE.search(parts["name"]))
            return {
                "key": f"{kind}:{who}",
                "name": parts["name"],
                "late": late,
                "attempt": (*times, count),
                "rest": rest,
            }
    stem = re.sub(r"\.\w{1,6}$", "", name)
    again = AGAIN.search(stem)
    count = next((int(n) for n in again.groups() if n), 1) if again else 0
    bare = AGAIN.sub("", stem)
    bare = re.sub(
        r"softmax[_ -]*homework|my[_ -]softmax|discovery|prompt|作業|hand-?in|homework|hw\d*|late|遲交|補交",
        "",
        bare,
        flags=re.I,
    )
    bare = bare.strip(" _-.　")
    return {
        "key": f"name:{bare}" if bare else "",
        "name": bare,
        "late": bool(LATE.search(name)),
        "attempt": (count,),
        "rest": name,
    }


def find(folder):
    """The hand-ins in `folder`, every attempt of everyone, in the order of their names."""
    files = [f for f in files_of(folder) if not inside.IGNORED.search(f[0])]
    while files and len({f[0].split("/")[0] for f in files}) == 1 and all("/" in f[0] for f in files):
        top = files[0][0].split("/")[0]
        if owner(top)["key"] and not owner(top)["key"].startswith("name:"):
            break  # a class of one student
        inner = [f[0].split("/", 1)[1] for f in files]
        if any(re.fullmatch(r"(prompt|discovery|student)\.txt|my_softmax\.py", name) for name in inner):
            break  # one student's unpacked hand-in
        if NUMBER.search(top) and sum(name.lower().endswith(".zip") for name in inner) <= 1:
            break
        files = [(name.split("/", 1)[1], *rest) for name, *rest in files]
    groups = {}
    for path, time, reader in files:
        first = path.split("/")[0]
        who = owner(first)
        # Flat downloads of Moodle and Canvas have a line for each file of one student: they belong together,
        # attempts of one zip do not.
        loose = "/" not in path and re.search(r"\.(py|txt|ipynb)$", path) and who["key"]
        one = (who["key"], "loose") if loose else (who["key"], first)
        groups.setdefault(one, (who, [], []))
        groups[one][1].append((path, reader))
        groups[one][2].append(time)
    found = []
    for (key, first), (who, listed, times) in groups.items():
        number = NUMBER.search(who["name"]) or (NUMBER.search(first) if key.startswith("name:") else None)
        found.append(
            HandIn(
                key, who["name"], number.group(0) if number else "", who["late"], (who["attempt"], max(times)), listed
            )
        )
    return merge_loose(found)


def merge_loose(found):
    """Join what belongs to one student and is no attempt of its own: a Moodle folder for files and one for the text."""
    joined, kept = {}, []
    for hand_in in found:
        whole = any(name.lower().endswith(".zip") for name, _ in hand_in.files)
        if hand_in.key and not whole and hand_in.key in joined:
            joined[hand_in.key].files += hand_in.files
            joined[hand_in.key].late |= hand_in.late
        else:
            kept.append(hand_in)
            if hand_in.key:
                joined[hand_in.key] = hand_in
    return kept


def newest(attempts):
    """Of all attempts of each student the one that counts, the last: [(hand-in, number of attempts)]."""
    by_key = {}
    for place, attempt in enumerate(attempts):
        by_key.setdefault(attempt.key or f"file:{place}", []).append(attempt)
    return [(max(own, key=lambda a: a.attempt), len(own)) for own in by_key.values()]
