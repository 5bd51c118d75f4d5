"""Workers: processes of this machine, or whatever a Dask scheduler has.

By default a LocalCluster on 127.0.0.1: one process a GPU (by dask-cuda, which pins them) or,
without GPUs, one for every two cores. An address connects to a scheduler that is there
already: dask-jobqueue on SLURM, Kubernetes, dask-cuda, `dask scheduler`. Nothing here starts
jax in the client, which would take the memory of a GPU away from a worker.
"""

import logging
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import dask
from distributed import Client, LocalCluster

from dustpost.errors import DustpostError

CORES = 2  # of a worker process without a GPU
CONNECT = 10.0  # seconds

CONFIG = {
    # XLA takes its own scheduling hints for missing CPU features when it loads a kept program,
    # and says so in a thousand letters each time; real errors come as exceptions
    "distributed.nanny.pre-spawn-environ.TF_CPP_MIN_LOG_LEVEL": 3,
    # after 15 s, Dask's default, a killed worker that is still importing jax would be given up
    "distributed.deploy.lost-worker-timeout": "120s",
}


@contextmanager
def workers(number: int | None, scheduler: str | None) -> Iterator[Client]:
    """A client of the workers asked for; local ones end with the block.

    Parameters
    ----------
    number : int, optional
        Local worker processes.
    scheduler : str, optional
        Address of a scheduler, such as tcp://host:8786 or tls://host:8786.

    Raises
    ------
    DustpostError
        Both are given, or no scheduler answers.
    """
    if scheduler is not None:
        if number is not None:
            raise DustpostError(
                "--workers starts workers here, --scheduler uses those of a cluster: give one"
            )
        client = connect(scheduler)
        try:
            yield client
        finally:
            close(client)
        return
    with dask.config.set(CONFIG), _local(number) as cluster:
        client = Client(cluster)
        try:
            yield client
        finally:
            close(client)


def connect(address: str) -> Client:
    """Connect to a scheduler, by TLS as Dask's configuration says where the address is tls://.

    Raises
    ------
    DustpostError
        None answers there.
    """
    # a refused or lost connection is told in one sentence of our own
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    try:
        return Client(address, timeout=CONNECT)
    except (OSError, TimeoutError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DustpostError(
            f"--scheduler {address}: no Dask scheduler answers ({reason}); give its address, such "
            "as tcp://host:8786, or leave it out for workers on this machine"
        ) from None


def close(client: Client) -> None:
    """Let go of a client, whatever state its connection is in."""
    with suppress(Exception):
        client.close(timeout=2)


def refill(client: Client) -> None:
    """Start local workers anew that Dask gave up, such as one killed while it started."""
    cluster = getattr(client, "cluster", None)
    if cluster is not None and len(client.nthreads()) < len(cluster.worker_spec):
        cluster.scale(len(cluster.worker_spec))


def count_gpus() -> int:
    """GPUs that this process may use; without starting CUDA."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return len([one for one in chosen.split(",") if one.strip() not in ("", "-1")])
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0
    try:
        listed = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())


@contextmanager
def _local(number: int | None) -> Iterator[LocalCluster]:
    plan = dict(
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        silence_logs=logging.CRITICAL,
    )
    gpus = count_gpus()
    if gpus:
        make, number = _of_gpus(gpus), number or gpus
    else:
        make, number = LocalCluster, number or max(1, (os.cpu_count() or 1) // CORES)
    try:
        cluster = make(n_workers=number, **plan)
    except RuntimeError as error:
        raise DustpostError(
            f"{number} worker processes could not be started ({str(error).splitlines()[0]}); try "
            "fewer by --workers, and `dustpost doctor`"
        ) from None
    try:
        yield cluster
    finally:
        with suppress(Exception):  # workers that will not end are killed by their nanny
            cluster.close(timeout=15)


def _of_gpus(gpus: int):
    try:
        from dask_cuda import LocalCUDACluster
    except ImportError:
        if gpus == 1:
            return LocalCluster
        raise DustpostError(
            f"{gpus} GPUs found, which need one worker process each: run pip install dask-cuda, "
            "or choose one by CUDA_VISIBLE_DEVICES"
        ) from None
    return LocalCUDACluster
