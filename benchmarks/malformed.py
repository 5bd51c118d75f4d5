"""Claim: no malformed FITS gives the reader more than one sentence to say.

    python -m benchmarks.malformed [--files 500] [--data ../shared/data]

Hypothesis spoils sound files (the package's own, a simulated one, an exposure, survey and
radiative-transfer cutouts of the example data) in the ways of tests/mutations.py; each is read
and checked as the command line does. Counted: read, refused, and anything else, which would
be a fault; the longest read; the largest memory of the process, of which jax and astropy
alone take what `resident before` says.

Writes malformed.json.
"""

import argparse
import json
import resource
import tempfile
import time
from collections import Counter
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.exact_targets import machine
from tests.mutations import spoilt
from tests.test_io_fuzz import FEW, attempt, sources

MIB = 1024  # ru_maxrss counts KiB


def main() -> None:
    """Spoil, read, count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args()
    counts, by_kind, faults, clocks = Counter(), Counter(), [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sound = sources(folder, options.data)
        attempt_all = [_outcome(folder / "sound.fits", contents)[0] for contents in sound]
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

        @settings(FEW, max_examples=options.files)
        @given(st.data())
        def one(data):
            kinds, damaged = data.draw(spoilt(data.draw(st.sampled_from(sound))))
            clock = time.perf_counter()
            outcome, sentence = _outcome(folder / "malformed.fits", damaged)
            clocks.append(time.perf_counter() - clock)
            counts[outcome] += 1
            for kind in set(kinds.split("+")):
                by_kind[f"{kind}: {outcome}"] += 1
            if outcome == "fault":
                faults.append(f"{kinds}: {sentence}")

        one()
        left = sorted(p.name for p in folder.iterdir())
    report = machine() | {
        "sound files": {"all": len(sound), "read": attempt_all.count("read")},
        "malformed files": sum(counts.values()),
        "outcomes": dict(counts),
        "by mutation": dict(sorted(by_kind.items())),
        "faults": faults,
        "longest read, s": round(max(clocks), 3),
        "resident before, MiB": before // MIB,
        "largest resident, MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // MIB,
        "files in the folder afterwards": left,
    }
    report.pop("precision")
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


def _outcome(path: Path, contents: bytes) -> tuple[str, str]:
    path.write_bytes(contents)
    try:
        sentence = attempt(path)
    except Exception as error:  # the fault that this looks for
        return "fault", f"{type(error).__name__}: {error}"
    return ("refused", sentence) if sentence else ("read", "")


if __name__ == "__main__":
    main()
