"""Peak memory and floating-point operations of a computation, measured by a dry run.

The same code that will run later is run on torch's ``meta`` device, where tensors have shapes but no values or
memory. ``meta`` stands for the GPU; tensors that the code moves to host memory (``.cpu()``, ``module.to("cpu")``)
are not counted, and cost nothing here either.

Assumptions about the real device:

* Attention is fused (PyTorch's flash, memory-efficient or cuDNN kernels, and flash on the CPU): the score matrix is
  never in memory. Heads wider than 256, as the autoencoder's single head, go to the memory-efficient kernel,
  which takes any width in float16, bfloat16 and float32. Only where the caller says so (Apple's GPUs) are the scores
  counted: twice, before and after their softmax.
* A convolution whose input or weight is channels last makes a result that is, as cuDNN's and oneDNN's do and torch's on
  ``meta`` does not; an input that is not is copied into that order. Where neither is, workspace for a copy of input
  and result is counted, because the libraries' fast kernels reorder both.
* GroupNorm copies an input that is channels last: PyTorch's CUDA kernel takes contiguous inputs only.
* Constant overhead is not counted: the driver's context, for which see `device`, and the workspace of matrix products
  and the caching allocator's fragmentation, which `with_margin` adds.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch._prims_common import suggest_memory_format
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.weak import WeakIdKeyDictionary

META = torch.device("meta")
ALLOCATOR = {"cuda": 1.08, "cpu": 1.3, "mps": 1.3}
"""Memory overhead as a factor, by kind of device: the caching allocator's fragmentation; on the CPU oneDNN's reordered
weights and the float32 copies of half-precision sums (measured: up to 30 % over the dry run); on Apple's GPUs norms
computed in float32. The factor for CUDA has not been measured on a GPU yet."""
WORKSPACE = 0.15e9
"""Bytes for the workspace of matrix products and for the libraries' caches."""

aten: Any = torch.ops.aten

BLOCK = 512
"""Allocations on a CUDA GPU are rounded up to a multiple of this many bytes."""

_orders: WeakIdKeyDictionary = WeakIdKeyDictionary()
"""Storage of a stand-in in host memory -> the strides that its tensor had on the device, for its return."""
_made: dict[Any, tuple[torch.Size, tuple[int, ...], torch.dtype]] = {}
"""Cached result shapes of operations, by the shapes of their arguments."""
_MOST_MADE = 50_000
_MAKERS = {aten.empty.memory_format, aten.empty_strided.default, aten.zeros.default}


def peak_bytes(work: Callable[[], object], *, resident: Iterable[Tensor] = (), fused_attention: bool = True) -> int:
    """The peak of the bytes that tensors on ``meta`` occupy during `work`, with the workspaces named above.

    Parameters
    ----------
    work : callable
        Called once. Reading a value (``bool(tensor)``) gives zero.
    resident : iterable of Tensor
        Tensors that are on ``meta`` before, such as weights; shared storage counts once.
    fused_attention : bool
        Whether attention runs without its score matrix in memory.
    """
    ledger = _Ledger()
    ledger.enter_all(resident)
    with ledger, _Attention(ledger, fused=fused_attention):
        work()
    return ledger.peak


def flops(work: Callable[[], object]) -> int:
    """The floating-point operations of `work` on ``meta``: of matrix products, convolutions and attention.

    Counted by torch's own `FlopCounterMode`: a multiplication and an addition are two.
    """
    counter = FlopCounterMode(display=False)
    with _Ledger(), counter, _Attention(None, fused=True):
        work()
    return int(counter.get_total_flops())


