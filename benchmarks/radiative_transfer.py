"""Claim: absorption agrees with RADMC-3D to 1e-4; with scattering, attenuations to 5 %.

    python benchmarks/radiative_transfer.py [--data ../shared/data] [--fine]

takes the stars and dust of three galaxies on Cartesian grids, and compares the
package's images with RADMC-3D's in every view and band: total flux, and rms in
the pixels that hold the brighter half of the light. Without --fine, light is
scattered with the accuracy of the simulated galaxies. Writes a table next to
this file.
"""

import argparse
import os
import time
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from astropy.table import Table

from dustpost.simulate.grid import Grid, image, orient, scattered_light

NAMES = ("spiral", "irr", "E")
FINE = {"rings": 3, "azimuths": 12, "orders": 6, "substeps": (9, 2, 1)}
RAYS = 3  # a pixel and side, as RADMC-3D's images were traced


def bright_half(image) -> np.ndarray:
    """Mask of the brightest pixels that together hold half of the light."""
    order = np.sort(image.ravel())[::-1]
    return image >= order[np.searchsorted(np.cumsum(order), 0.5 * order.sum())]


def compare(seen, free, truth, true_free) -> tuple[float, float]:
    """Relative error of the total flux, and its rms in the bright half."""
    scale = true_free.sum() / free.sum()
    half = bright_half(true_free)
    error = (seen * scale / truth - 1)[half]
    return seen.sum() * scale / truth.sum() - 1, np.sqrt(np.mean(error**2))


def magnitudes(seen, free) -> float:
    """Attenuation of the whole galaxy."""
    return -2.5 * np.log10(seen.sum() / free.sum())


def measure(truth: dict, view: int, band: int, accuracy: dict) -> dict:
    """Images of one galaxy, one view and band, against RADMC-3D's."""
    inclination, azimuth, _ = truth["views_incl_phi_posang"][view]
    rotation = orient(inclination, azimuth)
    walls = tuple(jnp.asarray(truth[f"{axis}_walls"], jnp.float32) for axis in "xyz")
    emission = np.einsum("c,cxyz->xyz", truth["component_sed"][:, band], truth["emissivity"])
    visual = truth["tau_v_per_kpc"].astype(np.float32) * truth["kext_over_v"][band]
    albedo, asymmetry = truth["albedo"][band], truth["g"][band]

    def look(extinction, source):
        grid = Grid(walls, jnp.asarray(emission, jnp.float32), jnp.asarray(extinction, jnp.float32))
        half = jnp.float32(truth["half_image_kpc"])
        turned = jnp.asarray(rotation, jnp.float32)
        return np.asarray(image(grid, jnp.asarray(source, jnp.float32), 64, RAYS, turned, half))

    free, absorbed = look(visual * (1 - albedo), np.zeros_like(visual))
    grid = Grid(walls, jnp.asarray(emission, jnp.float32), jnp.asarray(visual, jnp.float32))
    start = time.perf_counter()
    intensity = scattered_light(grid, albedo, asymmetry, jnp.asarray(rotation[:, 2]), **accuracy)
    intensity = np.asarray(intensity)
    seconds = time.perf_counter() - start
    _, scattered = look(visual, albedo * visual * intensity)

    nodust, only, both = (
        truth[f"image_{kind}"][view, band] for kind in ("nodust", "absorption", "scattering")
    )
    row = {"inclination": inclination, "wavelength": truth["wavelength_um"][band]}
    row["absorption_total"], row["absorption_rms"] = compare(absorbed, free, only, nodust)
    row["scattering_total"], row["scattering_rms"] = compare(scattered, free, both, nodust)
    row["a_absorption_radmc"] = magnitudes(only, nodust)
    row["a_radmc"], row["a_dustpost"] = magnitudes(both, nodust), magnitudes(scattered, free)
    row["seconds"] = seconds
    return row


def main() -> None:
    """Compare everything, write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=os.environ.get("DUSTPOST_DATA", "../shared/data"))
    parser.add_argument("--fine", action="store_true")
    options = parser.parse_args()
    accuracy = FINE if options.fine else {}
    rows = []
    for name in NAMES:
        with np.load(Path(options.data) / "rt_transfer" / f"{name}.npz") as file:
            truth = {key: file[key] for key in file}
        for view in range(len(truth["views_incl_phi_posang"])):
            for band in range(len(truth["wavelength_um"])):
                rows.append({"galaxy": name, **measure(truth, view, band, accuracy)})
                print(rows[-1], flush=True)
    table = Table(rows)
    for column in table.columns.values():
        if column.dtype.kind == "f":
            column.info.format = ".5f"
    name = "radiative_transfer_fine.ecsv" if options.fine else "radiative_transfer.ecsv"
    table.write(Path(__file__).with_name(name), overwrite=True)
    error = np.abs(table["a_dustpost"] - table["a_radmc"])
    share = error / np.maximum(np.abs(table["a_radmc"]), 0.05)
    print(
        f"absorption: total within {np.abs(table['absorption_total']).max():.1e}, "
        f"rms {table['absorption_rms'].max():.1e}\n"
        f"scattering: total within {np.abs(table['scattering_total']).max():.4f} "
        f"(median {np.median(np.abs(table['scattering_total'])):.4f}), "
        f"rms {table['scattering_rms'].max():.4f} "
        f"(median {np.median(table['scattering_rms']):.4f}), "
        f"attenuation: median error {np.median(share):.3f}, "
        f"90 % below {np.quantile(share, 0.9):.3f}"
    )


if __name__ == "__main__":
    main()
