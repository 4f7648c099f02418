"""Where the networks are while a stage runs, and what happens when the device runs out of memory."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, TypeVar

import torch

from ..common.failures import Failure, is_out_of_memory
from ..contract import exit_codes
from ..contract.hints import setting
from . import device
from .execution.plan import Plan
from .networks import Networks

Stage = Literal["encode", "denoise", "decode"]
T = TypeVar("T")


class Placement:
    """Networks and their device, under a plan that shrinks once when memory runs out.

    `smaller` returns the next smaller plan, None where there is none (`memory.step_down`); `warn` is called with a
    message when the plan shrinks.
    """

    def __init__(
        self,
        networks: Networks,
        device: torch.device,
        plan: Plan,
        *,
        smaller: Callable[[Plan], Plan | None],
        warn: Callable[[str], None],
    ) -> None:
        self.networks, self.device, self.plan = networks, device, plan
        self._smaller, self._warn = smaller, warn
        self._shrunk = False
        self.stage: Stage | None = None
        """The current stage."""
        if plan.networks_on_host:  # an earlier shot of the job may have left them on the device
            self._send_away()

    @contextmanager
    def during(self, stage: Stage) -> Iterator[None]:
        """Keep a stage's networks on the device; the plan decides whether the others stay there too."""
        self.stage = stage
        try:
            self.attempt(lambda plan: self._bring())
            yield
        finally:
            self.stage = None
            if self.plan.networks_on_host:
                self._send_away()

    def attempt(self, work: Callable[[Plan], T]) -> T:
        """Run `work` with the plan; when memory runs out, shrink the plan and run it again, at most once.

        Raises
        ------
        Failure
            FAILED: memory ran out again, or there is no smaller plan.
        """
        try:
            return work(self.plan)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            smaller = None if self._shrunk else self._smaller(self.plan)
            if smaller is None:
                raise self._exhausted() from error
        # outside of the handler: while that runs, the traceback keeps the tensors of the failed attempt alive
        try:
            self._shrink(smaller)
            return work(self.plan)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise self._exhausted() from error

    def leave(self) -> None:
        """Free the device for others."""
        self._send_away()
        gc.collect()
        device.release(self.device)

    def _shrink(self, smaller: Plan) -> None:
        self._shrunk = True
        self.plan = smaller
        self.leave()
        self._bring()
        self._warn(
            "The memory ran out, so the estimate continues in smaller pieces, which is slower. No finished work "
            "is lost."
        )

    def _needed(self) -> list[torch.nn.Module]:
        networks, plan = self.networks, self.plan
        if self.stage == "encode":
            return [networks.image_encoder, networks.vae.encoder, networks.vae.quant_conv]
        if self.stage == "denoise":
            return [] if plan.blocks_on_host else [networks.unet]
        return [networks.vae.decoder] if self.stage == "decode" else []

    def _bring(self) -> None:
        for module in self._needed():
            torch.nn.Module.to(module, device=self.device)

    def _send_away(self) -> None:
        for module in self.networks.modules:
            torch.nn.Module.to(module, device="cpu")

    def _exhausted(self) -> Failure:
        return Failure(
            exit_codes.FAILED,
            "The memory ran out again, with the smallest memory plan that was left.",
            hint=f"Choose a smaller {setting('size')} or fewer frames at a time ({setting('window', 60)}), or close "
            "other programs that use the device, and start the job again; an unchanged job resumes.",
        )
