"""The training loop: AdamW on noisy batches, with averaged weights, for any task.

    theta <- AdamW(theta, grad L(theta)),   average <- d average + (1 - d) theta,

with warm-up and cosine decay of the rate, clipped gradients (Karras et al. 2022,
App. F) and the exponential moving average that is exported. What is trained is a
`Task`: it adds the noise, and knows the loss. Step n's pairs, their orientation
and their noise depend on (seed, n) only, so a run that was killed and resumed
ends with the same bits as one that was not.
"""

import json
import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from dustpost.networks import checkpoint, contrast
from dustpost.networks.batches import batch_of, turn
from dustpost.networks.resume import adopt, check_resumable, load_state, save_state

HELD_OUT = 512  # the last pairs of a set are never trained on
WATCHED = 128  # as many of them are looked at with every checkpoint
MICRO = 8  # pairs at once that fit a core's cache
STATE, WEIGHTS, LOG = "state.safetensors", "weights.safetensors", "log.jsonl"


class Task(Protocol):
    """What the loop trains: a frozen dataclass (or NamedTuple) of hashable fields.

    jit takes it as a static argument, so it must hold no arrays. A module of tasks
    also offers `task(host, transmission, v, parameterisation, channels=None, fold=2)
    -> Task`, which reads what the task must know of its data (mean and spread, say)
    off the training set, and refuses options that it does not know; see
    `dustpost.networks.dust.task`.
    """

    def after(self, facts: dict[str, Any]) -> "Task":
        """Return the task that goes on from weights of the same kind.

        Parameters
        ----------
        facts : dict
            Their metadata. What they were trained with and the pairs would now give
            otherwise, such as the moments of the data, has to be taken from there.
        """

    def init(self, key: Array) -> dict:
        """Return random parameters, nested dicts of arrays; traced by jit."""

    def corrupt(self, key: Array, host: Array, transmission: Array) -> Any:
        """Make a batch: add noise to pairs; traced by jit.

        Parameters
        ----------
        key : Array
            The step's random key.
        host, transmission : Array, (batch, y, x)
            float32; hosts have a peak of 1, transmissions lie in [0, 1]. Both
            images of a pair have been turned alike by the loop.

        Returns
        -------
        pytree of Array, (batch, ...)
            Any structure that `loss` understands. Micro-batches take every
            n-th entry: noise levels in rising order are spread over all of them.
        """

    def loss(self, params: dict, part: Any) -> Array:
        """Return the mean loss, (), of a (micro-)batch that `corrupt` made; traced."""

    def validate(
        self, params: dict, host: np.ndarray, transmission: np.ndarray
    ) -> dict[str, float]:
        """Measure averaged weights on held-out pairs, (n, y, x) as above; not traced.

        The numbers go to log.jsonl under "score".
        """

    def describe(self) -> dict[str, Any]:
        """Return what rebuilds the network: JSON values, among them "architecture".

        The loop adds "config", "step", "pairs" and "origin" to the weight file's metadata.
        """


class Config(NamedTuple):
    """How long and how fast; with the task and the pairs it defines a run.

    Attributes
    ----------
    steps, batch, seed : int
        Optimiser steps; pairs per step; seed of everything random.
    micro : int
        Pairs at once; 0 chooses: `MICRO` on a CPU, elsewhere the whole batch.
    rate, warmup, decay, clip : float
        Peak learning rate of AdamW, steps of linear warm-up before the cosine that
        ends at `steps`, weight decay, and the norm at which gradients are clipped.
    average : float
        Decay of the exponential moving average of the weights.
    """

    steps: int = 10000
    batch: int = 32
    seed: int = 0
    micro: int = 0
    rate: float = 1e-3
    warmup: int = 300
    decay: float = 1e-4
    clip: float = 1.0
    average: float = 0.999


class TrainState(NamedTuple):
    """Everything that a resumed run needs.

    `chains` are those of a task that learns from its own samples as well, a
    `dustpost.networks.contrast.Learner` with a weight; () where there are none.
    """

    params: dict
    average: dict
    optimiser: optax.OptState
    step: Array
    chains: Any = ()


def optimiser(config: Config) -> optax.GradientTransformation:
    """Return clipped AdamW with warm-up and cosine decay."""
    rate = optax.warmup_cosine_decay_schedule(
        0.0, config.rate, config.warmup, max(config.steps, config.warmup + 1), config.rate / 100
    )
    return optax.chain(
        optax.clip_by_global_norm(config.clip),
        optax.adamw(rate, b2=0.99, weight_decay=config.decay),
    )


def settle(config: Config) -> Config:
    """Choose the micro-batch where it is 0: a divisor of the batch."""
    if config.micro:
        return config
    cpu = jax.default_backend() == "cpu"
    return config._replace(micro=math.gcd(config.batch, MICRO) if cpu else config.batch)


@partial(jax.jit, static_argnums=(0, 1))
def init(task: Task, config: Config) -> TrainState:
    """Return the state before the first step."""
    params = task.init(jax.random.fold_in(jax.random.key(config.seed), 2**31 - 1))
    return TrainState(params, params, optimiser(config).init(params), jnp.zeros((), jnp.int32))


