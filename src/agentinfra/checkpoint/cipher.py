"""State that can be read with a key only: what is sealed, what stays plain, and by which key."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from agentinfra._mechanics.vendors import load
from agentinfra.errors import CheckpointError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["NEEDED", "NO_KEY", "Cipher", "KeyRing", "Sealed", "keys_of", "opened"]

_ENTRY = "agentinfra_sealed"

NEEDED = frozenset(
    {
        "source",
        "step",
        "parents",
        "run_id",
        "counters_since_delta_snapshot",
        "delta_writes_versioned",
    }
)
"""What statements ask of metadata, which therefore stays plain: places and counters, no content."""

_NONCE = 12
_SIZES = (16, 24, 32)


class Cipher(Protocol):
    """What LangGraph's ``EncryptedSerializer`` takes: a key of your own, wherever it lies."""

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        """Return the cipher's name, which is stored beside it, and the ciphertext."""
        ...

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        """Return the plaintext of what was encrypted under a name."""
        ...


class KeyRing:
    """AES-GCM under the first of some keys; the others open what was sealed under them before.

    Each ciphertext says which key it needs, so that keys change one after the other: put the new
    one in front, and take an old one away when nothing is left that it has sealed.

    Args:
        keys: 16, 24 or 32 bytes each, as base64 or as hexadecimal digits.

    Raises:
        ConfigurationError: One of them is no key; the message does not repeat it.
        MissingPackageError: The package ``cryptography`` is not installed.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        aead = load("cryptography.hazmat.primitives.ciphers.aead", extra="encryption")
        self._invalid = load("cryptography.exceptions", extra="encryption").InvalidTag
        raw = keys_of(keys)
        self._ciphers = {_name(key): aead.AESGCM(key) for key in raw}
        self._first = _name(raw[0])

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        """Return the key's name and the ciphertext, which no two calls share."""
        nonce = os.urandom(_NONCE)
        return self._first, nonce + self._ciphers[self._first].encrypt(nonce, plaintext, None)

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        """Return the plaintext.

        Raises:
            CheckpointError: It needs another key, or was changed.
        """
        cipher = self._ciphers.get(ciphername)
        if cipher is None:
            raise CheckpointError(
                f"it was sealed as {ciphername!r}, under a key that is not here: add that to "
                "AGENTINFRA_CHECKPOINTER__ENCRYPTION_KEYS, after the first"
            )
        try:
            return bytes(cipher.decrypt(ciphertext[:_NONCE], ciphertext[_NONCE:], None))
        except self._invalid:
            raise CheckpointError(
                "what was sealed has been changed, and cannot be opened"
            ) from None

    def __repr__(self) -> str:
        return f"<KeyRing of {len(self._ciphers)} keys>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """What is sealed of records such as metadata or the store's items, and with what.

    Attributes:
        cipher: The cipher.
        plain: Names of fields that stay as they are.
        what: What they are fields of.
        setting: The variable that names more of them.
    """

    cipher: Cipher
    plain: frozenset[str] = frozenset()
    what: str = "metadata"
    setting: str = "AGENTINFRA_CHECKPOINTER__PLAIN_METADATA"

    @property
    def name(self) -> str:
        """What is sealed now is sealed as this."""
        return self.cipher.encrypt(b"")[0]

    def fields(self, said: Mapping[str, Any]) -> dict[str, Any]:
        """Return a record of which only what is named plain can be read.

        Raises:
            CheckpointError: It is no JSON.
        """
        plain = {name: value for name, value in said.items() if name in self.plain}
        rest = {name: value for name, value in said.items() if name not in plain}
        if not rest:
            return plain
        try:
            text = json.dumps(rest, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise CheckpointError(f"the {self.what} cannot be stored as JSON: {error}") from error
        name, ciphertext = self.cipher.encrypt(text.encode())
        return {**plain, _ENTRY: [name, base64.b64encode(ciphertext).decode()]}

    def renewed(self, said: dict[str, Any], name: str) -> dict[str, Any]:
        """Return a stored record as it would be stored now; the same where it was sealed so.

        Args:
            said: The record.
            name: What is sealed now is sealed as this.

        Raises:
            CheckpointError: It needs a key that is not here.
        """
        if _ENTRY in said and said[_ENTRY][0] == name:
            return said
        return self.fields(opened(dict(said), self))

    def check(self, names: Iterable[str]) -> None:
        """Refuse a search for what is sealed.

        Raises:
            CheckpointError: A name is; the sentence says which.
        """
        if sealed := sorted(name for name in names if name not in self.plain):
            raise CheckpointError(
                f"{self.what} {', '.join(map(repr, sealed))} is sealed and cannot be searched: "
                f"name it in {self.setting} to have it stored as it is"
            )


def keys_of(texts: Sequence[str]) -> list[bytes]:
    """Return the keys that texts stand for.

    Raises:
        ConfigurationError: One of them is no key; the message does not repeat it.
    """
    return [_key(text, position) for position, text in enumerate(texts)]


def opened(said: dict[str, Any], sealed: Sealed | None) -> dict[str, Any]:
    """Return a record as it was given.

    Raises:
        CheckpointError: It is sealed, and the key is not here.
    """
    entry = said.pop(_ENTRY, None)
    if entry is None:
        return said
    if sealed is None:
        raise CheckpointError(NO_KEY)
    name, text = entry
    rest = json.loads(sealed.cipher.decrypt(name, base64.b64decode(text)))
    return {**said, **rest}


NO_KEY = (
    "it is sealed, and there is no key to open it: set AGENTINFRA_CHECKPOINTER__ENCRYPTION_KEYS"
)


def _key(text: str, position: int) -> bytes:
    for decode in (bytes.fromhex, lambda text: base64.b64decode(text, validate=True)):
        try:
            key = decode(text)
        except (ValueError, binascii.Error):
            continue
        if len(key) in _SIZES:
            return key
    raise ConfigurationError(
        f"encryption_keys[{position}] is no key: give 32 bytes as base64, such as "
        "`openssl rand -base64 32` prints"
    )


def _name(key: bytes) -> str:
    return f"aesgcm-{hashlib.sha256(b'agentinfra' + key).hexdigest()[:12]}"
