"""Answer how many tokens a request has, where its provider has no endpoint that says so."""

from typing import Final

from headgate.pipeline.prepare import Prepared
from headgate.pipeline.reply import Reply
from headgate.pipeline.trace import Trace
from headgate.tokens.counting import count_texts_off_loop

_JSON: Final = (b"content-type", b"application/json")


async def count_here(prepared: Prepared, trace: Trace, reply: Reply) -> None:
    """Count with a tokenizer and answer: an estimate. Nothing is sent to a provider, so nothing is used."""
    call = trace.call
    render = call.wire_format.render_count
    assert render is not None
    texts = call.wire_format.input_text(prepared.envelope)
    tokens = await count_texts_off_loop(prepared.deployment.upstream_model, texts)
    request_id = call.request_id.encode()
    headers = [*[(name, request_id) for name in call.wire_format.id_headers], _JSON]
    waiting = reply.whole(200, headers, render(tokens))
    if waiting is not None:
        await waiting
