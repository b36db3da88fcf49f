"""The stop button in a training cell: what has been trained stays, the cells below work, running it again goes on."""

import time

import pytest
from common import NOTEBOOKS
from jupyter_client.manager import start_new_kernel
from notebook_code import cell


class Kernel:
    def __init__(self):
        self.manager, self.client = start_new_kernel(kernel_name="python3", cwd=str(NOTEBOOKS))

    def run(self, code, stop_after=None, timeout=1200):
        """Run `code`; press stop after some seconds. Returns what was printed; an error in the code is an error here."""
        printed = []
        message = self.client.execute(code)
        if stop_after is not None:
            time.sleep(stop_after)
            self.manager.interrupt_kernel()
        while True:
            reply = self.client.get_iopub_msg(timeout=timeout)
            if reply["parent_header"].get("msg_id") != message:
                continue
            if reply["msg_type"] == "stream":
                printed.append(reply["content"]["text"])
            assert reply["msg_type"] != "error", reply["content"]["evalue"]
            if reply["msg_type"] == "status" and reply["content"]["execution_state"] == "idle":
                return "".join(printed)

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture
def kernel():
    kernel = Kernel()
    yield kernel
    kernel.close()


BEFORE = ["setup", "imports", "centres", "data-run", "counter-code", "loss-classic", "loss-wgan-code",
          "loss-modern-code", "nets-code", "nets-d", "game-code", "make-game", "race-make", "race-figure"]  # fmt: skip


OTHERS = {  # the cells that are needed, the last one trains; the name of its number of rounds; its games
    "09": ("setup imports glyphs glyphs-figure measure unet inner critic losses-code game-code make-lesson race-figure race-run",
           "LIVE_STEPS", "race"),
    "10": ("setup imports exact losses-code g-loss-code toy-game toy-run", "TOY_STEPS", "toys"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("number", OTHERS)
def test_one_press_stops_a_cell_that_trains_several_games(kernel, number):
    names, steps, games = OTHERS[number]
    *before, name = names.split()
    for other in before:
        kernel.run(cell(number, other))
    code = cell(number, name)
    if number == "10":  # its first line makes the games, which may take its time
        first, code = code.split("\n", 1)
        kernel.run(f"{steps} = 100_000\n{first}")
    said = kernel.run(f"{steps} = 100_000\n{code}", stop_after=6)
    assert said.count("Stopped at step") == 1
    trained = eval(kernel.run(f"print([game.step for game in {games}.values()])"))
    assert 0 < trained[0] < 100_000 and not any(trained[1:])


@pytest.mark.slow
def test_stopping_the_race_of_06(kernel):
    for name in BEFORE:
        kernel.run(cell("06", name))
    kernel.run("LIVE_STEPS = 100_000")  # nobody can be so quick that there is nothing to stop
    said = kernel.run(cell("06", "race-run"), stop_after=6)
    assert "Stopped at step" in said and "Nothing is lost" in said
    steps = eval(kernel.run("print([game.step for game in race.values()])"))
    assert 0 < steps[0] < 100_000 and steps[1:] == [0] * 4, "one press stops the whole cell"
    kernel.run("LIVE_STEPS = 400\n" + cell("06", "shots-draw"))
    kernel.run(cell("06", "shots-live"))
    assert "saturating, seed 1, step 0: modes" in kernel.run("print(draw_shot('saturating', 1, 30))")
    kernel.run("LIVE_STEPS = race['saturating'].step + 5\n" + cell("06", "race-run"))
    assert eval(kernel.run("print([game.step for game in race.values()])"))[0] == steps[0] + 5
