"""The HTTP documentation: the schema of a job request, the data of the page's form, and a page of all addresses."""

import re
from html import escape
from typing import Any

from vqclip_nb.fields import by_name
from vqclip_nb.queue.job_requests import ALLOWED, PICTURE, defaults
from vqclip_nb.queue.limits import Limits

_TYPES = {"whole number": "integer", "number": "number", "switch": "boolean", "pair": "array"}


def job_request_body(limits: Limits) -> dict[str, Any]:
    """The OpenAPI description of a job request within these limits."""
    default_values = defaults(limits)
    properties = {name: _schema(name, limits, default_values.get(name, by_name(name).default)) for name in ALLOWED}
    del properties["prompt"]["default"]  # a job request must have a prompt
    properties[PICTURE] = {"type": "string", "description": "the name of an uploaded picture, to begin with"}
    schema = body(**properties)
    schema["content"]["application/json"]["schema"]["required"] = ["prompt"]
    schema["content"]["application/json"]["example"] = {"prompt": "a castle at night", "steps": 100}
    return schema


def body(**properties: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI description of a body that has these properties."""
    schema = {"type": "object", "required": [*properties], "additionalProperties": False, "properties": properties}
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def form(limits: Limits) -> dict[str, Any]:
    """The data for the page's form: the limits, and the defaults of a job request."""
    names = ("jobs_a_person", "largest_side", "most_steps", "most_variations", "longest_text", "shared_gallery")
    return {
        "limits": {name: getattr(limits, name) for name in names},
        "canvases": limits.canvases,
        "perceptors": limits.perceptors,
        "defaults": defaults(limits),
    }


def page(openapi: dict[str, Any]) -> str:
    """An HTML page that describes all addresses. It loads nothing from other sites."""
    parts = [f"<p>{_to_html(openapi['info']['description'])}</p>", '<p><a href="/openapi.json">openapi.json</a></p>']
    for path, methods in openapi["paths"].items():
        for method, description in methods.items():
            parts.append(
                f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(description['summary'])}.</p>"
            )
            parts.append(f"<p>{_to_html(description['description'])}</p>" if "description" in description else "")
            content = description.get("requestBody", {}).get("content", {}).get("application/json", {})
            if fields := content.get("schema", {}).get("properties"):
                rows = (
                    f"<tr><td><code>{escape(name)}</code><td>{escape(field['description'])}"
                    for name, field in fields.items()
                )
                parts.append(f"<table>{''.join(rows)}</table>")
    title = escape(openapi["info"]["title"])
    head = f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>"
    head += "<link rel=icon href=data:,><link rel=stylesheet href=/docs.css>"
    return f"{head}<h1>{title}</h1>{''.join(parts)}"


def _schema(name: str, limits: Limits, default: Any) -> dict[str, Any]:
    field = by_name(name)
    most = {
        "size": limits.largest_side,
        "steps": limits.most_steps,
        "variations": limits.most_variations,
        "cutn": limits.most_cutouts,
    }.get(name)
    choices = {"canvas": limits.canvases, "perceptor": limits.perceptors}.get(name, field.choices)
    limits_text = f"one of {', '.join(choices)}" if choices else f"up to {most}" if most else field.allowed
    schema: dict[str, Any] = {
        "description": f"{field.help}; {limits_text}".removesuffix("; a text"),
        "default": default,
    }
    if field.choices:
        return {**schema, "enum": list(field.choices)}
    kind = _TYPES.get(field.kind, "string")
    schema["type"] = [kind, "string"] if field.scheduled else kind
    if kind == "array":
        schema |= {"items": {"type": "integer", "maximum": most}, "minItems": 2, "maxItems": 2}
    elif most and not field.scheduled:
        schema["maximum"] = most
    return schema


def _to_html(text: str) -> str:
    """A text as HTML, with the parts between backticks as code."""
    return re.sub(r"`(.+?)`", r"<code>\1</code>", escape(text))
