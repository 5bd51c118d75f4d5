"""Claim: the cutout shipped for `dustpost demo` can be made again from its seed.

    python benchmarks/make_demo.py --out dustpost/data/demo.fits

An inclined two-armed spiral seen by something like HSC: g r i z y, 0.168
arcsec pixels, Moffat PSFs of 0.68 arcsec in g and 0.57 in the others, white
noise, brightest pixel at S/N 80, Milky Way dust, no redshift. The host has one colour (the
paper's monochromatic case), the dust is mixed with the stars in three dimensions. Its truth is in
the extensions of DESIGN section 6; DELTA is the slope of Eq. 5 fitted to the
light-weighted attenuations of the five bands.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from astropy.wcs import WCS

from dustpost.attenuation import attenuation_curve
from dustpost.io import fits
from dustpost.io.cutout import Cutout, Truth
from dustpost.simulate import planes, populations, suite
from dustpost.simulate.structure import Parameters, draw_parameters

SEED = 11
SCALE = 0.168  # arcsec per pixel
SEEING = (0.68, 0.57, 0.57, 0.57, 0.57)  # arcsec
DEPTH = (0.55, 0.75, 1.0, 1.5, 2.6)  # sky noise of the bands, relative
FLUX = 400.0  # of the dust-free galaxy in r, in the unit below
UNIT = "57.544 nJy"
PEAK_SNR = 80.0


def parameters() -> Parameters:
    """Return the demo galaxy's numbers: drawn, then set where it matters."""
    wanted = {
        "galaxy": 0, "dust": 0, "cos_inclination": 0.5, "position_angle": 0.6,
        "centre_y": 0.4, "centre_x": -0.7, "blur": 0.4, "half_light_radius": 10.0,
        "bulge_fraction": 0.10, "young_fraction": 0.5, "bulge_radius": 1.8, "bulge_index": 2.0,
        "bulge_flattening": 0.7, "young_length": 1.15, "old_height": 0.14, "young_height": 0.5,
        "arms": 2, "pitch": 0.42, "arm_contrast": 0.85, "arm_sharpness": 2.5, "chirality": 1.0,
        "bar_fraction": 0.15, "bar_length": 0.7, "lopsided": 0.03, "star_clumps": 0.7,
        "dust_clumps": 0.7, "dust_wisps": 0.25, "clump_scale": 4.0, "clump_slope": 2.6,
        "clump_shear": 0.7, "clump_match": 0.4, "optical_depth": 1.5, "dust_length": 1.0,
        "dust_height": 0.5, "lane_contrast": 0.8, "lane_offset": 0.5, "lane_sharpness": 4.0,
        "hole": 0.0,
    }  # fmt: skip
    drawn = draw_parameters(jax.random.key(SEED))
    return drawn._replace(**{name: jnp.asarray(value) for name, value in wanted.items()})


def fit_slope(mean_attenuation: np.ndarray) -> float:
    """Return the slope at which Eq. 5 times A(l0) is nearest to the bands' attenuations."""
    slopes = jnp.linspace(-2.0, 2.0, 4001)
    wavelength = jnp.asarray(populations.WAVELENGTHS)
    k = jax.vmap(lambda slope: attenuation_curve(wavelength, slope))(slopes)
    seen = jnp.asarray(mean_attenuation)[None]
    amplitude = (k * seen).sum(axis=1) / (k**2).sum(axis=1)
    return float(slopes[jnp.argmin(((seen - amplitude[:, None] * k) ** 2).sum(axis=1))])


def make() -> Cutout:
    """Simulate the cutout and its truth."""
    clump_key, noise_key = jax.random.split(jax.random.key(SEED))
    curve = populations.milky_way(jnp.asarray(populations.WAVELENGTHS))
    spectra = populations.spectra()
    spectra = jnp.broadcast_to(spectra.mean(axis=1, keepdims=True), spectra.shape)
    cube = suite.simulate_cube(planes.build(clump_key, parameters()), spectra, curve)
    psf = jnp.stack([suite.moffat(jnp.asarray(width / SCALE)) for width in SEEING])
    clean = FLUX * cube.clean
    data, ivar = suite.expose(noise_key, clean, psf, jnp.asarray(DEPTH), PEAK_SNR)

    free = np.asarray(cube.free)
    weight = free / free.sum(axis=(1, 2), keepdims=True)
    host = np.asarray(cube.host)
    depth = -2.5 * np.log10(np.asarray(cube.transmission))
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [150.1, 2.2]
    wcs.wcs.crpix = [32.5, 32.5]
    wcs.wcs.cdelt = [-SCALE / 3600, SCALE / 3600]
    wcs.wcs.cunit = ["deg", "deg"]
    return Cutout(
        data=np.asarray(data, np.float32),
        ivar=np.asarray(ivar, np.float32),
        psf=np.asarray(psf, np.float32),
        bands=populations.BANDS,
        wavelength=np.asarray(populations.WAVELENGTHS),
        unit=UNIT,
        wcs=wcs,
        source=Path("demo.fits"),
        truth=Truth(
            host=host,
            transmission=np.asarray(cube.transmission),
            attenuation=np.asarray(cube.attenuation),
            flux=FLUX * free.sum(axis=(1, 2)),
            covering_fraction=float((host * (depth > 0.05)).sum()),
            mean_attenuation=float((host * depth).sum()),
            slope=fit_slope((weight * np.asarray(cube.attenuation)).sum(axis=(1, 2))),
        ),
    )


def main() -> None:
    """Write the cutout and print its truth."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    cutout = make()
    fits.save(options.out, cutout)
    truth = cutout.truth
    snr = (cutout.data * np.sqrt(cutout.ivar)).max(axis=(1, 2))
    print(f"mean A {truth.mean_attenuation:.3f} mag, covering {truth.covering_fraction:.3f}, "
          f"slope {truth.slope:.2f}, F {truth.flux.round(1)}, peak S/N {snr.round(0)}")  # fmt: skip


if __name__ == "__main__":
    main()
