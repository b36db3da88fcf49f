"""What the tests start cannot leave this machine. Nothing is sent here: the hook is asked, as a connection would ask it."""

import os
import subprocess
import sys

import pytest
from common import ROOT
from start import loopback_only

START = str(ROOT / "tests" / "tools" / "start")


@pytest.mark.parametrize("address", [("127.0.0.1", 80), ("::1", 80, 0, 0), ("localhost", 80), "/run/a.socket", None])
def test_the_machine_itself_may_be_reached(address):
    loopback_only.refuse("socket.connect", (None, address))


@pytest.mark.parametrize("event", ["socket.connect", "socket.sendto", "socket.sendmsg"])
@pytest.mark.parametrize("address", [("192.0.2.1", 80), ("2001:db8::1", 80, 0, 0), ("example.org", 80)])
def test_others_may_not(event, address):
    with pytest.raises(RuntimeError, match=f"wants to reach {address[0]}"):
        loopback_only.refuse(event, (None, address))


def test_a_started_python_has_the_hook_and_is_told_before_anything_is_sent():
    code = "import sys; sys.audit('socket.connect', None, ('192.0.2.1', 80))"
    environment = {**os.environ, "PYTHONPATH": START}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert "this wants to reach 192.0.2.1" in done.stderr and done.returncode == 1


def test_the_tests_put_the_hook_before_every_python():
    assert START in os.environ["PYTHONPATH"].split(os.pathsep)
