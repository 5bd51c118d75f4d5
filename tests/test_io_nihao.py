"""NIHAO-SKIRT files: a replica with known dust, read, resampled, spoiled."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits as pyfits

from dustpost.attenuation import PIVOT, attenuation_curve, band_attenuation
from dustpost.bands import effective_wavelength, filter_nodes
from dustpost.errors import DustpostError
from dustpost.io import fits
from dustpost.io.nihao import read_galaxy, read_pairs, read_views
from dustpost.io.read import read
from dustpost.io.resample import central_width, resample
from dustpost.io.simulated import (
    attenuation_of,
    fit_slope,
    remove_gradients,
    transmission_of,
    truth_of,
)

NAMES = "FUV NUV u g r i z 2MASS_J 2MASS_H 2MASS_KS W1 W2 W3 W4 PACS70 PACS100 PACS160".split()
NAMES += ["SPIRE250", "SPIRE350", "SPIRE500"]
FILTERS = {
    "u": "sdss2010-u",
    "g": "sdss2010-g",
    "r": "sdss2010-r",
    "i": "sdss2010-i",
    "z": "sdss2010-z",
    "2MASS_J": "twomass-J",
}
VIEWS, SLOPE, DEPTH, SIZE = 10, 0.3, 0.8, 6.0e4
# a band's faint pixels (5e-4 of its light) count as clear: 5e-4 of A, over the g-z lever ln 1.9
BLUR = 1e-3
LETTERS = ("g", "r", "i", "z")
BULGE = np.linspace(0.1, 6.0, 20)  # light of the bulge, redder than the disc's
DISC = np.linspace(1.0, 2.0, 20)


def curve() -> np.ndarray:
    """k of each of the 20 bands; 0 where no filter is known, which no test looks at."""
    k = np.zeros(20)
    for name, speclite in FILTERS.items():
        nodes, weight = filter_nodes([speclite], [np.nan])
        k[NAMES.index(name)] = band_attenuation(nodes, weight, SLOPE, curve="paper")[0]
    return k


def cubes(pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """A disc with a redder bulge; a screen of 0.8 mag before the left half, (view, band, y, x)."""
    y, x = np.indices((pixels, pixels)) - (pixels - 1) / 2
    free = np.empty((VIEWS, 20, pixels, pixels))
    for view in range(VIEWS):
        flattening = 1 - 0.08 * view
        disc = np.exp(-np.hypot(x, y / flattening) / (0.06 * pixels))
        bulge = np.exp(-np.hypot(x, y) / (0.02 * pixels))
        free[view] = DISC[:, None, None] * disc + BULGE[:, None, None] * bulge
    free *= 1e-6
    screen = np.where(x < 0, DEPTH, 0.0)
    dusty = free * 10 ** (-0.4 * curve()[:, None, None] * screen)
    return dusty.astype(np.float32), free.astype(np.float32)


def tables(pixels: int) -> dict[str, np.ndarray]:
    """Both tables, column by column as the catalogue's script declares them."""
    galaxy = [("name", "S20"), ("stellar_mass", "f4"), ("sfr", "f4"), ("sfh", "f4", 200)]
    galaxy += [("dust_mass", "f4"), ("axis_ratios", "f4", VIEWS), ("size", "f4")]
    images = (20, pixels, pixels)
    view = [("name", "S20"), ("stellar_mass", "f4"), ("sfr", "f4"), ("dust_mass", "f4")]
    view += [("axis_ratio", "f4"), ("Av", "f4"), ("bands", "S8", 20)]
    view += [("flux", "f4", images), ("flux_nodust", "f4", images), ("size", "f4")]
    galaxies, summary = np.zeros(1, galaxy), np.zeros(VIEWS, view)
    for table in (galaxies, summary):
        table["name"], table["size"], table["stellar_mass"] = "g1.88e10", SIZE, 1e10
    summary["axis_ratio"] = galaxies["axis_ratios"][0] = np.linspace(1.0, 0.28, VIEWS)
    summary["Av"] = np.linspace(0.1, 0.5, VIEWS)
    summary["bands"] = NAMES
    summary["flux"], summary["flux_nodust"] = cubes(pixels)
    return {"GALAXIES": galaxies, "SUMMARY": summary}


