"""The two hubs that have the models: what a repository holds, and where a file of it is fetched and put."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol

from .found import ModelMissing
from .items import Item
from .places import hub_cache, own_folder

HubName = Literal["huggingface", "modelscope"]
HUBS: tuple[HubName, ...] = ("huggingface", "modelscope")


class HubProblem(ModelMissing):
    """A hub that cannot be reached, refuses, or gives what it should not: one sentence with the next step."""


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository. ``sha256``, or ``git_sha1`` (of "blob SIZE" and the bytes) for small ones, is its sum."""

    path: str
    size: int
    sha256: str = ""
    git_sha1: str = ""


@dataclass(frozen=True)
class Listing:
    """A repository at one revision."""

    repo: str
    revision: str
    files: tuple[RemoteFile, ...]


class Hub(Protocol):
    """One hub. Paths are those of the repository, with slashes."""

    name: HubName
    home: str

    def listing(self, repo: str) -> Listing:
        """All files of the newest revision. Raises HubProblem."""

    def source(self, listing: Listing, path: str) -> tuple[str, dict[str, str]]:
        """URL and request headers of a file."""

    def folder(self, item: Item) -> Path:
        """What the files are put below; for the disk's room, too."""

    def place(self, item: Item, listing: Listing, file: RemoteFile) -> Path:
        """Where the bytes of a file go."""

    def seen(self, item: Item, listing: Listing, file: RemoteFile) -> Path:
        """Its path as the model has it."""

    def finish(self, item: Item, listing: Listing, file: RemoteFile) -> None:
        """Make a file that is in its place seen. Raises HubProblem."""


class HuggingFace:
    """Hugging Face, into its shared cache, laid out by huggingface_hub itself."""

    name: HubName = "huggingface"

    def __init__(self) -> None:
        self.home = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")

    def listing(self, repo: str) -> Listing:
        from huggingface_hub import HfApi

        with problems(self, repo):
            info = HfApi(endpoint=self.home).model_info(repo, files_metadata=True)
        files = tuple(
            RemoteFile(each.rfilename, each.size or 0, each.lfs.sha256 if each.lfs else "", each.blob_id or "")
            for each in info.siblings or ()
        )
        return Listing(repo, str(info.sha), files)

    def source(self, listing: Listing, path: str) -> tuple[str, dict[str, str]]:
        from huggingface_hub import hf_hub_url
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

        url = hf_hub_url(listing.repo, path, revision=listing.revision, endpoint=self.home)
        return url, dict(build_hf_headers())

    def folder(self, item: Item) -> Path:
        return hub_cache() / f"models--{item.repo.replace('/', '--')}"

    def place(self, item: Item, listing: Listing, file: RemoteFile) -> Path:
        return self.folder(item) / "blobs" / (file.sha256 or file.git_sha1)

    def seen(self, item: Item, listing: Listing, file: RemoteFile) -> Path:
        return self.folder(item) / "snapshots" / listing.revision / file.path

    def finish(self, item: Item, listing: Listing, file: RemoteFile) -> None:
        from huggingface_hub import hf_hub_download

        seen, place = self.seen(item, listing, file), self.place(item, listing, file)
        if not seen.exists():
            with problems(self, listing.repo):
                hf_hub_download(
                    listing.repo, file.path, revision=listing.revision, cache_dir=hub_cache(), endpoint=self.home
                )
        if not seen.is_symlink():  # a disk without links has a copy now
            place.unlink(missing_ok=True)
        refs = self.folder(item) / "refs"
        refs.mkdir(exist_ok=True)
        (refs / "main").write_text(listing.revision)


