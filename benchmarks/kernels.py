"""Claim: score-HMC with a Simpson ratio costs far fewer network calls than what it replaces.

    python benchmarks/kernels.py [--only NAME ...] [--scale 1.0]

Bulk ESS of the worst of nine scalars (`kernels_world.NAMES`) per network call and per CPU
second, for every kernel on one posterior in one run: 64x64, three bands, host and dust tied
normal fields, all of the light behind dust. A call is one evaluation of the host's and of
the dust's network; that of one of them counts as half, and a pull-back through them as
nothing. As the priors are closed forms here, the seconds are those of the physics.

The posterior's means and sds are those of a long run of score-HMC; an unadjusted or wrongly
adjusted kernel has a bias, the largest difference of a mean in those sds, and its ESS counts
only where that is below 0.3. Where chains have not mixed, an ESS below 40 is not measured but
estimated from how far they move, which errs in their favour; their bias is then chance too.
Chains start from draws of the long run, but for the annealed kernels, which start from noise
and give one draw a chain; those run on at their last level too, which flatters them.

`Remy et al.` is score-HMC as in their A&A 672, A51 (2023): 3 leapfrog steps, the change of
the whole log density by Simpson's rule on 4 intervals of the straight line, levels that fall
by 2 % after more than 10 steps and an accept test of their own, steps that fall as the root of
the level. Unlike theirs it has the masses of our kernels and a step size that is adapted at
the last level; the likelihood is not widened with the level. Langevin is Song & Ermon's
(2019), with their masses and with ours.

Writes kernels.json.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import arviz
import blackjax
import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer import MCMC, NUTS, init_to_value

from benchmarks import kernels_world as world
from benchmarks.exact_targets import machine
from dustpost.galaxy import Position
from dustpost.model import model
from dustpost.samplers import annealed, flux, gibbs, hmc, orbit, split_gibbs
from tests.wrong_kernels import simpson_chord, with_ratio

CHAINS, SEED, RATE = 4, 11, 0.8
CHUNK, WARM = 50, 2  # sweeps, and chunks in which step sizes adapt
MEASURED = 40  # ESS below which it is that of a diffusion
COUNTED = 0.3  # largest bias, in posterior sd
HIGHEST = (2.0, 0.3)  # noise levels where annealing starts
FALL, LEAST = 0.98, 10
DIRECTIONS = 128  # of a frame
LONG = 24  # leapfrog steps of the long run
CUT, JOINT = ("orbit", "dust", "host", "slope"), ("orbit", "joint", "slope")


class Setting(NamedTuple):
    """What every kernel is given."""

    target: Any
    exact: Any
    truth: Position
    tuning: gibbs.Tuning


class Run(NamedTuple):
    """Draws (chain, draw, scalar), calls of one chain per draw, seconds, and remarks."""

    draws: np.ndarray
    calls: float
    seconds: float
    remarks: dict


def gibbs_calls(scan: tuple[str, ...], steps: int) -> float:
    """Network calls of a sweep."""
    each = {"joint": 2 * steps + 1, "host": 2 * steps + 1, "slope": 0.0}
    each |= {"dust": 0.5 * (2 * steps + 1), "orbit": 0.5 * (2 * orbit.STEPS + 1)}
    return sum(each[name] for name in scan)


def spin(key, states, sweep, take, draws: int, warm: int = 0):
    """Run chains side by side in chunks: (draws, infos, states, CPU seconds of the draws)."""

    def one(key, state):
        def step(state, key):
            state, info = sweep(key, state)
            return state, (take(state), info)

        return jax.lax.scan(step, state, jax.random.split(key, CHUNK))

    chunks = -(-draws // CHUNK)
    keys = jax.random.split(key, (warm + chunks) * CHAINS).reshape(-1, CHAINS)
    program = jax.jit(jax.vmap(one)).lower(keys[0], states).compile()
    for chunk_key in keys[:warm]:
        states, _ = program(chunk_key, states)
    states = hold(states) if warm else states
    found, clock = [], time.process_time()
    for chunk_key in keys[warm:]:
        states, out = jax.block_until_ready(program(chunk_key, states))
        found.append(jax.tree.map(np.asarray, out))
    seconds = time.process_time() - clock
    draws, infos = jax.tree.map(lambda *parts: np.concatenate(parts, axis=1), *found)
    return draws, infos, states, seconds


class Adapting(NamedTuple):
    """A state, the logs of its step sizes, and how many sweeps they have been adapted for."""

    state: Any
    steps: dict
    number: Any


def hold(carry: Adapting) -> Adapting:
    """Fix the step sizes at their mean over the chains."""
    steps = jax.tree.map(lambda s: jnp.full_like(s, s.mean()), carry.steps)
    return Adapting(carry.state, steps, jnp.full_like(carry.number, jnp.inf))


def by_steps(key, states, sweep, take, names, first, draws) -> tuple:
    """Draws, infos, states, CPU seconds and step sizes, these adapted beforehand."""

    def step(key, carry):
        sizes = {n: jnp.exp(s) for n, s in carry.steps.items()}
        state, rates = sweep(key, carry.state, sizes)
        gain = 1.0 / (1 + carry.number / 15)
        steps = {n: s + gain * (rates[n] - RATE) for n, s in carry.steps.items()}
        return Adapting(state, steps, carry.number + 1), rates

    start = {n: jnp.full(CHAINS, jnp.log(first)) for n in names}
    carry = Adapting(states, start, jnp.zeros(CHAINS))
    found, rates, carry, seconds = spin(key, carry, step, lambda c: take(c.state), draws, WARM)
    sizes = {n: round(float(jnp.exp(s[0])), 4) for n, s in carry.steps.items()}
    return found, rates, carry.state, seconds, sizes


def by_gibbs(key, places, given: Setting, scan, steps: int, draws: int) -> Run:
    """A scan of the package's own moves."""
    target = given.target

    def sweep(key, state, sizes):
        tuning = given.tuning._replace(step={**given.tuning.step, **sizes})
        state, info = gibbs.kernel(key, state, target, tuning, steps, scan=scan)
        return state, info.acceptance

    def take(state):
        return world.functionals(target, state.position, state.galaxy, state.flux.value)

    keys = jax.random.split(key, CHAINS + 1)
    states = jax.vmap(gibbs.init, in_axes=(0, 0, None))(keys[1:], places, target)
    names = tuple(n for n in scan if n != "slope")
    first = 0.2 if "joint" in scan else 0.3
    found, rates, states, seconds, sizes = by_steps(
        keys[0], states, sweep, take, names, first, draws
    )
    remarks = {"step": sizes, "acceptance": {n: _mean(rates[n]) for n in names}, "steps": steps}
    return Run(found, gibbs_calls(scan, steps), seconds, {**remarks, "states": states})


