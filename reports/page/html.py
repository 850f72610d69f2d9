"""The template of the page, and what may stand in it."""

import base64
import hashlib
import re
from functools import cache
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

_PACKAGE = "lapbench.reports.page"
# What HTML or UTF-8 does not allow: controls, lone surrogates, noncharacters.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_NOT_SHOWN = re.compile(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", re.DOTALL)
_ENLARGED = 1.3
"""Letters for print are small on a screen."""


def fill_template(**values: Any) -> str:
    """Page with these values, escaped where they are not markup."""
    script = _source("page.js")
    return _template().render(
        **values,
        style=Markup(_source("style.css")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(_PACKAGE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["short"] = shorten
    return environment.get_template("page.html.jinja")


def _source(name: str) -> str:
    return resources.files(_PACKAGE).joinpath("templates", name).read_text(encoding="utf-8")


def _printable(value: Any) -> Any:
    """Text without what a page cannot hold; markup as it is."""
    return value if isinstance(value, Markup) else _UNPRINTABLE.sub("\ufffd", str(value))


def shorten(text: str, length: int) -> str:
    """Text of at most this length, its middle left out where it is longer."""
    half = (length - 3) // 2
    return text if len(text) <= length else f"{text[:half]} … {text[-half:]}"


def inline(svg: str, label: str, prefix: str) -> Markup:
    """Drawing as part of a page, whose black and white are ink and paper.

    Args:
        svg: as matplotlib writes it.
        label: what it shows, for those who do not see it.
        prefix: of the names in it, so that drawings do not take each other's parts.

    """
    text = _NOT_SHOWN.sub("", svg[svg.index("<svg") :])
    text = re.sub(r'(\sid="|url\(#|href="#)', rf"\g<1>{prefix}", text)
    text = re.sub(r"#f{6}\b", "var(--paper)", text)
    text = re.sub(r"#0{6}\b", "var(--ink)", text)
    text = re.sub(r'\swidth="([\d.]+)pt" height="[\d.]+pt"', _enlarged, text, count=1)
    return Markup(_printable(text)).replace(
        Markup("<svg "), Markup('<svg role="img" aria-label="%s" ') % _printable(label), 1
    )


def _enlarged(size: re.Match[str]) -> str:
    return f' style="width:{_ENLARGED * float(size[1]):.0f}pt"'
