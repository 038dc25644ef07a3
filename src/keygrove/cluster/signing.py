"""The key by which a node signs what it says that it holds.

It is made at the first start, in a file of the data directory that only the server's user may
read, and is that of the node from then on, with its name: whoever checks proofs has pinned both.
"""

import anyio

from keygrove.errors import SecretFileError, SettingsError
from keygrove.ports import Entropy, Files
from keygrove_protocols.proofs.note import BadSignerKeyError, SignerKey, parse_signer_key

KEY_FILE = "signing.key"
_SEED_OCTETS = 32
_FILE_OCTETS_MAX = 1024


class Signing:
    """Has the node's key, and makes it if need be.

    Args:
        name: of the server; if it is empty, a new key gets `fallback` for its name, or one that
            nobody else has, and any other is taken as it is.
    """

    def __init__(self, files: Files, entropy: Entropy, *, name: str, fallback: str) -> None:
        self._files = files
        self._entropy = entropy
        self._name = name
        self._fallback = fallback
        self._key: SignerKey | None = None
        self._turn = anyio.Lock()

    async def key(self) -> SignerKey:
        """The node's key.

        Raises:
            DiskFullError: there is none yet, and no room for it: ask again.
            SecretFileError: its file cannot be used.
            SettingsError: it is of another name.
        """
        async with self._turn:
            if self._key is None:
                content = await self._files.read(KEY_FILE, _FILE_OCTETS_MAX)
                self._key = await self._made() if content is None else self._read(content)
            return self._key

    async def _made(self) -> SignerKey:
        seed = self._entropy.token(_SEED_OCTETS)
        name = self._name or self._fallback or f"keygrove-{self._entropy.token(8).hex()}"
        key = SignerKey(name, seed)
        await self._files.create(KEY_FILE, f"{key}\n".encode())
        return key

    def _read(self, content: bytes) -> SignerKey:
        try:
            key = parse_signer_key(content.decode().removesuffix("\n"))
        except (UnicodeDecodeError, BadSignerKeyError) as error:
            raise SecretFileError(
                f"{KEY_FILE} in the data directory is damaged: restore it from a backup; if there "
                "is none, remove it, for a new key, and tell those who have pinned the old one"
            ) from error
        if self._name not in ("", key.verifier.name):
            raise SettingsError(
                f"proofs.name is {self._name}, but {KEY_FILE} in the data directory is of "
                f"{key.verifier.name}, which others may have pinned: set it to that; or remove the "
                "file, for a new key, and tell them"
            )
        return key