def write(path, parts) -> str:
    hdus = [pyfits.BinTableHDU(table, name=name) for name, table in parts.items()]
    pyfits.HDUList([pyfits.PrimaryHDU(), *hdus]).writeto(path)
    return path


@pytest.fixture(scope="module", params=[100, 128])
def file(request, tmp_path_factory):
    """Path and pixels of a file whose N is, or is not, a multiple of 64."""
    path = tmp_path_factory.mktemp("nihao") / "g1.88e10_nihao-resolved-photometry.fits"
    return write(path, tables(request.param)), request.param


def shrink(images):
    """The whole image at 64x64, by splitting each pixel and summing: no matrices."""
    parts = 16  # 64 divides 16 N for N = 100 and 128
    block = parts * images.shape[-1] // 64
    fine = np.repeat(np.repeat(images, parts, axis=-2), parts, axis=-1) / parts**2
    return fine.reshape(*images.shape[:-2], 64, block, 64, block).sum(axis=(-3, -1))


def planes(cube, letters=LETTERS):
    return cube[[NAMES.index(letter) for letter in letters]].astype(np.float64)


def test_views_are_the_files_with_its_flux(file):
    path, pixels = file
    dusty, free = cubes(pixels)
    views = read_galaxy(path, "all")
    assert [view.orientation for view in views] == list(range(VIEWS))
    for view, seen, host in zip(views, dusty, free, strict=True):
        assert view.name == "g1.88e10" and view.unit == "Jy"
        assert view.pixel == pytest.approx(SIZE / 64)
        assert view.bands == tuple(f"sdss2010-{letter}" for letter in LETTERS)
        assert view.wavelength[0] == pytest.approx(PIVOT, rel=2e-3)
        for new, old in ((view.dusty, planes(seen)), (view.free, planes(host))):
            np.testing.assert_allclose(new.sum(axis=(1, 2)), old.sum(axis=(1, 2)), rtol=1e-6)
    assert views[3].axis_ratio == pytest.approx(1.0 - 0.08 * 3)
    assert views[9].av == pytest.approx(0.5)
    view = 4
    np.testing.assert_allclose(views[view].dusty, shrink(planes(dusty[view])), rtol=1e-9)
    np.testing.assert_allclose(views[view].free, shrink(planes(free[view])), rtol=1e-9)


def test_truth_is_what_went_in(file):
    path, pixels = file
    k = dict(zip(NAMES, curve(), strict=True))
    free = cubes(pixels)[1]
    for number, view in enumerate(read_galaxy(path, "all")):
        truth = view.truth
        light = shrink(planes(free[number]))
        host = light[1] / light[1].sum()
        np.testing.assert_allclose(truth.host, host, rtol=1e-9)
        np.testing.assert_allclose(truth.flux, light.sum(axis=(1, 2)), rtol=1e-9)
        left = np.arange(64) < 32
        for letter, attenuation, image in zip(LETTERS, truth.attenuation, light, strict=True):
            bright = image > 1e-4 * image.max()
            expected = np.where(bright & left, k[letter] * DEPTH, 0.0)
            np.testing.assert_allclose(attenuation, expected, atol=2e-6)
        bright = light[0] > 1e-4 * light[0].max()
        assert 0.1 < bright.mean() < 0.9
        dark = np.where(bright & left, 10 ** (-0.4 * k["g"] * DEPTH), 1.0)
        np.testing.assert_allclose(truth.transmission, dark, rtol=2e-6)
        covered = host[bright & left].sum()
        assert 0.45 < covered < 0.5
        assert truth.covering_fraction == pytest.approx(covered, rel=1e-6)
        assert truth.mean_attenuation == pytest.approx(k["g"] * DEPTH * covered, rel=1e-5)
        assert truth.slope == pytest.approx(SLOPE, abs=BLUR)


