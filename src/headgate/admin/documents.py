"""The API's own description: the OpenAPI document, and a page of it for people without scripts or foreign hosts."""

import base64
import hashlib
from html import escape
from typing import Any, Final

from headgate.admin.endpoint import ROOT, Call, Endpoint
from headgate.domain.access import Permission

STYLE: Final = """\
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:1rem 1.25rem 4rem}
code,pre{font:.875em/1.5 ui-monospace,monospace}
h2{margin-top:2.5rem;border-bottom:1px solid #8886}
h3{margin:1.75rem 0 .25rem}
h3 code{font-size:1rem}
table{border-collapse:collapse;width:100%;font-size:.9rem;margin:.5rem 0 1rem}
th,td{text-align:left;vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid #8884;overflow-wrap:anywhere}
th{font-weight:600;width:12rem}
nav ul{columns:3 12rem;padding-left:1.2rem}
.muted{opacity:.75}
"""
"""The page's only style, allowed by its hash in the content security policy."""

_NO_CONTENT: Final[dict[str, Any]] = {"schema": {"type": "nothing"}}

PAGE_POLICY: Final = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    + "'"
)


def page(document: dict[str, Any]) -> bytes:
    """Render an OpenAPI document as one HTML page."""
    operations: dict[str, list[tuple[str, str, dict[str, Any]]]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            operations.setdefault(operation["tags"][0], []).append((method.upper(), path, operation))
    tags: list[dict[str, str]] = document["tags"]
    schemas: dict[str, dict[str, Any]] = document["components"]["schemas"]
    links = "".join(f'<li><a href="#{_tag_anchor(tag)}">{escape(tag["name"])}</a></li>' for tag in tags)
    title = f"{document['info']['title']} {document['info']['version']}"
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<style>{STYLE}</style></head><body><h1>{escape(title)}</h1>",
        *(f"<p>{_prose(text)}</p>" for text in document["info"]["description"].strip().split("\n\n")),
        f'<nav><ul>{links}<li><a href="#schemas">schemas</a></li></ul></nav>',
    ]
    for tag in tags:
        parts.append(f'<h2 id="{_tag_anchor(tag)}">{escape(tag["name"])}</h2><p>{_prose(tag["description"])}</p>')
        parts += (_operation(*entry) for entry in operations[tag["name"]])
    parts.append('<h2 id="schemas">schemas</h2>')
    parts += (_schema(name, schema) for name, schema in schemas.items())
    parts.append("</body></html>\n")
    return "".join(parts).encode()


def _tag_anchor(tag: dict[str, str]) -> str:
    return _anchor(f"tag {tag['name']}")


def _anchor(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name)


def _prose(text: str) -> str:
    # Backticks pair up in our own texts; what they enclose is code.
    pieces = escape(text).split("`")
    return "".join(f"<code>{piece}</code>" if index % 2 else piece for index, piece in enumerate(pieces))


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    rows = [
        _row(parameter["name"], f"{parameter['in']}{', required' if parameter['required'] else ''}", parameter)
        for parameter in operation["parameters"]
    ]
    if "requestBody" in operation:
        schema = next(iter(operation["requestBody"]["content"].values()))["schema"]
        rows.append(f"<tr><th>body</th><td>{_type(schema)}</td></tr>")
    for status, response in operation["responses"].items():
        if "$ref" in response:
            codes = response["$ref"].rpartition("/")[2].split(".")
            shown = ", ".join(f"<code>{escape(code)}</code>" for code in codes)
        else:
            content: dict[str, Any] = next(iter(response.get("content", {}).values()), _NO_CONTENT)
            shown = _type(content["schema"])
        rows.append(f"<tr><th>{status}</th><td>{shown}</td></tr>")
    return (
        f'<h3 id="{_anchor(operation["operationId"])}"><code>{method} {escape(path)}</code></h3>'
        f"<p>{_prose(operation['summary'])} <span class=muted>{_prose(operation['description'])}</span></p>"
        f"<table>{''.join(rows)}</table>"
    )


def _row(name: str, where: str, described: dict[str, Any]) -> str:
    words = f" {_prose(described['description'])}" if "description" in described else ""
    return f"<tr><th><code>{escape(name)}</code></th><td>{_type(described['schema'])} ({where}){words}</td></tr>"


def _schema(name: str, schema: dict[str, Any]) -> str:
    required: list[str] = schema.get("required", [])
    rows = "".join(
        f"<tr><th><code>{escape(field)}</code>{'' if field in required else ' (optional)'}</th>"
        f"<td>{_type(shape)}</td></tr>"
        for field, shape in schema.get("properties", {}).items()
    )
    if "enum" in schema:
        rows = f"<tr><th>one of</th><td>{_type(schema)}</td></tr>"
    words = _prose(schema.get("description", "").replace("``", "`"))
    return f'<h3 id="{_anchor(name)}"><code>{escape(name)}</code></h3><p>{words}</p><table>{rows}</table>'


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#{_anchor(name)}">{escape(name)}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(option) for option in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"<code>{escape(str(value))}</code>" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"map to {_type(schema['additionalProperties'])}"
    return escape(str(schema.get("type", "any")))


def _openapi(call: Call[None, None]) -> bytes:
    return call.site.documents.openapi


def _docs(call: Call[None, None]) -> bytes:
    return call.site.documents.page


ENDPOINTS: Final = (
    Endpoint(
        name="read_openapi",
        method="GET",
        path=f"{ROOT}/openapi.json",
        permission=Permission.ME_READ,
        handler=_openapi,
        summary="This API as an OpenAPI 3.1 document.",
    ),
    Endpoint(
        name="read_docs",
        method="GET",
        path=f"{ROOT}/docs",
        permission=Permission.ME_READ,
        handler=_docs,
        summary="This API as a page to read.",
        media_type="text/html",
        browser=True,
    ),
)
