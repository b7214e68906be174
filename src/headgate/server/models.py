"""``GET /v1/models`` and ``/v1/models/{id}``: the same models in the shape that the caller's SDK expects."""

from collections.abc import Sequence

from msgspec import Struct


class OpenAIModel(Struct, frozen=True):
    """One model in OpenAI's shape (platform.openai.com/docs/api-reference/models/object)."""

    id: str
    owned_by: str
    object: str = "model"
    created: int = 0


class OpenAIModels(Struct, frozen=True):
    """OpenAI's list of models."""

    data: list[OpenAIModel]
    object: str = "list"


class AnthropicModel(Struct, frozen=True):
    """One model in Anthropic's shape (platform.claude.com/docs/en/api/models-list).

    When a model was released is not known here: ``created_at`` is the epoch, as that page says of unknown dates.
    """

    id: str
    display_name: str
    created_at: str = "1970-01-01T00:00:00Z"
    type: str = "model"


class AnthropicModels(Struct, frozen=True):
    """Anthropic's page of models; everything is on the first one."""

    data: list[AnthropicModel]
    first_id: str | None
    last_id: str | None
    has_more: bool = False


def render_models(
    models: Sequence[tuple[str, str]], *, is_list: bool, is_anthropic: bool
) -> OpenAIModel | OpenAIModels | AnthropicModel | AnthropicModels:
    """Return the answer for ``models``, which are names with their providers; a single one unless ``is_list``."""
    if is_anthropic:
        theirs = [AnthropicModel(name, name) for name, _ in models]
        if not is_list:
            return theirs[0]
        return AnthropicModels(theirs, theirs[0].id if theirs else None, theirs[-1].id if theirs else None)
    ours = [OpenAIModel(name, provider) for name, provider in models]
    return OpenAIModels(ours) if is_list else ours[0]
