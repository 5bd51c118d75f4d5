"""The worlds of `sbc.py`: targets without data, whose every prior can be drawn from.

networks-32   the joint network of host and dust, trained here on pairs binned 2x2
networks-64   the one that ships
energies-64   the two energies that ship, at the noise levels that users get; the cross term is
              their own
gaussian-32   the control: a Gaussian host and a Gaussian dust tied to it; its scores and
              its draws are exact, and the sampler is not told its densities

Five HSC bands, a Gaussian PSF of sigma 1.4 (g) and 1.2 pixels, noise of 1/30 of a typical
brightest pixel. relaxed-32, -64 and -energies-64 are networks-32, networks-64 and energies-64 whose
truths, once drawn by reverse diffusion, go through 100 sweeps of HMC without data: they come from
where the scores at the target's own noise levels lead, and no longer from the whole ladder. In
nodata-32 the data weigh nothing: what goes wrong there is the networks' alone. The two tell a fault
of the sampler from networks that do not agree with themselves.

The band fluxes have the package's prior of colours, their common level
scattered by `LEVEL_ERROR` and not by a factor of 20, which would have every second galaxy
drown. The noise level of the dust is wider than the package's default: the networks'
scores are better there (see the Stein ratios that `sbc.py` reports).
"""

from dataclasses import fields
from pathlib import Path

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from dustpost.bands import effective_wavelength, filter_nodes
from dustpost.networks import training
from dustpost.networks.diffusion import sigma_of
from dustpost.observation import Observation
from dustpost.pairs import Pairs, from_npz, simulated
from dustpost.posterior import Target
from dustpost.priors import spectrum
from dustpost.priors.dust import load_dust_prior
from dustpost.priors.gaussian import GaussianPrior, matern_power
from dustpost.priors.joint import JointPrior, load_joint_prior
from dustpost.priors.sim import SimHostPrior, load_sim_prior
from dustpost.priors.slope import slope_prior
from dustpost.settings import SIGMA_ENERGY, Settings
from dustpost.train import Design, Source, train_network

BANDS = tuple(f"hsc2017-{band}" for band in "grizy")
PSF_SIGMA = (1.4, 1.2, 1.2, 1.2, 1.2)  # pixels
PEAKS = {32: 0.03, 64: 0.008}  # of S after the PSF, typical
SIGNAL_TO_NOISE = 30.0  # of such a pixel
FLUX, LEVEL_ERROR = 100.0, 0.2
T_HOST, WIDE = 0.1, 0.3
REVERSE_STEPS = 128
PAIRS, STEPS, WIDTHS = 24_576, 7500, (24, 48, 64)
WORLDS = ("networks-32", "networks-64", "gaussian-32", "relaxed-32", "relaxed-64", "nodata-32")
WORLDS += ("energies-64", "relaxed-energies-64")


def world(name: str, cache: Path, pairs: Path | None) -> Target:
    """Return the target of a world, its data missing."""
    size = int(name.split("-")[-1])
    if name.startswith("gaussian"):
        return gaussian(size)
    if "energies" in name:
        return energies(size)
    joint = load_joint_prior(trained(cache / "network-32", pairs) if size == 32 else None)
    joint = joint.replace(steps=REVERSE_STEPS, churn=0.0)
    shared = common(size)
    if name.startswith("nodata"):
        seen = shared["observation"]
        shared["observation"] = seen._replace(ivar=1e-12 * seen.ivar)
    return Target(
        **shared,
        host_prior=SimHostPrior(joint),
        dust_prior=joint,
        sigma_host=sigma_of(jnp.asarray(T_HOST)),
        sigma_dust=jnp.asarray(WIDE),
    )


def energies(size: int) -> Target:
    """Return the target of the energies that ship."""
    of_host = load_sim_prior(energy=True)
    joint = of_host.joint.replace(steps=REVERSE_STEPS, churn=0.0)
    return Target(
        **common(size),
        host_prior=of_host.replace(joint=joint),
        dust_prior=load_dust_prior(energy=True).replace(amount=()),  # as the full cross term is
        sigma_host=sigma_of(jnp.asarray(Settings().t_host)),
        sigma_dust=jnp.asarray(SIGMA_ENERGY),
    )


def common(size: int) -> dict:
    """Return what all worlds share."""
    wavelength = np.array([effective_wavelength(band) for band in BANDS])
    flux_prior = spectrum.stellar_flux(wavelength, np.full(len(BANDS), FLUX))
    spread = np.linalg.inv(np.asarray(flux_prior.precision, float))
    spread += LEVEL_ERROR**2 - spectrum.TOTAL_ERROR**2
    factors = np.linalg.cholesky(spread), np.linalg.inv(spread)
    flux_prior = spectrum.StellarFlux(flux_prior.mean, *(jnp.asarray(f, float) for f in factors))
    radius = np.hypot(*np.mgrid[-5:6, -5:6])
    psf = np.exp(-0.5 * (radius / np.array(PSF_SIGMA)[:, None, None]) ** 2)
    psf /= psf.sum(axis=(1, 2), keepdims=True)
    noise = np.exp(np.asarray(flux_prior.mean)) * PEAKS[size] / SIGNAL_TO_NOISE
    cube = np.zeros((len(BANDS), size, size))
    nodes = filter_nodes(BANDS, wavelength, average=False)
    parts = cube, cube + noise[:, None, None] ** -2, psf, *nodes
    return dict(
        observation=Observation(*(jnp.asarray(part, float) for part in parts)),
        flux_prior=flux_prior,
        slope_prior=slope_prior(),
        cross_term="full",
    )


