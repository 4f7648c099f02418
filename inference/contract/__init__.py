"""What both processes share: formats, the start of the worker, its environment. Standard library only."""
