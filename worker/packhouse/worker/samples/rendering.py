"""Files of the sample code from the templates beside this module."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Final

from jinja2 import BaseLoader, Environment, StrictUndefined, Template

from packhouse.worker.package.tree import Made
from packhouse.worker.samples import describing, escaping

_TEMPLATE: Final = ".j2"


def rendered(folder: str, into: str, values: dict[str, Any]) -> Iterator[tuple[str, Made]]:
    """Path in the package and content of every file of ``templates/<folder>``, below the path ``into``.

    A file whose name ends in ``.j2`` is a Jinja2 template and loses that ending; any other is taken as it is. The
    names that a template may use are those of ``values``; one that is not among them is an error.
    ``templates/README.md`` says what templates have to keep to.
    """
    root = files("packhouse.worker.samples").joinpath("templates", *folder.split("/"))
    for path, file in _walk(root, into):
        text = file.read_text(encoding="utf-8")
        if path.endswith(_TEMPLATE):
            text = _compiled(text).render(values)
        yield path.removesuffix(_TEMPLATE), Made(text.encode())


@cache
def _compiled(text: str) -> Template:
    return _environment.from_string(text)


def _walk(folder: Traversable, into: str) -> Iterator[tuple[str, Traversable]]:
    for each in sorted(folder.iterdir(), key=lambda entry: entry.name):
        path = f"{into}/{each.name}"
        if each.is_dir():
            yield from _walk(each, path)
        else:
            yield path, each


def _made_environment() -> Environment:
    environment = Environment(  # noqa: S701 (what is made is source code, not HTML; the filters escape)
        loader=BaseLoader(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "py": escaping.python,
        "cpp": escaping.cpp,
        "cs": escaping.csharp,
        "md": escaping.markdown,
        "plain": escaping.plain,
        "short": escaping.short,
        "type": describing.type_text,
    }
    return environment


_environment: Final = _made_environment()
