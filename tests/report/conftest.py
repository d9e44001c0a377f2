"""The browser is known to all tests of pages."""

from browser import chromium, open_page

__all__ = ["chromium", "open_page"]
