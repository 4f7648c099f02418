"""What both processes share, Blender's and the worker's: formats, the worker's start, environments. Standard library only."""
