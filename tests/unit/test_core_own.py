"""A member's random numbers, layers and gradients are its own: the same alone and among others, now and resumed."""

import inspect
import random
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from core_games import COMPILES, one_thread  # noqa: F401
from torch import nn

from helpers import CourseError, Game, Player, gradient_penalty, normal, rows, sweep, uniform, zero_gradient_penalty

X = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
STORY = torch.randn(50, 6, 8, generator=torch.Generator().manual_seed(1))


def square(nets, batch, member):
    return nets.G(batch.x).square().mean()


def game(make=lambda: nn.Linear(2, 1), loss=square, sample=None, members=1, group=None, compile=False, **player):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "These losses cannot be computed for all members")
        warnings.filterwarnings("ignore", "There is a performance drop")
        sample = [rows(8, x=X)] if sample is None else sample
        return Game({"G": make}, [Player("G", loss, **player)], sample, members, group=group, compile=compile)


@pytest.fixture
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


# Random numbers


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.MultiheadAttention(8, 2, dropout=0.3, batch_first=True)

    def forward(self, x):
        return self.a(x, x, x)[0]


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.r = kind(8, 8, num_layers=2, dropout=0.5, batch_first=True)

    def forward(self, x):
        return self.r(x)[0]


def linear():
    return nn.Linear(8, 8)


def moved(noise):
    """A loss in which `noise()` moves the batch (4, 6, 8)."""
    return lambda nets, batch, member: nets.G(batch.x + noise()).square().mean()


def attend(nets, batch, member):
    q = nets.G(batch.x)[:, None]
    return F.scaled_dot_product_attention(q, q, q, dropout_p=0.4).square().mean()


def sometimes(nets, batch, member):
    """Other numbers at other steps: another kind, shape and count."""
    x = batch.x
    if batch.step < 3:
        x = x + 0.1 * torch.randn_like(x)
    if batch.step > 4:
        x = x + torch.rand(4, 1, 1)
    return nets.G(x * torch.rand(int(batch.step) % 2 + 1, 1, 8).mean(0)).square().mean()


def now_and_then(nets, batch, member):
    return nets.G(batch.x * (np.random.rand() if batch.step >= 2 else 1)).square().mean()


SOURCES = {
    "dropout": (lambda: nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5)), square),
    "attention": (Attention, square),
    "encoder layer": (lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), square),
    "LSTM": (lambda: Recurrent(nn.LSTM), square),
    "GRU": (lambda: Recurrent(nn.GRU), square),
    "RReLU": (lambda: nn.Sequential(nn.Linear(8, 8), nn.RReLU()), square),
    "alpha dropout": (lambda: nn.Sequential(nn.Linear(8, 8), nn.AlphaDropout(0.3)), square),
    "product attention": (linear, attend),
    "Beta": (linear, moved(lambda: torch.distributions.Beta(0.4, 0.4).sample())),
    "Normal": (linear, moved(lambda: torch.distributions.Normal(0.0, 1.0).rsample((8,)))),
    "cauchy_": (linear, moved(lambda: torch.empty(4, 6, 8).cauchy_().clamp(-1, 1))),
    "normal with tensors": (linear, moved(lambda: torch.normal(torch.zeros(8), torch.ones(8)))),
    "bernoulli": (linear, moved(lambda: torch.bernoulli(torch.full((8,), 0.5)))),
    "multinomial": (linear, moved(lambda: torch.multinomial(torch.ones(9), 8).float())),
    "randperm": (linear, moved(lambda: torch.randperm(8).float())),
    "randint": (linear, moved(lambda: torch.randint(0, 9, (8,)).float())),
    "rand_like": (linear, moved(lambda: torch.rand_like(torch.zeros(4, 6, 8)))),
    "numpy": (linear, moved(np.random.rand)),
    "Python": (linear, moved(random.random)),
    "other numbers at other steps": (linear, sometimes),
    "numpy at some steps": (linear, now_and_then),
    "randint at some steps": (
        linear,
        lambda n, b, m: n.G(b.x * (1 if b.step < 2 else torch.randint(0, 9, (8,)))).square().mean(),
    ),
}


