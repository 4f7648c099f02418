"""How much of the computer's memory tensors occupy in earnest, to hold the dry run against."""

import weakref

import torch
from torch.utils._pytree import tree_leaves

from inference.video_diffusion import dry_run


class RealLedger(dry_run._Ledger):
    """The same count of tensors that have values, on the processor, and without any shortcut."""

    def enter_in(self, tensor):
        storage = tensor.untyped_storage()
        key, size = storage._cdata, -(-storage.nbytes() // dry_run.BLOCK) * dry_run.BLOCK
        if key in self._known:
            return

        def freed(_):
            self.live -= size
            del self._known[key]

        self._known[key] = weakref.ref(storage, freed)
        self.live += size
        self.peak = max(self.peak, self.live)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if dry_run._is_composed(func):
            with self:
                return func.decompose(*args, **(kwargs or {}))
        result = func(*args, **(kwargs or {}))
        self.enter_all(leaf for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor))
        return result
