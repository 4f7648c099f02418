"""Processing of finished depth maps: temporal stabilisation, and upsampling guided by the plate."""
