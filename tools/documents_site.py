"""MkDocs hooks of `make docs`: add the documents outside of docs/, and adapt links and long names.

In the repository, links follow the file tree. On the site, documents of the root are in `project/`, and a
link to a file that is not on the site becomes plain text.
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
"""Path in the repository → path on the site. Documents in docs/ are at the root of the site."""
_IN_REPOSITORY = {place: name for name, place in _ON_SITE.items()}
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!\w+://)([^)#\s]+)(#[^)\s]*)?\)")

_LONG_NAME = re.compile(r"(?<=<code>)\w{25,}(?=</code>)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the documents outside of docs/."""
    for name, place in _ON_SITE.items():
        files.append(File.generated(config, place, abs_src_path=str(_ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    return linked(markdown, page.file.src_uri)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    return breakable(html)


def breakable(html: str) -> str:
    """Lets long names break after an underscore, not in the middle of a word."""
    return _LONG_NAME.sub(lambda name: name[0].replace("_", "_<wbr>"), html)


def linked(markdown: str, place: str) -> str:
    """Returns the document at `place` of the site with its links adapted to the site."""
    here = _IN_REPOSITORY.get(place, f"docs/{place}")

    def of_site(link: re.Match[str]) -> str:
        text, target, anchor = link[1], link[2], link[3] or ""
        there = _place(posixpath.normpath(posixpath.join(posixpath.dirname(here), target)))
        if there is None:
            return text
        return f"[{text}]({posixpath.relpath(there, posixpath.dirname(place) or '.')}{anchor})"

    return _LINK.sub(of_site, markdown)


def _place(name: str) -> str | None:
    """Returns the path of a repository file on the site, or None."""
    if name.startswith("docs/"):
        return name.removeprefix("docs/")
    return _ON_SITE.get(name)