@pytest.mark.parametrize("name", SOURCES)
def test_random_numbers_are_a_function_of_seed_player_and_turn(name, tmp_path):
    make, loss = SOURCES[name]

    def new(seed):
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        return game(make, loss, [rows(4, x=STORY)], sweep(seed=[5]))

    first, second, resumed = new(1), new(2), new(3)
    first.train(10)
    second.train(4)
    torch.rand(7), np.random.rand(), random.random()
    second.save(tmp_path / "a.checkpoint")
    resumed.load(tmp_path / "a.checkpoint")
    second.train(6)
    resumed.train(6)
    for other in (second, resumed):
        np.testing.assert_array_equal(first.history["G"], other.history["G"])
    before = torch.get_rng_state()
    first.train(2)
    assert torch.equal(before, torch.get_rng_state()), "the notebook's own numbers are left alone"


@pytest.mark.parametrize("name", [name for name in SOURCES if "some steps" not in name])
def test_among_others_a_member_draws_what_it_draws_alone(name):
    make, loss = SOURCES[name]
    among, alone = (game(make, loss, [rows(4, x=STORY)], sweep(seed=seeds)) for seeds in (range(4), [2]))
    for one in (among, alone):
        one.train(8)
    np.testing.assert_allclose(among.history["G"][:, 2], alone.history["G"][:, 0], rtol=1e-3, atol=1e-6)
    assert len(set(among.history["G"][0])) == 4


@pytest.mark.parametrize("name", ["numpy at some steps", "randint at some steps"])
def test_what_members_together_cannot_have_of_their_own_is_refused_when_it_happens(name):
    make, loss = SOURCES[name]
    among = game(make, loss, [rows(4, x=STORY)], members=3)
    with pytest.raises(CourseError, match=r"a loss draws random numbers for all members at once.*group=1"):
        among.train(8)
    assert among.step < 8 and among.group == 3


def test_numbers_have_the_kind_the_shape_and_the_precision_asked_for():
    seen = []

    def loss(nets, batch, member):
        size = 8 if batch.step < 2 else 5
        seen.extend([torch.rand(size, 1), torch.rand((2, 3), dtype=torch.float16), torch.randn(size=(4,))])
        leaf = torch.randn(size, 2, requires_grad=True)
        (slope,) = torch.autograd.grad(nets.G(leaf).sum(), leaf, create_graph=True)
        return slope.square().mean()

    one = game(loss=loss, sample=[])
    one.train(400)
    numbers, small, bell = seen[6::3], torch.stack(seen[7::3]), torch.stack(seen[8::3])
    assert [tuple(n.shape) for n in numbers] == [(8, 1)] * 2 + [(5, 1)] * 398
    assert all(n.min() >= 0 and n.max() < 1 for n in numbers)
    assert small.dtype == torch.float16 and small.min() >= 0 and small.max() < 1 and small.shape[1:] == (2, 3)
    assert abs(bell.mean()) < 0.1 and abs(bell.std() - 1) < 0.1 and bell.min() < -2


def test_what_a_loss_changes_in_place_does_not_come_back_changed():
    def loss(nets, batch, member):
        noise = batch.z.mul_(2) + torch.randn(8, 2).add_(1)
        member.scale *= 2
        return nets.G(noise).mean() * 0 + noise.square().mean() * member.scale

    one = game(loss=loss, sample=[normal(z=(8, 2))], members=sweep(scale=[0.5]))
    one.train(30)
    z = torch.cat([one.batch("G", turn)["z"].flatten() for turn in range(30)])
    assert 0.8 < z.std() < 1.2 and one.hyper["scale"].item() == 0.5 and one.history["G"].max() < 20


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("layer", [F.dropout, F.dropout1d, F.dropout2d, F.dropout3d])
@pytest.mark.parametrize("axes", [2, 3, 4, 5])
def test_each_dropout_drops_what_torch_drops(layer, p, axes):
    if (layer, axes) in {(F.dropout1d, 4), (F.dropout1d, 5)}:
        return  # torch refuses these
    shape = (40, 7, 5, 4, 3)[:axes]

    def whole_or_not(x):
        """Of which slices all numbers are alike."""
        return [x.flatten(k).std(-1).max() == 0 if x[(0,) * k].numel() > 1 else True for k in range(1, axes + 1)]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = layer(torch.ones(shape), p, True)
        one = game(sample=[], loss=lambda n, b, m: n.G(X).mean())
        for inplace in (False, True):

            def both(nets, member, inplace=inplace):
                x = torch.ones(shape)
                return torch.stack([x, layer(x, p, True, inplace)])

            x, ours = torch.from_numpy(one.evaluate(both))[0]
            assert torch.equal(x, ours if inplace else torch.ones(shape))
            torch.testing.assert_close(ours.unique(), theirs.unique())
            assert whole_or_not(ours) == whole_or_not(theirs)


