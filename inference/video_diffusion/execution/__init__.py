"""Running Stable Video Diffusion's networks in bounded memory, and fast; the numbers stay diffusers'."""
