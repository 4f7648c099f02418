"""The tiny networks that the reference outputs in ``tests/inference/golden`` were made with."""

from tests.inference.support.tiny_networks import fill, golden, one_thread, tiny_networks  # noqa: F401 - fixtures
