"""Train the denoiser on pairs of host and transmission.

The loss is EDM's (Karras et al. 2022, Eq. 8) with sigma log-uniform,

    L = E  weight(sigma) sum_p w_p (D0(D + sigma e, sigma, S) - D)_p^2,

where w_p, a function of the host alone, favours pixels with light: it moves
effort, not the optimum, which stays E[D | x, S]. Step n's batch and noise
depend on (seed, n) only, so a run that was killed and resumed ends with the
same bits as one that was not.

    python -m dustpost.networks.training --pairs pairs.npz --out DIR --steps 10000
"""

import argparse
import json
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from dustpost.errors import DustpostError
from dustpost.networks import checkpoint, edm
from dustpost.networks.batches import batch_of, corrupt
from dustpost.networks.unet import UNet, condition

HELD_OUT = 512  # the last pairs of a set are never trained on
STATE, WEIGHTS = "state.safetensors", "weights.safetensors"
LEVELS = (0.003, 0.01, 0.03, 0.05, 0.1, 0.3, 1.0)


class Config(NamedTuple):
    """What defines a training run, together with the pairs.

    Attributes
    ----------
    steps, batch, micro, seed : int
        Optimiser steps; pairs per step; pairs at once (8 fit a core's cache).
    rate, warmup, decay, clip : float
        Peak learning rate of AdamW, steps of linear warm-up before the cosine,
        weight decay, and the norm at which gradients are clipped.
    average : float
        Decay of the exponential moving average of the weights.
    sigma_low, sigma_high : float
        Range of noise levels. The highest must drown the dust of a whole map
        (a deficit of 0.3 in 500 pixels stands out at sigma = 1), or reverse
        diffusion, which starts there from nothing, draws too little of it.
    host_noise : float
        Largest white noise added to the condition of every second pair, in
        units of its peak: hosts will come from a reconstruction.
    """

    steps: int = 10000
    batch: int = 32
    micro: int = 8
    seed: int = 0
    rate: float = 1e-3
    warmup: int = 300
    decay: float = 1e-4
    clip: float = 1.0
    average: float = 0.999
    sigma_low: float = 0.0025
    sigma_high: float = 60.0
    host_noise: float = 0.005


class TrainState(NamedTuple):
    """Everything that a resumed run needs."""

    params: dict
    average: dict
    optimiser: optax.OptState
    step: Array


def optimiser(config: Config) -> optax.GradientTransformation:
    """Return clipped AdamW with warm-up and cosine decay."""
    rate = optax.warmup_cosine_decay_schedule(
        0.0, config.rate, config.warmup, max(config.steps, config.warmup + 1), config.rate / 100
    )
    return optax.chain(
        optax.clip_by_global_norm(config.clip),
        optax.adamw(rate, b2=0.99, weight_decay=config.decay),
    )


@partial(jax.jit, static_argnums=(0, 1, 2))
def init(network: UNet, config: Config, size: int = 64) -> TrainState:
    """Return the state before the first step."""
    image = jnp.zeros((1, size, size))
    key = jax.random.fold_in(jax.random.key(config.seed), 2**31 - 1)
    params = network.init(key, image, jnp.zeros(1), image)["params"]
    return TrainState(params, params, optimiser(config).init(params), jnp.zeros((), jnp.int32))


def loss(params, network, moments, clean, noisy, host, sigma) -> Array:
    """Return the mean loss of a batch that `corrupt` made."""
    found = edm.denoise(partial(apply, network, params), noisy, sigma, host, moments)
    weight = 0.2 + jnp.clip(host, 0.0, 1.5)
    weight = weight / weight.mean(axis=(1, 2), keepdims=True)
    error = (weight * (found - clean) ** 2).mean(axis=(1, 2))
    return jnp.mean(edm.loss_weight(sigma, moments.spread) * error)


def apply(network: UNet, params: dict, x: Array, noise: Array, host: Array) -> Array:
    """Run the network with explicit parameters."""
    return network.apply({"params": params}, x, noise, host)


@partial(jax.jit, static_argnums=2)
def _prepare(host, transmission, config, step):
    key = jax.random.fold_in(jax.random.key(config.seed), step)
    span = (config.sigma_low, config.sigma_high)
    batch = corrupt(key, host, transmission, span, config.host_noise)
    # Interleave, so that every micro-batch covers the noise levels.
    count = config.batch // config.micro
    return [[part[first::count] for part in batch] for first in range(count)]


@partial(jax.jit, static_argnums=(0, 1))
def _gradient(network, moments, params, part):
    return jax.value_and_grad(loss)(params, network, moments, *part)


@partial(jax.jit, static_argnums=0)
def _update(config, state: TrainState, totals):
    value, gradient = jax.tree.map(lambda *leaves: sum(leaves) / len(leaves), *totals)
    update, inner = optimiser(config).update(gradient, state.optimiser, state.params)
    params = optax.apply_updates(state.params, update)
    # The average forgets its start early on.
    decay = jnp.minimum(config.average, (1.0 + state.step) / (10.0 + state.step))
    average = jax.tree.map(lambda a, p: decay * a + (1 - decay) * p, state.average, params)
    return TrainState(params, average, inner, state.step + 1), value


def train_step(network, moments, config, state: TrainState, host, transmission):
    """Take one optimiser step; return the new state and the batch's loss.

    Gradients are summed over micro-batches in Python, not by lax.scan: XLA's
    CPU backend runs a convolution's gradient some 10 times slower in a loop
    (jax#12868).
    """
    parts = _prepare(host, transmission, config, state.step)
    totals = [_gradient(network, moments, state.params, part) for part in parts]
    return _update(config, state, totals)