@partial(jax.jit, static_argnums=(0, 1))
def _prepare(task, config, host, transmission, step):
    key = jax.random.fold_in(jax.random.key(config.seed), step)
    orientation, noise = jax.random.split(key)
    batch = task.corrupt(noise, *turn(orientation, host, transmission))
    count = config.batch // config.micro
    return [jax.tree.map(lambda leaf: leaf[first::count], batch) for first in range(count)]  # noqa: B023


@partial(jax.jit, static_argnums=0)
def _gradient(task, params, part):
    return jax.value_and_grad(task.loss)(params, part)


@partial(jax.jit, static_argnums=0)
def _update(config, state: TrainState, totals, more=()):
    value, gradient = jax.tree.map(lambda *leaves: sum(leaves) / len(leaves), *totals)
    gradient = jax.tree.map(lambda *parts: sum(parts), gradient, *more)
    update, inner = optimiser(config).update(gradient, state.optimiser, state.params)
    params = optax.apply_updates(state.params, update)
    # The average forgets its start early on.
    decay = jnp.minimum(config.average, (1.0 + state.step) / (10.0 + state.step))
    average = jax.tree.map(lambda a, p: decay * a + (1 - decay) * p, state.average, params)
    return TrainState(params, average, inner, state.step + 1, state.chains), value


def train_step(
    task: Task, config: Config, state: TrainState, host: np.ndarray, transmission: np.ndarray
) -> tuple[TrainState, Array]:
    """Take one optimiser step; return the new state and the batch's loss.

    Gradients are summed over micro-batches in Python, not by lax.scan: XLA's
    CPU backend runs a convolution's gradient some 10 times slower in a loop
    (jax#12868).
    """
    parts, more = _prepare(task, config, host, transmission, state.step), ()
    if len(state.chains):
        key = _key_of_chains(config, state.step)
        chains, gradient = contrast.learn(key, task, state.params, state.chains, host, transmission)
        state, more = state._replace(chains=chains), (gradient,)
    return _update(config, state, [_gradient(task, state.params, part) for part in parts], more)


def _key_of_chains(config: Config, step: int | Array) -> Array:
    """Of the chains' start (step -1) and of each of their moves."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(config.seed), 2**31 - 2), step + 1)


def train(
    task: Task,
    host: np.ndarray,
    transmission: np.ndarray,
    origin: str,
    out: Path,
    config: Config,
    every: int = 500,
    start: dict | None = None,
    stage: Callable[[str, int], Callable[[int], None]] = lambda name, total: lambda done: None,
) -> TrainState:
    """Train, or go on training, and export the averaged weights as you go.

    Parameters
    ----------
    task : Task
    host, transmission : numpy arrays, (n, y, x)
        Pairs, of any float type; hosts with a peak of 1. The last `HELD_OUT` (at
        most a quarter) are held out.
    origin : str
        Where the pairs are from, for the weight file.
    out : Path
        Folder for the state, the averaged weights and the log.
    config : Config
    every : int
        Steps between checkpoints.
    start : dict, optional
        Weights to start from instead of random ones.
    stage : callable
        (name, total) -> advance, see `dustpost.progress`.

    Returns
    -------
    TrainState

    Raises
    ------
    DustpostError
        If `out` holds the state of another run, or `start` another network.
    """
    out.mkdir(parents=True, exist_ok=True)
    config = settle(config)
    held = min(HELD_OUT, len(host) // 4)
    known = len(host) - held
    watched = slice(known, known + WATCHED)
    facts = task.describe() | {"config": config._asdict(), "pairs": known, "origin": origin}
    if resumed := (out / STATE).exists():
        check_resumable(out / STATE, facts)
    state = init(task, config)
    if start is not None:
        params = adopt(state.params, start)
        state = state._replace(params=params, average=params)
    if getattr(task, "weight", 0.0):
        pairs = host[:known], transmission[:known]
        chains = contrast.begin(_key_of_chains(config, -1), task, *pairs, config.batch)
        state = state._replace(chains=chains)
    if resumed:
        state = load_state(out / STATE, state)
    advance = stage("training", config.steps)
    advance(int(state.step))
    losses, clock = [], time.perf_counter()
    for step in range(int(state.step), config.steps):
        pairs = batch_of(host[:known], transmission[:known], config.batch, config.seed, step)
        state, value = train_step(task, config, state, *pairs)
        losses.append(value)
        advance(1)
        if (step + 1) % every and step + 1 < config.steps:
            continue
        entry = {"step": step + 1, "loss": float(np.mean(losses))}
        entry["seconds_per_step"] = (time.perf_counter() - clock) / len(losses)
        entry["score"] = task.validate(state.average, host[watched], transmission[watched])
        metadata = checkpoint.describe(**facts, step=step + 1)
        checkpoint.save(out / WEIGHTS, state.average, metadata)
        save_state(out / STATE, state, metadata)
        with (out / LOG).open("a") as log:
            log.write(json.dumps(entry) + "\n")
        losses, clock = [], time.perf_counter()
    return state
