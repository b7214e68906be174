"""Lists of models in two shapes."""

import msgspec

from headgate.server.models import render_models

MODELS = [("gpt-4o", "openai"), ("claude", "anthropic")]


def plain(*, is_list: bool, is_anthropic: bool) -> object:
    models = MODELS if is_list else MODELS[:1]
    return msgspec.to_builtins(render_models(models, is_list=is_list, is_anthropic=is_anthropic))


def test_openais_shape() -> None:
    one = {"id": "gpt-4o", "owned_by": "openai", "object": "model", "created": 0}
    other = {"id": "claude", "owned_by": "anthropic", "object": "model", "created": 0}
    assert plain(is_list=False, is_anthropic=False) == one
    assert plain(is_list=True, is_anthropic=False) == {"data": [one, other], "object": "list"}


def test_anthropics_shape() -> None:
    epoch = "1970-01-01T00:00:00Z"
    one = {"id": "gpt-4o", "display_name": "gpt-4o", "created_at": epoch, "type": "model"}
    other = {"id": "claude", "display_name": "claude", "created_at": epoch, "type": "model"}
    assert plain(is_list=False, is_anthropic=True) == one
    page = {"data": [one, other], "first_id": "gpt-4o", "last_id": "claude", "has_more": False}
    assert plain(is_list=True, is_anthropic=True) == page


def test_nothing_is_an_empty_list() -> None:
    empty = render_models([], is_list=True, is_anthropic=True)
    assert msgspec.to_builtins(empty) == {"data": [], "first_id": None, "last_id": None, "has_more": False}