@partial(jax.jit, static_argnums=(0, 1))
def denoise_all(network, moments, params, noisy, sigma, host) -> Array:
    """Denoise (n, y, x) one map at a time."""

    def one(inputs):
        x, level, light = inputs
        run = partial(apply, network, params)
        return edm.denoise(run, x[None], level[None], light[None], moments)[0]

    return jax.lax.map(one, (noisy, sigma, condition(host)))


def validate(network, moments, params, host, transmission, seed: int = 1) -> dict[str, float]:
    """Return the denoising RMSE over all pixels at each of `LEVELS`."""
    clean = jnp.asarray(transmission, jnp.float32)
    noise = jax.random.normal(jax.random.key(seed), clean.shape)
    scores = {}
    for level in LEVELS:
        sigma = jnp.full(len(clean), level)
        light = jnp.asarray(host, jnp.float32)
        found = denoise_all(network, moments, params, clean + level * noise, sigma, light)
        scores[str(level)] = float(jnp.sqrt(jnp.mean((found - clean) ** 2)))
    return scores


def save_state(path: Path, state: TrainState) -> None:
    """Write a state that `load_state` restores bit for bit."""
    leaves = {f"{number:04d}": leaf for number, leaf in enumerate(jax.tree.leaves(state))}
    checkpoint.save(path, leaves, {"step": str(int(state.step))})


def load_state(path: Path, like: TrainState) -> TrainState:
    """Restore a state into the shape of another."""
    flat, _ = checkpoint.load(path)
    leaves = [jnp.asarray(flat[name]) for name in sorted(flat)]
    if len(leaves) != len(jax.tree.leaves(like)):
        raise DustpostError(f"{path}: the state of another network or optimiser; use a new folder.")
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def train(
    network: UNet,
    host: np.ndarray,
    transmission: np.ndarray,
    out: Path,
    config: Config,
    every: int = 500,
    params: dict | None = None,
) -> TrainState:
    """Train, or go on training, and export the averaged weights as you go.

    Parameters
    ----------
    network : UNet
    host, transmission : numpy arrays, (n, y, x)
        Pairs; the last `HELD_OUT` (at most a quarter) are held out.
    out : Path
        Folder for the state, the averaged weights and log.jsonl.
    config : Config
    every : int
        Steps between checkpoints.
    params : dict, optional
        Weights to start from instead of random ones.

    Returns
    -------
    TrainState
    """
    out.mkdir(parents=True, exist_ok=True)
    held = min(HELD_OUT, len(host) // 4)
    train_host, train_clean = host[: len(host) - held], transmission[: len(host) - held]
    sample = train_clean[:2048].astype(np.float32)
    moments = edm.Precondition(round(float(sample.mean()), 4), round(float(sample.std()), 4))
    state = init(network, config, host.shape[-1])
    if params is not None:
        # Layers that the older network lacks keep their start, which is zero effect.
        known = {**checkpoint.flatten(state.params), **checkpoint.flatten(params)}
        params = jax.tree.map(jnp.asarray, checkpoint.unflatten(known))
        state = state._replace(params=params, average=params)
    if (out / STATE).exists():
        state = load_state(out / STATE, state)
    losses, start = [], time.perf_counter()
    for step in range(int(state.step), config.steps):
        pairs = batch_of(train_host, train_clean, config.batch, config.seed, step)
        state, value = train_step(network, moments, config, state, *pairs)
        losses.append(value)
        if (step + 1) % every and step + 1 < config.steps:
            continue
        watched = slice(len(host) - held, len(host) - held + 128)
        score = validate(network, moments, state.average, host[watched], transmission[watched])
        facts = describe(network, moments, config, step + 1, len(train_host))
        checkpoint.save(out / WEIGHTS, state.average, facts)
        save_state(out / STATE, state)
        entry = {"step": step + 1, "loss": float(np.mean(losses)), "rmse": score}
        entry["seconds_per_step"] = (time.perf_counter() - start) / len(losses)
        with (out / "log.jsonl").open("a") as log:
            log.write(json.dumps(entry) + "\n")
        print(json.dumps(entry), flush=True)
        losses, start = [], time.perf_counter()
    return state


def describe(network: UNet, moments, config: Config, step: int, pairs: int) -> dict[str, str]:
    """Return a weight file's metadata: what `load` needs to rebuild the network."""
    fields = ("channels", "blocks", "blocks_up", "embedding", "heads", "coarse")
    return checkpoint.describe(
        architecture="unet-1",
        network={name: getattr(network, name) for name in fields},
        coordinate="transmission at 0.4754 micron",
        precondition=moments._asdict(),
        config=config._asdict(),
        step=step,
        pairs=pairs,
    )


def main() -> None:
    """Command line of the training."""
    parser = argparse.ArgumentParser(description="Train the conditional dust denoiser.")
    parser.add_argument("--pairs", required=True, help="npz with host and transmission")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--steps", type=int, default=Config().steps)
    parser.add_argument("--batch", type=int, default=Config().batch)
    parser.add_argument("--rate", type=float, default=Config().rate)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=int, default=500)
    parser.add_argument("--start", type=Path, help="weights to start from")
    options = parser.parse_args()
    with np.load(options.pairs) as pairs:
        host, transmission = pairs["host"], pairs["transmission"]
    names = ("steps", "batch", "rate", "seed")
    config = Config(**{name: getattr(options, name) for name in names})
    params = None if options.start is None else checkpoint.load(options.start)[0]
    train(UNet(coarse=True), host, transmission, options.out, config, options.every, params)


if __name__ == "__main__":
    main()
