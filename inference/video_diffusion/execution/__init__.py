"""Stable Video Diffusion's networks, fast and in bounded memory; results equal diffusers' own."""
