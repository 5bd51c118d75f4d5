"""Claim: the image of a simulated galaxy tells how much dust it has, and so does RADMC-3D's.

    python -m benchmarks.learn_amount make --first 0 --last 5000 --out out/amount
    python -m benchmarks.learn_amount train --out out/amount [--epochs 240]
    python -m benchmarks.learn_amount test --out out/amount [--data ../shared/data/rt]

`make` writes noise-free galaxies of `dustpost simulate` in ugriz (0.27 s each of one core; run it
in parts, and beside itself). `train` fits `dustpost.networks.amount` to them as they are seen: in
each epoch turned, shifted by up to 3 pixels, at redshifts of 0 to `FARTHEST` (half of them at 0),
through PSFs and noise drawn anew; the last of them are held out. It writes OUT/amount.safetensors
and goes on from OUT/amount_state.safetensors where it was stopped. `test` takes the weights that
ship and writes learn_amount.json: how far the median of the density is from the truth of other
simulated galaxies (seed 77) and of RADMC-3D's, through HSC's PSFs, how often its central intervals
hold it, and what a constant, the median of the truths, would miss.
"""

import argparse
import json
import os
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from dustpost.amount import density, weights
from dustpost.bands import effective_wavelength
from dustpost.forward import convolve
from dustpost.mock import cutout_of, draw_view
from dustpost.networks import checkpoint
from dustpost.networks.amount import FINEST, Amount, features, loss, quantiles
from dustpost.networks.batches import dihedral
from dustpost.reproduce.exposure import observe
from dustpost.reproduce.sources import find_views
from dustpost.simulate.survey import noise_area
from dustpost.simulate.telescope import moffat

RESULT = Path(__file__).with_suffix(".json")
SEED = 9001  # of the galaxies
BANDS = tuple(f"lsst2023-{band}" for band in "grizu")  # r second, as the simulator has it
RISING, SEEN = (4, 0, 1, 2, 3), (0, 1, 3)  # in wavelength; g, r and z
FARTHEST = 0.3  # redshift: beyond it g is bluer than u
PEAK = (8.0, 1500.0)  # signal-to-noise of the brightest pixel in r
FWHM, UNEVEN = (2.2, 6.5), (0.85, 1.25)  # pixel; and of each band, relative to that
NOISE, UNALIKE = (-0.2, 0.0, 0.9), 0.4  # ln of the noise relative to r's: means, and g's and z's sd
SHIFT = 3  # pixel
STAMP, FLOOR, AVERAGE = 31, 1e-6, 0.998
HELD_OUT, BATCH, RATE = 1000, 64, 1.5e-3
INTERVALS = {50: (0.25, 0.75), 68: (0.16, 0.84), 90: (0.05, 0.95)}
QUANTILES = (0.5, *(share for pair in INTERVALS.values() for share in pair))


def make(first: int, last: int, out: Path) -> None:
    """Write galaxies [first, last): light (n, 5, y, x), float16, and mean attenuations (n,)."""
    light, amount = [], []
    for number in range(first, last):
        cutout = cutout_of(*draw_view(SEED, number, 0), BANDS)
        light.append((cutout.data / cutout.data.max()).astype(np.float16))
        amount.append(cutout.truth.mean_attenuation)
        if (number + 1) % 250 == 0 or number + 1 == last:
            file = out / f"galaxies_{first}.npz"
            part = file.with_suffix(".part.npz")
            np.savez(part, light=np.array(light), amount=np.array(amount, np.float32))
            part.replace(file)
            print(f"{number + 1 - first} of {last - first}", flush=True)


def read(out: Path) -> tuple[np.ndarray, np.ndarray]:
    """All galaxies of a folder, in the order of their numbers."""
    files = sorted(out.glob("galaxies_*.npz"), key=lambda file: int(file.stem.split("_")[1]))
    found = [np.load(file) for file in files if not file.stem.endswith(".part")]
    return tuple(np.concatenate([one[name] for one in found]) for name in ("light", "amount"))


