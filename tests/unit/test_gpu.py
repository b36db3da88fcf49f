"""The GPU check: a device is believed only when it works, and the sentence says what to do."""

import pytest
import torch

from helpers import CourseError, check_gpu, gpu

# What torch puts before the number that matters.
LATE = (
    "Unexpected error from cudaGetDeviceCount(). Did you run some cuda functions before calling NumCudaDevices() "
    "that might have already set an error? "
)


def checked():
    said = []
    device = check_gpu(said.append)
    assert len(said) == 1 and "\n" not in said[0] and said[0].rstrip(")").endswith(".")
    return device.type, said[0]


@pytest.fixture
def no_mps(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.fixture
def cuda(monkeypatch, no_mps):
    """A GPU that seems to be there; the product is done on the CPU in its place."""
    prove = gpu.prove
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (int(14.5 * 2**30), 15 * 2**30))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla T4")
    monkeypatch.setattr(gpu, "prove", lambda device: prove("cpu"))


def test_cpu(monkeypatch, no_mps):
    monkeypatch.setattr(torch.version, "cuda", None)
    assert checked() == ("cpu", f"{gpu.TO_CPU} {gpu.ON_COLAB}")


def test_working_cuda(cuda):
    assert checked() == ("cuda", "Training runs on the GPU: Tesla T4, 14.5 of 15.0 GiB free.")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("The NVIDIA driver on your system is too old (found version 11040).", "driver is too old"),
        ("CUDA out of memory. Tried to allocate 20.00 MiB.\nmore lines", "memory is full"),
        (
            "CUDA error: no kernel image is available for execution on the device\nmore",
            "not built for its architecture",
        ),
        ("CUDA error: an illegal memory access was encountered\nmore lines", "illegal memory access was encountered."),
        (LATE + "Error 804: forward compatibility was attempted on non supported HW", "(error 804)"),
        (LATE + "Error 803: system has unsupported display driver / cuda driver combination", "(error 803)"),
        (LATE + "Error 802: system not yet initialized", ": Error 802: system not yet initialized."),
        (LATE + "Error 101: invalid device ordinal\nmore", ": Error 101: invalid device ordinal."),
        pytest.param("word " * 99, " word …", id="no end"),
        ("", "RuntimeError"),
    ],
)
@pytest.mark.parametrize("where", ["init", "prove"])
def test_broken_cuda_falls_back_with_a_reason(cuda, monkeypatch, error, reason, where):
    def fail(*_):
        raise RuntimeError(error)

    monkeypatch.setattr(*((torch.cuda, "init") if where == "init" else (gpu, "prove")), fail)
    device, said = checked()
    assert device == "cpu" and "GPU is not used" in said and reason in said


def test_a_gpu_that_fails_in_a_way_of_its_own_is_not_used(cuda, monkeypatch):
    def fail():
        raise torch.cuda.DeferredCudaCallError("CUDA call failed lazily at initialization with error: device >= 0")

    monkeypatch.setattr(torch.cuda, "init", fail)
    device, said = checked()
    assert device == "cpu" and "CUDA call failed lazily" in said


def test_a_driver_without_a_gpu_is_no_error(cuda, monkeypatch):
    def fail():
        raise RuntimeError("No CUDA GPUs are available")

    monkeypatch.setattr(torch.cuda, "init", fail)
    assert checked() == ("cpu", f"{gpu.TO_CPU} {gpu.ON_COLAB}")


def test_wrong_arithmetic_is_not_believed(cuda, monkeypatch):
    def fail(device):
        raise RuntimeError("a 4×4 matrix product and its gradient came out wrong")

    monkeypatch.setattr(gpu, "prove", fail)
    assert checked()[0] == "cpu"


def test_prove_notices_a_wrong_product(monkeypatch):
    gpu.prove("cpu")
    monkeypatch.setattr(torch, "equal", lambda a, b: False)
    with pytest.raises(RuntimeError, match="came out wrong"):
        gpu.prove("cpu")


def test_mps(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(gpu, "prove", lambda device: None)
    device, said = checked()
    assert device == "mps" and "MPS" in said


def test_the_environment_decides(cuda, monkeypatch):
    monkeypatch.setenv("COURSE_DEVICE", " CPU ")
    device, said = checked()
    assert device == "cpu" and "COURSE_DEVICE" in said
    monkeypatch.setenv("COURSE_DEVICE", "mps")
    device, said = checked()
    assert device == "cpu" and "none was found" in said
    monkeypatch.setenv("COURSE_DEVICE", "gpu")
    with pytest.raises(CourseError, match=r"'gpu'; set it to one of auto, cpu, cuda, mps"):
        check_gpu()
