"""The two tables of authorisation."""

import re
from itertools import pairwise

import pytest

from headgate.domain.access import Permission, Role
from headgate.identity.policy import ROLE_PERMISSIONS, ROLE_RANK, ROUTES, Plane

P = Permission
EVERYONE = {
    P.ME_READ,
    P.SCOPES_READ,
    P.KEYS_READ,
    P.BUDGETS_READ,
    P.MODELS_READ,
    P.USAGE_READ,
    P.REQUESTS_READ,
    P.TOKENS_READ,
    P.TOKENS_WRITE,
}
ADMINISTERS = {
    P.SCOPES_WRITE,
    P.USERS_READ,
    P.USERS_WRITE,
    P.KEYS_WRITE,
    P.BUDGETS_WRITE,
    P.CACHE_WRITE,
    P.AUDIT_READ,
    P.APPLY,
}

# What is the whole installation's, and no tenant's.
OPERATED = {
    ("POST", "/admin/v1/ledger/verify"),
    ("GET", "/admin/v1/configuration"),
    ("POST", "/admin/v1/configuration/reload"),
}

# Written out once more on purpose: a change of the table must be a change here too.
MATRIX = {
    Role.OWNER: EVERYONE | ADMINISTERS | {P.ORGANIZATIONS_WRITE},
    Role.ADMIN: EVERYONE | ADMINISTERS,
    Role.PUBLISHER: EVERYONE | {P.USERS_READ},
    Role.EDITOR: EVERYONE | {P.USERS_READ},
    Role.ANALYST: EVERYONE,
    Role.VIEWER: EVERYONE,
}


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("permission", Permission)
def test_each_role_holds_exactly_what_the_matrix_says(role, permission):
    assert (permission in ROLE_PERMISSIONS[role]) == (permission in MATRIX[role])


def test_no_role_infers_or_operates():
    for held in ROLE_PERMISSIONS.values():
        assert not held & {P.INFER, P.OPERATE, P.PUBLIC}


def test_a_higher_role_holds_all_that_a_lower_one_holds():
    ordered = sorted(Role, key=ROLE_RANK.__getitem__)
    assert ordered[-1] is Role.OWNER
    assert len(set(ROLE_RANK.values())) == len(Role)
    for lower, higher in pairwise(ordered):
        assert ROLE_PERMISSIONS[lower] <= ROLE_PERMISSIONS[higher]


def test_every_route_has_one_row():
    named = [(row.method, re.sub(r"{\w+}", "{}", row.path)) for row in ROUTES]
    assert len(named) == len(set(named))


def test_planes_and_permissions_belong_together():
    for row in ROUTES:
        match row.plane:
            case Plane.DATA:
                assert row.permission is P.INFER
            case Plane.OPERATIONS:
                assert row.permission in {P.PUBLIC, P.OPERATE}
            case Plane.ADMIN:
                assert row.path.startswith("/admin/v1/")
                assert row.permission not in {P.PUBLIC, P.INFER}
                assert (row.permission is P.OPERATE) == ((row.method, row.path) in OPERATED)


def test_a_route_that_changes_something_demands_a_right_to_write():
    for row in ROUTES:
        if row.plane is Plane.ADMIN and row.method != "GET" and (row.method, row.path) not in OPERATED:
            assert row.permission.endswith(":write") or row.permission is P.APPLY
