"""What Linux has to lock a process in: namespaces, a view of the files, Landlock, a filter of system calls, limits.

Python's own library does not offer most of these, so they are called through ctypes. Nothing here is specific to grading.
"""

import ctypes
import os
import platform
import resource
import struct
from pathlib import Path

libc = ctypes.CDLL(None, use_errno=True)
NEW_MOUNTS, NEW_UTS, NEW_IPC, NEW_USER, NEW_PIDS, NEW_NET = (
    0x00020000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000,
)  # fmt: skip
READ_ONLY, NO_SUID, NO_DEVICES, REMOUNT, BIND, RECURSIVE, PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
DETACH = 2

# System calls by number: (x86_64, aarch64). None where the processor has no such call.
CALLS = {
    "pivot_root": (155, 41), "landlock_create_ruleset": (444, 444), "landlock_add_rule": (445, 445),
    "landlock_restrict_self": (446, 446), "mount_setattr": (442, 442), "capset": (126, 91),
    # a new process, another program
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    # signals to others
    "tkill": (200, 130), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424), "pidfd_open": (434, 434), "pidfd_getfd": (438, 438),
    # the network, and what reaches other processes
    "socket": (41, 198), "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "process_madvise": (440, 440), "shmget": (29, 194), "semget": (64, 190), "msgget": (68, 186), "mq_open": (240, 180),
    # memory that no limit counts
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "io_uring_setup": (425, 425), "userfaultfd": (323, 282),
    # the machine itself
    "mount": (165, 40), "umount2": (166, 39), "chroot": (161, 51), "unshare": (272, 97), "setns": (308, 268),
    "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "fsmount": (432, 432), "fspick": (433, 433),
    "bpf": (321, 280), "perf_event_open": (298, 241), "keyctl": (250, 219), "add_key": (248, 217),
    "request_key": (249, 218), "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "reboot": (169, 142), "swapon": (167, 224),
    "swapoff": (168, 225), "settimeofday": (164, 170), "clock_settime": (227, 112), "sethostname": (170, 161),
    "setdomainname": (171, 162), "open_by_handle_at": (304, 265), "fanotify_init": (300, 262), "acct": (163, 89),
    "quotactl": (179, 60), "personality": (135, 92), "ioperm": (173, None), "iopl": (172, None),
}  # fmt: skip
HELPERS = ("landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self", "mount_setattr", "capset")
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
CLONE = (56, 220)
CLONE3 = (435, 435)
KILL = (62, 129)
TGKILL = (234, 131)


def number(name):
    """The number of a system call on this processor; OSError where it is not known."""
    if platform.machine() not in MACHINES:
        raise OSError(f"system calls of {platform.machine()} are not known here")
    return CALLS[name][MACHINES[platform.machine()][0]]


def done(result, what):
    """`result` of a call into the kernel, or an OSError that names it."""
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def system_call(name, *arguments):
    return done(libc.syscall(ctypes.c_long(number(name)), *arguments), name)


def unshare(flags):
    done(libc.unshare(ctypes.c_int(flags)), "unshare")


def mount(source, target, kind=None, flags=0, data=None):
    words = [None if word is None else os.fsencode(word) for word in (source, target, kind, data)]
    done(libc.mount(words[0], words[1], words[2], ctypes.c_ulong(flags), words[3]), f"mount {target}")


def prctl(option, *values):
    full = [ctypes.c_ulong(value) for value in [*values, 0, 0, 0, 0][:4]]
    done(libc.prctl(ctypes.c_int(option), *full), f"prctl {option}")


# Namespaces and files -------------------------------------------------------------------------------------------------


def enter_namespaces():
    """Give this process mounts, process numbers (for its children), network and names of its own; return in which way.

    Root may; for others a namespace of users makes it possible, where the system allows that. OSError where it does not.
    The process must have one thread only.
    """
    apart = NEW_MOUNTS | NEW_UTS | NEW_IPC | NEW_PIDS | NEW_NET
    user, group = os.geteuid(), os.getegid()
    try:
        if user != 0:
            raise PermissionError
        unshare(apart)
        return "root"
    except OSError:
        unshare(apart | NEW_USER)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
        return "user"


def read_only(target):
    """Make the mount at `target`, and those below it, unwritable and without devices."""
    try:
        attributes = struct.pack("4Q", READ_ONLY | NO_SUID | NO_DEVICES, 0, 0, 0)
        system_call(
            "mount_setattr",
            ctypes.c_int(-100),
            os.fsencode(target),
            ctypes.c_uint(0x8000),
            attributes,
            ctypes.c_size_t(32),
        )
    except OSError:  # an older kernel
        kept = os.statvfs(target).f_flag & (READ_ONLY | NO_SUID | NO_DEVICES | os.ST_NOEXEC)
        mount(None, target, flags=REMOUNT | BIND | READ_ONLY | NO_SUID | kept)


def show(source, root, shown_as=None):
    """Let the file or folder `source` be seen, read-only, below the folder `root`."""
    target = Path(f"{root}{shown_as or source}")
    if Path(source).is_symlink():
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.is_symlink():
            target.symlink_to(os.readlink(source))
        return
    if Path(source).is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    mount(source, target, flags=BIND | RECURSIVE)
    if not str(source).startswith("/dev/"):
        read_only(target)