def trained(folder: Path, pairs: Path | None) -> Path:
    """Return the weights of the small network; train it, or what is left, if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    weights, binned = folder / training.WEIGHTS, folder / "binned.npz"
    if weights.exists() and load_joint_prior(weights).metadata["step"] == STEPS:
        return weights
    if not binned.exists():
        found = simulated(folder, PAIRS, seed=0) if pairs is None else from_npz(pairs)
        host, transmission = bin_pairs(found)
        np.savez(binned, host=host, transmission=transmission)
    config = training.Config(steps=STEPS, rate=1.5e-3)
    return train_network("host", folder, Source(binned), Design(channels=WIDTHS), config, 1500)


def bin_pairs(pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """Bin 2x2: light is summed, D is that of the summed light (its plain mean in the dark)."""
    hosts, transmissions = [], []
    for first in range(0, len(pairs.host), 1024):
        host, transmission = (
            images[first : first + 1024].astype(np.float32) for images in pairs[:2]
        )
        blocks = (len(host), host.shape[1] // 2, 2, host.shape[2] // 2, 2)
        host, transmission = host.reshape(blocks), transmission.reshape(blocks)
        light, dimmed = host.sum(axis=(2, 4)), (host * transmission).sum(axis=(2, 4))
        plain = transmission.mean(axis=(2, 4))
        found = np.where(light > 1e-3, dimmed / np.maximum(light, 1e-3), plain)
        hosts.append((light / light.max(axis=(1, 2), keepdims=True)).astype(np.float16))
        transmissions.append(np.clip(found, 0, 1).astype(np.float16))
    return np.concatenate(hosts), np.concatenate(transmissions)


@flax.struct.dataclass
class WithoutCross(JointPrior):
    """The same networks to a sampler that leaves the cross term out."""

    def conditional(self, *latents_and_levels):
        """No cross term, and E[v | z, x]."""
        cross, clean = JointPrior.conditional(self, *latents_and_levels)
        return jnp.zeros_like(cross), clean


@flax.struct.dataclass
class ScoreOnlyGaussian(GaussianPrior):
    """A Gaussian prior that does not tell its density."""

    log_density = None


@flax.struct.dataclass
class TiedGaussian(ScoreOnlyGaussian):
    """Dust tied to the host: v = mean + tie (z0 - host_mean) + e, e of `power`.

    Closed forms in Fourier space, where with C of z0 and g = C / (C + tau^2)

        x | z ~ N(mean + tie g (z - host_mean), tie^2 C (1 - g) + power + sigma^2).
    """

    host_mean: Array
    host_power: Array
    tie: Array

    def _given(self, z: Array, tau: Array) -> tuple[Array, Array, Array]:
        gain = self.host_power / (self.host_power + tau**2)
        mean = self.mean + self.tie * _filter(z - self.host_mean, gain)
        return mean, self.tie**2 * self.host_power * (1 - gain) + self.power, gain

    def conditional(self, z: Array, x: Array, tau: Array, sigma: Array) -> tuple[Array, Array]:
        """Cross term, and E[v | z, x]."""
        mean, own, gain = self._given(z, tau)
        away = _filter(x - mean, 1 / (own + sigma**2))
        return self.tie * _filter(away, gain), mean + _filter(away, own)

    def sample_dust(self, key: Array, z: Array, tau: Array, sigma: Array) -> Array:
        """Draw x given z."""
        mean, own, _ = self._given(z, tau)
        white = jax.random.normal(key, z.shape, z.dtype)
        return mean + _filter(white, jnp.sqrt(own + sigma**2))


def without_cross(target: Target) -> Target:
    """Return the cut posterior of the same networks."""
    prior = target.dust_prior
    found = {field.name: getattr(prior, field.name) for field in fields(prior)}
    return target.replace(dust_prior=WithoutCross(**found))


def gaussian(size: int) -> Target:
    """Return the control; its covering threshold is the median A, 0.39 mag."""
    shape = (size, size)
    radius = np.hypot(*(np.mgrid[:size, :size] - (size - 1) / 2))
    light = jnp.asarray(np.log1p(np.exp(-radius / 4)) / 0.1, float)
    of_host, of_dust = matern_power(shape, 0.3, 2.0), matern_power(shape, 0.004, 2.0)
    return Target(
        **common(size),
        host_prior=ScoreOnlyGaussian(light, of_host),
        dust_prior=TiedGaussian(jnp.full(shape, 0.7), of_dust, light, of_host, jnp.asarray(-0.08)),
        sigma_host=jnp.asarray(0.3),
        sigma_dust=jnp.asarray(0.05),
        covering_threshold=0.39,
    )


def _filter(image: Array, gain: Array) -> Array:
    return jnp.fft.ifft2(jnp.fft.fft2(image) * gain).real
