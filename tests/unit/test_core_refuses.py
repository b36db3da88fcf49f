"""What does not fit is refused at once, with one sentence, and nothing has changed: numbers, names, members, checkpoints."""

import numpy as np
import pytest
import torch
from core_games import one_thread  # noqa: F401
from torch import nn

from helpers import CourseError, Game, Player, Schedule, falling, normal, rows, sweep, uniform

X = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))


def square(nets, batch, member):
    return nets.G(batch.x).square().mean()


def line():
    return nn.Linear(2, 1)


def game(make=line, loss=square, sample=None, members=1, nets=None, average=None, group=None, device="cpu",
         compile=False, **player):  # fmt: skip
    sample = [rows(8, x=X)] if sample is None else sample
    players = [Player("G", loss, **player)]
    return Game(nets or {"G": make}, players, sample, members, average, device, group, compile)


# Numbers


def test_whole_numbers_may_be_written_as_fractions():
    one = game(repeats=2.0, sample=[rows(np.float64(8), x=X)], group=np.int64(1), members=2.0)
    one.train(1e1)
    one.train(until=40 / 2, every=np.float32(5))
    assert one.step == 20 and type(one.step) is int and one.turns == {"G": 40}
    starts = [game(members=sweep(seed=[s])).state["G"]["weights"] for s in (1, 1.0, True, np.int8(1), torch.tensor(1))]
    assert all(torch.equal(start, starts[0]) for start in starts)
    assert normal(z=64)[0].shape == (64,) and uniform(e=np.array([2, 3]).tolist())[0].shape == (2, 3)
    assert game(sample=rows(8, x=X)).batch("G")["x"].shape == (1, 8, 2)
    assert game(sample=[rows(8, x=np.random.default_rng(0).normal(size=(9, 2)))]).batch("G")["x"].dtype == torch.float32


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: sweep(seed=[INF]), "whole number"),
        (lambda: sweep(seed=[0.5]), "whole number"),
        (lambda: sweep(seed=[2**70]), r"below 2\*\*63"),
        (lambda: sweep(rate=[NAN]), "must be a number"),
        (lambda: sweep(rate=[1j]), "needs numbers"),
        (lambda: game().train(3, callback=print, every=0), "every must be a whole number, 1 or more"),
        (lambda: game().train(3, callback=print, every=-1), "every must be"),
        (lambda: game().train(3, callback=3), "callback must be a function"),
        (lambda: game().train(3, only=[]), "names no player"),
        (lambda: game().train(-5), "number of steps must be a whole number, 0 or more; it is -5"),
        (lambda: game().train(2.5), "number of steps must be"),
        (lambda: game().train("3"), "number of steps must be"),
        (lambda: game().train(until=-1), "step to train until"),
        (lambda: rows(0, x=X), "number of rows must be"),
        (lambda: rows(2.5, x=X), "number of rows must be"),
        (lambda: rows(8, x="words"), "needs numbers"),
        (lambda: rows(8, x=3.0), "same length"),
        (lambda: normal(z=(8, 0)), "Each size"),
        (lambda: normal(z=(8, -2)), "Each size"),
        (lambda: uniform(z="8"), "Each size"),
        (lambda: game(sample=[X]), "list of rows, normal and uniform"),
        (lambda: game(members=[0, 1]), r"write sweep\(seed=\[0, 1\]\)"),
        (lambda: game(members=0), "members must be"),
        (lambda: game(device="gpu"), "no device 'gpu'"),
        (lambda: game(group=0), "group must be"),
        (lambda: game(compile="yes"), "compile is True, False or 'auto'"),
        (lambda: game(clip=-0.1), "clip of 'G' must be a number"),
        (lambda: game(clip=0), "clip of 'G' must be a number"),
        (lambda: game(lr=NAN), "learning rate"),
        (lambda: game(lr=INF), "learning rate"),
        (lambda: game(lr=[0.1]), "learning rate"),
        (lambda: game(members=sweep(learning_rate=[0.1, -0.1])), "not below 0"),
        (lambda: game(repeats=1.5), "repeats=1.5"),
        (lambda: game(betas=(0.9, 1.0)), "betas"),
        (lambda: game(betas=(0.9,)), "two betas"),
        (lambda: game(schedule=3), "schedule of 'G' must be a function"),
        (lambda: game(schedule=lambda step: -1), "schedule of 'G' gives"),
        (lambda: game(average={"G": 1.5}), "decay of 'G'"),
        (lambda: game(average=["G"]), "average maps a network's name to its decay"),
        (lambda: game(betas=0.5), "needs two betas"),
        (lambda: sweep(seed=2, a=[0.1, 0.2]).where(a=[0.1, 0.2]), "where compares 'a' with one number"),
        (lambda: falling(5, 5), "growing steps"),
        (lambda: falling("a", 5), "must be a number"),
        (lambda: Schedule((0, NAN)), "must be a number"),
        (lambda: game().set_rate("G", NAN), "0 or more"),
        (lambda: game().set_rate("G", INF), "0 or more"),
        (lambda: game().set_rate("G", "fast"), "0 or more"),
        (lambda: game().batch("D"), "no player 'D'"),
        (lambda: game().member(0.5), "number of a member"),
        (lambda: Game(line, [Player("G", square)], [rows(8, x=X)]), "needs nets="),
        (lambda: Game({"G": line}, [square], [rows(8, x=X)]), "needs nets="),
    ],
)
def test_numbers_of_the_wrong_kind_are_refused_at_once(wrong, words):
    with pytest.raises(CourseError, match=words) as error:
        wrong()
    assert "\n" not in str(error.value)


