"""Looking at depth in Blender's editors: over, beside or wiped against the plate, also while it is being estimated.

`shown` decides which map lies where in an editor, `maps` reads the maps, `drawing` draws them. Nothing is baked, and
nothing of the .blend file changes.
"""
