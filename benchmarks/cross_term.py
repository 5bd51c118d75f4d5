"""Claim: of six ways to learn the cross term, an output of a joint score for it errs least.

    python benchmarks/cross_term.py [--minutes 3] [--methods increment ...] [--worlds gaussian ...]

Two worlds in which grad_z log p(x | z) is exact, on 16x16 pixels: z0 (host) and v (dust)
are Gaussian, v = a H z0 + noise, or a mixture of two such worlds with couplings of
opposite sign, so that the answer is not linear. z = z0 + tau e, x = v + sigma e'. Networks
of one architecture learn it for equal CPU seconds:

* `joint`: E[z0 | z, x] and E[v | z, x], x left out for a quarter of the batch
  (Ho & Salimans 2022); cross = (E[z0 | z, x] - E[z0 | z]) / tau^2.
* `increment`: the same two, with E[z0 | z, x] = E[z0 | z] + tau^2 cross and `cross` an
  output of its own, which does not grow as tau falls.
* `shared`: that output is the one that gives E[z0 | z] where the dust is left out.
* `energy`: the joint score as the gradient of one scalar, a curl-free `joint`.
* `ratio`: true against shuffled pairs; cross = grad_z of the logit.
* `conditional`: p(x | z) = exp E / Z(z) by denoising; grad_z E lacks grad_z log Z.

Measured so far (cross_term.json; each entry states its batch): all but `conditional` in the
Gaussian world, `joint` and `energy` with batches of 64; `increment` alone in the mixture.
In the Gaussian world `increment` errs least at all pairs of noise levels but (0.14, 1),
where `ratio` does.

Writes cross_term.json: relative error and cosine of the cross term, and the relative
error of the whole host drift, with the exact score of p(z) and with the network's own.
"""

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from dustpost.networks import edm
from dustpost.networks.unet import UNet

SIDE = 16
PIXELS = SIDE * SIDE
NETWORK = dict(channels=(24, 48), blocks=(2, 2), blocks_up=(2,), embedding=32, heads=4)
BATCH, RATE, CLIP, AVERAGE = 32, 2e-3, 1.0, 0.998
LOW, HIGH = 0.05, 5.0  # range of both noise levels
LEFT_OUT = 0.25  # share of pairs whose dust the joint networks do not see
TAUS, SIGMAS = (0.14, 0.5, 1.5), (0.1, 0.3, 1.0)
TESTS = 256
TINY = 1e-30


class World(NamedTuple):
    """A mixture of Gaussians over (z0, v), all with one mean.

    Attributes
    ----------
    mean : Array, (2 pixels,)
    covariance, root : Array, (component, 2 pixels, 2 pixels)
    weight : Array, (component,)
    """

    mean: Array
    covariance: Array
    root: Array
    weight: Array


def matern(scale: float) -> np.ndarray:
    """Return the correlation of a Matern 3/2 field, (pixels, pixels)."""
    row, column = np.mgrid[:SIDE, :SIDE].reshape(2, -1)
    lag = np.sqrt(3) / scale * np.hypot(row[:, None] - row, column[:, None] - column)
    return (1 + lag) * np.exp(-lag)


def build(couplings: tuple, weights: tuple) -> World:
    """Return the world v = coupling H z0 + noise; H blurs and looks to one side."""
    axis = np.arange(SIDE) - (SIDE - 1) / 2
    radius = np.hypot(axis[:, None], axis).ravel()
    light = 0.15 + np.exp(-((radius / 5) ** 2))
    host = 1.5**2 * light[:, None] * matern(3.0) * light
    own = 0.8**2 * light[:, None] * matern(2.0) * light
    row, column = np.mgrid[:SIDE, :SIDE].reshape(2, -1)
    east = column[:, None] - column
    kernel = np.exp(-((row[:, None] - row) ** 2 + east**2) / 4.5) * (0.5 + east / 1.5)
    kernel /= np.abs(kernel).sum(axis=1).max()
    both = []
    for coupling in couplings:
        linear = coupling * kernel
        across = host @ linear.T
        both.append(np.block([[host, across], [across.T, linear @ across + own]]))
    mean = np.concatenate([4 * np.exp(-radius / 4), 1.5 * np.exp(-((radius / 5) ** 2))])
    root = np.linalg.cholesky(np.array(both) + 1e-9 * np.eye(2 * PIXELS))
    return World(*(jnp.asarray(part, jnp.float32) for part in (mean, both, root, weights)))