def test_generators_are_refused_at_once():
    numpys, pythons, torchs = np.random.default_rng(0), random.Random(0), torch.Generator().manual_seed(0)

    def helper():
        return numpys.random()

    for loss in (
        lambda n, b, m: n.G(b.x * numpys.random()).mean(),
        lambda n, b, m: n.G(b.x * helper()).mean(),
        lambda n, b, m: n.G(b.x * (pythons.random() if b.step > 5 else 1)).mean(),
        lambda n, b, m: n.G(b.x * torch.rand(2, generator=torchs)).mean(),
        lambda n, b, m: n.G(b.x * torch.rand(2, generator=torch.Generator())).mean(),
        lambda n, b, m: n.G(b.x * np.random.default_rng().random()).mean(),
    ):
        with pytest.raises(CourseError, match="generator"):
            game(loss=loss)


def test_a_loss_that_changes_from_call_to_call_is_refused():
    calls = []

    def counting(nets, batch, member):
        calls.append(1)
        return nets.G(batch.x).mean() * len(calls)

    class Remembering(nn.Module):
        def __init__(self):
            super().__init__()
            self.lin, self.last = nn.Linear(2, 1), torch.zeros(8, 1)

        def forward(self, x):
            self.last = 0.9 * self.last.detach() + self.lin(x)
            return self.last

    for settings in ({"loss": counting}, {"make": Remembering}):
        with pytest.raises(CourseError, match="two values of 'G' for the same numbers"):
            game(**settings)


@pytest.mark.slow
def test_compiled_random_numbers_are_the_members_own():
    def loss(nets, batch, member):
        return nets.G(batch.x + torch.rand(8, 1) * torch.randn_like(batch.x)).square().mean()

    make = lambda: nn.Sequential(nn.Linear(2, 8), nn.Dropout(0.5), nn.Linear(8, 1))  # noqa: E731
    plain, compiled = (game(make, loss, members=3, compile=c) for c in (False, True))
    for one in (plain, compiled):
        one.train(30)
    assert bool(compiled.compiled) == COMPILES
    np.testing.assert_allclose(plain.history["G"], compiled.history["G"], rtol=1e-3)
    other = game(linear, SOURCES["Beta"][1], [rows(4, x=STORY)], members=2, compile=True)
    with pytest.warns(UserWarning, match="are not compiled"):
        other.train(3)


@pytest.mark.slow
def test_compiled_what_a_loss_reads_is_looked_at_again():
    scale = {"weight": 1.0}
    loss = lambda n, b, m: (n.G(b.x) * scale["weight"]).square().mean()  # noqa: E731
    found = []
    for compile in (False, True):
        scale["weight"] = 1.0
        one = game(loss=loss, members=8, lr=0.01, compile=compile)
        one.train(10)
        scale["weight"] = 100.0
        one.train(10)
        found.append(one.history["G"])
    np.testing.assert_allclose(*found, rtol=1e-3)


# Buffers


