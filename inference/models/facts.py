"""What is known of a network's weights before they are there. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Licence:
    """The terms of use of weights, which the user accepts once by name.

    Attributes
    ----------
    name : str
        How it is accepted and recorded; lower case with hyphens.
    title : str
        As its owner calls it.
    summary : str
        What it permits and forbids, one sentence.
    url : str
        Where its text can be read.
    """

    name: str
    title: str
    summary: str
    url: str


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """A file of a repository that is needed.

    Attributes
    ----------
    path : str
        Inside the repository, with forward slashes.
    size : int
        Bytes, about: what is told, and asked of the disk, before the hub has been asked. Exact with a `sha256`.
    sha256 : str
        Of the content, where Fathom itself fixes it; empty: the hub tells it.
    """

    path: str
    size: int
    sha256: str = ""

    @property
    def most(self) -> int:
        """Bytes beyond which a file is another one, whoever says that it is this one."""
        return self.size if self.sha256 else 2 * self.size + (1 << 20)


@dataclass(frozen=True, kw_only=True)
class Model:
    """The files of one repository that an estimator needs, at one revision.

    Attributes
    ----------
    name : str
        What the user types; lower case with hyphens.
    label : str
        What it is, for the artist.
    repository : str
        ``owner/name`` on the Hugging Face hub, or at the `address`.
    revision : str
        Full commit hash; empty: Fathom fixes none, and it is chosen once on each computer (`pins`).
    revision_checked : bool
        Whether that revision was looked up on the hub itself; False: it is taken from published pins of others.
    licence : Licence
    files : tuple of ModelFile
    address : str
        Where the files lie by themselves, as ``address/revision/path``, each with its sha256; empty: on the hub.
    """

    name: str
    label: str
    repository: str
    revision: str
    revision_checked: bool
    licence: Licence
    files: tuple[ModelFile, ...]
    address: str = ""

    @property
    def size(self) -> int:
        """Bytes of all files, about."""
        return sum(file.size for file in self.files)