def draw(world: World, key: Array, count: int) -> Array:
    """Draw (z0, v), (count, y, x, 2)."""
    which, noise = jax.random.split(key)
    component = jax.random.choice(which, len(world.weight), (count,), p=world.weight)
    white = jax.random.normal(noise, (count, 2 * PIXELS))
    # one product per component: cheaper than gathering a root for each draw
    all_of_them = jnp.einsum("kpq,nq->nkp", world.root, white)
    flat = world.mean + jnp.take_along_axis(all_of_them, component[:, None, None], 1)[:, 0]
    return flat.reshape(count, 2, SIDE, SIDE).transpose(0, 2, 3, 1)


def exact(world: World, images: np.ndarray, tau: float, sigma: float) -> tuple:
    """Return the exact score of p(z), (n, y, x), and the exact cross term.

    Both are sums over components of responsibility times -C^-1 (y - mean), in float64.
    """
    count = len(images)
    flat = np.asarray(images, float).transpose(0, 3, 1, 2).reshape(count, -1)
    flat = flat - np.asarray(world.mean, float)
    noise = np.repeat([tau**2, sigma**2], PIXELS)

    def score(part: slice) -> np.ndarray:
        gradients, logs = [], []
        for covariance, weight in zip(world.covariance, world.weight, strict=True):
            total = (np.asarray(covariance, float) + np.diag(noise))[part, part]
            gradient = -np.linalg.solve(total, flat[:, part].T).T
            inside = (flat[:, part] * gradient).sum(axis=1)
            logs.append(np.log(weight) + 0.5 * (inside - np.linalg.slogdet(total)[1]))
            gradients.append(gradient[:, :PIXELS])
        share = np.exp(np.array(logs) - np.logaddexp.reduce(logs, axis=0))
        return np.einsum("kn,knp->np", share, gradients).reshape(count, SIDE, SIDE)

    of_host = score(slice(PIXELS))
    return of_host, score(slice(2 * PIXELS)) - of_host


def information(world: World, tau: float, sigma: float) -> float:
    """Return the mutual information of z and x in nats; one component only."""
    noise = np.repeat([tau**2, sigma**2], PIXELS)
    total = np.asarray(world.covariance[0], float) + np.diag(noise)
    whole, host, dust = (slice(None), slice(PIXELS), slice(PIXELS, None))
    host, dust, whole = (np.linalg.slogdet(total[s, s])[1] for s in (host, dust, whole))
    return 0.5 * float(host + dust - whole)


class Scales(NamedTuple):
    """Mean (y, x, 2) and spread (2,) of host and dust, for EDM's preconditioning."""

    mean: Array
    spread: Array


class Inputs(NamedTuple):
    """What every method shares: centred images in units, and EDM's coefficients.

    Attributes
    ----------
    centred, unit, skip : Array, (b, y, x, 2)
        y - mean; the same times c_in; c_skip times it, plus the mean.
    out : Array, (b, 2)
        c_out of both.
    """

    centred: Array
    unit: Array
    skip: Array
    out: Array


def prepare(scales: Scales, images: Array, levels: Array) -> Inputs:
    """Precondition a batch; `levels` (b, 2) holds tau and sigma."""
    skip, out, scale = edm.coefficients(levels, scales.spread)
    centred = images - scales.mean
    wide = (slice(None), None, None, slice(None))
    return Inputs(centred, scale[wide] * centred, scales.mean + skip[wide] * centred, out)


def embed(levels: Array) -> Array:
    """Return the network's view of the noise levels."""
    return jnp.log(levels) / 4


def leave_out(unit: Array, levels: Array, out: Array) -> tuple[Array, Array]:
    """Blank the dust, as if under endless noise, where `out` (b,) says so."""
    shown = jnp.stack([jnp.ones_like(out), 1 - out], axis=-1)
    levels = jnp.where(shown > 0, levels, HIGH)
    return unit * shown[:, None, None, :], levels


