"""Secrets: how they are made, recognised and kept."""

import hashlib
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.identity.secrets import (
    ADMIN_TOKEN_PREFIX,
    KEY_PREFIX,
    TOKEN_PREFIX,
    hash_secret,
    hint_of,
    is_provisionable,
    looks_minted,
    mint_secret,
)

entropies = st.binary(min_size=32, max_size=32)
prefixes = st.sampled_from([KEY_PREFIX, TOKEN_PREFIX, ADMIN_TOKEN_PREFIX])


@given(prefixes, entropies)
def test_a_minted_secret_is_recognised_by_its_own_prefix_alone(prefix, entropy):
    secret = mint_secret(prefix, entropy)
    assert len(secret) == len(prefix) + 49
    assert is_provisionable(secret)
    assert looks_minted(secret, prefix)
    for other in {KEY_PREFIX, TOKEN_PREFIX, ADMIN_TOKEN_PREFIX} - {prefix}:
        assert not looks_minted(secret, other)


@given(entropies, entropies)
def test_two_entropies_make_two_secrets(first, second):
    assert (mint_secret("hg_", first) == mint_secret("hg_", second)) == (first == second)


@given(entropies, st.integers(0, 51), st.sampled_from("0Az"))
def test_one_wrong_character_breaks_the_checksum(entropy, place, character):
    secret = mint_secret("hg_", entropy)
    changed = secret[:place] + character + secret[place + 1 :]
    assert looks_minted(changed, "hg_") == (changed == secret)


def test_a_known_entropy_makes_a_known_secret():
    # Pinned: scanners that learned the format must go on recognising it.
    assert mint_secret("hg_", bytes(32)) == "hg_" + "0" * 43 + "1O44ij"


@given(entropies)
def test_a_secret_carries_all_of_its_entropy(entropy):
    alphabet = string.digits + string.ascii_uppercase + string.ascii_lowercase
    number = 0
    for character in mint_secret("hg_", entropy)[3:46]:
        number = number * 62 + alphabet.index(character)
    assert number.to_bytes(32) == entropy


@pytest.mark.parametrize("entropy", [b"", b"x" * 31, b"x" * 33])
def test_the_wrong_amount_of_entropy_is_refused(entropy):
    with pytest.raises(ValueError):
        mint_secret("hg_", entropy)


@given(st.binary(max_size=2000))
def test_any_bytes_have_their_sha_256(presented):
    assert hash_secret(presented) == hashlib.sha256(presented).digest()


def test_a_text_and_its_bytes_have_one_digest_even_when_they_are_no_text():
    assert hash_secret("hg_abc") == hash_secret(b"hg_abc")
    assert hash_secret(b"\xff\xfe".decode("utf-8", "surrogateescape")) == hash_secret(b"\xff\xfe")


@pytest.mark.parametrize(
    ("secret", "fits"),
    [
        ("a" * 31, False),
        ("a" * 32, True),
        ("A-z_9" * 10, True),
        ("a" * 256, True),
        ("a" * 257, False),
        ("a" * 40 + "\n", False),
        ("a" * 40 + " ", False),
        ("ä" * 40, False),
        ("٣" * 40, False),
        ("a" * 40 + "\x00", False),
    ],
)
def test_a_provisioned_secret_is_32_to_256_of_the_url_safe_alphabet(secret, fits):
    assert is_provisionable(secret) == fits


def test_a_hint_is_the_last_four_characters():
    assert hint_of("hg_0123456789") == "6789"
