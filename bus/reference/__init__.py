"""Reference pages of contracts: what a descriptor set says, as HTML files that need nothing from anywhere else.

`model` reads the set, `rules` puts limits into words, `text` comments into paragraphs, `pages` writes the files.
"""

from bus.reference.pages import write_pages

__all__ = ["write_pages"]