class ModelScope:
    """ModelScope, by its plain HTTP interface, into a folder of the store's own."""

    name: HubName = "modelscope"

    def __init__(self) -> None:
        domain = os.environ.get("MODELSCOPE_DOMAIN") or "www.modelscope.cn"
        self.home = (domain if "://" in domain else f"https://{domain}").rstrip("/")

    def listing(self, repo: str) -> Listing:
        from huggingface_hub import get_session

        with problems(self, repo):
            told = get_session().get(
                f"{self.home}/api/v1/models/{repo}/repo/files", params={"Revision": "master", "Recursive": "true"}
            )
            told.raise_for_status()
            files = tuple(_modelscope_files(told.json()))
        if not files:
            problem = f"{self.home} has no files of {repo}: take '--hub huggingface'"
            raise HubProblem(problem)
        return Listing(repo, "master", files)

    def source(self, listing: Listing, path: str) -> tuple[str, dict[str, str]]:
        from urllib.parse import quote

        return f"{self.home}/models/{listing.repo}/resolve/{listing.revision}/{quote(path)}", {}

    def folder(self, item: Item) -> Path:
        return own_folder() / item.key

    def place(self, item: Item, listing: Listing, file: RemoteFile) -> Path:
        return self.folder(item) / file.path

    def seen(self, item: Item, listing: Listing, file: RemoteFile) -> Path:
        return self.place(item, listing, file)

    def finish(self, item: Item, listing: Listing, file: RemoteFile) -> None:
        """It is where it belongs."""


def _modelscope_files(told: Any) -> Iterator[RemoteFile]:  # noqa: ANN401 - JSON
    for each in told["Data"]["Files"]:
        path = str(each["Path"])
        if each.get("Type") == "blob" and ".." not in path.split("/") and not path.startswith("/"):
            yield RemoteFile(path, int(each["Size"]), str(each.get("Sha256") or ""))


def open_hub(name: HubName) -> Hub:
    """The hub of that name. Raises HubProblem when the package that talks to it is not installed."""
    if find_spec("huggingface_hub") is None:
        problem = "pulling needs huggingface_hub: install it with 'pip install huggingface_hub'"
        raise HubProblem(problem)
    return HuggingFace() if name == "huggingface" else ModelScope()


@contextmanager
def problems(hub: Hub, repo: str) -> Iterator[None]:
    """Turns what goes wrong with a hub into one sentence. Raises HubProblem."""
    from huggingface_hub.errors import (  # type: ignore[attr-defined] # HTTPError is httpx's or httpx2's, by the version
        EntryNotFoundError,
        GatedRepoError,
        HTTPError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    other = next(name for name in HUBS if name != hub.name)
    try:
        yield
    except ModelMissing:
        raise
    except GatedRepoError as error:
        problem = f"{repo} wants its conditions accepted: do so at {hub.home}/{repo}, run 'hf auth login', pull again"
        raise HubProblem(problem) from error
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        problem = f"{hub.home} has no {repo} that may be read: take '--hub {other}', or log in with 'hf auth login'"
        raise HubProblem(problem) from error
    except EntryNotFoundError as error:
        problem = f"{hub.home} has lost a file of {repo}: pull again, or take '--hub {other}'"
        raise HubProblem(problem) from error
    except (HTTPError, OSError) as error:
        raise HubProblem(_network(hub, repo, other, error)) from error
    except (ValueError, KeyError, TypeError) as error:
        problem = f"{hub.home} answers strangely about {repo} ({error}): is a login page or proxy in between?"
        raise HubProblem(problem) from error


def _network(hub: Hub, repo: str, other: str, error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == 404:
        return f"{hub.home} has no {repo}: take '--hub {other}'"
    if status is not None:
        return f"{hub.home} answers {status} for {repo}: pull again later (what has come is kept), or '--hub {other}'"
    if isinstance(error, OSError) and error.errno == 28:
        return f"the disk is full while fetching {repo}: free some room and pull again; what has come is kept"
    reason = (str(error).splitlines() or [""])[0] or type(error).__name__
    return f"{hub.home} cannot be reached ({reason}): see to the network and pull again; what has come is kept"


def here(hub: Hub, item: Item, listing: Listing, file: RemoteFile) -> bool:
    """Has the file come already, whoever fetched it?"""
    return hub.place(item, listing, file).exists() or hub.seen(item, listing, file).exists()


def room(folder: Path) -> int:
    """Free bytes of the disk that ``folder`` is on, or will be."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
