"""TLS for the front door: which certificate a client is shown, by the name that it asks for, and the rules of the handshake.
Certificates are read again on demand; connections that stand keep what they began with.
"""

import re
import socket
import ssl
import tempfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cumulet.gateway.local_authority import LocalAuthority, names_of

ALPN = ["h2", "http/1.1"]
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2; those of 1.3 are all good
_MOST_ISSUED = 256
_API_NAME = re.compile(r"[a-z0-9-]+\.((?:execute-api|lambda-url)\.(?:[a-z]{2}(?:-[a-z]+)+-\d\.)?localhost)\Z")
_LOCAL_NAME = re.compile(r"[a-z0-9-]{1,63}\.localhost\Z")
_PAIRS = (("fullchain.pem", "privkey.pem"), ("cert.pem", "key.pem"), ("tls.crt", "tls.key"))


class TlsRefused(OSError):
    """The certificates cannot be used; the message says which and why."""


@dataclass(slots=True)
class _Shown:
    """Contexts by what they are for: the one of clients that name nobody, and those by name (`*.parent` for wildcards)."""

    default: ssl.SSLContext
    by_name: dict[str, ssl.SSLContext] = field(default_factory=dict)


class Certificates:
    """What the node shows. `pair` is (certificate chain, key) for whatever no other certificate is for; `folder` holds further
    ones for names of their own; with `authority` the node makes what it lacks: for names under localhost and for those of which
    `is_ours` holds. Raises TlsRefused."""

    def __init__(
        self,
        pair: tuple[Path, Path] | None,
        *,
        folder: Path | None = None,
        authority: LocalAuthority | None = None,
        host: str = "",
        is_ours: Callable[[str], bool] = lambda name: False,
    ) -> None:
        self._pair, self._folder, self._authority, self._host, self._is_ours = pair, folder, authority, host, is_ours
        self._issued: OrderedDict[str, ssl.SSLContext] = OrderedDict()
        self._shown = self._read()
        self.context = _new_context()  # what listens; it shows nothing of its own
        self.context.sni_callback = self._show

    def reload(self) -> None:
        """Read everything again. Raises TlsRefused, and goes on with what was, when something is wrong with it."""
        self._shown = self._read()
        self._issued.clear()

    def find(self, name: str) -> ssl.SSLContext:
        """The certificate for a name: its own, a wildcard's, one made for it, or the default one."""
        shown = self._shown
        found = shown.by_name.get(name) or shown.by_name.get("*." + name.partition(".")[2])
        return found or self._made_for(name) or shown.default

    def _show(self, connection: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self.find(name.lower().rstrip(".")) if name else self._shown.default

    def _made_for(self, name: str) -> ssl.SSLContext | None:
        if self._authority is None:
            return None
        match = _API_NAME.match(name)
        wanted = "*." + match[1] if match else name
        if wanted in self._issued:
            self._issued.move_to_end(wanted)
            return self._issued[wanted]
        if not match and not _LOCAL_NAME.match(name) and not self._is_ours(name):
            return None
        made = _from_pem(self._authority.issue([wanted]))
        self._issued[wanted] = made
        if len(self._issued) > _MOST_ISSUED:
            self._issued.popitem(last=False)
        return made

    def _read(self) -> _Shown:
        if self._pair is not None:
            shown = _Shown(_from_files(*self._pair))
        else:
            assert self._authority is not None
            kept = self._authority.ca_path.parent / "node.pem"
            shown = _Shown(_from_files(*[self._authority.kept(kept, _own_names(self._host))] * 2))
        for chain, key in _pairs_in(self._folder):
            context = _from_files(chain, key)
            for name in names_of(chain.read_bytes()):
                shown.by_name.setdefault(name, context)
        return shown


def _own_names(host: str) -> list[str]:
    """What a client on this machine or its network may call the node."""
    names = ["localhost", "127.0.0.1", "::1", "*.localhost"]
    names += [f"*.{kind}.us-east-1.localhost" for kind in ("execute-api", "lambda-url")]
    for name in (host, socket.gethostname()):
        if name and name not in names and name not in ("0.0.0.0", "::") and re.fullmatch(r"[A-Za-z0-9.:-]+", name):
            names.append(name)
    return names


def _pairs_in(folder: Path | None) -> list[tuple[Path, Path]]:
    """(chain, key) of each certificate in a folder: `NAME.crt` or `NAME.pem` beside `NAME.key`, or a folder of its own with the
    names that certbot (`fullchain.pem`, `privkey.pem`) and others give."""
    if folder is None:
        return []
    if not folder.is_dir():
        raise TlsRefused(f"{folder} is no folder")
    found = []
    for entry in sorted(folder.iterdir()):
        if entry.is_dir():
            found += [(entry / chain, entry / key) for chain, key in _PAIRS if (entry / chain).exists() and (entry / key).exists()][
                :1
            ]
        elif entry.suffix in (".crt", ".pem") and entry.with_suffix(".key").exists():
            found.append((entry, entry.with_suffix(".key")))
    return found


def _new_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(ALPN)
    return context


def _from_files(chain: Path, key: Path) -> ssl.SSLContext:
    context = _new_context()
    try:
        context.load_cert_chain(chain, key, password=lambda: b"")  # never ask on the terminal
    except (OSError, ValueError) as error:
        raise TlsRefused(f"the certificate {chain} with the key {key} cannot be used: {error}") from error
    return context


def _from_pem(pem: bytes) -> ssl.SSLContext:
    """The standard library reads certificates from files alone."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(pem)
        file.flush()
        return _from_files(Path(file.name), Path(file.name))
