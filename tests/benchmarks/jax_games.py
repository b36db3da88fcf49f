"""The benchmark's games in JAX: jit of vmap of scan, Adam by hand, 20 steps in one compiled call."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

STEPS = 20


def dense(key, inputs, outputs):
    """Weights and offsets of a linear layer."""
    return jax.random.normal(key, (inputs, outputs)) / np.sqrt(inputs), jnp.zeros(outputs)


def leaky(x):
    """Leaky ReLU of slope 0.2."""
    return jnp.where(x > 0, x, 0.2 * x)


def mlp(layers, x):
    """Linear layers with leaky ReLU between them."""
    for weights, offsets in layers[:-1]:
        x = leaky(x @ weights + offsets)
    return x @ layers[-1][0] + layers[-1][1]


def mlp_start(key, width, outputs):
    """2 → width → width → outputs."""
    keys, sizes = jax.random.split(key, 3), [(2, width), (width, width), (width, outputs)]
    return [dense(k, *size) for k, size in zip(keys, sizes, strict=True)]


def conv(x, layer):
    """A 4 × 4 convolution of stride 2."""
    out = lax.conv_general_dilated(x, layer[0], (2, 2), ((1, 1), (1, 1)), dimension_numbers=("NCHW", "OIHW", "NCHW"))
    return out + layer[1][:, None, None]


def conv_transposed(x, layer):
    """Its transpose: twice the height and width."""
    out = lax.conv_general_dilated(x, layer[0], (1, 1), ((2, 2), (2, 2)), lhs_dilation=(2, 2),
                                   dimension_numbers=("NCHW", "OIHW", "NCHW"))  # fmt: skip
    return out + layer[1][:, None, None]


def kernel(key, outputs, inputs):
    """Weights and offsets of a 4 × 4 convolution."""
    return jax.random.normal(key, (outputs, inputs, 4, 4)) / np.sqrt(inputs * 16), jnp.zeros(outputs)


def conv_generator(layers, z):
    """64 → 3 × 16 × 16."""
    x = jax.nn.relu((z @ layers[0][0] + layers[0][1]).reshape(-1, 64, 4, 4))
    return jnp.tanh(conv_transposed(jax.nn.relu(conv_transposed(x, layers[1])), layers[2]))


def conv_critic(layers, x):
    """3 × 16 × 16 → 1."""
    x = leaky(conv(leaky(conv(x, layers[0])), layers[1]))
    return x.reshape(len(x), -1) @ layers[2][0] + layers[2][1]


def adam(weights, slopes, mean, square, step):
    """One step of Adam with bias correction."""
    mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, mean, slopes)
    square = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, square, slopes)
    move = lambda w, m, v: w - 1e-3 * (m / (1 - 0.9**step)) / (jnp.sqrt(v / (1 - 0.999**step)) + 1e-8)  # noqa: E731
    return jax.tree.map(move, weights, mean, square), mean, square


def runner(setting, members):
    """A function that makes so many steps, a multiple of 20, with the members' states kept on the device."""
    data = jnp.asarray(setting.data.numpy())
    generate, judge = (mlp, mlp) if setting.width else (conv_generator, conv_critic)

    def start(key):
        a, b, rest = jax.random.split(key, 3)
        if setting.width:
            d, g = mlp_start(a, setting.width, 1), mlp_start(b, setting.width, 2)
        else:
            k = jax.random.split(a, 6)
            g = [dense(k[0], 64, 1024), kernel(k[1], 32, 64), kernel(k[2], 3, 32)]
            d = [kernel(k[3], 32, 3), kernel(k[4], 64, 32), dense(k[5], 1024, 1)]
        zeros = lambda tree: jax.tree.map(jnp.zeros_like, tree)  # noqa: E731
        return d, zeros(d), zeros(d), g, zeros(g), zeros(g), rest, jnp.float32(0)

    def d_loss(d, g, x, z):
        return jax.nn.softplus(-judge(d, x)).mean() + jax.nn.softplus(judge(d, generate(g, z))).mean()

    def g_loss(g, d, z):
        return jax.nn.softplus(-judge(d, generate(g, z))).mean()

    def step(state, _):
        d, dm, dv, g, gm, gv, key, t = state
        key, k1, k2, k3 = jax.random.split(key, 4)
        x = data[jax.random.randint(k1, (setting.batch,), 0, len(data))]
        z1, z2 = (jax.random.normal(k, (setting.batch, setting.noise)) for k in (k2, k3))
        d_value, slopes = jax.value_and_grad(d_loss)(d, g, x, z1)
        d, dm, dv = adam(d, slopes, dm, dv, t + 1)
        g_value, slopes = jax.value_and_grad(g_loss)(g, d, z2)
        g, gm, gv = adam(g, slopes, gm, gv, t + 1)
        return (d, dm, dv, g, gm, gv, key, t + 1), (d_value, g_value)

    if setting.width:
        many = jax.jit(jax.vmap(lambda state: lax.scan(step, state, None, length=STEPS)), donate_argnums=0)
        states, calls = [jax.vmap(start)(jax.random.split(jax.random.PRNGKey(0), members))], STEPS
    else:  # inside scan or under vmap, XLA's convolutions on a CPU are a hundred times slower: JAX at its best
        many = jax.jit(lambda state: step(state, None), donate_argnums=0)
        states, calls = [start(key) for key in jax.random.split(jax.random.PRNGKey(0), members)], 1

    def run(steps):
        for _ in range(steps // calls):
            for i, state in enumerate(states):
                states[i], losses = many(state)
        jax.block_until_ready(losses)

    return run
