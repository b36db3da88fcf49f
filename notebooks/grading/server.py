"""The sandbox's own process: it loads numpy, torch and IPython once, locks itself in, and forks for every hand-in.

Each hand-in meets the same untouched copy of this process: the one that forks never reads what a student wrote, since the
job is read after the fork. What the fork changes, leaves in memory or on its few megabytes of files, ends with it.

    parent (the grader)  ─ socket ─  this process, first in its own process numbers  ─ fork ─  keeper  ─ fork ─  student's code
    The keeper sets the clock and the room, and it alone speaks to the grader; the student's process has one pipe to it.
"""

import contextlib
import gc
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from pathlib import Path

MOST = 8 << 20  # bytes of an answer; more is not read


def preload():
    """Load what a hand-in may import, and use each thing once, so that no fork has to pay for it. Nothing may start a thread."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt
    import numpy as np
    import torch

    torch.set_num_threads(1)
    with contextlib.suppress(RuntimeError):
        torch.set_num_interop_threads(1)
    torch.softmax(torch.tensor([1.0, 2.0]), 0)
    np.random.default_rng(0).normal(size=3)
    import inside
    import ipywidgets  # noqa: F401

    with contextlib.suppress(ImportError):
        import matplotlib_inline.backend_inline  # noqa: F401
    inside.shell_of()
    figure, axes = plt.subplots()
    axes.bar([0, 1], [0.5, 0.5])
    axes.set_title("warm")
    figure.canvas.draw()
    plt.close("all")
    gc.collect()
    gc.freeze()  # the forks share what is here as long as nobody touches it


def read_exactly(channel, count):
    pieces = []
    while count:
        piece = channel.recv(min(count, 1 << 20))
        if not piece:
            raise EOFError
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)


def receive(channel):
    return json.loads(read_exactly(channel, struct.unpack("Q", read_exactly(channel, 8))[0]))


def send(channel, message):
    data = json.dumps(message).encode()
    channel.sendall(struct.pack("Q", len(data)) + data)


class Lock:
    """What this process could lock itself in with, found out once; each hand-in's process is then locked in the same way."""

    def __init__(self, setting):
        self.setting, self.namespaces, self.landlock, self.filter, self.user, self.why = (
            setting,
            "",
            False,
            False,
            None,
            [],
        )
        self.size = 0

    def enter(self):
        """Namespaces; the process that returns is a child, the first in its own process numbers, where there are any."""
        if "namespaces" in self.setting["without"]:
            return
        import linux

        try:
            self.namespaces = linux.enter_namespaces()
        except OSError as error:
            self.why.append(str(error))
            return
        child = os.fork()
        if child:  # outside: wait, and hand on how it ended
            os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) & 255)

    def close(self):
        """Hide all files but those that Python needs, once everything is loaded."""
        import linux

        self.size = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        with contextlib.suppress(OSError):  # where memory runs out, these end first
            Path("/proc/self/oom_score_adj").write_text("1000")
        if os.geteuid() == 0 and self.namespaces != "user":
            # Without a view of its own, that user has to reach Python by the usual way, which /root, for one, is not.
            ways = [way for place in (sys.base_prefix, sys.prefix) for way in (Path(place), *Path(place).parents)]
            if self.namespaces or all(way.stat().st_mode & 1 for way in ways):
                self.user = self.setting["user"]
        if self.namespaces:
            shown = {place: f"/course/{Path(place).name}" for place in self.setting["course"]}
            linux.move_into(self.setting["empty"], self.setting["places"], shown, "/course/work")

    def lock(self, job):
        """Lock this process, which is to run a student's code, for good."""
        import linux

        seconds, memory, works = job["seconds"], job["memory_mb"] << 20, []
        linux.limit(
            CPU=(seconds, seconds + 1), AS=self.size + memory, FSIZE=32 << 20, CORE=0, NOFILE=256, MSGQUEUE=0, MEMLOCK=0
        )
        if self.user is not None:
            linux.limit(NPROC=100)
        linux.drop_rights(self.user)
        works += ["user"] if self.user is not None else []
        if self.namespaces:
            os.chdir("/course/work")
        else:
            os.chdir(self.setting["empty"])  # nothing may be written there, either
            if "landlock" not in self.setting["without"]:
                with contextlib.suppress(OSError):
                    devices = ["/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"]
                    readable = [*self.setting["places"], *self.setting["course"], *devices]
                    linux.landlock([*readable, self.setting["empty"]], ["/dev/null"])
                    works.append("landlock")
        if "filter" not in self.setting["without"]:
            with contextlib.suppress(OSError):
                linux.filter_calls()
                works.append("filter")
        return works

    def lock_elsewhere(self, job):
        """What Python's own library can limit on macOS; on Windows it is nothing."""
        with contextlib.suppress(ImportError):
            import resource

            for name, value in (("CPU", job["seconds"]), ("FSIZE", 1 << 20), ("CORE", 0), ("NOFILE", 256)):
                with contextlib.suppress(ValueError, OSError):
                    resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))


