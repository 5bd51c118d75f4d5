"""Is this machine fit to sample: devices, versions, weights, and the numerics canary.

Some jax releases miscompile on CPUs: jitted code is then wrong by a per cent, silently
(jax#39103), or crashes (jax#39257). The canary runs the package's own networks and forward
model jitted and, operation by operation, not jitted; the two must agree.
"""

import platform
from importlib.metadata import PackageNotFoundError, version

import jax
import jax.numpy as jnp
import numpy as np

from dustpost import amount
from dustpost.errors import DustpostError
from dustpost.findings import Finding
from dustpost.forward import templates
from dustpost.networks.mixer import Mixer
from dustpost.observation import Observation
from dustpost.priors.dust import load_dust_prior
from dustpost.priors.host import find_hsc64, load_host_prior
from dustpost.priors.sim import load_sim_prior

MISCOMPILING = ("0.10.2", "0.11.0")
PACKAGES = ("jax", "jaxlib", "flax", "numpyro", "blackjax", "arviz", "astropy", "xarray")
# float32 sums in another order differ by about 1e-6; the known bug by 8e-3
TOLERANCE = 1e-4


def examine() -> list[Finding]:
    """All checks of this machine, as findings."""
    return [*_versions(), *_devices(), *_weights(), *_canary()]


def canary_error() -> float:
    """Largest difference, relative to the peak, between jitted and plain results."""
    rng = np.random.default_rng(0)
    image = jnp.asarray(rng.gamma(2.0, 0.3, (64, 64)), jnp.float32)
    mixer = Mixer(hidden=16, patch_width=64, hidden_width=64, blocks=2)
    variables = mixer.init(jax.random.key(0), image, 0.1)
    psf = rng.gamma(1.0, 1.0, (3, 9, 9))
    psf = jnp.asarray(psf / psf.sum(axis=(1, 2), keepdims=True), jnp.float32)
    cube = jnp.zeros((3, 64, 64), jnp.float32)
    waves = jnp.asarray([[0.475], [0.62], [0.89]], jnp.float32)
    observation = Observation(cube, cube, psf, waves, jnp.ones_like(waves))

    def loss(image):
        score = mixer.apply(variables, image, 0.1)
        host = jnp.exp(0.1 * image) / jnp.sum(jnp.exp(0.1 * image))
        transmission = jax.nn.sigmoid(score)
        return jnp.sum(jnp.sqrt(templates(observation, host, transmission, jnp.float32(0.1))))

    jitted = jax.jit(jax.value_and_grad(loss))(image)
    with jax.disable_jit():
        plain = jax.value_and_grad(loss)(image)
    pairs = zip(jitted, plain, strict=True)
    return max(float(jnp.max(jnp.abs(a - b)) / jnp.max(jnp.abs(b))) for a, b in pairs)


def _versions() -> list[Finding]:
    found = [f"python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            return [Finding("error", "versions", f"{name} is not installed: reinstall dustpost")]
    findings = [Finding("info", "versions", ", ".join(found))]
    if version("jax") in MISCOMPILING or version("jaxlib") in MISCOMPILING:
        text = f"jax {version('jax')} miscompiles on CPUs: install another version"
        findings.append(Finding("error", "jax", text))
    return findings


def _devices() -> list[Finding]:
    names = ", ".join(f"{d.platform}:{d.id} ({d.device_kind})" for d in jax.devices())
    return [Finding("info", "devices", names)]


def _weights() -> list[Finding]:
    findings = []
    loaders = [("host prior", load_sim_prior), ("dust prior", load_dust_prior)]
    if find_hsc64() is None:
        text = "galaxygrad is not installed: hosts have the prior sim, not hsc64"
        findings.append(Finding("info", "weights", text))
    else:
        loaders.append(("host prior", load_host_prior))
    for name, load in loaders:
        try:
            prior = load()
            text = f"{name} {prior.name}, sha256 {prior.sha256[:16]}"
            findings.append(Finding("info", "weights", text))
        except DustpostError as error:
            findings.append(Finding("error", "weights", str(error)))
    try:
        text = f"amount of dust, sha256 {amount.weights()[:16]}"
        findings.append(Finding("info", "weights", text))
    except DustpostError as error:
        findings.append(Finding("error", "weights", str(error)))
    return findings


def _canary() -> list[Finding]:
    error = canary_error()
    if error < TOLERANCE:
        return [Finding("info", "canary", f"jitted and plain results agree to {error:.1e}")]
    text = f"jitted and plain results differ by {error:.1e}: this jax miscompiles here; change it"
    return [Finding("error", "canary", text)]
