"""The frame of a report: one HTML file that needs nothing but itself, in light and in dark.

Its content security policy forbids the browser to load anything, so a report can be opened anywhere and
passed on without telling anybody.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from string import Template

from rtrec.files import publish_new_text

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'; \
style-src 'unsafe-inline'; img-src data: blob:; font-src data:">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>
:root { --ink: #17212b; --quiet: #5a6672; --paper: #ffffff; --ground: #f4f6f8; --line: #e1e6eb; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8edf2; --quiet: #a0acb8; --paper: #171e26; --ground: #0f141a; --line: #2a343f; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 76rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.6rem; margin: 0; }
h2 { font-size: 1.1rem; margin: 0 0 0.6rem; }
header p { margin: 0.2rem 0; color: var(--quiet); }
header p.headline { font-size: 1.15rem; color: var(--ink); margin: 0.8rem 0; }
nav { margin: 0.8rem 0 0; }
nav a { color: inherit; margin-right: 1.2em; }
section { background: var(--paper); border: 1px solid var(--line); border-radius: 10px; padding: 1rem 1.2rem;
  margin-top: 1rem; }
section p { margin: 0.4rem 0; color: var(--quiet); max-width: 70em; }
th { color: var(--quiet); font-weight: 500; }
td, th { vertical-align: top; font-variant-numeric: tabular-nums; }
tbody tr { border-top: 1px solid var(--line); }
code { font-size: 0.92em; overflow-wrap: anywhere; white-space: pre-wrap; }
@media print { body { background: none; } section { break-inside: avoid; } nav { display: none; } }
</style>
$scripts
</head>
<body>
<main>
<header>
<h1>$title</h1>
<p>$subtitle</p>
<p class="headline">$headline</p>
<nav aria-label="Sections">$links</nav>
</header>
$sections
</main>
$after
</body>
</html>
""")


def publish_report(folder: Path, job: str, time: datetime, html: str) -> Path:
    """Write a page as ``<job>-<UTC time>.html``, beside any other of that second; return where it is."""
    return publish_new_text(folder / f"{job}-{time:%Y%m%dT%H%M%SZ}.html", html)


def page(
    *,
    title: str,
    subtitle: str,
    headline: str,
    sections: Sequence[tuple[str, str, str]],
    scripts: str = "",
    after: str = "",
) -> str:
    """Return a whole page.

    Parameters
    ----------
    title, subtitle, headline
        Plain text, escaped here.
    sections
        For each its anchor, its plain title, and its content as HTML.
    scripts, after
        HTML for the head (libraries, inline) and for the end of the body.
    """
    bodies = (
        f'<section id="{anchor}" aria-labelledby="{anchor}-title">'
        f'<h2 id="{anchor}-title">{escape(name)}</h2>{body}</section>'
        for anchor, name, body in sections
    )
    return _PAGE.substitute(
        title=escape(title),
        subtitle=escape(subtitle),
        headline=escape(headline),
        links="".join(f'<a href="#{anchor}">{escape(name)}</a>' for anchor, name, _ in sections),
        sections="\n".join(bodies),
        scripts=scripts,
        after=after,
    )


def inline_scripts() -> str:
    """Return Bokeh's own code; ``Resources.render`` adds files of extensions that others have imported."""
    from bokeh.resources import Resources

    resources = Resources(mode="inline", components=["bokeh"])
    return "".join(f'<script type="text/javascript">\n{text}\n</script>\n' for text in resources.js_raw)
