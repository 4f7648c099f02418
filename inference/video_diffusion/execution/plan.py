"""How much of a network's work is done at once. No setting here changes a result beyond rounding."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What stays on the device, and in what pieces the layers are computed.

    Attributes
    ----------
    encode_frames : int
        Frames that the autoencoder's encoder and CLIP take at once (both know single frames only).
    frames : int or None
        Frames that a spatial layer of the UNet takes at once where frames are largest; coarser layers, whose frames
        are smaller, take as many more. None: all of the window.
    pixels : int or None
        Places of the picture that a temporal layer of the UNet takes at once where it has fewest channels; wider
        layers take as many fewer. None: all.
    decoder_rows : int or None
        Rows of the picture, at the layer's own resolution, that a decoder's layer computes at once, its halo beside
        them; None: all. The decoder's chunk of frames is no such knob: its temporal layers see only the chunk.
    skips_on_host : bool
        Whether the UNet's skip connections wait in the computer's memory.
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