def squares(found: Array, clean: Array, levels: Array, spread: Array) -> Array:
    """Return EDM's weighted squared error of each image, (b,)."""
    return edm.loss_weight(levels, spread) * jnp.mean((found - clean) ** 2, axis=(1, 2))


class Method(NamedTuple):
    """A way to learn the cross term.

    Attributes
    ----------
    outputs : int
        Of the network.
    loss : callable
        (run, scales, clean, noisy, levels, key) -> loss of a batch.
    cross : callable
        (run, scales, noisy, levels) -> cross term (b, y, x).
    host : callable or None
        The same -> the method's own score of p(z), where it has one.
    """

    outputs: int
    loss: Callable
    cross: Callable
    host: Callable | None


def joint_denoise(run, scales, noisy, levels, out):
    """E[z0 | z, x] and E[v | z, x], (b, y, x, 2)."""
    given = prepare(scales, noisy, levels)
    unit, seen = leave_out(given.unit, levels, out)
    return given.skip + given.out[:, None, None] * run(unit, embed(seen))


def energy_denoise(run, scales, noisy, levels, out):
    """The same from the gradient of a scalar: sum_i spread_i / level_i <unit_i, F_i>."""
    given = prepare(scales, noisy, levels)

    def energy(unit):
        shown, seen = leave_out(unit, levels, out)
        share = (scales.spread / levels)[:, None, None]
        return jnp.sum(share * shown * run(shown, embed(seen)))

    scale = jax.lax.rsqrt(levels**2 + scales.spread**2)
    return given.skip + (levels**2 * scale)[:, None, None] * jax.grad(energy)(given.unit)


def joint_method(denoise: Callable) -> Method:
    """Method of two denoisers in one network."""

    def loss(run, scales, clean, noisy, levels, key):
        out = (jnp.arange(len(levels)) < LEFT_OUT * len(levels)).astype(noisy.dtype)
        found = denoise(run, scales, noisy, levels, out)
        host = squares(found[..., 0], clean[..., 0], levels[:, 0], scales.spread[0])
        dust = squares(found[..., 1], clean[..., 1], levels[:, 1], scales.spread[1])
        return jnp.mean(host + (1 - out) * dust)

    def hosts(run, scales, noisy, levels, value):
        out = jnp.full(len(levels), value, noisy.dtype)
        return denoise(run, scales, noisy, levels, out)[..., 0]

    def cross(run, scales, noisy, levels):
        with_it, without = (hosts(run, scales, noisy, levels, value) for value in (0.0, 1.0))
        return (with_it - without) / levels[:, :1, None] ** 2

    def host(run, scales, noisy, levels):
        return (hosts(run, scales, noisy, levels, 1.0) - noisy[..., 0]) / levels[:, :1, None] ** 2

    return Method(2, loss, cross, host)


def increment(output: int) -> Method:
    """Method with the cross term in an output, 0 being that of the host alone."""

    def parts(run, scales, noisy, levels, value):
        given = prepare(scales, noisy, levels)
        unit, seen = leave_out(given.unit, levels, jnp.full(len(levels), value))
        return given, run(unit, embed(seen))

    def host_of(run, scales, noisy, levels):
        given, raw = parts(run, scales, noisy, levels, 1.0)
        return given.skip[..., 0] + given.out[:, :1, None] * raw[..., 0]

    def pair_of(run, scales, noisy, levels):
        given, raw = parts(run, scales, noisy, levels, 0.0)
        # about the inverse widths of p(z0) and p(x | z0)
        size = scales.spread * jax.lax.rsqrt(levels**2 + scales.spread**2)
        size = size[:, 0] ** 2 * size[:, 1] / scales.spread[0]
        dust = given.skip[..., 1] + given.out[:, 1:, None] * raw[..., 1]
        return size[:, None, None] * raw[..., output], dust

    def loss(run, scales, clean, noisy, levels, key):
        alone = host_of(run, scales, noisy, levels)
        cross, dust = pair_of(run, scales, noisy, levels)
        both = jax.lax.stop_gradient(alone) + levels[:, :1, None] ** 2 * cross
        host = squares(alone, clean[..., 0], levels[:, 0], scales.spread[0])
        more = squares(both, clean[..., 0], levels[:, 0], scales.spread[0])
        dust = squares(dust, clean[..., 1], levels[:, 1], scales.spread[1])
        return jnp.mean(host + more + dust)

    def cross(run, scales, noisy, levels):
        return pair_of(run, scales, noisy, levels)[0]

    def host(run, scales, noisy, levels):
        found = host_of(run, scales, noisy, levels)
        return (found - noisy[..., 0]) / levels[:, :1, None] ** 2

    return Method(max(2, output + 1), loss, cross, host)


