"""Item 48: with the most talkative log, no secret and no prompt is anywhere but where it belongs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.openai_api import CREDENTIAL, FakeOpenAI
from tests.gateway import EXPIRED_KEY, KEY, LIMITED_KEY, Answer, Gateway, config, hello

PROMPT = "canary-prompt-4f9a0b7e"
ANSWER_WORDS = "sluice"
UNKNOWN_KEY = "canary-unknown-key-6d1c8f22a9"
WALK = (
    "gpt-4o",
    "fault-cut-5",
    "fault-malformed-3",
    "fault-html",
    "fault-status-400",
    "fault-echo-401",
    "fault-echo-500",
    "fault-error-event-3",
    "fault-usage-missing",
    "fault-refuse",
    "no-such-model",
)


class Visit:
    """A gateway that has been through everything, and what it said meanwhile."""

    def __init__(self, gateway: Gateway, answers: list[Answer], minted: str) -> None:
        self.gateway = gateway
        self.answers = answers
        self.minted = minted


def prompted(**changes: object) -> dict[str, object]:
    return hello(**changes) | {"messages": [{"role": "user", "content": PROMPT}]}


@pytest.fixture(scope="module", params=["flag", "environment"])
def visit(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visit]:
    by_flag = request.param == "flag"
    arguments = ("--log-level", "debug") if by_flag else ()
    environment = {} if by_flag else {"HEADGATE_LOG_LEVEL": "debug"}
    with FakeOpenAI() as fake:
        gateway = Gateway(
            tmp_path_factory.mktemp("canary"), config(fake.url), arguments=arguments, environment=environment
        )
        with gateway:
            answers, minted = _walk(gateway)
            gateway.records(10)
            yield Visit(gateway, answers, minted)


def _walk(gateway: Gateway) -> tuple[list[Answer], str]:
    organization = gateway.admin("POST", "/organizations", {"slug": "canary", "name": "Canary"}).json
    created = gateway.admin("POST", "/keys", {"name": "c", "scope_id": organization["id"], "models": ["*"]}).json
    minted: str = created["secret"]
    asked = [(key, model, stream) for key in (KEY, minted) for model in WALK for stream in (False, True)]
    answers = [gateway.chat(prompted(model=model, stream=stream), key=key) for key, model, stream in asked]
    answers.append(gateway.chat(prompted(model="fault-echo-event", stream=True)))
    embed = {"model": "text-embedding-3-small", "input": PROMPT}
    answers.append(gateway.request("POST", "/v1/embeddings", embed))
    answers.append(gateway.request("GET", "/v1/models"))
    answers.append(gateway.chat(prompted(), key=UNKNOWN_KEY))
    answers.append(gateway.chat(prompted(), key=EXPIRED_KEY))
    answers.append(gateway.chat(prompted(model="fault-html"), key=LIMITED_KEY))
    answers.append(gateway.chat(prompted(api_key=UNKNOWN_KEY)))
    answers.append(gateway.chat(b'{"model":"gpt-4o","messages":"' + PROMPT.encode()))
    answers.append(gateway.exchange_answer(f"GET /{PROMPT} HTTP/9.9\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n\r\n"))
    seen_by_admins = ("/keys", "/requests", "/audit", "/usage", "/models", "/me", "/organizations")
    answers += [gateway.admin("GET", path) for path in seen_by_admins]
    answers.append(gateway.request("GET", "/metrics", key=gateway.admin_token))
    return answers, minted


def secrets(visit: Visit) -> dict[str, str]:
    return {
        "provider credential": CREDENTIAL,
        "provisioned key": KEY,
        "limited key": LIMITED_KEY,
        "expired key": EXPIRED_KEY,
        "unknown key": UNKNOWN_KEY,
        "minted key": visit.minted,
        "admin token": visit.gateway.admin_token,
        "prompt": PROMPT,
        "answer": ANSWER_WORDS,
    }


def test_item_48_the_walk_met_good_and_bad_ends(visit: Visit) -> None:
    statuses = {answer.status for answer in visit.answers}
    assert {200, 400, 401, 403, 404, 502} <= statuses


def test_item_48_no_secret_and_no_prompt_is_in_the_log(visit: Visit) -> None:
    log = visit.gateway.log()
    assert [name for name, text in secrets(visit).items() if text in log] == []


def test_item_48_no_secret_and_no_prompt_is_in_the_database(visit: Visit) -> None:
    files = [path for path in visit.gateway.data_dir.rglob("*") if path.is_file() and path.name != "admin-token"]
    assert any(path.suffix == ".db" for path in files)
    for path in files:
        content = path.read_bytes()
        assert [name for name, text in secrets(visit).items() if text.encode() in content] == [], path


def test_item_48_no_secret_is_in_any_answer(visit: Visit) -> None:
    known = secrets(visit)
    # The answer's own words belong in answers, and only there; a caller may be told the words of his own request.
    for name in ("answer", "prompt"):
        del known[name]
    for answer in visit.answers:
        text = answer.body + repr(answer.fields).encode()
        assert [name for name, secret in known.items() if secret.encode() in text] == [], answer.body[:500]


def test_item_48_no_prompt_is_in_what_administrators_see(visit: Visit) -> None:
    for path in ("/requests?limit=200", "/audit?limit=200", "/usage", "/keys"):
        body = visit.gateway.admin("GET", path).body.decode()
        assert PROMPT not in body
        assert ANSWER_WORDS not in body


def test_item_48_nothing_lies_beside_the_database(visit: Visit) -> None:
    directory: Path = visit.gateway.directory
    names = {path.name for path in directory.iterdir()}
    assert names <= {"headgate.yaml", "data", "log.txt"}