def by_split(key, places, given: Setting, steps: int, draws: int) -> Run:
    """Split Gibbs; its copy w has the very law of the others' latents."""
    target = given.target

    def sweep(key, state, sizes):
        state, info = split_gibbs.kernel(key, state, target, sizes["likelihood"], steps)
        return state, {"likelihood": info.acceptance}

    def take(state):
        place = Position(*state.seen, state.position.slope)
        return world.functionals(target, place, state.galaxy, state.flux.value)

    keys = jax.random.split(key, CHAINS + 1)
    states = jax.vmap(split_gibbs.init, in_axes=(0, 0, None))(keys[1:], places, target)
    found, rates, _, seconds, sizes = by_steps(
        keys[0], states, sweep, take, ("likelihood",), 0.2, draws
    )
    remarks = {"step": sizes, "acceptance": _mean(rates["likelihood"]), "steps": steps}
    return Run(found, split_gibbs.LEVELS, seconds, remarks)


def recorded(target, position: Position) -> jax.Array:
    """Scalars of a position, F drawn with a key of its own bits."""
    galaxy = target.galaxy(position)
    bits = jax.lax.bitcast_convert_type(position.dust[0, 0], jnp.uint32)
    drawn = flux.draw(jax.random.key(bits), galaxy, target.flux_prior)
    return world.functionals(target, position, galaxy, drawn.value)