def shifts(redshift: Array) -> Array:
    """Weights (3, 5) that give ln of the light in g, r and z of a galaxy at a redshift."""
    waves = jnp.log(jnp.array([effective_wavelength(name) for name in BANDS]))
    known = waves[jnp.array(RISING)]
    at = waves[jnp.array(SEEN)] - jnp.log1p(redshift)
    # linear in ln lambda between neighbours: the hat functions of the known bands
    hats = jax.vmap(lambda unit: jnp.interp(at, known, unit), out_axes=1)(jnp.eye(len(BANDS)))
    return hats[:, jnp.argsort(jnp.array(RISING))]


def see(key: Array, light: Array) -> Array:
    """One galaxy, (5, y, x) noise-free, as it may be seen: `features`, (y, x, 6)."""
    keys = jax.random.split(key, 8)
    redshift = FARTHEST * jnp.maximum(2 * jax.random.uniform(keys[0]) - 1, 0.0)
    image = jnp.exp(jnp.tensordot(shifts(redshift), jnp.log(light + FLOOR), 1))
    image = jax.vmap(dihedral, in_axes=(None, 0))(jax.random.randint(keys[1], (), 0, 8), image)
    offset = jax.random.randint(keys[2], (2,), -SHIFT, SHIFT + 1)
    image = jnp.roll(image, offset, axis=(1, 2))
    fwhm = jax.random.uniform(keys[3], (), minval=FWHM[0], maxval=FWHM[1])
    fwhm = fwhm * jax.random.uniform(keys[4], (3,), minval=UNEVEN[0], maxval=UNEVEN[1])
    psf = jax.vmap(lambda w: moffat(w, STAMP))(fwhm)
    image = convolve(image, psf)
    signal = jnp.exp(jax.random.uniform(keys[5], minval=jnp.log(PEAK[0]), maxval=jnp.log(PEAK[1])))
    uneven = UNALIKE * jax.random.normal(keys[6], (3,)).at[1].set(0.0) + jnp.array(NOISE)
    noise = jnp.max(image[1]) / signal * jnp.exp(uneven)
    data = image + noise[:, None, None] * jax.random.normal(keys[7], image.shape)
    return features(data, noise, jnp.sqrt(1 / jnp.sum(psf**2, axis=(1, 2))))


def train(out: Path, epochs: int) -> None:
    """Fit the network, an epoch at a time."""
    light, amount = read(out)
    count, network = len(amount) - HELD_OUT, Amount()
    steps = count // BATCH
    rate = optax.warmup_cosine_decay_schedule(0.0, RATE, 300, steps * epochs)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(rate, weight_decay=1e-3))
    seen = jax.jit(jax.vmap(see))
    parameters = network.init(
        jax.random.key(0), seen(jax.random.split(jax.random.key(0), 1), light[:1])
    )
    state = dict(parameters=parameters, average=parameters, optimiser=optimiser.init(parameters))
    begin = 0
    kept = out / "amount_state.safetensors"
    leaves, structure = jax.tree.flatten(state)
    if kept.exists():
        flat, facts = checkpoint.load(kept)
        begin = json.loads(facts["epoch"])
        state = structure.unflatten([jnp.asarray(flat[f"{n:04d}"]) for n in range(len(leaves))])

    @jax.jit
    def step(state, key, light, amount):
        images = jax.vmap(see)(jax.random.split(key, len(light)), light)
        value, gradient = jax.value_and_grad(loss)(state["parameters"], images, amount, network)
        change, rest = optimiser.update(gradient, state["optimiser"], state["parameters"])
        parameters = optax.apply_updates(state["parameters"], change)
        average = optax.incremental_update(parameters, state["average"], 1 - AVERAGE)
        return dict(parameters=parameters, average=average, optimiser=rest), value

    held = seen(jax.random.split(jax.random.key(1), HELD_OUT), light[count:])
    score = jax.jit(partial(loss, network=network))
    for epoch in range(begin, epochs):
        began, order = time.perf_counter(), np.random.default_rng([0, epoch]).permutation(count)
        values = []
        for number in range(steps):
            some = np.sort(order[number * BATCH : (number + 1) * BATCH])
            key = jax.random.fold_in(jax.random.key(2), epoch * steps + number)
            state, value = step(state, key, light[some], amount[some])
            values.append(value)
        parts = [slice(n, n + 100) for n in range(0, HELD_OUT, 100)]
        of_held = [score(state["average"], held[p], amount[count:][p]) for p in parts]
        told = f"{float(np.mean(values)):.4f}, held out {float(np.mean(of_held)):.4f}"
        print(f"epoch {epoch + 1}: {told}, {time.perf_counter() - began:.0f} s", flush=True)
        flat = {f"{n:04d}": np.asarray(leaf) for n, leaf in enumerate(jax.tree.leaves(state))}
        checkpoint.save(kept, flat, checkpoint.describe(epoch=epoch + 1))
    facts = dict(
        architecture="amount", widths=network.widths, galaxies=count, epochs=epochs, seed=SEED
    )
    facts |= dict(peak=PEAK, width=[width_of(fwhm) for fwhm in FWHM], redshift=(0.0, FARTHEST))
    facts |= dict(held_out=float(np.mean(of_held)))
    average = jax.tree.map(np.asarray, state["average"])
    checkpoint.save(out / "amount.safetensors", average, checkpoint.describe(**facts))


