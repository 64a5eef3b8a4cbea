"""Certificates of the node's own making, for a machine where nobody else gives one: a small authority, kept in a folder, and what
it signs. Who trusts its `ca.pem` can call the node by any name that leads to it.
"""

import datetime
import ipaddress
import os
import secrets
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAY = datetime.timedelta(days=1)
_AUTHORITY_DAYS = 3650
_CERTIFICATE_DAYS = 397  # the longest that browsers take
_RENEWED_DAYS = 30
_NAME_LENGTH = 64


class LocalAuthority:
    """Signs certificates with the authority of a folder, which is made where there is none yet. All methods are quick (about a
    millisecond) and blocking."""

    def __init__(self, folder: Path) -> None:
        self.ca_path = folder / "ca.pem"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        key_path = folder / "ca.key"
        if not self.ca_path.exists() or not key_path.exists():
            _make(self.ca_path, key_path)
        self._certificate = x509.load_pem_x509_certificate(self.ca_path.read_bytes())
        key = serialization.load_pem_private_key(key_path.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key

    def kept(self, path: Path, names: Sequence[str]) -> Path:
        """A certificate and its key in one file, made anew when it is for other names or ends within a month."""
        if not path.exists() or not _serves(path.read_bytes(), names, self._certificate):
            _write(path, self.issue(names))
        return path

    def issue(self, names: Sequence[str]) -> bytes:
        """A new certificate for DNS names and addresses, and its key, as PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        authority_key = self._certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        usages = [ExtendedKeyUsageOID.SERVER_AUTH]
        signed = (
            _builder(names[0][:_NAME_LENGTH], self._certificate.subject, key.public_key(), _CERTIFICATE_DAYS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(is_authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(authority_key), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return signed.public_bytes(serialization.Encoding.PEM) + _key_pem(key)


def names_of(certificate_pem: bytes) -> list[str]:
    """The DNS names that a certificate is for, in lower case. Raises ValueError when it is none."""
    certificate = x509.load_pem_x509_certificate(certificate_pem)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [name.lower() for name in names.get_values_for_type(x509.DNSName)]


def _make(ca_path: Path, key_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    title = f"Cumulet local authority {secrets.token_hex(4)}"
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title)])
    signed = (
        _builder(title, subject, key.public_key(), _AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(is_authority=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    _write(key_path, _key_pem(key))  # first: a certificate without its key would be of no use
    _write(ca_path, signed.public_bytes(serialization.Encoding.PEM))


def _builder(title: str, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, days: int) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title)]))
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)  # clocks of containers and virtual machines differ
        .not_valid_after(now + days * _DAY)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _serves(pem: bytes, names: Sequence[str], authority: x509.Certificate) -> bool:
    """Whether a kept certificate is still what would be made today."""
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return False
    ends = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    return certificate.issuer == authority.subject and ends > _RENEWED_DAYS * _DAY and list(held) == list(map(_general_name, names))


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all, readable by the node's user alone."""
    handle, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    Path(name).replace(path)