def by_langevin(key, places, given: Setting, mass: Callable, step: float, draws: int) -> Run:
    """Langevin at the last level, from draws of the posterior."""
    held = mass(given.target, given.truth)

    def sweep(key, state):
        return annealed.kernel(key, state, given.target, held, step)

    states = jax.vmap(annealed.init, in_axes=(0, None))(places, given.target)
    take = lambda state: recorded(given.target, state.position)  # noqa: E731
    found, _, _, seconds = spin(key, states, sweep, take, draws)
    return Run(found, 1.0, seconds, {"step": step})


def by_annealing(key, given: Setting, levels: int, steps: int, count: int, step: float) -> Run:
    """Annealed Langevin from noise with our masses: one draw a chain, `count` chains."""
    target = given.target
    ladder = annealed.geometric(HIGHEST, target, levels)
    run = annealed.langevin(annealed.likelihood_mass, step)

    @jax.jit
    def all_of_them(keys):
        def one(key):
            first, second = jax.random.split(key)
            start = noise(first, target, ladder.host[0], ladder.dust[0])
            return recorded(target, run(second, start, target, ladder, steps)[0].position)

        return jax.lax.map(one, keys)

    program = all_of_them.lower(jax.random.split(key, count)).compile()
    clock = time.process_time()
    found = np.asarray(program(jax.random.split(key, count)))[:, None]
    seconds = time.process_time() - clock
    remarks = {"levels": levels, "steps a level": steps, "step": step}
    return Run(found, float(levels * steps), seconds, remarks)


def noise(key, target, tau, sigma) -> Position:
    """No dust, the mean host, and the noise of a level."""
    keys = jax.random.split(key)
    mean = target.host_prior.mean
    host = mean + tau * jax.random.normal(keys[0], mean.shape)
    return Position(host, 1.0 + sigma * jax.random.normal(keys[1], mean.shape), jnp.asarray(0.1))


def by_remy(key, places, given: Setting, draws: int) -> Run:
    """Their kernel at the last level, from draws of the posterior."""
    kernel = with_ratio(whole_chord)
    block, mass = given.target.joint_block(), given.tuning.precision["joint"]

    def sweep(key, state, sizes):
        state, info = kernel(key, state, block, sizes["joint"], mass, 3)
        return state, {"joint": info.acceptance}

    take = lambda state: recorded(given.target, state.moving)  # noqa: E731
    states = jax.vmap(lambda place: hmc.init(place, block))(places)
    found, rates, _, seconds, sizes = by_steps(key, states, sweep, take, ("joint",), 0.2, draws)
    remarks = {"step": sizes, "acceptance": _mean(rates["joint"])}
    # 3 leapfrog steps and the 5 nodes of the straight line
    return Run(found, 8.0, seconds, remarks)


def whole_chord(block, path, scores, unravel):
    """Change of prior and likelihood along the line, less the likelihood's own difference."""
    whole = block._replace(score=lambda moving: jax.tree.map(jnp.add, *_both(block, moving)))
    change = simpson_chord(whole, path, scores, unravel)
    ends = [block.evaluate(unravel(path[n])).log_density for n in (0, -1)]
    return change - (ends[1] - ends[0])


def _both(block, moving):
    found = block.evaluate(moving)
    return found.score, found.gradient