def probe(setting, works, **_):
    """Try what a student's code must not be able to do; say what could be done. The grader looks, too, for traces of it."""
    tried = {"works": works, "read": False, "write": False, "network": False, "signal": False, "process": False}
    for place in (setting["canary"], setting["folder"], str(Path(setting["canary"]).parent)):
        with contextlib.suppress(OSError):
            tried["read"] |= bool(os.listdir(place)) if os.path.isdir(place) else bool(Path(place).read_bytes())
    for place in (setting["folder"], setting["home"], "/", "/usr", "/var/tmp", str(Path(setting["canary"]).parent)):
        name = Path(place) / f".grade-probe-{os.getpid()}"
        with contextlib.suppress(OSError):
            name.write_text("probe")
            tried["write"] = True
            name.unlink()
    for kind, address in ((socket.SOCK_STREAM, ("127.0.0.1", setting["port"])), (socket.SOCK_DGRAM, ("192.0.2.1", 9))):
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET, kind) as tried_socket:
            tried_socket.settimeout(2)
            tried_socket.connect(address)
            tried["network"] = True
    for number in {setting["grader"], os.getppid()} - {0}:
        with contextlib.suppress(OSError):
            os.kill(number, 0)
            tried["signal"] = True
    with contextlib.suppress(OSError):
        child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)
        tried["process"] = True
    return tried


def student(lock, job, pipe):
    """The process that a student's code runs in: it sees one pipe, and nothing that is open besides."""
    import inside

    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.dup2(pipe, 3)
    os.closerange(4, 4096)
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    works = lock.lock(job)
    if missing := set(job["needs"]) - set(works):  # what protected the probe has to protect everybody
        os.write(3, json.dumps({"unlocked": sorted(missing)}).encode())
        os._exit(71)
    try:
        answer = probe(lock.setting, works) if job["kind"] == "probe" else inside.JOBS[job["kind"]](**job)
        data = json.dumps(answer).encode("ascii")
    except MemoryError:
        data = b'{"failed": "MemoryError"}'
    except BaseException as error:
        data = json.dumps({"failed": type(error).__name__}).encode()
    while data:
        data = data[os.write(3, data) :]
    os._exit(0)


def keep(lock, channel):
    """Read one job, run it in a process of its own, wait no longer than it may take, send what came."""
    job = receive(channel)
    if lock.namespaces:
        import linux

        linux.unshare(linux.NEW_PIDS | linux.NEW_MOUNTS)
        linux.fresh_folder("/course/work", 64)
    out, into = os.pipe()
    begun = time.monotonic()
    child = os.fork()
    if not child:
        try:
            os.close(out)
            student(lock, job, into)
        finally:
            os._exit(70)
    os.close(into)
    pieces, size, end = [], 0, "ended"
    latest = begun + job["wall_seconds"]
    while True:
        left = latest - time.monotonic()
        ready = select.select([out, channel], [], [], max(0, left))[0]
        if channel in ready or not ready:  # the grader has gone, or the time is over
            end = "time"
            break
        piece = os.read(out, 1 << 16)
        if not piece:
            break
        pieces.append(piece)
        size += len(piece)
        if size > MOST:
            end = "too much"
            break
    # The pipe may have been closed on purpose: wait for the process itself, too, and no longer than before.
    while end == "ended" and not os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        if time.monotonic() > latest:
            end = "time"
        time.sleep(0.002)
    with contextlib.suppress(OSError):
        os.kill(child, signal.SIGKILL)  # in a namespace of its own, all that it has started ends with it
    _, status, used = os.wait4(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if (
        end == "ended"
        and code in (-signal.SIGXCPU, -signal.SIGKILL)
        and used.ru_utime + used.ru_stime >= job["seconds"] - 0.5
    ):
        end = "time"
    answer = b"".join(pieces)[:MOST].decode("ascii", errors="replace") if end == "ended" else ""
    seconds = {"cpu": round(used.ru_utime + used.ru_stime, 3), "wall": round(time.monotonic() - begun, 3)}
    send(channel, {"end": end, "code": code, "answer": answer, **seconds})


def once():
    """One job from the standard input, its answer to the standard output: for systems without a fork, or without a lock."""
    out = os.fdopen(os.dup(1), "wb")
    job = json.loads(sys.stdin.buffer.read())
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    import inside

    Lock({"without": []}).lock_elsewhere(job)
    try:
        answer = inside.JOBS[job["kind"]](**job)
    except BaseException as error:
        answer = {"failed": type(error).__name__}
    out.write(json.dumps(answer).encode("ascii"))
    out.flush()
    os._exit(0)


def main():
    if sys.argv[1] == "--once":
        once()
    sys.path[:] = [place for place in sys.path if Path(place or ".").resolve() != Path(__file__).resolve().parent]
    sys.path.append(str(Path(__file__).resolve().parent))  # last: no module of ours may stand in the way of another
    channel = socket.socket(fileno=int(sys.argv[1]))
    lock = Lock(receive(channel))
    lock.enter()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the grader's; it closes the socket
    import inside
    import linux

    assert inside and linux  # loaded before their files are hidden
    preload()
    lock.close()
    send(channel, {"ready": True, "namespaces": lock.namespaces, "why": lock.why})
    while True:
        select.select([channel], [], [])
        if not channel.recv(1, socket.MSG_PEEK):
            os._exit(0)
        child = os.fork()
        if not child:
            try:
                keep(lock, channel)
            except BaseException as error:
                with contextlib.suppress(OSError):
                    send(
                        channel,
                        {
                            "end": f"sandbox: {type(error).__name__}: {error}",
                            "code": 0,
                            "answer": "",
                            "cpu": 0,
                            "wall": 0,
                        },
                    )
            os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
