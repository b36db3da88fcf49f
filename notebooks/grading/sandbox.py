"""The grader's end of the sandbox: starts its process, hands it one job at a time, and says what protects the grader.

What protects is not read off a list of settings: at the start a probe tries, from inside, to read the hand-ins, to write,
to reach the network, to signal the grader and to start a process, and only what failed counts.
"""

import contextlib
import importlib.util
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import sysconfig
import tempfile
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
COURSE = HERE.parent.parent
ESSENTIAL = ("read", "write", "network", "signal")
DANGERS = {
    "read": "read the other hand-ins",
    "write": "write or delete files",
    "network": "use the network",
    "signal": "end the grader",
    "process": "start programs",
}


class SandboxError(RuntimeError):
    """The sandbox could not be started; the message says why in one sentence."""


def places_to_show():
    """The files and folders that Python needs to run, none inside another one."""
    paths = sysconfig.get_paths()
    found = [importlib.util.find_spec(name) for name in ("numpy", "torch", "matplotlib", "IPython", "ipywidgets")]
    wanted = [sys.prefix, sys.base_prefix, *(paths[p] for p in ("stdlib", "platstdlib", "purelib", "platlib"))]
    wanted += [Path(spec.origin).parent.parent for spec in found if spec and spec.origin]
    wanted += ["/usr", "/lib", "/lib64", "/etc/fonts", "/etc/ld.so.cache", "/etc/localtime"]
    real, links = [], []
    for place in sorted({os.path.abspath(p) for p in wanted}, key=len):
        if os.path.islink(place) and place in ("/lib", "/lib64"):
            links.append(place)
        elif not any(Path(place).is_relative_to(other) for other in real):
            real.append(place)
    return [*real, *links]


class Sandbox:
    """One process that runs hand-ins one after the other. It may be used by one thread at a time.

    `without`: means that are not used, so that tests can see the others ("namespaces", "landlock", "filter").
    """

    count = 0

    def __init__(self, folder, without=(), canary=None, port=0):
        Sandbox.count += 1
        self.folder, self.process, self.channel = Path(folder).resolve(), None, None
        self.namespaces, self.needs = None, []  # what the probe found at work: nothing runs with less
        self.empty = Path(tempfile.mkdtemp(prefix="grade-"))
        self.empty.chmod(0o755)
        self.setting = {
            "without": list(without), "places": places_to_show(), "empty": str(self.empty), "grader": os.getpid(),
            "course": [str(COURSE / "helpers"), str(COURSE / "data")], "user": 65_100 + Sandbox.count % 400,
            "folder": str(self.folder), "home": str(Path.home()), "canary": str(canary or self.folder), "port": port,
        }  # fmt: skip
        for place in self.setting["places"]:
            if self.folder.is_relative_to(Path(place).resolve()):
                raise SandboxError(f"The hand-ins lie in {place}, which Python needs to see: move them elsewhere.")

    def start(self):
        ours, theirs = socket.socketpair()
        kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT") if name in os.environ}
        threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "VECLIB")}
        kept |= {"LANG": "C.UTF-8", "HOME": "/course/work", "MPLBACKEND": "agg", "PYTHONHASHSEED": "0", **threads}
        kept |= {
            "PYTHONDONTWRITEBYTECODE": "1",
            "COURSE_PROGRESS": "0",
            "KMP_INIT_AT_FORK": "FALSE",
            "IPYTHONDIR": str(self.empty / "ipython"),
            "TMPDIR": "/course/work",
        }
        fonts = Path.home() / ".cache" / "matplotlib"  # where matplotlib has its list of fonts, if it has one
        kept["MPLCONFIGDIR"] = str(fonts if fonts.is_dir() else self.empty / "fonts")
        command = [sys.executable, "-E", str(HERE / "server.py"), str(theirs.fileno())]
        with tempfile.TemporaryFile() as said:
            settings = {"env": kept, "cwd": "/", "stdin": subprocess.DEVNULL, "stdout": said, "stderr": said}
            self.process = subprocess.Popen(command, pass_fds=[theirs.fileno()], start_new_session=True, **settings)
            theirs.close()
            self.channel = ours
            try:
                ours.settimeout(300)
                self.send(self.setting)
                ready = self.receive()
            except (OSError, EOFError, ValueError):
                self.stop()
                said.seek(0)
                last = (said.read().decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]
                raise SandboxError(f"The sandbox did not start ({last}).") from None
        if self.namespaces not in (None, ready["namespaces"]):
            self.stop()
            raise SandboxError(
                f"The sandbox has no namespaces any more ({'; '.join(ready['why']) or 'no reason given'})."
            )
        self.namespaces = ready["namespaces"]

    def another(self):
        """A second sandbox, which has to be protected as this one is."""
        made = Sandbox(self.folder, self.setting["without"])
        made.namespaces, made.needs = self.namespaces, self.needs
        return made

    def send(self, message):
        data = json.dumps(message).encode()
        self.channel.sendall(struct.pack("Q", len(data)) + data)

    def receive(self):
        size = struct.unpack("Q", self.exactly(8))[0]
        if size > 64 << 20:
            raise ValueError("too long an answer")
        return json.loads(self.exactly(size))

    def exactly(self, count):
        pieces = bytearray()
        while len(pieces) < count:
            piece = self.channel.recv(min(count - len(pieces), 1 << 20))
            if not piece:
                raise EOFError
            pieces += piece
        return bytes(pieces)

    def ask(self, kind, seconds, memory_mb, patience=1, **job):
        """The answer to one job: {"end", "code", "cpu", "wall", "said"}; `said` is None where nothing sensible came."""
        wall = patience * (2 * seconds + 3)
        for attempt in (1, 2):
            try:
                if self.process is None:
                    self.start()
                self.channel.settimeout(wall + 20)
                limits = {"seconds": seconds, "wall_seconds": wall, "memory_mb": memory_mb}
                self.send({"kind": kind, "needs": self.needs, **limits, **job})
                answer = self.receive()
                break
            except (OSError, EOFError, ValueError):
                self.stop()
                answer = {"end": "sandbox", "code": 0, "cpu": 0, "wall": 0, "answer": ""}
                if attempt == 2:
                    break
        return understood(answer)

    def stop(self):
        if self.channel:
            self.channel.close()
        if self.process:
            try:
                self.process.wait(timeout=1)  # it ends by itself when it hears no more
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = self.channel = None

    def close(self):
        self.stop()
        shutil.rmtree(self.empty, ignore_errors=True)