def bytes_of(tensors: Iterable[Tensor]) -> int:
    """The bytes that tensors occupy, each storage once."""
    storages = {tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(storages.values())


def on_host(shape: Iterable[int], dtype: torch.dtype) -> Tensor:
    """A stand-in for a tensor in host memory: it has the shape, and one value for all elements."""
    return torch.zeros((), dtype=dtype, device="cpu").expand(tuple(shape))


class _Ledger(TorchDispatchMode):
    """Tracks the lifetime of every storage on ``meta``."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled in a dry run, and this saves a tenth of its time

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._known: dict[int, weakref.ref] = {}

    def enter_in(self, tensor: Tensor) -> None:
        """Count a tensor's storage as long as anything refers to it."""
        if tensor.device.type != "meta":
            return
        storage = tensor.untyped_storage()
        key, size = storage._cdata, -(-storage.nbytes() // BLOCK) * BLOCK
        if key in self._known:
            return

        def freed(_: Any) -> None:
            self.live -= size
            del self._known[key]

        # torch keeps a storage's Python object as long as the storage, so the weak reference dies with it
        self._known[key] = weakref.ref(storage, freed)
        self.live += size
        self.peak = max(self.peak, self.live)

    def enter_all(self, tensors: Iterable[Tensor]) -> None:
        """Count many, without keeping any of them alive."""
        for tensor in tensors:
            self.enter_in(tensor)

    def beside(self, size: int) -> None:
        """Count workspace that a layer needs only while it computes."""
        self.peak = max(self.peak, self.live + size)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        stood_in = _host(func, args, kwargs)
        if stood_in is not None:
            self.enter_in(stood_in)
            return stood_in
        if func is aten._local_scalar_dense.default and args[0].is_meta:
            return torch.zeros((), dtype=args[0].dtype).item()
        written = _written(func)
        if written is not None:  # in place: nothing new
            target = kwargs[written] if isinstance(written, str) else args[written]
            if isinstance(target, Tensor) and target.is_meta:
                return target
        if _is_composed(func):  # in inference mode composite operations arrive here; their parts are counted
            with self:
                return func.decompose(*args, **kwargs)
        result = self._computed(func, args, kwargs)
        if func is aten.convolution.default and result.is_meta:
            result = _ordered(result, *args[:2])
        if isinstance(result, Tensor):
            self.enter_in(result)
        else:
            self.enter_all(leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor))
        self.beside(_workspace(func, args, result))
        return result

    def _computed(self, func: Any, args: Any, kwargs: Any) -> Any:
        """The result of an operation; torch is slow to infer shapes, so each is inferred once."""
        key = (func, _key(args), _key(kwargs)) if _makes_one(func) else None
        if key is None or key not in _made:
            result = func(*args, **kwargs)
            if key is not None and isinstance(result, Tensor) and result.is_meta and not _shares(result, args):
                if len(_made) > _MOST_MADE:
                    _made.clear()
                _made[key] = (result.shape, result.stride(), result.dtype)
            return result
        shape, stride, dtype = _made[key]
        return torch.empty_strided(shape, stride, dtype=dtype, device="meta")


@cache
def _is_composed(func: Any) -> bool:
    """Whether an operation is composed of others and has no kernel of its own.

    Resampling has one, though torch can also decompose it on ``meta``, into many large tensors.
    """
    if func.name().startswith("aten::upsample_"):
        return False
    return torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd")


@cache
def _written(func: Any) -> int | str | None:
    """The one argument that an operation writes to and returns, by its position or name; None where there is none."""
    source = func._schema.arguments
    positions = [at for at, each in enumerate(source) if each.alias_info is not None and each.alias_info.is_write]
    if len(positions) != 1 or torch.Tag.inplace_view in func.tags or len(func._schema.returns) != 1:
        return None
    return source[positions[0]].name if source[positions[0]].kwarg_only else positions[0]


@cache
def _makes_one(func: Any) -> bool:
    """Whether an operation returns one new tensor whose shape follows from its arguments' shapes."""
    schema = func._schema
    one = len(schema.returns) == 1 and str(schema.returns[0].type) == "Tensor"
    return one and all(each.alias_info is None for each in (*schema.arguments, *schema.returns))


def _shares(result: Tensor, args: Any) -> bool:
    """Whether a result is a view, such as that of ``_unsafe_view``, whose schema does not declare it."""
    storages = (leaf.untyped_storage()._cdata for leaf in tree_leaves(args) if isinstance(leaf, Tensor))
    return result.untyped_storage()._cdata in storages


def _key(value: Any) -> Any:
    """The properties of arguments that a result's shape depends on."""
    if isinstance(value, Tensor):
        return (value.shape, value.stride(), value.dtype, value.device.type)
    if isinstance(value, (tuple, list)):
        return tuple(map(_key, value))
    if isinstance(value, dict):
        return tuple((name, _key(each)) for name, each in value.items())
    return (type(value), value)


def _host(func: Any, args: Any, kwargs: Any) -> Tensor | None:
    """The result of an operation between device and host memory; None for every other."""
    if func is aten.copy_.default:
        return args[0] if args[0].is_cpu and (args[1].is_meta or _hollow(args[0])) else None
    if func is not aten._to_copy.default and func not in _MAKERS:
        return None
    to_cpu = torch.device(kwargs.get("device") or "meta").type == "cpu"
    if func in _MAKERS:
        dtype = kwargs.get("dtype") or torch.get_default_dtype()
        return on_host(args[0], dtype) if to_cpu and math.prod(args[0]) > 1 << 18 else None
    dtype = kwargs.get("dtype") or args[0].dtype
    if to_cpu and args[0].is_meta:
        parked = on_host(args[0].shape, dtype)
        _orders[parked.untyped_storage()] = args[0].stride()
        return parked
    if not to_cpu and _hollow(args[0]):
        stride = _orders.get(args[0].untyped_storage(), ())
        if len(stride) == args[0].dim():
            return torch.empty_strided(args[0].shape, stride, dtype=dtype, device="meta")
    return None


def _hollow(tensor: Tensor) -> bool:
    return tensor.is_cpu and tensor.numel() > 1 and not any(tensor.stride())


def _ordered(result: Tensor, source: Tensor, weight: Tensor) -> Tensor:
    """A convolution's result in the memory format that it has on a real device."""
    if torch.channels_last not in (suggest_memory_format(source), suggest_memory_format(weight)):
        return result
    return torch.empty_like(result, memory_format=torch.channels_last)


def _workspace(func: Any, args: Any, result: Any) -> int:
    """Bytes that a layer needs beside its inputs and outputs, see the module's docstring."""
    if func is aten.convolution.default:
        source = args[0]
        if not source.is_meta or source.dim() < 4 or suggest_memory_format(source) != torch.contiguous_format:
            return 0
        ordered = suggest_memory_format(args[1]) != torch.contiguous_format
        return source.nbytes if ordered else source.nbytes + result.nbytes
    if func is aten.native_group_norm.default:
        return 0 if args[0].is_contiguous() else args[0].nbytes
    return 0


class _Attention(TorchFunctionMode):
    """Routes attention to the fused kernel, which torch does not choose on ``meta``."""

    def __init__(self, ledger: _Ledger | None, *, fused: bool) -> None:
        super().__init__()
        self._ledger, self._fused = ledger, fused

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is not functional.scaled_dot_product_attention:
            return func(*args, **kwargs)
        return self._attend(*args, **kwargs)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, *_: Any, **options: Any) -> Tensor:
        if query.device.type != "meta":
            return functional.scaled_dot_product_attention(query, key, value, *_, **options)
        result = aten._scaled_dot_product_flash_attention(query, key, value, 0.0, False)[0]
        if not self._fused and self._ledger is not None:
            scores = math.prod(query.shape[:-1]) * key.shape[-2] * query.element_size()
            self._ledger.beside(2 * scores)
        return result


def with_margin(peak: int, kind: str) -> int:
    """A dry run's peak in bytes, with the margin for a kind of device (``cuda``, ``mps`` or ``cpu``)."""
    return int(peak * ALLOCATOR[kind] + WORKSPACE)


def gigabytes(size: float, *, up: bool = True) -> str:
    """A size in gigabytes (1e9 bytes) with one digit, rounded up (memory needed) or down (memory free)."""
    tenths = size / 1e8
    return f"{(math.ceil(tenths) if up else math.floor(tenths)) / 10:.1f}"
