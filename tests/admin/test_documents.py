"""The page of the API: complete, without scripts or foreign hosts, and readable in a browser that has a token."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

from headgate.admin import openapi
from headgate.admin.documents import STYLE, page
from headgate.admin.table import ENDPOINTS
from tests.admin.calling import OPERATOR, Api


class Parsed(HTMLParser):
    """Collects what a browser would act on."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            assert not name.startswith("on")
            assert name not in {"style", "src"}
            if name == "id":
                self.ids.append(value or "")
            if name == "href":
                self.links.append(value or "")


def document() -> dict[str, Any]:
    return json.loads(openapi.render(ENDPOINTS))


def test_every_operation_and_schema_has_its_place_and_every_link_leads_to_one():
    parsed = Parsed(page(document()).decode())
    assert len(parsed.ids) == len(set(parsed.ids))
    for endpoint in ENDPOINTS:
        assert endpoint.name.replace("_", "-") in parsed.ids
    assert {link.removeprefix("#") for link in parsed.links} <= set(parsed.ids)
    assert all(link.startswith("#") for link in parsed.links)


def test_the_page_asks_nobody_for_anything():
    text = page(document()).decode()
    assert Parsed(text).tags.isdisjoint({"script", "img", "link", "iframe", "object", "form", "base"})
    assert not re.search(r"https?://", text)
    assert "url(" not in STYLE


def test_item_36_what_a_description_says_is_text():
    hostile = document()
    hostile["info"]["description"] = "<script>alert(1)</script>"
    operation = hostile["paths"]["/admin/v1/keys"]["post"]
    operation["summary"] = "`<img src=x onerror=1>`"
    text = page(hostile).decode()
    assert Parsed(text).tags.isdisjoint({"script", "img"})
    assert "&lt;script&gt;" in text


async def test_the_policy_allows_this_style_and_nothing_else(api: Api):
    answer = await api("GET", "/docs")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    style = re.search(r"<style>(.*?)</style>", answer.body.decode(), re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


async def test_a_browser_is_asked_for_a_password_and_the_token_is_one(api: Api):
    asked = await api.as_(None)("GET", "/docs")
    assert asked.status == 401
    assert asked.headers["www-authenticate"].startswith("Basic ")
    basic = base64.b64encode(f"anybody:{OPERATOR}".encode()).decode()
    assert (await api.as_(None)("GET", "/docs", headers={"authorization": f"Basic {basic}"})).status == 200
    wrong = base64.b64encode(b"anybody:wrong").decode()
    for broken in (wrong, "%%%", base64.b64encode(b"no-colon").decode(), ""):
        assert (await api.as_(None)("GET", "/docs", headers={"authorization": f"Basic {broken}"})).status == 401


async def test_a_password_that_a_browser_remembers_opens_the_page_alone(api: Api):
    basic = base64.b64encode(f"anybody:{OPERATOR}".encode()).decode()
    for method, path in (("GET", "/keys"), ("POST", "/organizations"), ("GET", "/openapi.json")):
        answer = await api.as_(None)(method, path, headers={"authorization": f"Basic {basic}"})
        assert answer.status == 401
