"""Widget callbacks may run in threads of their own: what they share is used by one at a time."""

import threading
import time

import matplotlib.pyplot as plt
import pytest
import torch

from helpers import Game, Player, live, slider


def in_threads(*functions):
    errors = []

    def run(function):
        try:
            function()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    return errors


def test_one_redraw_at_a_time():
    inside, most = [0], [0]

    def draw(a, b):
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.01)
        inside[0] -= 1
        return f"{a} {b}"

    figure, _ = plt.subplots()
    panel = live(figure, draw, a=slider("a", 0, 9, 0), b=slider("b", 0, 9, 0))
    moves = [lambda n=n, name=name: panel.set(**{name: n}) for n in range(1, 5) for name in "ab"]
    assert not in_threads(*moves)
    assert most[0] == 1 and not panel.text.startswith("✗")


@pytest.mark.parametrize("members", [1, 4])
def test_one_game_trained_and_asked_from_two_threads_goes_on_whole(members):
    x = torch.linspace(-1, 1, 32)[:, None]

    def loss(nets, batch, member):
        return ((nets.net(x) - x**2) ** 2).mean()

    def game():
        make = {"net": lambda: torch.nn.Sequential(torch.nn.Linear(1, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))}
        return Game(make, [Player("net", loss)], members=members)

    alone, shared = game(), game()
    alone.train(160, progress=False)

    def ask():
        for _ in range(40):
            shared.evaluate(lambda nets, member: nets.net(x).mean())

    errors = in_threads(*[lambda: [shared.train(1, progress=False) for _ in range(40)] for _ in range(4)], ask)
    assert not errors
    assert shared.step == len(shared.history["net"]) == 160
    assert (alone.history["net"] == shared.history["net"]).all()
