import ssl
from pathlib import Path

import pytest
import trustme

from headgate.upstream.tls import client_context


def test_verification_is_on_and_old_versions_are_off() -> None:
    context = client_context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_corporate_authority_is_added_to_the_system_s_own(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(ca))
    assert (
        client_context(ca=str(ca)).cert_store_stats()["x509_ca"] == client_context().cert_store_stats()["x509_ca"] + 1
    )


def test_certificate_and_key_may_lie_in_two_files(tmp_path: Path) -> None:
    leaf = trustme.CA().issue_cert("gateway@example.com")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    leaf.cert_chain_pems[0].write_to_path(str(cert))
    leaf.private_key_pem.write_to_path(str(key))
    client_context(cert=str(cert), key=str(key))


@pytest.mark.parametrize("field", ["ca", "cert"])
def test_a_missing_file_is_named(tmp_path: Path, field: str) -> None:
    missing = str(tmp_path / "missing.pem")
    with pytest.raises(ValueError, match="No such file") as caught:
        client_context(**{field: missing})
    assert missing in str(caught.value)


@pytest.mark.parametrize("field", ["ca", "cert"])
def test_a_file_that_is_no_pem_is_named(tmp_path: Path, field: str) -> None:
    bad = tmp_path / "bad.pem"
    bad.write_text("not a certificate")
    with pytest.raises(ValueError) as caught:
        client_context(**{field: str(bad)})
    assert str(bad) in str(caught.value)


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        client_context(ca=str(tmp_path))


def test_a_key_that_belongs_to_another_certificate_is_refused(tmp_path: Path) -> None:
    authority = trustme.CA()
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    authority.issue_cert("a@example.com").cert_chain_pems[0].write_to_path(str(cert))
    authority.issue_cert("b@example.com").private_key_pem.write_to_path(str(key))
    with pytest.raises(ValueError, match="cannot be used") as caught:
        client_context(cert=str(cert), key=str(key))
    assert str(key) in str(caught.value)


def test_an_encrypted_key_is_refused_instead_of_asking_on_the_terminal(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    leaf = trustme.CA().issue_cert("a@example.com")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    leaf.cert_chain_pems[0].write_to_path(str(cert))
    private = serialization.load_pem_private_key(leaf.private_key_pem.bytes(), None)
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(ValueError, match="encrypted"):
        client_context(cert=str(cert), key=str(key))


def test_a_key_without_a_certificate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="without a client certificate"):
        client_context(key=str(tmp_path / "key.pem"))
