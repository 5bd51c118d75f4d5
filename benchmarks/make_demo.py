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
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from astropy.wcs import WCS

from dustpost.forward import convolve
from dustpost.io import fits
from dustpost.io.cutout import Cutout
from dustpost.mock import cutout_of
from dustpost.simulate import planes
from dustpost.simulate.populations import BANDS
from dustpost.simulate.structure import Parameters, draw_parameters
from dustpost.simulate.telescope import expose, moffat

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
        "galaxy": 0, "dust": 0, "grains": 0, "cos_inclination": 0.5, "position_angle": 0.6,
        "centre_y": 0.4, "centre_x": -0.7, "blur": 0.4, "half_light_radius": 10.0,
        "bulge_fraction": 0.10, "young_fraction": 0.5, "bulge_radius": 1.8, "bulge_index": 2.0,
        "bulge_flattening": 0.7, "young_length": 1.15, "old_height": 0.14, "young_height": 0.5,
        "arms": 2, "pitch": 0.42, "arm_contrast": 0.85, "arm_sharpness": 2.5, "chirality": 1.0,
        "bar_fraction": 0.15, "bar_length": 0.7, "lopsided": 0.03, "star_clumps": 0.7,
        "dust_clumps": 0.7, "dust_wisps": 0.25, "clump_scale": 4.0, "clump_slope": 2.6,
        "clump_shear": 0.7, "clump_match": 0.4, "optical_depth": 4.0, "dust_length": 1.0,
        "dust_height": 0.5, "lane_contrast": 0.8, "lane_offset": 0.5, "lane_sharpness": 4.0,
        "hole": 0.0,
    }  # fmt: skip
    drawn = draw_parameters(jax.random.key(SEED))
    return drawn._replace(**{name: jnp.asarray(value) for name, value in wanted.items()})


def make() -> Cutout:
    """Simulate the cutout and its truth."""
    key, noise_key = jax.random.split(jax.random.key(SEED))
    cutout = cutout_of(key, planes.build(key, parameters()), BANDS, monochromatic=True)
    scale = FLUX / cutout.truth.flux[1]
    psf = jnp.stack([moffat(jnp.asarray(width / SCALE)) for width in SEEING])
    clean = scale * jnp.asarray(cutout.data)
    depth = jnp.asarray(DEPTH)
    best = (convolve(clean, psf).max(axis=(1, 2)) / depth).max()
    data, ivar = expose(noise_key, clean, psf, depth * best / PEAK_SNR)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [150.1, 2.2]
    wcs.wcs.crpix = [32.5, 32.5]
    wcs.wcs.cdelt = [-SCALE / 3600, SCALE / 3600]
    wcs.wcs.cunit = ["deg", "deg"]
    return replace(
        cutout,
        data=np.asarray(data, np.float32),
        ivar=np.asarray(ivar, np.float32),
        psf=np.asarray(psf, np.float32),
        unit=UNIT,
        wcs=wcs,
        source=Path("demo.fits"),
        truth=cutout.truth._replace(flux=scale * cutout.truth.flux),
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