def test_slope_is_the_nearest_curve():
    bands = [FILTERS[letter] for letter in LETTERS]
    mean, wave = np.array([0.5, 0.3, 0.28, 0.1]), np.array([effective_wavelength(b) for b in bands])
    nodes, weight = filter_nodes(bands, wave)
    trials = np.arange(-2.0, 2.0, 0.002)
    k = [weight * np.asarray(attenuation_curve(nodes, s, curve="paper")) for s in trials]
    k = np.sum(k, axis=2)
    amplitude = (k @ mean) / (k**2).sum(axis=1)
    best = trials[np.argmin(((mean - amplitude[:, None] * k) ** 2).sum(axis=1))]
    assert fit_slope(mean, bands, wave) == pytest.approx(best, abs=2e-3)
    assert fit_slope(-mean, bands, wave) is None
    assert fit_slope(mean[:1], bands[:1], wave[:1]) is None


def test_truth_agrees_with_that_of_radiative_transfer(shared_data):
    slopes = []
    for path in sorted((shared_data / "rt").glob("*_1.fits"))[::4]:
        with pyfits.open(path) as hdus:
            part = {hdu.name: hdu.data for hdu in hdus[1:]}
            dusty, free = hdus[0].data.astype(float), part["DUSTFREE"].astype(float)
            header = hdus["TRUTH"].header
        host = free[2] / free[2].sum()
        grey_dusty, grey_free = remove_gradients(dusty, free, host)
        attenuation = attenuation_of(dusty, free)
        bands, wave = list(part["BANDS"]["name"]), part["BANDS"]["wavelength"].astype(float)
        truth = truth_of(dusty, free, bands, wave, host, transmission_of(attenuation[1]))
        peak = grey_free.max()
        for mine, theirs, scale in (
            (truth.host, part["TRUE_HOST"], host.max()),
            (truth.transmission, part["TRUE_TRANS"], 1.0),
            (truth.attenuation, part["TRUE_A"], 1.0),
            (truth.flux, part["TRUTH"]["F"], 1.0),
            (grey_dusty, part["MONO"], peak),
            (grey_free, part["MONOFREE"], peak),
        ):
            np.testing.assert_allclose(mine, theirs, atol=1e-6 * scale, rtol=1e-6)
        mean = part["TRUTH"]["MEANA"].astype(float)  # theirs weighs with g light, not with S
        if mean[1] > 0.03 and abs(header["DELTA"]) < 3:
            slopes.append(fit_slope(mean, bands, wave) - header["DELTA"])
            weighed = (free[1] / free[1].sum() * attenuation).sum(axis=(1, 2))
            np.testing.assert_allclose(weighed, mean, atol=2e-3)
    assert len(slopes) >= 3
    np.testing.assert_allclose(slopes, 0.0, atol=0.0026)  # their grid has steps of 0.005


def test_monochromatic_host_has_one_colour_and_the_same_dust(file):
    path, _ = file
    for own, grey in zip(read_galaxy(path), read_galaxy(path, monochromatic=True), strict=True):
        colour = own.free[0] / own.free[3]
        assert colour.max() / colour.min() > 1.2
        flux, host = own.free.sum(axis=(1, 2)), own.truth.host
        np.testing.assert_allclose(grey.free, flux[:, None, None] * host, rtol=1e-12)
        dusty = grey.free * 10 ** (-0.4 * own.truth.attenuation)
        np.testing.assert_allclose(grey.dusty, dusty, rtol=1e-12)
        np.testing.assert_allclose(grey.truth.host, host, rtol=1e-12)
        bright = host > 2e-4 * host.max()
        np.testing.assert_allclose(
            grey.truth.transmission[bright], own.truth.transmission[bright], rtol=1e-12
        )
        np.testing.assert_allclose(grey.truth.flux, flux, rtol=1e-12)
        assert grey.truth.slope == pytest.approx(SLOPE, abs=BLUR)


def test_default_field_holds_99_percent_in_every_view(file):
    path, pixels = file
    free = cubes(pixels)[1]
    views = read_galaxy(path)
    whole = np.array([planes(cube)[0].sum() for cube in free])
    inside = np.array([view.free[0].sum() for view in views]) / whole
    assert inside.min() >= 0.99 and inside.min() < 0.997
    width = round(views[0].pixel * 64 / SIZE * pixels)
    assert width < 0.9 * pixels and (pixels - width) % 2 == 0
    edge = (pixels - width) // 2 + 1
    smaller = [planes(cube)[0][edge:-edge, edge:-edge].sum() for cube in free] / whole
    assert smaller.min() < 0.99


