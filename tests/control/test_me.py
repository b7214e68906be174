"""Who am I, and what may I do."""

import pytest

from headgate.control.me import get_me
from headgate.control.users import RoleBinding, delete_user
from headgate.domain.access import Permission, Role
from headgate.domain.errors import NotFoundError
from headgate.identity.policy import ROLE_PERMISSIONS


def test_a_person_sees_himself_with_exactly_the_rights_of_his_roles(world):
    acme = world.organization("acme")
    for role in Role:
        actor = world.person(acme.id, role)
        me = get_me(world.plane, actor)
        assert (me.kind, me.id, me.email) == ("user", actor.id, f"{role}@example.com")
        assert me.roles == (RoleBinding(scope_id=acme.id, role=role),)
        assert set(me.permissions) == ROLE_PERMISSIONS[role] | {Permission.PUBLIC, Permission.ME_READ}


def test_the_operator_may_do_all_but_infer(world, operator):
    me = get_me(world.plane, operator)
    assert (me.kind, me.organization_id, me.email) == ("operator", None, None)
    assert set(me.permissions) == set(Permission) - {Permission.INFER}


def test_somebody_who_was_deleted_meanwhile_is_not_found(world, operator):
    actor = world.person(world.organization("acme").id, Role.VIEWER)
    delete_user(world.plane, operator, actor.id)
    with pytest.raises(NotFoundError):
        get_me(world.plane, actor)
