"""Everything that a fit may be told, with its defaults; TOML in."""

import dataclasses
import difflib
import math
import tomllib
from dataclasses import dataclass
from pathlib import Path

from dustpost.errors import DustpostError

CHOICES = {
    "sampler": ("gibbs", "langevin", "split-gibbs"),
    "host_prior": ("auto", "hsc64", "sim"),
    "cross_term": ("anchored", "cut", "full"),
    "amount": ("image", "model"),
    "target": ("denoised", "smoothed"),
    "flux_prior": ("colours", "flat"),
    "curve": ("calzetti-noll", "paper"),
    "norm": ("lambda0", "paper"),
}
SIGMA_DUST = {"transmission": 0.05, "optical_depth": 0.05, "log_attenuation": 0.1}
SIGMA_ENERGY = 0.2  # of the transmission
# one colour for the host, one curve for its dust and no error: the paper's
PAPERS_MODEL = dict.fromkeys(
    ("colour_field", "colour_along_dust", "model_error", "flattening"), 0.0
)


@dataclass(frozen=True)
class Settings:
    """What a fit assumes and how long it runs.

    Attributes
    ----------
    sampler : {"gibbs", "langevin", "split-gibbs"}
        HMC within Gibbs, the band fluxes collapsed; annealed Langevin dynamics, unadjusted;
        or a copy of the galaxy for the prior and one for the likelihood.
    host_prior : {"auto", "hsc64", "sim"}
        HSC-64, or the network trained on this package's simulator; "auto" takes the
        simulator's, which is an energy, with the dust's energies, else HSC-64 where galaxygrad is
        installed.
    host_weights, dust_weights : str
        Weight files in place of those installed; "" for these. Under "full" the dust's may be
        those of a network of hosts and dust.
    cross_term : {"anchored", "cut", "full"}
        "anchored" holds the dust's condition at one host, the mean of the chains' in the
        warm-up, takes the networks that are energies and moves all latents at once; "cut" is
        the paper's Eq. 3, grad_S log p(D | S) left out, with the networks that are scores;
        "full" has the gradient, of the dust's energy or, by `dust_weights`, of a network of hosts
        and dust.
    amount : {"image", "model"}
        Where the amount of dust comes from: the density that a network makes of the image alone
        (`dustpost.amount`), in whose shares the chains of `gibbs` take turns
        (`dustpost.priors.strata`), or all of the posterior; for a cutout of which the network
        tells nothing, the model.
    target : {"denoised", "smoothed"}
        The latents carry noise; the likelihood sees the denoised galaxy, or the noisy one.
    flux_prior : {"colours", "flat"}
        Stellar colours with a free level, or flat in F > 0.
    curve, norm : str
        See `dustpost.attenuation`.
    t_host : float
        Diffusion time of the host's latent.
    sigma_dust : float
        Noise of the dust's latent, in the coordinate of the dust prior (transmission for
        the one that ships, log_attenuation for the network of hosts and dust). 0 takes
        `SIGMA_DUST` of that coordinate, or `SIGMA_ENERGY` where the dust is an energy.
    noise_inflation : float
        Factor on the noise sd, for correlated noise.
    model_error : float
        Sd of what the model misses, over the local flux; added to the noise, see
        `dustpost.model_error`. What the colour field leaves of simulated galaxies is 0.006,
        of RADMC-3D's 0.008. The MAP has none, as in the paper.
    colour_field : float
        Light-weighted rms of the smooth tilt of the host's spectrum over the image (an
        exponent of wavelength), integrated out with that of patches, half as large, see
        `dustpost.colour`; 0 for a host of one colour, which the MAP has in any case, as in
        the paper. Simulated galaxies: 0.16.
    colour_along_dust : float
        Rms of the tilt along the pattern of the dust, a further part of the colour field, see
        `dustpost.colour_of_dust`; of no effect without one. Simulated galaxies: 0.06 to 0.09.
    flattening : float
        How much greyer deep dust is than thin: delta is that of 1 mag, and rises by this much with
        every e-fold of A, see `dustpost.forward`. 0 is one curve for all pixels, the paper's;
        simulated galaxies and RADMC-3D's have 0.3.
    grain : float
        Weight of a factor that keeps the grain of hosts at what galaxies have, where the
        host's prior is an energy, see `dustpost.priors.grain`: for an energy that was not
        trained on its own chains, as the one that ships was.
    fine_structure : bool
        Draw D given its latent x (`dustpost.priors.fine`), where the dust is the energy that
        ships; else D is the mean that the likelihood sees, too smooth and too thin.
    covering_threshold : float
        A in mag above which a pixel counts as covered.
    filter_average : bool
        Average the attenuation over each filter; else its value at the effective
        wavelength.
    chains, warmup, draws : int
        Chains, and sweeps of each before and after the step sizes are fixed; rounded up to
        a multiple of `keep`.
    ess : int
        The draws end early once every scalar has R-hat below 1.01 and this bulk ESS over
        all chains; 0 for all draws.
    relax : int
        Steps of unadjusted Langevin dynamics before the warm-up, where a prior is known by
        its score alone; of the samplers with a ladder of noise levels, steps on all of it.
    keep : int
        Every how many sweeps the maps are kept.
    leapfrog : int
        Steps of a trajectory, taken in pairs; 0 takes 4, or 24 where all latents move at once
        and the priors are energies.
    directions : int
        Of each frame that the warm-up fits, see `dustpost.samplers.frame`; 0 moves with a
        diagonal mass.
    prior_draws : int
        Draws of the dust prior behind INFORM.
    seed : int
        Of all random numbers.
    """

    sampler: str = "gibbs"
    host_prior: str = "auto"
    host_weights: str = ""
    dust_weights: str = ""
    cross_term: str = "anchored"
    amount: str = "image"
    target: str = "denoised"
    flux_prior: str = "colours"
    curve: str = "calzetti-noll"
    norm: str = "lambda0"
    t_host: float = 0.02
    sigma_dust: float = 0.0
    noise_inflation: float = 1.0
    model_error: float = 0.01
    colour_field: float = 0.18
    colour_along_dust: float = 0.1
    flattening: float = 0.0
    grain: float = 0.0
    fine_structure: bool = True
    covering_threshold: float = 0.05
    filter_average: bool = True
    chains: int = 4
    relax: int = 100
    warmup: int = 120
    draws: int = 200
    ess: int = 0
    keep: int = 5
    leapfrog: int = 0
    directions: int = 128
    prior_draws: int = 64
    seed: int = 0

    def __post_init__(self):
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                raise DustpostError(f"{name} = {value!r} is none of {', '.join(choices)}")
        least = dict(chains=1, draws=1, keep=1, prior_draws=2, relax=0, warmup=0, ess=0)
        least |= dict(leapfrog=0, directions=0)
        least |= dict.fromkeys(("sigma_dust", "grain", "model_error", "colour_field"), 0)
        least |= dict(colour_along_dust=0, flattening=0)
        for name, lowest in least.items():
            if getattr(self, name) < lowest:
                raise DustpostError(f"{name} = {getattr(self, name)} must be at least {lowest}")
        for name in ("t_host", "noise_inflation", "covering_threshold"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise DustpostError(f"{name} = {value} must be a positive number")
        if self.t_host > 3 or self.sigma_dust > 1:
            raise DustpostError(
                f"t_host = {self.t_host}, sigma_dust = {self.sigma_dust}: above 3 and 1 the "
                "latents are all noise; the defaults are 0.02 and 0.05"
            )


def read_settings(path: Path | None, options: dict[str, object]) -> Settings:
    """Settings from a TOML file, overridden by options that are not None.

    Parameters
    ----------
    path : Path or None
        TOML with keys named as the attributes of `Settings`.
    options : dict
        From the command line.

    Raises
    ------
    DustpostError
        For a file that cannot be read, an unknown key, or a value of the wrong type.
    """
    values = {} if path is None else _read_toml(path)
    types = {field.name: type(field.default) for field in dataclasses.fields(Settings)}
    for name, value in values.items():
        if name not in types:
            near = difflib.get_close_matches(name, types, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "see dustpost sample --help"
            raise DustpostError(f"{path}: unknown key {name!r}; {hint}")
        if types[name] is float and type(value) is int:
            values[name] = float(value)
        elif type(value) is not types[name]:
            raise DustpostError(
                f"{path}: {name} = {value!r} should be of type {types[name].__name__}"
            )
    values |= {name: value for name, value in options.items() if value is not None}
    return Settings(**values)


def _read_toml(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(Path(path).read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DustpostError(f"{path}: not a readable TOML file ({error})") from error