def ratio() -> Method:
    """Classify true against shuffled pairs (Cranmer et al. 2015; Hermans et al. 2020)."""

    def logit(run, scales, noisy, levels):
        given = prepare(scales, noisy, levels)
        return run(given.unit, embed(levels))[..., 0].sum(axis=(1, 2)) / SIDE

    def loss(run, scales, clean, noisy, levels, key):
        strange = clean[::-1, ..., 1]
        grain = jax.random.normal(key, strange.shape)
        strange = strange + levels[:, 1:, None] * grain
        shuffled = jnp.stack([noisy[..., 0], strange], axis=-1)
        true, false = (logit(run, scales, images, levels) for images in (noisy, shuffled))
        return jnp.mean(jax.nn.softplus(-true) + jax.nn.softplus(false))

    def cross(run, scales, noisy, levels):
        return jax.grad(lambda y: logit(run, scales, y, levels).sum())(noisy)[..., 0]

    return Method(1, loss, cross, None)


def conditional() -> Method:
    """Energy of x given z (Salimans & Ho 2021), known up to a function of z."""

    def energy(run, scales, noisy, levels):
        given = prepare(scales, noisy, levels)
        scale = jax.lax.rsqrt(levels[:, 1] ** 2 + scales.spread[1] ** 2)
        share = (scales.spread[1] / levels[:, 1])[:, None, None]
        dust = given.unit[..., 1] * run(given.unit, embed(levels))[..., 0]
        return jnp.sum(share * dust - 0.5 * (scale[:, None, None] * given.centred[..., 1]) ** 2)

    def loss(run, scales, clean, noisy, levels, key):
        slope = jax.grad(lambda y: energy(run, scales, y, levels))(noisy)[..., 1]
        found = noisy[..., 1] + levels[:, 1:, None] ** 2 * slope
        return jnp.mean(squares(found, clean[..., 1], levels[:, 1], scales.spread[1]))

    def cross(run, scales, noisy, levels):
        return jax.grad(lambda y: energy(run, scales, y, levels))(noisy)[..., 0]

    return Method(1, loss, cross, None)


METHODS = {
    "joint": joint_method(joint_denoise),
    "increment": increment(2),
    "shared": increment(0),
    "energy": joint_method(energy_denoise),
    "ratio": ratio(),
    "conditional": conditional(),
}
WORLDS = {
    "gaussian": ((1.5,), (1.0,)),
    "mixture": ((1.5, -1.0), (0.6, 0.4)),
}