class Running(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(2, 1)
        self.register_buffer("mean", torch.zeros(2))

    def forward(self, x):
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.mean(0).detach()
        return self.lin(x - self.mean)


@pytest.mark.parametrize("members", [1, 3])
def test_a_buffer_that_is_assigned_moves(members):
    one = game(Running, sample=[rows(8, x=X + 3)], members=members)
    one.train(100)
    torch.testing.assert_close(one.member(0).G.mean, (X + 3).mean(0), atol=0.4, rtol=0)
    before = one.state["G"]["buffer.mean"].clone()
    one.evaluate(lambda nets, member: nets.G.train()(X).mean())
    assert torch.equal(before, one.state["G"]["buffer.mean"]), "evaluate changes nothing"


def test_spectral_norm_by_hand_iterates():
    class Critic(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.randn(8, 2))
            self.register_buffer("u", F.normalize(torch.randn(8), dim=0))
            self.out = nn.Linear(8, 1)

        def forward(self, x):
            with torch.no_grad():
                v = F.normalize(self.w.T @ self.u, dim=0)
                self.u = F.normalize(self.w @ v, dim=0)
            return self.out(x @ (self.w / (self.u @ (self.w @ v))).T)

    one = game(Critic, members=2, lr=0.0)
    one.train(50)
    for i in range(2):
        net = one.member(i).G
        largest = torch.linalg.svd(net.w.detach())
        torch.testing.assert_close((net.u @ largest.U[:, 0]).abs(), torch.tensor(1.0), atol=1e-3, rtol=0)


def test_a_buffer_of_another_shape_and_hidden_differences_are_named():
    class Growing(Running):
        def forward(self, x):
            self.mean = torch.zeros(3)
            return self.lin(x)

    class Hidden(nn.Module):
        def __init__(self):
            super().__init__()
            self.lin, self.shift = nn.Linear(2, 1), torch.randn(2)

        def forward(self, x):
            return self.lin(x + self.shift)

    class Typed(Running):
        def forward(self, x):
            self.mean = torch.zeros(2, dtype=torch.float64)
            return self.lin(x)

    class Late(Running):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", None)

        def forward(self, x):
            self.mean = x.mean(0).detach() if self.mean is None else self.mean
            return self.lin(x - self.mean)

    class Renewed(Running):
        def forward(self, x):
            self.lin.weight = nn.Parameter(self.lin.weight.detach() * 0.9)
            return self.lin(x)

    for make in (Growing, Typed):
        with pytest.raises(CourseError, match="gave its buffer 'mean' another shape or type"):
            game(make)
    for make, what in ((Late, "mean"), (Renewed, "weight")):
        with pytest.raises(CourseError, match=f"assigned '{what}' as it ran"):
            game(make, members=2)
    with pytest.raises(CourseError, match=r"shift differs.*register_buffer"):
        game(Hidden, members=2)


# Layers

LINE, PICTURE, SOLID = (torch.randn(40, 4, *[s] * n, generator=torch.Generator().manual_seed(n))
                        for n, s in ((1, 8), (2, 6), (3, 4)))  # fmt: skip
FLAT = LINE[:, 0]
WORDS = torch.randint(0, 7, (40, 5), generator=torch.Generator().manual_seed(5))
BY_AXES = {"1d": LINE, "2d": PICTURE, "3d": SOLID}
SIZES = {
    "Conv": (4, 3, 2), "ConvTranspose": (4, 3, 2), "MaxPool": (2,), "AvgPool": (2,), "AdaptiveAvgPool": (2,),
    "AdaptiveMaxPool": (2,), "LPPool": (2, 2), "ReflectionPad": (1,), "ReplicationPad": (1,), "ZeroPad": (1,),
    "ConstantPad": (1, 1.0), "CircularPad": (1,), "BatchNorm": (4,), "InstanceNorm": (4,), "Dropout": (0.5,),
}  # fmt: skip
LAYERS = [  # (name, its arguments, its keywords, what goes in)
    ("Linear", (8, 3), {}, FLAT), ("Bilinear", (8, 8, 3), {}, (FLAT, FLAT)), ("LayerNorm", (8,), {}, FLAT),
    ("RMSNorm", (8,), {}, FLAT), ("GroupNorm", (2, 4), {}, PICTURE), ("LocalResponseNorm", (2,), {}, PICTURE),
    ("CrossMapLRN2d", (2,), {}, PICTURE), ("SyncBatchNorm", (4,), {}, PICTURE),
    ("BatchNorm1d", (4,), {"momentum": None}, LINE), ("BatchNorm2d", (4,), {"track_running_stats": False}, PICTURE),
    ("InstanceNorm2d", (4,), {"track_running_stats": True, "affine": True}, PICTURE),
    *[("Embedding", (7, 4), more, WORDS) for more in (
        {}, {"padding_idx": 0}, {"padding_idx": -2}, {"max_norm": 0.5}, {"scale_grad_by_freq": True}, {"sparse": True})],
    *[("EmbeddingBag", (7, 4), more, WORDS) for more in (
        {}, {"padding_idx": 0}, {"max_norm": 0.5}, {"scale_grad_by_freq": True}, {"mode": "max"}, {"sparse": True})],
    *[(kind, (8, 4, 2), {"dropout": p, "batch_first": True}, STORY) for kind in ("RNN", "GRU", "LSTM") for p in (0.0, 0.5)],
    *[(f"{kind}Cell", (8, 4), {}, FLAT) for kind in ("RNN", "GRU", "LSTM")],
    *[("MultiheadAttention", (8, 2), {"dropout": p}, (STORY, STORY, STORY)) for p in (0.0, 0.2)],
    ("TransformerEncoderLayer", (8, 2, 16), {}, STORY), ("TransformerDecoderLayer", (8, 2, 16), {}, (STORY, STORY)),
    ("Transformer", (8, 2, 1, 1, 16), {"dropout": 0.0}, (STORY, STORY)), ("Upsample", (), {"scale_factor": 2}, PICTURE),
    ("UpsamplingBilinear2d", (), {"scale_factor": 2}, PICTURE), ("UpsamplingNearest2d", (), {"scale_factor": 2}, PICTURE),
    ("PixelShuffle", (2,), {}, PICTURE), ("PixelUnshuffle", (2,), {}, PICTURE), ("ChannelShuffle", (2,), {}, PICTURE),
    ("Fold", ((4, 3), 2), {}, torch.randn(40, 8, 6)), ("Unfold", (2,), {}, PICTURE), ("Flatten", (), {}, PICTURE),
    ("Unflatten", (1, (2, 4)), {}, FLAT), ("Softmax2d", (), {}, PICTURE), ("Threshold", (0.1, 0.2), {}, FLAT),
    *[(name, (), {"dim": 1}, FLAT) for name in ("Softmax", "LogSoftmax", "Softmin", "GLU")],
    ("FractionalMaxPool2d", (2,), {"output_size": 3}, PICTURE), ("FractionalMaxPool3d", (2,), {"output_size": 2}, SOLID),
    ("AdaptiveLogSoftmaxWithLoss", (8, 10, [3]), {}, (FLAT, WORDS[:, 0])),
    ("CosineSimilarity", (), {}, (FLAT, FLAT.flip(0))), ("PairwiseDistance", (), {}, (FLAT, FLAT.flip(0))),
    *[(name + axes, sizes, {}, data) for name, sizes in SIZES.items() for axes, data in BY_AXES.items()],
    *[(name, (), {}, FLAT) for name in (
        "CELU", "ELU", "GELU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "Identity", "LeakyReLU", "LogSigmoid",
        "Mish", "PReLU", "RReLU", "ReLU", "ReLU6", "SELU", "SiLU", "Sigmoid", "Softplus", "Softshrink", "Softsign", "Tanh",
        "Tanhshrink", "Dropout", "AlphaDropout", "FeatureAlphaDropout")],
]  # fmt: skip
NO_LAYER = {  # what holds other modules, is a base, a loss, or needs what another layer gives
    *(
        "Module",
        "Container",
        "Sequential",
        "ModuleList",
        "ModuleDict",
        "ParameterList",
        "ParameterDict",
        "DataParallel",
    ),
    *("RNNBase", "RNNCellBase", "TransformerEncoder", "TransformerDecoder", "NLLLoss2d"),
    *("MaxUnpool1d", "MaxUnpool2d", "MaxUnpool3d"),
}


class Around(nn.Module):
    """The layer behind a weight for each kind of input that has fractions, so that its slopes are looked at, too."""

    def __init__(self, name, arguments, keywords):
        super().__init__()
        self.scale, self.layer = nn.Parameter(1 + torch.rand(1)), getattr(nn, name)(*arguments, **keywords)

    def forward(self, *inputs):
        out = self.layer(*[x * self.scale if x.is_floating_point() else x for x in inputs])
        while isinstance(out, tuple):
            out = out[0]
        return out


@pytest.mark.parametrize(
    ("name", "arguments", "keywords", "data"), LAYERS, ids=lambda v: v if isinstance(v, str) else ""
)
def test_each_layer_of_torch_is_among_others_what_it_is_alone(name, arguments, keywords, data, double):
    data = [d.double() if d.is_floating_point() else d for d in (data if isinstance(data, tuple) else (data,))]
    parts = dict(zip("abc", data, strict=False))

    def loss(nets, batch, member):
        out = nets.G(*[getattr(batch, part) for part in parts])
        return (out.square() + torch.linspace(0, 1, out.shape[-1] if out.dim() else 1) * out).mean()

    make = lambda: Around(name, arguments, keywords)  # noqa: E731
    among, alone = (game(make, loss, [rows(6, **parts)], sweep(seed=seeds), group, lr=0.05, optimiser="sgd")
                    for seeds, group in ((range(3), 3), ([2], None)))  # fmt: skip
    for one in (among, alone):
        one.train(6)
    for key, value in alone.state["G"].items():
        torch.testing.assert_close(among.state["G"][key][2], value[0], rtol=1e-6, atol=1e-9, msg=key)
    np.testing.assert_allclose(among.history["G"][:, 2], alone.history["G"][:, 0], rtol=1e-5, atol=1e-9)


def test_the_table_knows_every_layer_of_torch():
    there = {name for name, kind in vars(nn).items() if inspect.isclass(kind) and issubclass(kind, nn.Module)}
    left = {name for name in there - NO_LAYER if not name.endswith("Loss")}
    lazy = {name for name in left if name.startswith("Lazy")}
    assert left - lazy <= {name for name, *_ in LAYERS}
    for name in lazy:
        with pytest.raises(CourseError, match="lazy layers; give them their sizes"):
            game(lambda name=name: getattr(nn, name)(*[3] * (1 if name == "LazyLinear" else 2 * ("Conv" in name))))


def test_a_gradient_that_vmap_changes_is_found_out():
    class Wrong(torch.autograd.Function):  # its slope is another one where members are computed together
        generate_vmap_rule = False

        @staticmethod
        def forward(x):
            return x.clone()

        @staticmethod
        def setup_context(ctx, inputs, output):
            pass

        @staticmethod
        def backward(ctx, slope):
            return slope

        @staticmethod
        def vmap(info, in_dims, x):
            return 2 * x, in_dims[0]

    with pytest.warns(UserWarning, match="would learn something else than alone"):
        among = Game({"G": lambda: nn.Linear(2, 1)}, [Player("G", lambda n, b, m: Wrong.apply(n.G(b.x)).square().mean())],
                     [rows(8, x=X)], members=3)  # fmt: skip
    assert among.group == 1


# Penalties


def by_hand(nets, batch, member):
    at = (batch.eps * batch.x + (1 - batch.eps) * batch.z).requires_grad_(True)
    (slope,) = torch.autograd.grad(nets.G(at).sum(), at, create_graph=True)
    return ((slope.square().sum(1) + 1e-12).sqrt() - 1).square().mean()


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("norm", [nn.BatchNorm1d, lambda n: nn.BatchNorm1d(n, affine=False), nn.LayerNorm, nn.Identity])
def test_a_penalty_is_the_one_written_by_hand(norm, members, double):
    make = lambda: nn.Sequential(nn.Linear(2, 8, bias=False), norm(8), nn.LeakyReLU(0.2), nn.Linear(8, 1))  # noqa: E731
    sample = [rows(8, x=X.double()), normal(z=(8, 2)), uniform(eps=(8, 1))]
    losses = (by_hand, lambda n, b, m: gradient_penalty(n.G, b.x, b.z, b.eps))
    hand, ours = (game(make, loss, sample, members) for loss in losses)
    for one in (hand, ours):
        one.train(5)
    for key, value in hand.state["G"].items():
        torch.testing.assert_close(ours.state["G"][key], value, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("norm", [nn.utils.spectral_norm, nn.utils.parametrizations.spectral_norm])
def test_spectral_norm_in_a_penalty_is_among_others_what_it_is_alone(norm):
    def loss(nets, batch, member):
        return zero_gradient_penalty(nets.G, batch.x) + nets.G(batch.x).square().mean()

    make = lambda: nn.Sequential(norm(nn.Linear(2, 8)), nn.ReLU(), nn.Linear(8, 1))  # noqa: E731
    among, alone = (game(make, loss, members=sweep(seed=seeds)) for seeds in (range(3), [2]))
    for one in (among, alone):
        one.train(5)
    for key, value in alone.state["G"].items():
        torch.testing.assert_close(among.state["G"][key][2], value[0], rtol=1e-4, atol=1e-6, msg=key)


def test_penalties_of_lines_of_half_precision_and_of_what_does_not_fit():
    assert zero_gradient_penalty(lambda x: x.square(), torch.ones(5)) == 4
    x, w = torch.zeros(3, 2).half(), torch.zeros(2).half().requires_grad_()
    gradient_penalty(lambda x: (x * w).sum(1), x, x, torch.rand(3, 1).half()).backward()
    assert torch.equal(w.grad, torch.zeros(2).half())
    for real, fake, eps in [(X, X, torch.rand(50, 2)), (X, X[:9], torch.rand(50, 1)), (X, X, torch.rand(9))]:
        with pytest.raises(CourseError, match="one eps per sample"):
            gradient_penalty(lambda x: x.sum(1), real, fake, eps)
