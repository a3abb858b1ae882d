"""How Sphinx builds site/, see `make docs`.

Why Sphinx: Material for MkDocs, which built this site before, reaches its end of life in 2027. Sphinx is what Python
documents itself with; MyST-Parser and Furo, its Markdown and its theme, are kept beside it.

The source folder is the repository, so that a relative link means the same on the site and in a clone. Pages are
README.md, docs/, and the Markdown files of results/ and benchmarks/.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = html_title = "unlearn-bench"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "pages"]  # the last one is pages.py
root_doc = "docs/index"
include_patterns = ["README.md", "docs/**.md", "results/*.md", "benchmarks/README.md"]
exclude_patterns = [".*", "site", "data", "tests", "unlearn_bench", "results/models", "results/outputs"]

smartquotes = False  # D'_r is no quotation
html_theme = "furo"
templates_path = ["_templates"]
html_additional_pages = {"index": "redirect.html"}  # site/index.html leads to site/docs/index.html
html_copy_source = False
html_show_copyright = False

myst_heading_anchors = 3
autodoc_typehints = "description"
autodoc_member_order = "bysource"
suppress_warnings = ["myst.header"]  # files of results/ begin with a heading of the third level
# other packages' types would be looked up on their servers; ours are checked
nitpick_ignore_regex = [
    (r"py:.*", r"(?!unlearn_bench\b).*"),
    (
        r"py:.*",
        r"unlearn_bench\.(data\.passed_images|training\.pass_counter|training\.resume|config|store|report\.ties)\b.*",
    ),  # of no use to who calls
]
