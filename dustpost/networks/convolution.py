"""A 3x3 convolution whose gradient is as fast inside a loop as outside.

y = w * x, and for the input dx = flip(w)^T * dy. XLA's CPU backend runs JAX's
own transposed convolution some 15 times slower in a while loop (jax#12868:
there the flipped kernel keeps a layout that the fast routine refuses), and
every sampler is a loop. Here the flipped kernel is written out first, and the
gradient is an ordinary convolution. Reverse mode only.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array


def _plain(x: Array, kernel: Array) -> Array:
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


@jax.custom_vjp
def convolve(x: Array, kernel: Array) -> Array:
    """Convolve with zero padding.

    Parameters
    ----------
    x : Array, (batch, y, x, channel)
    kernel : Array, (3, 3, channel, out)

    Returns
    -------
    Array, (batch, y, x, out)
    """
    return _plain(x, kernel)


def _forward(x, kernel):
    return _plain(x, kernel), (x, kernel)


def _backward(saved, cotangent):
    x, kernel = saved
    flipped = jnp.flip(kernel, (0, 1)).swapaxes(2, 3)
    # Without the barrier the flip is folded back into the convolution's layout.
    # `convolve` again: the gradient of this gradient, of energy networks, stays as fast.
    to_input = convolve(cotangent, jax.lax.optimization_barrier(flipped))
    to_kernel = jax.vjp(lambda k: _plain(x, k), kernel)[1](cotangent)[0]
    return to_input, to_kernel


convolve.defvjp(_forward, _backward)


class Conv(nn.Module):
    """`convolve` and a bias, with flax's names for the parameters."""

    features: int
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        shape = (3, 3, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        # As flax's own layers do: the wider of the input's and the weights' precision.
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias)
        return convolve(x, kernel) + bias[None, None, None, :]
