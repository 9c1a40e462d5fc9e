"""The files that pages load: styles and scripts. Their paths contain a hash, so browsers may keep them for ever."""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from importlib.resources import files
from importlib.resources.abc import Traversable

from litestar import Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_FOLDER = files("producers.gateway.console") / "static"


def _read_files(folder: Traversable, prefix: str = "") -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            found |= _read_files(entry, f"{entry.name}-")
        elif any(entry.name.endswith(ending) for ending in _TYPES):
            found[prefix + entry.name] = entry.read_bytes()
    return found


FILES = _read_files(_FOLDER)
"""By name; those of a folder begin with its name."""

VERSION = hashlib.sha256(b"".join(FILES.values())).hexdigest()[:12]
"""Of all files. Pages of another version load the page again."""


def asset_path(name: str) -> str:
    """Return the path of a file.

    Raises:
        KeyError: there is no such file.
    """
    FILES[name]
    return f"/static/{VERSION}/{name}"


@get("/static/{version:str}/{name:str}", include_in_schema=False)
async def asset(version: FromPath[str], name: FromPath[str]) -> Response[bytes]:
    """Serve a file. Its version only keeps browsers from using an old copy."""
    content = FILES.get(name)
    if content is None:
        raise NotFoundException(f"no file {name}")
    lasting = "public, max-age=31536000, immutable" if version == VERSION else "no-cache"
    headers = {"Cache-Control": lasting, "X-Content-Type-Options": "nosniff"}
    ending = name[name.rindex(".") :]
    return Response(content, media_type=_TYPES[ending], status_code=HTTPStatus.OK, headers=headers)


ROUTES = [asset]
