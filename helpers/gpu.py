"""The GPU check: finds the device to train on, proves that it works, and says in one sentence what was found."""

import os
import re
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

from .page import CourseError

CHOICES = ("auto", "cpu", "cuda", "mps")
TO_CPU = "Training runs on the CPU: fine for this course, every notebook is made to finish there in minutes."
ON_COLAB = "On Colab, a GPU is under Runtime → Change runtime type → T4 GPU."
# What torch says when a GPU is there but cannot be used, and what it means for a student.
REASONS = {
    "driver on your system is too old": "its driver is too old for this torch",
    "out of memory": "its memory is full: stop other notebooks, or restart the runtime",
    "no kernel image": "this torch was not built for its architecture",
    "forward compatibility was attempted": "its driver does not fit this torch (error 804): the machine has to be "
    "restarted, or its driver renewed",
    "driver / cuda driver combination": "its driver does not fit this torch (error 803): the machine has to be restarted",
    "not compiled with CUDA": "this torch is a build without CUDA",
}
NO_GPU = ("Found no NVIDIA driver", "No CUDA GPUs are available", "No NVIDIA GPU")


def check_gpu(say: Callable[[str], object] = print) -> torch.device:
    """Say in one sentence what training will run on, and return that device.

    A device is believed only after a tiny matrix product and its gradient came out right on it; otherwise it is the
    CPU, and the sentence says why. The environment variable COURSE_DEVICE (auto, cpu, cuda, mps) asks for a certain one.

    Parameters
    ----------
    say : function of the sentence

    Raises
    ------
    CourseError
        For another value of COURSE_DEVICE.
    """
    wanted = os.environ.get("COURSE_DEVICE", "").strip().lower() or "auto"
    if wanted not in CHOICES:
        raise CourseError(f"COURSE_DEVICE is {wanted!r}; set it to one of {', '.join(CHOICES)}, or leave it out.")
    if wanted == "cpu":
        say(f"{TO_CPU} (COURSE_DEVICE asks for it.)")
        return torch.device("cpu")
    for kind, find in {"cuda": _find_cuda, "mps": _find_mps}.items():
        if wanted in ("auto", kind):
            found, problem = find()
            if found:
                say(found)
                return torch.device(kind)
            if problem or wanted == kind:
                say(f"{TO_CPU} The {kind.upper()} GPU is not used: {problem or 'none was found'}.")
                return torch.device("cpu")
    say(f"{TO_CPU} {ON_COLAB}")
    return torch.device("cpu")


def prove(device: str) -> None:
    """Multiply two 4×4 matrices of ones on `device`, and take the gradient; raise RuntimeError if either is wrong."""
    a = torch.ones(4, 4, device=device, requires_grad=True)
    b = torch.ones(4, 4, device=device)
    (a @ b).sum().backward()  # each entry of a meets 4 ones: the gradient is 4 everywhere
    if not torch.equal(a.grad.cpu(), torch.full((4, 4), 4.0)):
        raise RuntimeError("a 4×4 matrix product and its gradient came out wrong")


def has_fast_bf16(device: str | torch.device = "cpu") -> bool:
    """Whether `device` computes with bfloat16 by itself: on one that emulates it, `Game(bf16=True)` would be slower.

    Of a processor this is what Linux says of it (avx512_bf16, amx_bf16, or bf16 on ARM): False where nobody can say.
    """
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8  # Ampere, 2020
    if device.type != "cpu":
        return False
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return bool(re.search(r"^(flags|Features)\b.*\b(avx512_bf16|amx_bf16|bf16)\b", flags, re.MULTILINE))


def seconds_on(device: torch.device) -> float:
    """A clock to take differences of, for what runs on `device`: processor seconds, or a GPU's when its work is done.

    A GPU goes on by itself after a line of Python has ended: unless one waits for it, one measures how fast it is asked.
    """
    if device.type == "cpu":
        return time.process_time()
    getattr(torch, device.type).synchronize()
    return time.perf_counter()


def _find_cuda() -> tuple[str | None, str | None]:
    """Return (sentence, None) for a working CUDA GPU, (None, reason) for a broken one, (None, None) for none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of an old driver; the sentence says it instead
            if torch.version.cuda is None and torch.version.hip is None:
                return None, None
            torch.cuda.init()
            prove("cuda")
            free, total = (n / 2**30 for n in torch.cuda.mem_get_info())
        name = torch.cuda.get_device_name()
        return f"Training runs on the GPU: {name}, {free:.1f} of {total:.1f} GiB free.", None
    except Exception as error:  # RuntimeError, AssertionError, DeferredCudaCallError: a broken GPU has many names
        text = str(error)
        if any(words in text for words in NO_GPU):
            return None, None
        known = [meaning for words, meaning in REASONS.items() if words in text]
        return None, known[0] if known else _first_line(error)


def _find_mps() -> tuple[str | None, str | None]:
    """The same for the GPU of an Apple computer."""
    try:
        if not torch.backends.mps.is_available():
            return None, None
        prove("mps")
        return "Training runs on the GPU: Apple's (MPS), which shares the computer's memory.", None
    except Exception as error:
        return None, _first_line(error)


def _first_line(error: Exception) -> str:
    """What torch says first, from the number of an error on, if it names one: what stands before it is always the same."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    numbered = re.search(r"\bError \d+:.*", line)
    line = (numbered.group() if numbered else line).rstrip(".")
    return line if len(line) <= 200 else line[:200].rsplit(" ", 1)[0] + " …"
