"""What `make docs` adds to the documents in docs/: those at the root of the repository, and links that hold.

Markdown here links as files lie, so that it reads well where it lies. On the site, the documents of the root
stand in `project/`, and a link to what is no document of the site is its text alone.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_ROOT = Path(__file__).parent.parent
_ON_SITE = {
    "README.md": "project/README.md",
    "README.ko.md": "project/README.ko.md",
    "ARCHITECTURE.md": "project/ARCHITECTURE.md",
    "CHANGELOG.md": "project/CHANGELOG.md",
    "CONTRIBUTING.md": "project/CONTRIBUTING.md",
    "models/README.md": "project/models.md",
}
"""Where a document of the repository stands on the site; those in docs/ stand at its root."""
_IN_REPOSITORY = {place: name for name, place in _ON_SITE.items()}
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!\w+://)([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the documents of the root."""
    for name, place in _ON_SITE.items():
        files.append(File.generated(config, place, abs_src_path=str(_ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    return linked(markdown, page.file.src_uri)


def linked(markdown: str, place: str) -> str:
    """The document that stands at `place` of the site, with its links as they lead there."""
    here = _IN_REPOSITORY.get(place, f"docs/{place}")

    def of_site(link: re.Match[str]) -> str:
        text, target, anchor = link[1], link[2], link[3] or ""
        there = _place(posixpath.normpath(posixpath.join(posixpath.dirname(here), target)))
        if there is None:
            return text
        return f"[{text}]({posixpath.relpath(there, posixpath.dirname(place) or '.')}{anchor})"

    return _LINK.sub(of_site, markdown)


def _place(name: str) -> str | None:
    """Where a file of the repository stands on the site; None where it does not."""
    if name.startswith("docs/"):
        return name.removeprefix("docs/")
    return _ON_SITE.get(name)
