"""The TLS client context: certificate and host name are verified always; there is no switch to turn that off."""

import ssl
from pathlib import Path


def client_context(ca: str | None = None, cert: str | None = None, key: str | None = None) -> ssl.SSLContext:
    """Build the context for connections to a provider. It takes milliseconds: build it once and share it.

    Args:
        ca: PEM file of certificate authorities trusted beside the system's own, such as a corporate one.
        cert: PEM file with a client certificate and its chain, for mutual TLS.
        key: PEM file with the certificate's private key, unencrypted; ``None`` where ``cert`` holds it too.

    Raises:
        ValueError: a file is missing, unreadable or not what it should be; the text names the path.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if ca is not None:
        _readable(ca, "CA file")
        try:
            context.load_verify_locations(cafile=ca)
        except (ssl.SSLError, OSError) as error:
            raise ValueError(f"CA file {ca} holds no PEM certificate that can be read: {error}") from error
    if cert is not None:
        _load_client_certificate(context, cert, key)
    elif key is not None:
        raise ValueError(f"client key {key} is set without a client certificate")
    return context


def _load_client_certificate(context: ssl.SSLContext, cert: str, key: str | None) -> None:
    _readable(cert, "client certificate")
    if key is not None:
        _readable(key, "client key")
    try:
        context.load_cert_chain(cert, key, password=_no_password)
    except (ssl.SSLError, OSError, ValueError) as error:
        where = f"{cert} with key {key}" if key is not None else cert
        raise ValueError(f"client certificate {where} cannot be used: {error}") from error


def _no_password() -> str:
    # Without this OpenSSL would stop the start-up to ask on the terminal.
    raise ValueError("the key is encrypted; store it unencrypted, readable by Headgate only")


def _readable(path: str, what: str) -> None:
    try:
        with Path(path).open("rb"):
            pass
    except OSError as error:
        raise ValueError(f"{what} {path} cannot be read: {error.strerror}") from error
