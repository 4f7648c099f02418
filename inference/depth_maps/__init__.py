"""Processing of finished depth maps: temporal stabilization, and upsampling guided by the plate."""