def remy_annealed(key, given: Setting, step: float, count: int) -> Run:
    """Their annealing, from noise: one draw a chain."""
    target, mass = given.target, given.tuning.precision["joint"]
    kernel = with_ratio(whole_chord)
    top = HIGHEST[0] / float(target.sigma_host)
    widen = (HIGHEST[1] / float(target.sigma_dust)) / top

    def at(heat):
        # both noise levels in one number, 1 at the end
        share = jnp.log(heat) / jnp.log(top)
        sigma = target.sigma_dust * heat * jnp.exp(share * jnp.log(widen))
        return target.replace(sigma_host=target.sigma_host * heat, sigma_dust=sigma).joint_block()

    @jax.jit
    def one(key):
        first, second = jax.random.split(key)
        place = noise(first, target, *map(jnp.asarray, HIGHEST))

        def sweep(carry):
            key, place, heat, stay, count = carry
            key, move_key, level_key = jax.random.split(key, 3)
            block, cooler = at(heat), at(heat * FALL)
            size = step * jnp.sqrt(heat / top) * top**0.5
            state, info = kernel(move_key, hmc.init(place, block), block, size, mass, 3)
            flat, unravel = jax.flatten_util.ravel_pytree(place)
            path = jnp.stack([flat, jax.flatten_util.ravel_pytree(state.moving)[0]])
            there = [_line(b, path, unravel) for b in (block, cooler)]
            passed = jnp.log(jax.random.uniform(level_key)) < there[0] - there[1]
            falls = passed & info.accepted & (stay > LEAST)
            heat = jnp.where(falls, heat * FALL, heat)
            stay = jnp.where(falls, 0, stay + 1)
            return key, state.moving, heat, stay, count + 1

        going = lambda c: (c[2] > 1.0) & (c[4] < 6000)  # noqa: E731
        _, place, heat, _, count = jax.lax.while_loop(
            going, sweep, (second, place, jnp.asarray(top), 0, 0)
        )
        return recorded(target, place), heat, count

    keys = jax.random.split(key, count)
    jax.block_until_ready(one.lower(keys[0]).compile())
    clock = time.process_time()
    found, heats, counts = (np.asarray(a) for a in jax.lax.map(one, keys))
    seconds = time.process_time() - clock
    remarks = {"steps a chain": float(counts.mean()), "last level": float(heats.max())}
    # 8 calls a step as above, and 5 at each of two levels for their own test
    return Run(found[:, None], 18.0 * float(counts.mean()), seconds, remarks)


def _line(block, path, unravel):
    whole = block._replace(score=lambda moving: jax.tree.map(jnp.add, *_both(block, moving)))
    return simpson_chord(whole, path, None, unravel)


def by_blackjax(key, places, given: Setting, draws: int) -> Run:
    """NUTS of the collapsed density with the masses of our kernels."""
    target, block = given.exact, given.exact.joint_block()
    mass = jax.flatten_util.ravel_pytree(given.tuning.precision["joint"])[0]

    def log_density(position):
        return block.log_prior(position) + block.evaluate(position).log_density

    nuts = blackjax.nuts.build_kernel()

    def sweep(key, state, sizes):
        place, _ = state
        place, info = nuts(key, place, log_density, sizes["joint"], 1.0 / mass, max_num_doublings=6)
        return (place, info.num_integration_steps), {"joint": info.acceptance_rate}

    init = lambda place: (blackjax.nuts.init(place, log_density), 0)  # noqa: E731
    states = jax.vmap(init)(places)
    take = lambda s: jnp.append(recorded(target, s[0].position), s[1])  # noqa: E731
    found, rates, _, seconds, sizes = by_steps(key, states, sweep, take, ("joint",), 0.2, draws)
    remarks = {"step": sizes, "acceptance": _mean(rates["joint"])}
    return Run(found[..., :-1], float(found[..., -1].mean()), seconds, remarks)


def by_numpyro(key, places, given: Setting, draws: int) -> Run:
    """NumPyro's NUTS on `dustpost.model`, F not collapsed; its own warm-up is not counted."""
    target, truth = given.exact, given.truth
    first = target.galaxy(truth).estimate
    start = {"z": truth.host, "x": truth.dust, "slope": truth.slope, "F": first}
    kernel = NUTS(model, init_strategy=init_to_value(values=start), max_tree_depth=6)
    mcmc = MCMC(kernel, num_warmup=150, num_samples=draws, progress_bar=False)
    mcmc.warmup(key, target)
    clock = time.process_time()
    mcmc.run(key, target, extra_fields=("num_steps",))
    seconds = time.process_time() - clock
    drawn = mcmc.get_samples()

    def one(draw):
        place = Position(draw["z"], draw["x"], draw["slope"])
        return world.functionals(target, place, target.galaxy(place), draw["F"])

    found = np.asarray(jax.lax.map(one, drawn))[None]
    calls = float(mcmc.get_extra_fields()["num_steps"].mean())
    return Run(found, calls, seconds, {"chains": 1, "compilation": "in the seconds"})


