"""The two implementations of the networks' forward passes: Fathom's own in pieces, or diffusers'."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from . import autoencoder, plain, unet


@dataclass(frozen=True, kw_only=True)
class Forward:
    """The forward passes of the networks; see `unet.predict`, `autoencoder.encode` and `autoencoder.decode`."""

    predict: Callable[..., Tensor]
    encode: Callable[..., Tensor]
    decode: Callable[..., Tensor]


OWN = Forward(predict=unet.predict, encode=autoencoder.encode, decode=autoencoder.decode)
PLAIN = Forward(predict=plain.predict, encode=plain.encode, decode=plain.decode)