def move_into(root, places, shown_as, empty):
    """Make `root`, an empty folder, the root of all files: in it are `places`, read-only, and the empty folder `empty`.

    `shown_as`: {where a folder is: where it is to be seen}.
    """
    mount("none", "/", flags=RECURSIVE | PRIVATE)
    mount("tmpfs", root, "tmpfs", NO_SUID, "size=1m,nr_inodes=5000,mode=0755")
    for place in places:
        if os.path.lexists(place):
            show(place, root)
    for place, seen in shown_as.items():
        show(place, root, seen)
    for device in ("null", "zero", "random", "urandom"):
        show(f"/dev/{device}", root)
    Path(f"{root}{empty}").mkdir(parents=True, exist_ok=True)
    if not os.path.lexists(f"{root}/tmp"):  # it is there already if Python itself lies in it
        Path(f"{root}/tmp").symlink_to(empty.lstrip("/"))
    os.chdir(root)
    system_call("pivot_root", b".", b".")
    done(libc.umount2(b".", DETACH), "umount2")
    os.chdir("/")
    mount(None, "/", flags=REMOUNT | BIND | READ_ONLY | NO_SUID | NO_DEVICES)


def fresh_folder(target, megabytes):
    """An empty folder in memory, of a few megabytes, at `target`; it vanishes with the processes that see it."""
    mount("tmpfs", target, "tmpfs", NO_SUID | NO_DEVICES, f"size={megabytes}m,nr_inodes=2000,mode=0777")


# Rights ---------------------------------------------------------------------------------------------------------------


def drop_rights(user=None):
    """Become the user `user` (root only), lose every capability, and never win one by starting a program."""
    last = 40
    for capability in range(last + 1):
        libc.prctl(ctypes.c_int(24), ctypes.c_ulong(capability), *[ctypes.c_ulong(0)] * 3)  # PR_CAPBSET_DROP
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    system_call("capset", struct.pack("Ii", 0x20080522, 0), struct.pack("6I", 0, 0, 0, 0, 0, 0))
    prctl(38, 1)  # PR_SET_NO_NEW_PRIVS
    prctl(4, 0)  # PR_SET_DUMPABLE: what runs as the same user cannot look in


def limit(**limits):
    """Set limits by their names: AS=…, CPU=(soft, hard), FSIZE=…"""
    for name, value in limits.items():
        soft, hard = value if isinstance(value, tuple) else (value, value)
        highest = resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))[1]
        if highest != resource.RLIM_INFINITY:
            soft, hard = min(soft, highest), min(hard, highest)
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (soft, hard))


def landlock(readable, writable):
    """From now on this process may read below `readable`, read and write below `writable`, and nothing else.

    OSError where the kernel (before 5.13) or its settings do not offer it.
    """
    version = system_call("landlock_create_ruleset", None, ctypes.c_size_t(0), ctypes.c_uint(1))
    everything = (1 << {1: 13, 2: 14, 3: 15}.get(version, 15)) - 1
    reading = 1 | 4 | 8  # run, read a file, list a folder
    handled = struct.pack("Q", everything)
    rules = system_call("landlock_create_ruleset", handled, ctypes.c_size_t(8), ctypes.c_uint(0))
    for place, rights in [*((p, reading) for p in readable), *((p, everything) for p in writable)]:
        if not os.path.exists(place):
            continue
        beneath = os.open(place, os.O_PATH | os.O_CLOEXEC)
        allowed = rights if os.path.isdir(place) else rights & (1 | 2 | 4 | (1 << 14)) & everything
        rule = struct.pack("=Qi", allowed, beneath)
        system_call("landlock_add_rule", ctypes.c_int(rules), ctypes.c_int(1), rule, ctypes.c_uint(0))
        os.close(beneath)
    prctl(38, 1)
    system_call("landlock_restrict_self", ctypes.c_int(rules), ctypes.c_uint(0))
    os.close(rules)


def filter_calls():
    """From now on no system call of this process starts another one, signals another one, or opens a socket.

    Threads remain possible. OSError where the processor is unknown or the kernel does not filter.
    """
    if platform.machine() not in MACHINES:
        raise OSError(f"system calls of {platform.machine()} are not known here")
    column, architecture = MACHINES[platform.machine()]
    allow, refuse, missing, die = 0x7FFF0000, 0x00050000 | 1, 0x00050000 | 38, 0x80000000
    load, equal, above, bits, give = 0x20, 0x15, 0x35, 0x45, 0x06
    code = [(load, 0, 0, 4), (equal, 1, 0, architecture), (give, 0, 0, die), (load, 0, 0, 0)]
    if column == 0:  # the numbers of x32, another way to the same calls
        code += [(above, 0, 1, 0x40000000), (give, 0, 0, refuse)]
    for name, numbers in CALLS.items():
        if numbers[column] is not None and name not in HELPERS:
            code += [(equal, 0, 1, numbers[column]), (give, 0, 0, refuse)]
    code += [(equal, 0, 1, CLONE3[column]), (give, 0, 0, missing)]  # its flags cannot be read here: clone is used then
    code += [(equal, 0, 4, CLONE[column]), (load, 0, 0, 16), (bits, 1, 0, 0x10000), (give, 0, 0, refuse)]
    code += [(give, 0, 0, allow)]
    for call in (KILL[column], TGKILL[column]):  # only to oneself
        code += [(equal, 0, 4, call), (load, 0, 0, 16), (equal, 1, 0, os.getpid()), (give, 0, 0, refuse)]
        code += [(give, 0, 0, allow)]
    code += [(give, 0, 0, allow)]
    program = b"".join(struct.pack("HBBI", *step) for step in code)
    steps = ctypes.create_string_buffer(program, len(program))

    class Program(ctypes.Structure):
        _fields_ = (("count", ctypes.c_ushort), ("steps", ctypes.c_void_p))

    whole = Program(len(code), ctypes.cast(steps, ctypes.c_void_p))
    prctl(38, 1)
    done(libc.prctl(22, ctypes.c_ulong(2), ctypes.byref(whole), ctypes.c_ulong(0), ctypes.c_ulong(0)), "seccomp")