def _mean(values) -> float:
    return round(float(np.mean(values)), 3)


def diffusion(draws: np.ndarray, sd: float) -> float:
    """ESS of chains that have not mixed, from their mean square move over a fifth of a chain.

    1 - the autocorrelation at this lag, taken to fall exponentially; draws (chain, draw).
    """
    lag = draws.shape[1] // 5
    moved = np.mean((draws[:, lag:] - draws[:, :-lag]) ** 2) / (2 * sd**2)
    time = -lag / np.log1p(-min(moved, 0.99))
    return float(draws.size / (2 * time))


def report_of(run: Run, mean, sd, error) -> dict:
    """ESS, rates and bias; independent draws (one a chain) count one each."""
    chains, length, _ = run.draws.shape
    if length == 1:
        ess = dict.fromkeys(world.NAMES, float(chains))
    else:
        columns = np.moveaxis(run.draws, -1, 0)
        ess = {n: float(arviz.ess(np.array(c))) for n, c in zip(world.NAMES, columns, strict=True)}
        for n, c, s in zip(world.NAMES, columns, sd, strict=True):
            # too few to be measured so: by how far a chain moves, as a diffusion would
            ess[n] = ess[n] if ess[n] > MEASURED else min(ess[n], diffusion(c, s))
    bias = (run.draws.mean(axis=(0, 1)) - mean) / sd
    chance = np.hypot(1 / np.sqrt(list(ess.values())), error / sd)
    ratio = run.draws.std(axis=(0, 1)) / sd
    worst = min(ess, key=ess.get)
    calls = run.calls * chains * length
    remarks = {k: v for k, v in run.remarks.items() if k != "states"}
    return {
        "draws": [chains, length],
        "calls a draw": round(run.calls, 1),
        "least ess": round(ess[worst], 2),
        "mixed": bool(min(ess.values()) > MEASURED),
        "worst scalar": worst,
        "ess per 1000 calls": 1e3 * ess[worst] / calls,
        "ess per CPU second": ess[worst] / run.seconds,
        "largest bias, sd": round(float(np.abs(bias).max()), 3),
        "its scalar": world.NAMES[int(np.abs(bias).argmax())],
        "standard error of it, sd": round(float(chance[np.abs(bias).argmax()]), 3),
        "sd over the exact": [round(float(r), 3) for r in (ratio.min(), ratio.max())],
        "counted": bool(np.abs(bias).max() < COUNTED),
        "CPU seconds": round(run.seconds, 1),
        **remarks,
    }


def prepare(key) -> Setting:
    """The galaxy, and the masses at its truth."""
    target, truth = world.observed(key, world.target())
    exact = world.target(density=True).replace(observation=target.observation)
    make = jax.jit(gibbs.tune, static_argnames="scan")
    cut, full = (make(target, truth, 0.2, scan=scan) for scan in (CUT, JOINT))
    tuning = gibbs.Tuning(cut.step | full.step, cut.precision | full.precision, cut.direction)
    # the curvature along the orbit, F collapsed; a short warm-up would not find it
    tuning.precision["orbit"] = jax.jit(along_orbit)(target, truth, cut.direction)
    return Setting(target, exact, truth, tuning)


def along_orbit(target, truth: Position, direction) -> jax.Array:
    """Curvature of the target along the orbit's line, by a difference."""
    host, origin = target.host_of(truth.host)[0], (truth.dust, truth.slope)
    line = orbit.line(target.dust_block(host), origin, (direction, jnp.zeros(())))
    ends = [line.evaluate(jnp.asarray(t)) for t in (0.01, -0.01)]
    slopes = [found.force for found in ends]
    return jnp.maximum((slopes[1] - slopes[0]) / 0.02, 1.0)


