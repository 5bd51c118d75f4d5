"""Where pixels lie on the sky: the WCS of a box, and the pixel of a position.

A box whose pixel X covers the input's pixels x0 + N X ... x0 + N X + N - 1 (from 0) has,
in FITS's 1-based coordinates,

    x = x0 + N (X - 1/2) + 1/2,        CRPIX' = (CRPIX - x0 - 1/2) / N + 1/2,

and CDELT' = N CDELT. A WCS with distortions is replaced by the tangent plane at the centre
of the box, where 64 pixels see no more of it.
"""

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS


def box_wcs(wcs: WCS | None, corner: tuple[int, int], n: int, side: int) -> WCS | None:
    """WCS of a square box.

    Parameters
    ----------
    wcs : WCS or None
        Celestial WCS of the input.
    corner : (x0, y0)
        First pixel of the box in the input, counted from 0; may be negative.
    n : int
        Pixels of the input per pixel of the box.
    side : int
        Side of the box in its own pixels.

    Returns
    -------
    WCS or None
        None where the input has none.
    """
    if wcs is None:
        return None
    if wcs.has_distortion:
        wcs = _tangent_plane(wcs, np.array(corner) + (n * side - 1) / 2, n * side)
    # through a header, which turns a CD matrix into PC and CDELT, so that CDELT scales both
    header = wcs.to_header()
    for axis in (1, 2):
        header[f"CRPIX{axis}"] = (wcs.wcs.crpix[axis - 1] - corner[axis - 1] - 0.5) / n + 0.5
        header[f"CDELT{axis}"] *= n
    return WCS(header)


def find_pixel(wcs: WCS, ra: float, dec: float) -> tuple[float, float]:
    """Pixel (x, y), from 0, of an ICRS position in degrees; NaN where there is none."""
    try:
        x, y = wcs.world_to_pixel(SkyCoord(ra, dec, unit="deg", frame="icrs"))
    except Exception:  # wcslib and distortions fail in many ways far away
        return np.nan, np.nan
    return float(x), float(y)


def find_sky(wcs: WCS, x: float, y: float) -> tuple[float, float]:
    """ICRS position (ra, dec) in degrees of pixel (x, y), from 0."""
    sky = wcs.pixel_to_world(x, y).icrs
    return float(sky.ra.deg), float(sky.dec.deg)


def _tangent_plane(wcs: WCS, middle: np.ndarray, width: int) -> WCS:
    """Undistorted TAN WCS that agrees with `wcs` around pixel `middle` (from 0)."""
    plane = WCS(naxis=2)
    plane.wcs.ctype = [f"{ctype.split('-')[0]:-<4}-TAN" for ctype in wcs.wcs.ctype]
    plane.wcs.radesys, plane.wcs.equinox = wcs.wcs.radesys, wcs.wcs.equinox
    plane.wcs.crval = wcs.all_pix2world(*middle, 0)
    plane.wcs.crpix, plane.wcs.cdelt = (1.0, 1.0), (1.0, 1.0)
    # with a unit matrix, pixels of `plane` are degrees on the tangent plane
    steps = np.array([[0.5, 0.0], [-0.5, 0.0], [0.0, 0.5], [0.0, -0.5]]) * width
    right, left, up, down = plane.wcs_world2pix(wcs.all_pix2world(middle + steps, 0), 0)
    plane.wcs.pc = np.stack([right - left, up - down], axis=1) / width
    plane.wcs.crpix = middle + 1.0
    return plane
