"""What the training core promises besides exactness: sweeps, streams, schedules, histories, evaluation, messages."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from core_games import classify, data, make_game, one_thread, state_of  # noqa: F401
from torch import nn

from helpers import (
    CourseError,
    Game,
    Player,
    Schedule,
    falling,
    gradient,
    gradient_penalty,
    normal,
    rows,
    sweep,
    uniform,
    zero_gradient_penalty,
)


def line(**settings):
    """A one-player game: y = 2x by least squares, a line per member."""
    x = torch.linspace(-1, 1, 50)[:, None]
    player = Player("line", lambda nets, batch, member: (nets.line(batch.x) - batch.y).square().mean(), lr=0.05)
    return Game({"line": lambda: nn.Linear(1, 1)}, [player], [rows(16, x=x, y=2 * x)], **settings)


def test_a_sweep_is_a_product_and_labels_its_results():
    members = sweep(seed=range(3), penalty=[0.1, 10])
    assert len(members) == 6 and members.label(3) == "seed=1, penalty=10"
    assert members[3].penalty == 10 and len(members[2:4]) == 2
    assert members.where(penalty=10).tolist() == [1, 3, 5] and members.where(seed=2, penalty=0.1).tolist() == [4]
    assert sweep(temperature=2).columns == {"seed": [0], "temperature": [2]}
    for wrong, words in [
        ({"loss": ["a"]}, "needs numbers"),
        ({"seed": []}, "empty list"),
        ({"seed": [-1]}, "whole number"),
    ]:
        with pytest.raises(CourseError, match=words):
            sweep(**wrong)


def test_every_member_learns_at_its_own_rate():
    members = sweep(seed=range(2), learning_rate=[0.0, 1e-3, 0.1])
    x = torch.linspace(-1, 1, 50)[:, None]
    player = Player("line", lambda nets, batch, member: (nets.line(batch.x) - 2 * batch.x).square().mean())
    game = Game({"line": lambda: nn.Linear(1, 1)}, [player], [rows(16, x=x)], members)
    before = game.state["line"]["weights"].clone()
    game.train(100)
    moved = (game.state["line"]["weights"] - before).abs().amax(1)
    assert (moved[members.where(learning_rate=0.0)] == 0).all()
    assert (moved[members.where(learning_rate=0.1)] > moved[members.where(learning_rate=1e-3)]).all()
    assert game.history["line"].shape == (100, 6) and list(game.history) == ["line"]


@pytest.mark.parametrize("group", [None, 1])
def test_a_rate_set_later_is_as_if_it_had_been_there(group):
    at_once, later = (line(members=3, group=group) for _ in range(2))
    for game, rates in [(at_once, [0.05]), (later, [0.05, 0.05])]:
        for rate in rates:
            game.set_rate("line", rate)
            game.train(10 // len(rates))
    assert torch.equal(at_once.state["line"]["weights"], later.state["line"]["weights"])
    before = later.state["line"]["weights"].clone()
    later.set_rate("line", [0, 0.1, 0])
    later.train(5)
    moved = (later.state["line"]["weights"] - before).abs().amax(1)
    assert moved[0] == moved[2] == 0 < moved[1]
    for wrong, words in [(("line", -1), "0 or more"), (("line", [1, 2]), "one for each"), (("G", 1), "no player")]:
        with pytest.raises(CourseError, match=words):
            later.set_rate(*wrong)


def test_plain_gradient_descent():
    game = line(members=3)
    game.players["line"].optimiser = "sgd"
    weights = game.state["line"]["weights"].clone()
    batch = game.batch("line")
    game.train(1)
    slope = 2 * ((weights[:, :1, None] * batch["x"] + weights[:, 1:, None]) - batch["y"])  # (members, batch, 1)
    grad = torch.cat([(slope * batch["x"]).mean(1), slope.mean(1)], dim=1)
    torch.testing.assert_close(game.state["line"]["weights"], weights - 0.05 * grad)


def test_streams_depend_on_seed_player_name_and_turn_only():
    def noise(seeds, size=4):
        loss = lambda nets, batch, member: nets.A(batch.z).mean() + batch.e.mean() + batch.x.mean()  # noqa: E731
        sample = [normal(z=(size, 2)), uniform(e=(size,)), rows(size, x=torch.arange(9.0))]
        return Game({"A": lambda: nn.Linear(2, 1)}, [Player("A", loss)], sample, sweep(seed=seeds))

    many, few = noise(range(32)), noise([17])
    for turn in (0, 1, 5000, 123_456):
        for name, numbers in few.batch("A", turn).items():
            assert torch.equal(many.batch("A", turn)[name][17], numbers[0]), (turn, name)
    batches = [many.batch("A", turn) for turn in range(0, 4000, 200)]
    z, e, x = (torch.cat([batch[name].flatten() for batch in batches]) for name in "zex")
    assert len(z.unique()) > 0.99 * len(z)
    assert abs(z.mean()) < 0.05 and abs(z.std() - 1) < 0.05 and abs((z**4).mean() - 3) < 0.4
    assert e.min() >= 0 and e.max() < 1 and abs(e.mean() - 0.5) < 0.03
    assert set(x.tolist()) == set(range(9)) and abs(x.mean() - 4) < 0.3


def test_rows_keep_pictures_and_labels_together():
    x, y = torch.randn(30, 3, 4), torch.arange(30)
    loss = lambda nets, batch, member: F.cross_entropy(nets.C(batch.x.flatten(1)), batch.y)  # noqa: E731
    game = Game({"C": lambda: nn.Linear(12, 30)}, [Player("C", loss)], [rows(7, x=x, y=y)], members=5)
    batch = game.batch("C", 3)
    assert batch["x"].shape == (5, 7, 3, 4) and torch.equal(batch["x"], x[batch["y"]])
    with pytest.raises(CourseError, match="same length"):
        rows(3, x=x, y=y[:5])


def test_random_numbers_inside_a_loss_are_the_members_own():
    def make(seeds, **settings):
        net = lambda: nn.Sequential(nn.Linear(2, 8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, 1))  # noqa: E731

        def loss(nets, batch, member):
            z = torch.randn(6, 2) + torch.rand_like(batch.x)
            return (nets.A(z) - batch.x.sum(1, keepdim=True)).square().mean()

        return Game({"A": net}, [Player("A", loss)], [rows(6, x=data((2,)))], sweep(seed=seeds), **settings)

    torch.manual_seed(1)
    among = make(range(8))
    torch.manual_seed(2)
    alone = make([5], group=1)
    assert among.group == 8
    for game in (among, alone):
        game.train(30)
        torch.rand(3)
    for key, value in state_of(among, 5).items():
        torch.testing.assert_close(value, state_of(alone, 0)[key], rtol=1e-4, atol=1e-5)
    assert len(set(among.history["A"][0])) == 8
    first = among.evaluate(lambda nets, member: nets.A(torch.randn(4, 2)))
    np.testing.assert_array_equal(first, among.evaluate(lambda nets, member: nets.A(torch.randn(4, 2))))
    np.testing.assert_allclose(first[5], alone.evaluate(lambda nets, member: nets.A(torch.randn(4, 2)))[0], atol=1e-4)
    fixed = lambda nets, member: nets.A(torch.randn(4, 2, generator=torch.Generator().manual_seed(0)))  # noqa: E731
    with pytest.raises(CourseError, match="randn inside a loss was given a generator of its own"):
        among.evaluate(fixed)
    double = among.evaluate(lambda nets, member: torch.rand(3, dtype=torch.float64))
    assert double.dtype == np.float64 and double.shape == (8, 3)
    like = among.evaluate(lambda nets, member: torch.rand_like(torch.zeros(3, dtype=torch.float64)))
    assert like.dtype == np.float64


def test_a_vmap_of_the_students_own_is_not_taken_for_the_members():
    grid = torch.randn(3, 5, 2)  # as many slices as there are members

    def loss(nets, batch, member):
        return torch.vmap(nets.D)(grid).square().mean()

    together, alone = (
        Game({"D": lambda: nn.Linear(2, 1)}, [Player("D", loss)], members=3, group=size) for size in (3, 1)
    )
    for game in (together, alone):
        game.train(3)
    assert together.group == 3
    np.testing.assert_allclose(together.history["D"], alone.history["D"], rtol=1e-5)


def test_schedules():
    assert [falling(10, 20)(s) for s in (0, 10, 15, 20, 99)] == [1, 1, 0.5, 0, 0]
    warm = Schedule((0, 0.0), (4, 1.0), (8, 0.5))
    assert [warm(s) for s in (0, 1, 4, 6, 8, 100)] == [0, 0.25, 1, 0.75, 0.5, 0.5]
    with pytest.raises(CourseError, match="growing steps"):
        Schedule((4, 1), (2, 0))
    game = line(members=2)
    game.players["line"].schedule = falling(5, 10)
    game.train(10)
    before = game.state["line"]["weights"].clone()
    game.train(5)
    assert torch.equal(before, game.state["line"]["weights"])


def test_averages_evaluation_and_one_member():
    game = make_game("non-saturating", seeds=range(3), average={"G": 0.9})
    game.train(20)
    z = torch.randn(5, 2)
    for averaged in (True, False):
        pictures = game.evaluate(lambda nets, member: nets.G(z), averaged=averaged)
        assert pictures.shape == (6, 5, 2)
        for i in (0, 5, -1):
            with torch.no_grad():
                np.testing.assert_allclose(game.member(i, averaged).G(z), pictures[i], atol=1e-5)
    assert not np.allclose(pictures, game.evaluate(lambda nets, member: nets.G(z)))
    net = game.member(2).G
    assert isinstance(net, nn.Sequential) and not net.training
    assert all(isinstance(p, nn.Parameter) and p.requires_grad for p in net.parameters())
    with torch.no_grad():
        net[0].weight.zero_()  # its own memory
    assert game.state["G"]["average"][2].abs().min() >= 0 and game.member(2).G[0].weight.abs().max() > 0
    rates = game.evaluate(lambda nets, member: member.learning_rate)
    np.testing.assert_allclose(rates, game.members.column("learning_rate"))
    before = state_of(game, 0)
    game.evaluate(lambda nets, member: nets.G(z).mean())  # eval mode: running statistics stay
    assert all(torch.equal(v, before[k]) for k, v in state_of(game, 0).items())
    game.train(1)
    assert not torch.equal(game.state["G"]["buffer.1.running_mean"][0], before["G.buffer.1.running_mean"])


def test_a_trained_module_is_a_teacher_for_all_and_stays_as_it_is():
    teacher = nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.5))
    start = [p.clone() for p in teacher.parameters()]

    def distil(nets, batch, member):
        soft = F.softmax(nets.T(batch.x) / member.temperature, 1)
        return -(soft * F.log_softmax(nets.S(batch.x) / member.temperature, 1)).sum(1).mean() * member.temperature**2

    game = Game({"T": teacher, "S": lambda: nn.Linear(2, 3)}, [Player("S", distil, lr=0.05)],
                [rows(16, x=data((2,)))], sweep(seed=range(3), temperature=[1, 4]))  # fmt: skip
    game.train(300)
    x = data((2,), seed=5)
    right = game.evaluate(lambda nets, member: (nets.S(x).argmax(1) == nets.T(x).argmax(1)).float().mean())
    assert (right > 0.8).all()
    assert all(torch.equal(a, b) for a, b in zip(start, teacher.parameters(), strict=True))
    assert teacher.training and teacher[0].weight.requires_grad


def test_one_player_at_a_time_callbacks_and_extras():
    game = make_game("saturating", seeds=range(2))
    seen = []
    game.train(10, callback=lambda g: seen.append(g.step), every=4)
    assert seen == [4, 8]
    g = game.state["G"]["weights"].clone()
    game.train(3, only="D")
    assert torch.equal(g, game.state["G"]["weights"]) and game.turns == {"D": 13, "G": 10}
    assert np.isnan(game.history["G"][10:]).all() and np.isfinite(game.history["D"]).all()
    game = make_game("supervised", seeds=range(2))
    game.train(2)
    assert set(game.history) == {"C", "right"} and game.history["right"].shape == (2, 4)


def test_the_step_is_in_the_batch():
    def loss(nets, batch, member):
        return nets.A(batch.z).square().mean() * 0 + (batch.step / 4).clamp(0, 1)

    game = Game({"A": lambda: nn.Linear(2, 1)}, [Player("A", loss)], [normal(z=(3, 2))], members=3)
    game.train(6)
    np.testing.assert_allclose(game.history["A"][:, 1], [0, 0.25, 0.5, 0.75, 1, 1])


def test_slopes_and_penalties_by_hand():
    x, fake, eps = data((3,), 6), data((3,), 6, 1), torch.rand(6, 1)
    torch.testing.assert_close(gradient(lambda x: (x**3).sum(1), x), 3 * x**2)
    w = torch.tensor([3.0, 0.0, 4.0])  # a plane: its slope has the length 5 everywhere
    torch.testing.assert_close(gradient_penalty(lambda x: x @ w, x, fake, eps), torch.tensor(16.0))
    torch.testing.assert_close(zero_gradient_penalty(lambda x: x @ w, x), torch.tensor(25.0))
    bowl = lambda x: x.square().sum(1) / 2  # noqa: E731
    expected = ((eps * x + (1 - eps) * fake).norm(dim=1) - 1).square().mean()
    torch.testing.assert_close(gradient_penalty(bowl, x, fake, eps[:, 0]), expected)


def test_recurrent_and_tied_networks():
    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.letters = nn.Embedding(5, 8)
            self.memory = nn.GRU(8, 8, batch_first=True)
            self.out = nn.Linear(8, 5)
            self.out.weight = self.letters.weight

        def forward(self, x):
            return self.out(self.memory(self.letters(x))[0])

    text = torch.randint(0, 5, (20, 7))
    loss = lambda nets, b, m: F.cross_entropy(nets.R(b.x[:, :-1]).flatten(0, 1), b.x[:, 1:].flatten())  # noqa: E731
    games = []
    for seeds in (range(4), [2]):
        games.append(lambda seeds=seeds: Game({"R": Reader}, [Player("R", loss)], [rows(8, x=text)], sweep(seed=seeds)))
    with pytest.warns(UserWarning, match="trained one after another"):  # torch has no batched GRU
        among = games[0]()
    alone = games[1]()
    assert among.group == 1
    for game in (among, alone):
        game.train(20)
    np.testing.assert_allclose(among.history["R"][:, 2], alone.history["R"][:, 0], rtol=1e-3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"loss": lambda nets, batch, member: nets.G(batch.y).mean()}, "batch has no 'y'; it has x, z, step"),
        ({"loss": lambda nets, batch, member: nets.Q(batch.x).mean()}, "nets has no 'Q'; it has G"),
        (
            {"loss": lambda nets, batch, member: nets.G(batch.x).mean() * member.speed},
            "member has no 'speed'; it has seed",
        ),
        ({"loss": lambda nets, batch, member: nets.G(batch.x)}, r"one number for 'G' .*gave \(4, 2\)"),
        ({"loss": lambda nets, batch, member: batch.x.mean()}, "does not depend on its networks: G"),
        ({"loss": 3}, "needs a function"),
        ({"optimiser": "magic"}, "'magic'; there are adam, sgd"),
        ({"nets": ["D"]}, "owns 'D', which is not a function in nets"),
        ({"repeats": 0}, "repeats=0"),
        ({"lr": "speed"}, "no 'speed'; they have seed"),
        ({"lr": -1}, "below 0"),
    ],
)
def test_mistakes_get_one_sentence(change, words):
    settings = {"loss": lambda nets, batch, member: nets.G(batch.x).mean(), **change}
    with pytest.raises(CourseError, match=words) as error:
        Game({"G": lambda: nn.Linear(2, 2)}, [Player("G", **settings)], [rows(4, x=data((2,))), normal(z=(4, 2))])
    assert "\n" not in str(error.value)


def test_more_mistakes_get_one_sentence():
    game = line(members=2)
    for wrong, words in [
        (lambda: game.train(), "how many steps"),
        (lambda: game.train(3, only="D"), "names no player"),
        (lambda: game.member(7), "there are 2"),
        (lambda: game.member(0).G, "has no 'G'; it has line"),
        (lambda: game.history["D"], "nothing yet"),
        (lambda: game.members.where(penalty=1), "no 'penalty'; they have seed"),
        (lambda: line(average={"D": 0.9}), "average names 'D'"),
        (lambda: Game({"G": 3}, []), "function that builds"),
        (lambda: Game({"G": lambda: 3}, []), "function that builds"),
        (lambda: Game({}, [], [normal(z=(2,)), uniform(z=(2,))]), "'z' twice"),
    ]:
        with pytest.raises(CourseError, match=words):
            wrong()


def test_progress_bar_is_seen_and_can_be_silenced(capsys, monkeypatch):
    game = line(members=2)
    game.train(30)
    assert capsys.readouterr() == ("", "")
    game.train(1000, progress=True)
    assert "line=" in "".join(capsys.readouterr())
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("COURSE_PROGRESS", "0")
    game.train(30)
    assert capsys.readouterr() == ("", "")
