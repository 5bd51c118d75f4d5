"""Claim: one core draws the dust network's training pairs in minutes.

    python benchmarks/make_pairs.py --out pairs.npz --pairs 16384 --seed 0

writes hosts (divided by their peak) and transmissions as float16, and prints
the milliseconds a galaxy cost. The last 512 pairs are held out by training.
"""

import argparse
import time

import jax
import numpy as np

from dustpost.simulate.suite import draw_pairs

CHUNK = 128


def main() -> None:
    """Draw, cache, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True)
    parser.add_argument("--pairs", type=int, default=16384)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    hosts, transmissions = [], []
    root = jax.random.key(options.seed)
    jax.block_until_ready(draw_pairs(root, CHUNK))
    start = time.perf_counter()
    for number in range(options.pairs // CHUNK):
        host, transmission = draw_pairs(jax.random.fold_in(root, number), CHUNK)
        # Unit-sum pixels would be float16 subnormals; the peak is 1 instead.
        hosts.append(np.asarray(host / host.max(axis=(1, 2), keepdims=True), np.float16))
        transmissions.append(np.asarray(transmission, np.float16))
    cost = (time.perf_counter() - start) / (len(hosts) * CHUNK)
    np.savez(
        options.out,
        host=np.concatenate(hosts),
        transmission=np.concatenate(transmissions),
        seed=options.seed,
    )
    print(f"{len(hosts) * CHUNK} galaxies, {1e3 * cost:.1f} ms each")


if __name__ == "__main__":
    main()