def understood(answer):
    said = None
    with contextlib.suppress(ValueError, RecursionError):
        said = json.loads(answer.pop("answer"))
    said = said if isinstance(said, dict) else None
    if answer["code"] == 71 and said and "unlocked" in said:
        return {**answer, "end": f"sandbox: without {said['unlocked']}", "said": None}
    return {**answer, "said": said}


class OneByOne:
    """The same without a lock, a process a job: what macOS and Windows can do. Without `runs` it only looks at hand-ins."""

    namespaces = ""

    def start(self):
        pass

    def another(self):
        return self

    def ask(self, kind, seconds, memory_mb, patience=1, **job):
        wall = patience * (2 * seconds + 15)
        command = [sys.executable, "-E", str(HERE / "server.py"), "--once"]
        job = json.dumps({"kind": kind, "seconds": seconds, "memory_mb": memory_mb, **job}).encode()
        end, code, out = "ended", 0, b""
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            try:
                out = process.communicate(job, timeout=wall)[0][: 8 << 20]
                code = process.returncode
            except subprocess.TimeoutExpired:
                process.kill()
                end = "time"
        return understood(
            {"end": end, "code": code, "cpu": 0, "wall": 0, "answer": out.decode("ascii", errors="replace")}
        )

    def close(self):
        pass


class Protection:
    """What the probe found out: `sound` when nothing essential was possible, and one sentence for people."""

    def __init__(self, possible, works, namespaces):
        self.possible, self.works, self.namespaces = possible, works, namespaces
        self.sound = possible is not None and not any(possible[danger] for danger in ESSENTIAL)

    def sentence(self):
        if self.possible is None:
            return "Protection: none that can be tried on this system."
        means = ["with files, processes and a network of its own"] if self.namespaces else []
        means += ["with a view of Python's files only (Landlock)"] if "landlock" in self.works else []
        means += ["as a user of its own"] if "user" in self.works else []
        means += ["behind a filter of system calls"] if "filter" in self.works else []
        means += ["under limits on time, memory and output"]
        could = [words for danger, words in DANGERS.items() if self.possible[danger]]
        could_not = [words for danger, words in DANGERS.items() if not self.possible[danger]]
        tried = (
            f"tried just now from inside, it could not {', '.join(could_not)}"
            if could_not
            else "tried just now from inside"
        )
        if could:
            tried += f"; it COULD {', '.join(could)}"
        return f"Protection: student code runs {', '.join(means)}; {tried}."


def probe(folder, without=()):
    """Start a sandbox and try it out: (sandbox, Protection). The sandbox is ready for work."""
    if sys.platform != "linux":
        return OneByOne(), Protection(None, [], "")
    place = Path(tempfile.mkdtemp(prefix="grade-canary-"))
    place.chmod(0o755)
    canary = place / "hand-in.txt"
    canary.write_text("nobody else may read this")
    visits = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.2)

        def listen():
            with contextlib.suppress(OSError):
                while True:
                    try:
                        visits.append(listening.accept())
                    except TimeoutError:
                        continue

        threading.Thread(target=listen, daemon=True).start()
        sandbox = Sandbox(folder, without, canary, listening.getsockname()[1])
        try:
            sandbox.start()
        except SandboxError:
            sandbox.close()
            raise
        answer = sandbox.ask("probe", 10, 256, setting=sandbox.setting)
    tried = answer["said"] or {}
    possible = {danger: bool(tried.get(danger, True)) for danger in DANGERS}
    possible["network"] |= bool(visits)
    possible["write"] |= (
        sorted(os.listdir(place)) != ["hand-in.txt"] or canary.read_text() != "nobody else may read this"
    )
    shutil.rmtree(place, ignore_errors=True)
    works = sandbox.needs = [str(word) for word in tried.get("works", [])]
    return sandbox, Protection(possible, works, sandbox.namespaces)
