"""What the API keeps of its surroundings."""

from headgate.identity.secrets import hash_secret
from tests.admin.calling import OPERATOR, Api


async def test_the_admin_token_itself_is_kept_nowhere(api: Api):
    site = api.app._site
    assert site.admin_token_digest == hash_secret(OPERATOR)
    assert OPERATOR not in repr(site)
    assert OPERATOR.encode() not in site.documents.openapi + site.documents.page