def width_of(fwhm: float) -> float:
    """Square root of the noise-equivalent area of a PSF, pixel."""
    return float(np.sqrt(noise_area(moffat(fwhm, STAMP)[None])[0]))


def test(data: Path, galaxies: int) -> dict:
    """Distances and intervals on galaxies that were not taught."""
    found = {}
    sources = {"simulated": find_views(None, galaxies, 1, 77)}
    if data.is_dir():
        sources["RADMC-3D"] = find_views(data, 1000, 3, 0)
    for name, views in sources.items():
        cutouts = [view.read(False) for view in views]
        for snr in (30.0, 100.0):
            seen = [observe(cutout, snr, 0) for cutout in cutouts]
            truth = np.array([cutout.truth.mean_attenuation for cutout in seen])
            covering = np.array([cutout.truth.covering_fraction for cutout in seen])
            places = np.array([quantiles(density(cutout), QUANTILES) for cutout in seen])
            found[f"{name}, S/N {snr:g}"] = score(truth, covering, places)
    return found


def score(truth: np.ndarray, covering: np.ndarray, places: np.ndarray) -> dict:
    """What the quantiles (n, quantile) in mag say of truths (n,)."""
    # no dust at all is the edge of every density: told apart by no more than the first bin
    spread = FINEST * np.random.default_rng(0).random(len(truth))
    told = np.where(truth < FINEST, spread, truth)
    at = dict(zip(QUANTILES, places.T, strict=True))
    held = {
        f"inside{share}": np.mean((at[low] <= told) & (told <= at[high]))
        for share, (low, high) in INTERVALS.items()
    }
    error, bare = np.abs(at[0.5] - truth), covering < 0.9
    numbers = dict(
        galaxies=len(truth),
        median_abs_error=np.median(error),
        median_abs_error_covering_below_0_9=np.median(error[bare]),
        of_a_constant=np.median(np.abs(truth - np.median(truth))),
        correlation=np.corrcoef(at[0.5], truth)[0, 1],
        median_bias=np.median(at[0.5] - truth),
        **held,
    )
    return {name: round(float(value), 3) for name, value in numbers.items()}


def main() -> None:
    """Make, train or test."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("make", "train", "test"))
    default = Path(os.environ.get("DUSTPOST_DATA", "../shared/data")) / "rt"
    parser.add_argument("--out", type=Path, default=Path("out/amount"))
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--last", type=int, default=5000)
    parser.add_argument("--epochs", type=int, default=240)
    parser.add_argument("--galaxies", type=int, default=100)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.what == "make":
        make(options.first, options.last, options.out)
    elif options.what == "train":
        train(options.out, options.epochs)
    else:
        found = dict(sha256=weights(), **test(options.data, options.galaxies))
        RESULT.write_text(json.dumps(found, indent=1) + "\n")
        print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
