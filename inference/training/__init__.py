"""Training of depth networks by video diffusion, from Stable Video Diffusion or weights made of it."""