def test_a_schedule_that_breaks_later_stops_there():
    one = game(schedule=lambda step: 1.0 if step < 30 else NAN)
    with pytest.raises(CourseError, match="schedule of 'G' gives at step"):
        one.train(40)
    assert one.step <= 30 and np.isfinite(one.history["G"]).all()


class Complex(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(2, 4, dtype=torch.complex64))

    def forward(self, x):
        return (x.to(torch.complex64) @ self.w).abs()


class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(2, 2), nn.Linear(2, 1).double()

    def forward(self, x):
        return self.b(self.a(x).double())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Complex, "complex64"),
        (Mixed, "float64"),
        (lambda: line().bfloat16(), "bfloat16"),
        (lambda: line().half(), "float16"),
        (lambda: nn.LazyLinear(1), "lazy layers"),
        (lambda: nn.Linear(2, 1 + torch.initial_seed() % 2), "built otherwise for other seeds"),
    ],
)
def test_networks_of_other_numbers_are_refused(make, words):
    loss = lambda n, b, m: n.G(b.x.to(next(n.G.parameters()).dtype)).float().square().mean()  # noqa: E731
    with pytest.raises(CourseError, match=words):
        game(make, loss, members=8)


def test_old_weight_norm_gets_a_sentence_or_trains():
    with pytest.warns(FutureWarning):
        try:
            game(lambda: nn.utils.weight_norm(line())).train(3)
        except CourseError as error:
            assert "parametrizations" in str(error)
    one = game(lambda: nn.utils.parametrizations.weight_norm(line()), members=2)
    one.train(3)
    assert one.group == 2


def test_noise_is_finite_in_half_precision():
    torch.set_default_dtype(torch.float16)
    try:
        loss = lambda n, b, m: n.G(b.z.float()).square().mean() + b.u.float().mean()  # noqa: E731
        one = game(lambda: nn.Linear(6, 1).float(), loss, [normal(z=(4096, 6)), uniform(u=(4096, 6))])
        batches = [one.batch("G", turn) for turn in range(20)]
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(b["z"].isfinite().all() and b["u"].max() < 1 and b["z"].dtype == torch.float16 for b in batches)


# Names


def test_names_that_are_taken_and_names_that_are_free():
    for wrong in (
        lambda: rows(8, x=X, step=X),
        lambda: normal(step=(8,)),
        lambda: rows(8, _x=X),
        lambda: game(nets={"_G": line}, loss=lambda n, b, m: 0),
        lambda: sweep(_what=[1.0]),
        lambda: Player(3, square),
    ):
        with pytest.raises(CourseError, match=r"name is taken|begin with an underscore"):
            wrong()
    for name in ("seen", "names", "values", "what", "more"):
        loss = lambda n, b, m, name=name: getattr(n, name)(getattr(b, name)).square().mean() * getattr(m, name)  # noqa: E731
        one = Game({name: line}, [Player(name, loss)], [rows(8, **{name: X})], sweep(**{name: [1.0, 2.0]}))
        one.train(2)
        assert one.group == 2 and getattr(one.member(0), name)(X).shape == (50, 1)


