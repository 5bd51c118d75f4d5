"""Networks that are tiny and know nothing: for tests of what is around the sampler.

Weights as they are drawn before training, in files like those of `dustpost train`. Their
preconditioning alone makes them fair denoisers of white noise, so that the sampler has
finite scores to work with, and everything compiles and runs several times faster.
"""

from pathlib import Path

import numpy as np

from dustpost.networks import checkpoint, dust, joint_task, training
from tests.synthetic import galaxy

SIDE, PAIRS, CHANNELS = 64, 8, (8, 8, 8)
CONFIG = training.settle(training.Config(steps=1, batch=2, micro=2, warmup=1))


def write_networks(folder: Path) -> dict[str, str]:
    """Write host.safetensors and dust.safetensors; the settings that use them."""
    host, transmission = galaxy(SIDE)
    strength = np.linspace(0.2, 2.0, PAIRS)[:, None, None]
    hosts = np.repeat(host[None], PAIRS, axis=0).astype(np.float32)
    screens = (transmission**strength).astype(np.float32)
    written = {}
    for name, module in (("host", joint_task), ("dust", dust)):
        task = module.task(hosts, screens, channels=CHANNELS)
        state = training.init(task, CONFIG)
        path = folder / f"{name}.safetensors"
        checkpoint.save(path, state.average, checkpoint.describe(**task.describe(), step=0))
        written[f"{name}_weights"] = str(path)
    return {"host_prior": "sim"} | written
