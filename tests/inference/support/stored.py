"""Weights as a finished download leaves them, without a download."""

from inference.models import notes, store, verification


def put_in_place(model, files=None, *, accept=True):
    """Make a model usable in the data folder that FATHOM_HOME names.

    `files` maps a file's path in the repository to bytes; None: the files that lie there already.
    """
    if notes.is_open(model):
        model = notes.at(model, "89abcdef0123456789abcdef0123456789abcdef")
        notes.write_pin(model, chosen="user", source="https://huggingface.co")
    folder = store.own_folder(model)
    for path, content in (files or {}).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    sums = tuple(
        notes.Checksum(
            path=file.path, size=(folder / file.path).stat().st_size, sha256=verification.digest(folder / file.path)
        )
        for file in model.files
    )
    lock = notes.Lock(
        repository=model.repository,
        revision=notes.revision(model),
        origin="hub",
        source="https://huggingface.co",
        recorded=notes.now(),
        files=sums,
    )
    notes.write_lock(model, lock)
    if accept:
        notes.accept(model)
    return folder
