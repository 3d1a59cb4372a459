"""The leaderboard as a static site: no request to anywhere, readable without JavaScript.

`boards` is what the templates show of boards and entries, `rendering` turns templates into HTML,
`pages` says which pages there are and writes them.
"""

from leaderboards.site.pages import Site, make_site, pages, write_site

__all__ = ["Site", "make_site", "pages", "write_site"]
