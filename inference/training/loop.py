"""The loop: sequences, losses, steps; checkpoints from which a killed training resumes to the same bits; the model.

Accelerate runs it on one device, on several, or on several machines, as its launcher and its configuration say. A step
takes `batch` sequences, which are divided among the processes: process p of P takes the sequences p, p + P, ... of the
step, one after another, so that lengths may differ. Everything random follows from the seed and a sequence's number
(`sequences`), so a checkpoint needs no state of a generator, and the number of processes changes nothing but rounding.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, InitProcessGroupKwargs, ProjectConfiguration
from torch import Tensor, nn

from ..common import lock
from ..common.failures import Failure, first_line, unwritable
from ..common.files import make_folder, save_tensors, sync_folder
from ..contract import events, exit_codes, own_files
from ..models.trained import Terms
from ..video_diffusion import device as devices
from ..video_diffusion import networks
from ..video_diffusion.networks import Networks
from . import objective, output, validation
from .examples import Examples, load_tensors
from .output import Training
from .recipe import Settings
from .sequences import UnusableSequence

_KEPT = 2
"""Checkpoints."""
_SPARE = 64e6
"""Bytes below which a disk counts as full where nothing else tells."""
_PATIENCE = timedelta(hours=12)
"""How long processes wait for the one that measures the held clips."""
Emit = Callable[[events.Event], None]
Notice = Callable[[int, Mapping[str, float]], None]


def train(
    training: Training,
    *,
    emit: Emit,
    check: Callable[[], None] = lambda: None,
    notice: Notice = lambda step, figures: None,
) -> Path:
    """Train, or resume an earlier run of the same training; returns the folder of the model.

    `notice` gets each step's figures, and those of each measurement.

    Raises
    ------
    Failure
        The output folder is another training's, in use or not writable; a file or a configuration is unusable; the
        loss is not finite.
    Cancelled
        Raised by `check`; the last checkpoint stays.
    """
    settings = training.settings
    accelerator = _accelerator(settings, training.output)
    if settings.batch % accelerator.num_processes:
        raise Failure(
            exit_codes.USAGE,
            f"A batch of {settings.batch} sequences cannot be divided among {accelerator.num_processes} processes.",
            hint="Choose a batch that is a multiple of the number of processes.",
        )
    with contextlib.ExitStack() as opened:
        if accelerator.is_main_process:
            make_folder(training.output)
            opened.callback(lock.acquire(training.output / output.CHECKPOINTS).release)
            output.prepare(training)
        accelerator.wait_for_everyone()
        unet, encoders = _networks(training, accelerator.device)
        objective.choose_layers(unet, settings.trained)
        if settings.checkpointing:
            unet.enable_gradient_checkpointing()
        denoiser: nn.Module = objective.Denoiser(unet.train())
        optimizer: Any = torch.optim.Adam(objective.trained_parameters(denoiser), lr=settings.learning_rate)
        denoiser, optimizer = accelerator.prepare(denoiser, optimizer)
        state = _State(training, accelerator, denoiser, optimizer, emit, check, notice)
        state.resume()
        accelerator.init_trackers("", init_kwargs={"tensorboard": {"purge_step": state.done + 1}})
        opened.callback(accelerator.end_training)
        state.run(encoders)
    return training.output / output.MODEL


@dataclass(eq=False)
class _State:
    """A training while it runs."""

    training: Training
    accelerator: Accelerator
    denoiser: nn.Module
    optimizer: Any
    emit: Emit
    check: Callable[[], None]
    notice: Notice
    average: list[Tensor] | None = None
    """Of the weights that are trained, over the steps."""
    done: int = 0
    """Steps that are done."""

    def __post_init__(self) -> None:
        if not self.training.settings.ema:
            return
        if self.accelerator.distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED):
            raise Failure(
                exit_codes.USAGE,
                "The average of the weights needs all of them in each process, which FSDP and DeepSpeed do not give.",
                hint="Set ema to 0, which saves the last weights.",
            )
        self.average = [each.detach().clone() for each in objective.trained_parameters(self.denoiser)]

    def resume(self) -> None:
        """Take the newest checkpoint up, where there is one."""
        folder = next(reversed(output.checkpoints(self.training.output)), None)
        if folder is None:
            return
        try:
            self.accelerator.load_state(str(folder))
            tensors, facts = load_tensors(folder / output.AVERAGE)
            if self.average is not None:
                self.average = [tensors[str(at)].to(each.device) for at, each in enumerate(self.average)]
            self.done = facts["done"]
        except Exception as error:  # each of the libraries that read it has its own
            raise Failure(
                exit_codes.FAILED,
                f"The checkpoint {folder} cannot be read ({first_line(error)}).",
                hint="Delete it to resume from the one before it.",
            ) from error

    def run(self, encoders: Networks) -> None:
        """All steps that are left."""
        training, settings = self.training, self.training.settings
        cache = training.output / output.CACHE if settings.cache else None
        examples = Examples(
            settings,
            training.clips,
            training.repeats,
            encoders,
            device=self.accelerator.device,
            cache=cache,
            encoders=training.encoders,
            check=self.check,
            warn=lambda message: self.emit(events.Warning(message=message)),
        )
        self.emit(events.Stage(name="train", label=f"Training stage {training.stage} of {training.network}"))
        self._complete()
        if self.done >= settings.steps:
            self.emit(events.Warning(message=f"All {self.done} steps were done before."))
        while self.done < settings.steps:
            value = self._step(examples, self.done)
            self.done += 1
            self._report({"loss": value})
            is_last = self.done == settings.steps
            if is_last or self.done % settings.save_every == 0:
                self._save()
            if self._is_measured_now:
                self._validate()

    @property
    def _is_measured_now(self) -> bool:
        settings = self.training.settings
        is_last = self.done == settings.steps
        return is_last or bool(settings.validate_every and self.done % settings.validate_every == 0)

    def _complete(self) -> None:
        """Write what a run that was killed after its last checkpoint has not: the model, and its accuracy."""
        if not self.done:
            return
        is_written = output.is_written(self.training, self.done)
        is_measured = not self._is_measured_now or output.is_measured(self.training, self.done)
        self.accelerator.wait_for_everyone()  # all have looked before one of them writes
        if not is_written:
            folder = self.training.output / output.MODEL
            try:
                self._write_model(folder, self.training.data.license)
            except OSError as error:
                raise unwritable(error, error.filename or folder) from error
        if not is_measured:
            self._validate()

    def _step(self, examples: Examples, step: int) -> float:
        """One step of the optimizer; returns the mean loss of its sequences over all processes."""
        settings, accelerator = self.training.settings, self.accelerator
        losses = []
        for place in range(accelerator.process_index, settings.batch, accelerator.num_processes):
            self.check()
            number = step * settings.batch + place
            try:
                example = examples[number]
            except UnusableSequence as error:
                raise Failure(exit_codes.USAGE, f"The clips cannot be trained on: {error}.") from error
            draw = objective.drawn(settings, example, number)
            with accelerator.accumulate(self.denoiser):  # which divides by the number of this process' sequences
                with accelerator.autocast():
                    value = objective.loss(self.denoiser, example, draw, device=accelerator.device)
                accelerator.backward(value)
                if accelerator.sync_gradients and settings.gradient_norm:
                    accelerator.clip_grad_norm_(self.denoiser.parameters(), settings.gradient_norm)
                self.optimizer.step()
                self.optimizer.zero_grad()
            losses.append(value.detach())
        mean: Tensor = accelerator.reduce(torch.stack(losses).mean(), "mean")
        if not bool(torch.isfinite(mean)):
            raise Failure(
                exit_codes.FAILED,
                f"The loss is not finite at step {step + 1}; nothing of this step was saved.",
                hint="Choose another precision (bf16, fp32) or a smaller rate of learning; the last checkpoint stays.",
            )
        if self.average is not None:
            decay = min(settings.ema, (1 + step) / (10 + step))  # the first weights are soon forgotten
            own = [each.detach() for each in objective.trained_parameters(self.denoiser)]
            torch._foreach_lerp_(self.average, own, 1 - decay)
        return float(mean)

    def _report(self, figures: Mapping[str, float]) -> None:
        step, total = self.done, self.training.settings.steps
        self.accelerator.log(dict(figures), step=step)
        if self.accelerator.is_main_process:
            self.emit(events.Progress(done=step, total=total, frames=step, frames_total=total))
        self.notice(step, figures)

    def _save(self) -> None:
        """A checkpoint, and the model for estimates."""
        accelerator, folder = self.accelerator, self.training.output / output.CHECKPOINTS
        unfinished, final = folder / ".unfinished", folder / f"step-{self.done:08d}"
        try:
            if accelerator.is_main_process:
                shutil.rmtree(unfinished, ignore_errors=True)
                own_files.make_folder(unfinished)
            accelerator.wait_for_everyone()
            accelerator.save_state(str(unfinished))
            if accelerator.is_main_process:
                tensors = {str(at): each for at, each in enumerate(self.average or [])}
                save_tensors(unfinished / output.AVERAGE, tensors, {"done": self.done})
            accelerator.wait_for_everyone()
            if accelerator.is_main_process:
                shutil.rmtree(final, ignore_errors=True)
                unfinished.rename(final)
                sync_folder(folder)
            self._write_model(self.training.output / output.MODEL, self.training.data.license)
            for old in output.checkpoints(self.training.output)[:-_KEPT] if accelerator.is_main_process else ():
                shutil.rmtree(old, ignore_errors=True)
        except OSError as error:
            raise unwritable(error, error.filename or folder) from error
        except RuntimeError as error:  # of torch's writer (inline_container.cc), without an error number
            if "inline_container" not in str(error) or shutil.disk_usage(folder).free > _SPARE:
                raise
            raise unwritable(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), unfinished) from error
        accelerator.wait_for_everyone()

    def _write_model(self, folder: Path, terms: Terms) -> None:
        """Write the average of the weights, or the last ones without it, as an estimator takes them."""
        accelerator, training = self.accelerator, self.training
        with _averaged(self.average, self.denoiser):  # the tensors are the network's own, which change again
            tensors = accelerator.get_state_dict(self.denoiser)
            if not accelerator.is_main_process:
                return
            found = {
                name.removeprefix("unet."): each.to("cpu", torch.float32, copy=True).contiguous()
                for name, each in tensors.items()
            }
        config = dict(accelerator.unwrap_model(self.denoiser).unet.config)
        output.save_model(training, folder, found, config, terms=terms, steps=self.done)

    def _validate(self) -> None:
        """Measure the model on the held clips, by the estimator itself; the other processes wait."""
        training, step = self.training, self.done
        if not training.data.held:
            return
        work = training.output / f"validation-{step:08d}"
        is_own = False
        try:
            if self.accelerator.is_main_process:
                work = output.make_work_folder(training, step)
                is_own = True
            self._write_model(work / output.MODEL, Terms(title="In training"))
            if self.accelerator.is_main_process:
                figures = validation.measured(
                    training.network,
                    work,
                    training.data.held,
                    steps=training.settings.validation_steps,
                    size=max(training.settings.width, training.settings.height),
                    device=training.settings.device,
                    emit=self.emit,
                    check=self.check,
                )
                path = training.output / output.VALIDATION
                with open(path, "a", encoding="utf-8", opener=own_files.opener) as file:
                    file.write(json.dumps({"step": step, **figures}) + "\n")
                self.accelerator.log({f"held/{name}": value for name, value in figures.items()}, step=step)
                self.notice(step, figures)
                text = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
                self.emit(events.Stage(name="train", label=f"Training; step {step} has {text} on the held clips"))
        except OSError as error:
            raise unwritable(error, error.filename or work) from error
        finally:
            if is_own:
                shutil.rmtree(work, ignore_errors=True)
        self.accelerator.wait_for_everyone()


@contextlib.contextmanager
@torch.no_grad()
def _averaged(average: list[Tensor] | None, denoiser: nn.Module) -> Iterator[None]:
    """Give the network the average of its weights while this lasts."""
    own = [] if average is None else list(objective.trained_parameters(denoiser))
    before = [each.clone() for each in own]
    for each, mean in zip(own, average or []):
        each.copy_(mean)
    try:
        yield
    finally:
        for each, last in zip(own, before):
            each.copy_(last)


def _accelerator(settings: Settings, folder: Path) -> Accelerator:
    devices.choose(settings.device)  # a sentence where there is no such device
    precision = {"bf16": "bf16", "fp16": "fp16", "fp32": "no"}.get(settings.precision)
    if precision is None and "ACCELERATE_MIXED_PRECISION" not in os.environ:
        precision = "bf16" if settings.device != "cpu" and torch.cuda.is_available() and _has_bf16() else "no"
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    return Accelerator(
        cpu=settings.device == "cpu",
        mixed_precision=precision,
        gradient_accumulation_steps=max(1, settings.batch // processes),
        log_with="tensorboard",
        project_config=ProjectConfiguration(project_dir=str(folder), logging_dir=str(folder / output.LOG)),
        kwargs_handlers=[InitProcessGroupKwargs(timeout=_PATIENCE)],
    )


def _has_bf16() -> bool:
    return torch.cuda.get_device_capability() >= (8, 0)


def _networks(training: Training, device: torch.device) -> tuple[Any, Networks]:
    """The UNet in float32, and the encoders on the device: the autoencoder's in float32, CLIP's as on the device."""
    found = networks.load(training.unet, training.svd)
    for parameter in found.unet.parameters():
        # not channels last, as in an estimate: torch 2.13 crashes on the CPU in the gradient of such a layer's input
        parameter.data = parameter.data.contiguous()
    found.vae.encoder.to(device)
    found.vae.quant_conv.to(device)
    half = device.type != "cpu"
    nn.Module.to(found.image_encoder, device=device, dtype=torch.float16 if half else torch.float32)
    return found.unet, found
