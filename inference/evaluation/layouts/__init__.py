"""How truth lies on disk: one module a layout, each with ``open_clips(root)``."""
