"""How much of a network is computed at once. No setting here changes a result beyond rounding."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What stays on the device, and in which pieces the layers are computed.

    Attributes
    ----------
    encode_frames : int
        Frames that the autoencoder's encoder and CLIP take at once (both see each frame alone).
    frames : int or None
        Frames that a spatial layer of the UNet takes at once at full resolution; coarser layers, whose frames are
        smaller, take more in proportion. None: the whole window.
    pixels : int or None
        Pixels that a temporal layer of the UNet takes at once where it has the fewest channels; wider layers take fewer
        in proportion. None: all.
    decoder_rows : int or None
        Rows of the image, at the layer's own resolution, that a decoder's layer computes at once, without its
        halo; None: all. The decoder's chunk of frames is not part of the plan, since it changes the result.
    skips_on_host : bool
        Whether the UNet's skip connections wait in host memory.
    networks_on_host : bool
        Whether a network is on the device only while it is used.
    blocks_on_host : bool
        Whether even the UNet's blocks are brought to the device one by one.
    compiled : bool
        Whether the layers go through ``torch.compile``.
    """

    encode_frames: int = 8
    frames: int | None = None
    pixels: int | None = None
    decoder_rows: int | None = None
    skips_on_host: bool = False
    networks_on_host: bool = False
    blocks_on_host: bool = False
    compiled: bool = False