def test_numbers_of_the_loss_have_names_of_their_own():
    own = lambda n, b, m: (square(n, b, m), {"G": torch.tensor(1.0)})  # noqa: E731
    with pytest.raises(CourseError, match="other names than 'G'"):
        game(loss=own)
    with pytest.raises(CourseError, match="other names than"):
        game(loss=lambda n, b, m: (square(n, b, m), 3.0))

    def player(name, extra, when=lambda step: True):
        def loss(nets, batch, member):
            value = getattr(nets, name)(batch.x).square().mean()
            return (value, {extra: value * 2}) if when(batch.step) else value

        return Player(name, loss)

    nets, late = {"G": line, "D": line}, lambda step: step > 3
    for players in ([player("D", "G"), player("G", "m")], [player("D", "m"), player("G", "m")]):
        with pytest.raises(CourseError, match="name is taken"):
            Game(nets, players, [rows(8, x=X)])
    one = Game(nets, [player("D", "G", late), player("G", "m")], [rows(8, x=X)])
    with pytest.raises(CourseError, match="number called 'G'"):
        one.train(10)


def test_what_is_asked_for_only_later_is_there():
    def loss(nets, batch, member):
        return nets.G(batch.x * (batch.eps + batch.y if batch.step >= 2 else 1)).square().mean()

    sample = [rows(8, x=X, y=X), uniform(eps=(8, 1))]
    among, alone = (game(loss=loss, sample=sample, members=sweep(seed=seeds)) for seeds in (range(3), [2]))
    for one in (among, alone):
        one.train(6)
    assert among.group == 3
    np.testing.assert_allclose(among.history["G"][:, 2], alone.history["G"][:, 0], rtol=1e-4)


def test_a_number_returned_now_and_then_has_nan_between():
    def loss(nets, batch, member):
        value = square(nets, batch, member)
        return (value, {"now and then": batch.step * 1.0}) if batch.step % 3 == 0 else value

    for members in (1, 5):
        one = game(loss=loss, members=members, group=2)
        one.train(40)
        steps = one.history["now and then"]
        assert steps.shape == (40, members)
        for column in steps.T:
            assert column[np.isfinite(column)].tolist() == list(range(0, 40, 3))


# Members


def test_members_by_mask_list_and_number():
    members = sweep(seed=range(2), penalty=[0.1, 1, 10])
    mask = members.column("penalty") > 5
    for key in (mask, mask.tolist(), torch.from_numpy(mask), [2, 5], np.array([2.0, 5.0]), [-4, -1]):
        assert members[key].columns == {"seed": [0, 1], "penalty": [10, 10]}
    assert members[-1].penalty == 10 and members[1:3].columns["penalty"] == [1, 10]
    for wrong in (mask[:3], [], mask & False, [6], [0.5], 6, True, "a"):
        with pytest.raises(CourseError):
            members[wrong]


def test_members_are_found_where_fractions_were_rounded():
    assert sweep(rate=np.arange(0.1, 0.5, 0.1)).where(rate=0.3).tolist() == [2]
    assert sweep(penalty=np.float32([0.1, 1])).where(penalty=0.1).tolist() == [0]
    assert sweep(rate=np.linspace(-1, 1, 41)).where(rate=0).tolist() == [20]
    assert sweep(rate=[0.3, 0.3 + 1e-9]).where(rate=0.3).tolist() == [0]
    assert sweep(seed=[10**9, 10**9 + 1]).where(seed=10**9).tolist() == [0]
    with pytest.raises(CourseError, match=r"No member has rate=0.25; there are .*rate="):
        sweep(rate=[0.1, 0.2]).where(rate=0.25)


# State


def test_weights_may_be_put_in_without_a_colon():
    trained, one = game(members=2), game(members=2, average={"G": 0.9})
    trained.train(200)
    one.state["G"]["weights"] = trained.state["G"]["weights"].clone()
    one.state["G"].update(average=trained.state["G"]["weights"])
    loss = lambda game: game.evaluate(lambda n, m: n.G(X).square().mean(), averaged=False)  # noqa: E731
    np.testing.assert_allclose(loss(one), loss(trained))
    np.testing.assert_allclose(one.evaluate(lambda n, m: n.G(X).square().mean()), loss(trained))
    before = one.state["G"]["weights"].clone()
    one.train(1)
    assert not torch.equal(one.state["G"]["weights"], before)
    for wrong in (lambda: one.state["G"].__setitem__("weight", before), lambda: one.state["G"].update(weights=before[:1]),
                  lambda: one.state.__setitem__("G", {}), lambda: one.state["G"].__setitem__("weights", 3)):  # fmt: skip
        with pytest.raises(CourseError, match="takes a tensor of the same shape"):
            wrong()