def framed(places: Position, given: Setting) -> Setting:
    """The same with a frame for every HMC move, fitted to where the chains start."""
    keys = jax.random.split(jax.random.key(SEED + 1), CHAINS)
    states = jax.vmap(gibbs.init, in_axes=(0, 0, None))(keys, places, given.target)
    retune = jax.jit(gibbs.retune, static_argnames="rank")
    fitted = retune(keys[0], states, given.target, given.tuning, rank=DIRECTIONS)
    return given._replace(tuning=given.tuning._replace(frames=fitted.frames))


def menu(key, places, given: Setting, size: Callable) -> dict:
    """Every kernel by its name."""
    masses = annealed.likelihood_mass, annealed.noise_mass

    def scan(moves, steps, draws, tuned=lambda: given):
        return lambda: by_gibbs(key, places, tuned(), moves, steps, size(draws))

    def in_frames():
        return framed(places, given)

    def stay(mass):
        return lambda: by_langevin(key, places, given, mass, 0.1, size(5000))

    return {
        "score-HMC, joint scan with orbit, 24 steps": None,
        "score-HMC, joint scan with orbit": scan(JOINT, 8, 1000),
        "score-HMC in frames, joint scan with orbit": scan(JOINT, 8, 1000, in_frames),
        "score-HMC in frames, joint scan": scan(JOINT[1:], 8, 600, in_frames),
        "score-HMC in frames, cut scan with orbit": scan(CUT, 8, 600, in_frames),
        "Remy et al., last level": lambda: by_remy(key, places, given, size(1500)),
        "Langevin, last level, our masses": stay(masses[0]),
        "score-HMC, cut scan with orbit": scan(CUT, 8, 600),
        "score-HMC, joint scan": scan(JOINT[1:], 8, 600),
        "score-HMC, cut scan": scan(CUT[1:], 8, 400),
        "MALA, joint scan": scan(JOINT[1:], 1, 3000),
        "split Gibbs": lambda: by_split(key, places, given, 8, size(400)),
        "NUTS, blackjax, density": lambda: by_blackjax(key, places, given, size(150)),
        "NUTS, numpyro, density": lambda: by_numpyro(key, places, given, size(150)),
        "Langevin, annealed": lambda: by_annealing(key, given, 10, 100, 24, 0.1),
        "Langevin, last level, their masses": stay(masses[1]),
        "Remy et al., annealed": lambda: remy_annealed(key, given, 0.05, 2),
    }


def main() -> None:
    """Reference, then every kernel; write after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", help="kernels whose name begins so")
    parser.add_argument("--scale", type=float, default=1.0, help="of all lengths")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args()
    report = {"machine": machine(), "seed": SEED, "scalars": list(world.NAMES)}
    size = lambda n: max(CHUNK, round(n * options.scale))  # noqa: E731
    key = jax.random.key(SEED)
    given = prepare(key)
    places = jax.tree.map(lambda a: jnp.stack([a] * CHAINS), given.truth)
    long = by_gibbs(key, places, given, JOINT, LONG, size(1500))
    kept = long.draws[:, long.draws.shape[1] // 8 :]
    mean, sd = kept.mean(axis=(0, 1)), kept.std(axis=(0, 1))
    ess = np.array([arviz.ess(np.array(c)) for c in np.moveaxis(kept, -1, 0)])
    places = long.remarks["states"].position
    report["reference"] = {
        "mean": mean.tolist(),
        "sd": sd.tolist(),
        "ess": ess.round().tolist(),
        "covering fraction": float(jnp.mean(given.target.galaxy(given.truth).transmission < 0.955)),
    }
    print(report["reference"], flush=True)
    kernels = menu(key, places, given, size)
    # the reference is itself a run of this kernel
    kernels["score-HMC, joint scan with orbit, 24 steps"] = lambda: long._replace(draws=kept)
    for name, call in kernels.items():
        if options.only is not None and not any(name.startswith(o) for o in options.only):
            continue
        found = report_of(call(), mean, sd, sd / np.sqrt(ess))
        report.setdefault("kernels", {})[name] = found
        options.out.write_text(json.dumps(report, indent=1) + "\n")
        print(name, json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