def learn(method: Method, world: World, seconds: float, seed: int) -> tuple[Callable, dict]:
    """Train for so many CPU seconds after compilation; return the network and facts."""
    network = UNet(outputs=method.outputs, noisy=2, **NETWORK)
    sample = draw(world, jax.random.key(seed + 1), 1024)
    spread = jnp.sqrt(jnp.mean((sample - sample.mean(axis=0)) ** 2, axis=(0, 1, 2)))
    scales = Scales(sample.mean(axis=0), spread)
    start = jnp.zeros((1, SIDE, SIDE, 2)), jnp.zeros((1, 2))
    params = network.init(jax.random.key(seed), *start)["params"]
    rule = optax.chain(optax.clip_by_global_norm(CLIP), optax.scale_by_adam(b2=0.99))

    @jax.jit
    def step(params, average, inner, number, rate):
        keys = jax.random.split(jax.random.fold_in(jax.random.key(seed + 2), number), 4)
        clean = draw(world, keys[0], BATCH)
        levels = LOW * (HIGH / LOW) ** jax.random.uniform(keys[1], (BATCH, 2))
        noisy = clean + levels[:, None, None] * jax.random.normal(keys[2], clean.shape)

        def loss(params):
            run = partial(network.apply, {"params": params})
            return method.loss(run, scales, clean, noisy, levels, keys[3])

        value, gradient = jax.value_and_grad(loss)(params)
        update, inner = rule.update(gradient, inner)
        params = jax.tree.map(lambda p, u: p - rate * u, params, update)
        decay = jnp.minimum(AVERAGE, (1.0 + number) / (10.0 + number))
        average = jax.tree.map(lambda a, p: decay * a + (1 - decay) * p, average, params)
        return params, average, inner, value

    state = params, params, rule.init(params)
    # of the types that follow, or it is compiled again
    jax.block_until_ready(step(*state, np.int32(0), np.float32(0)))
    begin, number, used = time.process_time(), 0, 0.0
    while used < seconds:
        rate = RATE * min(1.0, (number + 1) / 200) * 0.5 * (1 + np.cos(np.pi * used / seconds))
        *state, value = step(*state, np.int32(number), np.float32(rate))
        value.block_until_ready()
        number, used = number + 1, time.process_time() - begin
    facts = {
        "batch": BATCH,
        "steps": number,
        "parameters": sum(p.size for p in jax.tree.leaves(params)),
    }
    return partial(network.apply, {"params": state[1]}), {**facts, "scales": scales}


def judge(method: Method, run: Callable, scales: Scales, cases: dict) -> dict:
    """Compare with the exact answer at each pair of noise levels."""

    @jax.jit
    def answer(noisy, levels):
        own = None if method.host is None else method.host(run, scales, noisy, levels)
        return method.cross(run, scales, noisy, levels), own

    norm = np.linalg.norm
    report = {}
    for (tau, sigma), (noisy, of_host, truth) in cases.items():
        levels = jnp.broadcast_to(jnp.asarray([tau, sigma]), (len(noisy), 2))
        found, own = answer(noisy, levels)
        found = np.asarray(found, float)
        drift = of_host + truth
        entry = {
            "error": norm(found - truth) / norm(truth),
            "cosine": (found * truth).sum() / max(norm(found) * norm(truth), TINY),
            "drift_error": norm(found - truth) / norm(drift),
            "drift_error_cut": norm(truth) / norm(drift),
        }
        if own is not None:
            entry["drift_error_own_host"] = norm(np.asarray(own) + found - drift) / norm(drift)
        report[f"tau {tau} sigma {sigma}"] = {k: round(float(v), 4) for k, v in entry.items()}
    return report


def main() -> None:
    """Train, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=3.0, help="CPU minutes a method")
    parser.add_argument("--methods", nargs="*", default=list(METHODS), help="replace only these")
    parser.add_argument("--worlds", nargs="*", default=list(WORLDS), help="likewise")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args()
    known = json.loads(options.out.read_text()) if options.out.exists() else {}
    report = {**known, "cpu_minutes": options.minutes, "network": NETWORK}
    for name, recipe in ((name, WORLDS[name]) for name in options.worlds):
        world = build(*recipe)
        grid = [(tau, sigma) for tau in TAUS for sigma in SIGMAS]
        cases = {}
        for number, (tau, sigma) in enumerate(grid):
            key, grain = jax.random.split(jax.random.fold_in(jax.random.key(99), number))
            clean = draw(world, key, TESTS)
            size = jnp.asarray([tau, sigma])
            noisy = clean + size * jax.random.normal(grain, clean.shape)
            cases[tau, sigma] = (noisy, *exact(world, noisy, tau, sigma))
        entry = report.setdefault(name, {})
        if len(recipe[0]) == 1:
            nats = {f"tau {t} sigma {s}": round(information(world, t, s), 2) for t, s in grid}
            entry["mutual_information_nats"] = nats
        for label in options.methods:
            method = METHODS[label]
            run, facts = learn(method, world, 60 * options.minutes, 0)
            scales = facts.pop("scales")
            entry[label] = {**facts, "levels": judge(method, run, scales, cases)}
            errors = {k: (v["error"], v["cosine"]) for k, v in entry[label]["levels"].items()}
            print(name, label, facts, json.dumps(errors), flush=True)
            options.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