# Checkpoints


def tower(bend=nn.ReLU, norm=None):
    middle = [] if norm is None else [nn.BatchNorm1d(4, affine=norm)]
    return lambda: nn.Sequential(nn.Linear(2, 4), *middle, bend(), nn.Linear(4, 1))


class Bent(nn.Module):
    def __init__(self, bend=torch.tanh, slope=1.0):
        super().__init__()
        self.lin, self.bend, self.slope = nn.Linear(2, 1), bend, slope

    def forward(self, x):
        return self.bend(self.lin(x)) * self.slope


class Bowed(Bent):
    def forward(self, x):
        return self.bend(self.lin(x)) * self.slope + 1


def power(k):
    return lambda nets, batch, member: nets.G(batch.x).abs().pow(k).mean()


LIMIT = 2.0


def limited(nets, batch, member):
    return square(nets, batch, member).clamp(max=LIMIT)


def teacher(k):
    torch.manual_seed(k)
    return nn.Linear(2, 1)


def taught(k):
    loss = lambda n, b, m: (n.G(b.x) - n.T(b.x)).square().mean()  # noqa: E731
    return {"nets": {"T": teacher(k), "G": line}, "loss": loss}


GAMES = {
    "no batch norm": {"make": tower()},
    "batch norm": {"make": tower(norm=False)},
    "batch norm with weights": {"make": tower(norm=True)},
    "leaky": {"make": tower(nn.LeakyReLU)},
    "more leaky": {"make": tower(lambda: nn.LeakyReLU(0.3))},
    "tanh in forward": {"make": Bent},
    "sigmoid in forward": {"make": lambda: Bent(torch.sigmoid)},
    "another slope": {"make": lambda: Bent(slope=2.0)},
    "another forward": {"make": Bowed},
    "square": {"make": line},
    "cubes": {"loss": power(3)},
    "fourth powers": {"loss": power(4)},
    "limited": {"loss": limited},
    "falling": {"schedule": falling(300, 600)},
    "falling later": {"schedule": falling(200, 950)},
    "halved": {"schedule": lambda step: 1.0 if step < 20_000 else 0.5},
    "thirds": {"schedule": lambda step: 1.0 if step < 20_000 else 0.3},
    "other data": {"sample": [rows(8, x=X + 1e-3)]},
    "other numbers": {"sample": [rows(8, x=X.double().float().flip(0))]},
    "more rows": {"sample": [rows(9, x=X)]},
    "one teacher": taught(1),
    "another teacher": taught(2),
    "sgd": {"optimiser": "sgd"},
    "other betas": {"betas": (0.5, 0.9)},
    "averaged": {"average": {"G": 0.9}},
}


def test_a_checkpoint_is_taken_by_the_same_game_only(tmp_path, monkeypatch):
    for name, settings in GAMES.items():
        one = game(members=2, **settings)
        one.train(2)
        one.save(tmp_path / name)
    for name, settings in GAMES.items():
        one = game(members=2, **settings)
        one.train(1)
        before = {k: v.clone() for k, v in one.state["G"].items()}
        for other in GAMES:
            if other != name:
                with pytest.raises(CourseError, match=r"belongs to another game: its [a-z ]+ differ"):
                    one.load(tmp_path / other)
                    pytest.fail(f"{name} took {other}")
        assert one.step == 1 and len(one.history["G"]) == 1
        assert all(torch.equal(value, before[key]) for key, value in one.state["G"].items())
        one.load(tmp_path / name)
        assert one.step == 2
    monkeypatch.setitem(globals(), "LIMIT", 3.0)
    with pytest.raises(CourseError, match="its losses differ"):
        game(members=2, loss=limited).load(tmp_path / "limited")


def test_the_place_of_a_checkpoint_is_looked_at_before_the_first_step(tmp_path):
    one = game()
    for place in (tmp_path / "nowhere" / "a.checkpoint", tmp_path, 3, "/proc/a.checkpoint"):
        with pytest.raises(CourseError, match="cannot be written"):
            one.train(300, checkpoint=place)
        with pytest.raises(CourseError, match="cannot be written"):
            one.save(place)
    assert one.step == 0
    one.train(3, checkpoint=tmp_path / "a.checkpoint")
    assert [path.name for path in tmp_path.iterdir()] == ["a.checkpoint"]