def test_field_in_parsec(file):
    path, pixels = file
    views = read_galaxy(path, SIZE / 2)
    assert views[0].pixel == pytest.approx(SIZE / 128)
    middle = planes(cubes(pixels)[1][0])[:, pixels // 4 : -pixels // 4, pixels // 4 : -pixels // 4]
    np.testing.assert_allclose(views[0].free.sum(axis=(1, 2)), middle.sum(axis=(1, 2)), rtol=1e-9)
    for field in (2 * SIZE, -1.0, float("nan"), "half"):
        with pytest.raises(DustpostError, match="'all' or a side in pc up to.*60000"):
            read_galaxy(path, field)


def test_resampling_keeps_flux_at_any_ratio():
    rng = np.random.default_rng(5)
    for pixels, side in ((7, 64), (64, 64), (65, 64), (500, 64), (130, 33)):
        image = rng.random((2, pixels, pixels))
        new = resample(image, pixels, side)
        np.testing.assert_allclose(new.sum(axis=(1, 2)), image.sum(axis=(1, 2)), rtol=1e-12)
        flat = resample(np.ones((pixels, pixels)), 0.613 * pixels, side)
        np.testing.assert_allclose(flat, (0.613 * pixels / side) ** 2, rtol=1e-9)
    np.testing.assert_array_equal(resample(image, 130, 130), image)


def test_central_width_counts_squares():
    image = np.zeros((1, 9, 9))
    image[0, 4, 4], image[0, 2, 5] = 0.9, 0.1
    assert central_width(image, 0.9) == 1
    assert central_width(image, 0.95) == 5
    even = np.zeros((2, 8, 8))
    even[0, 3, 4], even[1, 1, 3] = 1.0, 1.0
    assert central_width(even[:1], 0.99) == 2
    assert central_width(even, 0.99) == 6


def test_pairs_to_train_on(file):
    host, transmission = read_pairs(file[0])
    assert host.shape == transmission.shape == (VIEWS, 64, 64)
    assert host.dtype == transmission.dtype == np.float32
    np.testing.assert_allclose(host.sum(axis=(1, 2)), 1.0, rtol=1e-5)
    assert transmission.min() > 0 and transmission.max() == 1.0
    truth = read_galaxy(file[0])[7].truth
    np.testing.assert_allclose(host[7], truth.host, rtol=1e-6)
    np.testing.assert_allclose(transmission[7], truth.transmission, rtol=1e-6)


def test_other_bands_and_their_curve(file):
    view = read_galaxy(file[0], "all", bands=("u", "i", "J"))[2]
    assert view.bands == ("sdss2010-u", "sdss2010-i", "twomass-J")
    assert view.dusty.shape == view.truth.attenuation.shape == (3, 64, 64)
    same = read_galaxy(file[0], "all")[2]
    np.testing.assert_array_equal(view.truth.host, same.truth.host)
    np.testing.assert_array_equal(view.truth.transmission, same.truth.transmission)
    np.testing.assert_array_equal(view.dusty[1], same.dusty[2])
    assert view.truth.slope == pytest.approx(SLOPE, abs=BLUR)
    for bands, message in (("gW", "'W' cannot be used"), ("ggr", "'g' is asked for twice")):
        with pytest.raises(DustpostError, match=f"band {message}: choose from FUV, NUV, u"):
            read_galaxy(file[0], bands=bands)
    with pytest.raises(DustpostError, match="no band is asked for"):
        read_galaxy(file[0], bands=())


def test_views_are_saved_with_their_truth(file, tmp_path):
    views = read_views(file[0], monochromatic=True)
    stems = [view.stem for view in views]
    assert stems[0] == "g1.88e10_view0_mono" and len(set(stems)) == VIEWS
    assert read_views(file[0])[3].stem == "g1.88e10_view3"
    path = tmp_path / views[6].source.name
    fits.save(path, views[6])
    with pyfits.open(path) as hdus:
        assert hdus[0].header["BUNIT"] == "Jy"
        np.testing.assert_array_equal(hdus[0].data, views[6].data)
        assert list(hdus["BANDS"].data["name"]) == list(views[6].bands)
    with pytest.raises(DustpostError, match="NOISE = none"):
        read([path])  # nobody has observed it yet
    seen = replace(views[6], ivar=np.ones_like(views[6].ivar))
    fits.save(path, seen)
    truth, back = views[6].truth, fits.load([path]).truth
    np.testing.assert_allclose(back.host, truth.host, rtol=1e-6)
    np.testing.assert_allclose(back.attenuation, truth.attenuation, rtol=1e-6)
    np.testing.assert_allclose(back.transmission, truth.transmission, rtol=1e-6)
    np.testing.assert_allclose(back.flux, truth.flux, rtol=1e-12)
    assert back[4:] == pytest.approx(truth[4:])


@pytest.fixture(scope="module")
def small():
    return tables(24)


def spoil(path, small, change):
    parts = {name: table.copy() for name, table in small.items()}
    changed = change(parts)
    return write(path, parts if changed is None else changed)


def test_bands_last_is_read_too(tmp_path, small):
    old = small["SUMMARY"]
    fields = {name: old.dtype[name] for name in old.dtype.names}
    for name in ("flux", "flux_nodust"):
        fields[name] = np.dtype(("f4", (24, 24, 20)))
    new = np.zeros(VIEWS, list(fields.items()))
    for name in fields:
        new[name] = np.moveaxis(old[name], 1, -1) if "flux" in name else old[name]
    path = write(tmp_path / "last.fits", {**small, "SUMMARY": new})
    first = read_galaxy(write(tmp_path / "first.fits", small))
    for a, b in zip(first, read_galaxy(path), strict=True):
        np.testing.assert_array_equal(a.dusty, b.dusty)
        np.testing.assert_array_equal(a.free, b.free)


def drop_column(parts, name):
    table = parts["SUMMARY"]
    keep = [column for column in table.dtype.names if column != name]
    new = np.zeros(len(table), [(column, table.dtype[column]) for column in keep])
    for column in keep:
        new[column] = table[column]
    return {**parts, "SUMMARY": new}


def put(column, place, value):
    def change(parts):
        parts["SUMMARY"][column][place] = value

    return change


SPOILED = {
    "no GALAXIES": (lambda p: {"SUMMARY": p["SUMMARY"]}, "has no table GALAXIES.*another file"),
    "no SUMMARY": (lambda p: {"GALAXIES": p["GALAXIES"]}, "has no table SUMMARY"),
    "no dust-free": (
        lambda p: drop_column(p, "flux_nodust"),
        r"HDU 2 \(SUMMARY\): has no column 'flux_nodust', expected.*fetch",
    ),
    "NaN": (
        put("flux", (3, 4, 5, 6), np.nan),
        r"HDU 2 \(SUMMARY\): row 3 .* column 'flux', band r, has 1 pixels that are NaN",
    ),
    "infinite": (
        put("flux_nodust", (0, 3, slice(2)), np.inf),
        "row 0 .* column 'flux_nodust', band g, has 48 pixels that are NaN or infinite",
    ),
    "negative": (
        put("flux_nodust", (9, 6, 0, 0), -2.0),
        "row 9 .* band z, has 1 negative pixels, the lowest -2, but",
    ),
    "dark": (put("flux_nodust", (5, 3), 0.0), "row 5 .* band g, is dark.*leave the galaxy out"),
    "dark with dust": (put("flux", (5,), 0.0), "row 5 .* column 'flux', band g, is dark"),
    "band missing": (put("bands", (slice(None), 4), "rr"), "has 0 times r .*expected it once"),
    "band twice": (put("bands", (slice(None), 7), "g"), "has 2 times g"),
    "bands differ": (put("bands", (1, 7), "Y"), "'bands' differs between orientations"),
    "no size": (put("size", slice(None), 0.0), "'size' is 0, expected the side .* in pc"),
    "sizes differ": (put("size", 2, 1e4), "'size' is 10000, 60000, expected .* the same"),
    "two galaxies": (put("name", 2, "g2.00e10"), r"holds 2 galaxies \(g1.88e10, g2.00e10\)"),
    "no views": (lambda p: {**p, "SUMMARY": p["SUMMARY"][:0]}, "holds 0 galaxies"),
}


@pytest.mark.parametrize("name", SPOILED)
def test_spoiled_tables_are_named(tmp_path, small, name):
    change, message = SPOILED[name]
    path = spoil(tmp_path / "bad.fits", small, change)
    with pytest.raises(DustpostError, match=message) as caught:
        read_galaxy(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_other_bands_may_be_bad(tmp_path, small):
    path = spoil(tmp_path / "far.fits", small, put("flux", (0, 19), np.nan))
    assert len(read_galaxy(path)) == VIEWS


def reshape(parts, name, shape, view=None):
    table = parts["SUMMARY"]
    fields = [(n, table.dtype[n]) for n in table.dtype.names if n != name]
    new = np.zeros(len(table), [*fields, (name, view or "f4", shape)])
    for column, _ in fields:
        new[column] = table[column]
    new[name] = 1.0 if view is None else "g"
    return {**parts, "SUMMARY": new}


@pytest.mark.parametrize(
    ("column", "shape", "message"),
    [
        ("flux", (19, 24, 24), r"'flux' has 19 bands \(rows of shape \(19, 24, 24\).* names 20"),
        ("flux", (20, 24, 23), r"'flux' has rows of shape \(20, 24, 23\).*expected \(20, N, N\)"),
        ("flux_nodust", (20 * 24 * 24,), r"'flux_nodust' has rows of shape \(11520,\).*TDIM"),
        ("flux_nodust", (20, 30, 30), "images of 24 pixels a side, but 'flux_nodust' of 30"),
        ("Av", (3,), r"'Av' has the shape \(10, 3\).*one number per orientation"),
    ],
)
def test_wrong_shapes_are_named(tmp_path, small, column, shape, message):
    path = spoil(tmp_path / "bad.fits", small, lambda parts: reshape(parts, column, shape))
    with pytest.raises(DustpostError, match=message):
        read_galaxy(path)


def test_bands_need_their_shape(tmp_path, small):
    path = spoil(tmp_path / "bad.fits", small, lambda parts: reshape(parts, "bands", (), "S160"))
    with pytest.raises(DustpostError, match=r"'bands' has the shape \(10,\).*TDIM"):
        read_galaxy(path)
    path = spoil(tmp_path / "few.fits", small, lambda parts: reshape(parts, "bands", (19,), "S8"))
    with pytest.raises(DustpostError, match="has 19 times g"):
        read_galaxy(path)


def test_no_light_in_the_field(tmp_path, small):
    hole = put("flux_nodust", (4, 5, slice(6, 18), slice(6, 18)), 0.0)
    path = spoil(tmp_path / "hole.fits", small, hole)
    assert len(read_galaxy(path, "all")) == VIEWS
    with pytest.raises(DustpostError, match="row 4 .*is dark in the central 10000 pc: choose"):
        read_galaxy(path, 1e4)


def test_other_files_are_refused(tmp_path, small):
    path = write(tmp_path / "whole.fits", small)
    cut = tmp_path / "cut.fits"
    cut.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(DustpostError, match="ends before its .* bytes of data do.*truncated"):
        read_pairs(cut)
    image = tmp_path / "image.fits"
    pyfits.HDUList(
        [
            pyfits.PrimaryHDU(),
            pyfits.BinTableHDU(small["GALAXIES"], name="GALAXIES"),
            pyfits.ImageHDU(np.ones((3, 3)), name="SUMMARY"),
        ]
    ).writeto(image)
    with pytest.raises(DustpostError, match="is an image, expected a table"):
        read_views(image)
    with pytest.raises(DustpostError, match="no such file"):
        read_galaxy(tmp_path / "absent.fits")
