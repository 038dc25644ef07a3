"""SLH-DSA with SHAKE: whether a stateless hash-based signature is good.

A signature leads from a message to the root of the key by hashes alone. The message's digest
picks k leaves of k small trees (FORS), whose roots are signed by a one-time key (WOTS+), the
leaf of a tree (XMSS), whose root is signed by a leaf of the next tree, d of them in all.

    signature   R, n octets
                k times: a secret value and its path, (1 + a) n octets
                d times: a WOTS+ signature and its path, (2n + 3 + h/d) n octets
    address     u32 layer, u96 tree, u32 type, then, by type:
                WOTS_HASH  u32 key pair, u32 chain, u32 step
                WOTS_PK    u32 key pair, 8 zeros
                TREE       4 zeros, u32 height, u32 index
                FORS_TREE  u32 key pair, u32 height, u32 index
                FORS_ROOTS u32 key pair, 8 zeros

Every hash is SHAKE256 of the public seed, an address and its input, cut to n octets. How many
there are varies a little with the digests, and has a limit: d (2n + 3) 15 for the chains, and
a few for the trees.

Source: FIPS 205, sections 4 to 9 and 10.2; parameters from its table 2, where w is 16.
"""

from hashlib import shake_256

import msgspec

_STEPS = 15
"""The length of a chain, w - 1."""

_WOTS_HASH, _WOTS_PK, _TREE, _FORS_TREE, _FORS_ROOTS = (one.to_bytes(4) for one in range(5))
_NUMBERED = tuple(step.to_bytes(4) for step in range(_STEPS))


class Parameters(msgspec.Struct, frozen=True, gc=False):
    """The numbers of FIPS 205, table 2, under their names there; h' is h/d."""

    n: int
    h: int
    d: int
    a: int
    k: int

    @property
    def signature_octets(self) -> int:
        """The length of a signature."""
        chains = 2 * self.n + 3
        return self.n * (1 + self.k * (1 + self.a) + self.h + self.d * chains)


SHAKE_128S = Parameters(n=16, h=63, d=7, a=12, k=14)
SHAKE_128F = Parameters(n=16, h=66, d=22, a=6, k=33)
SHAKE_256S = Parameters(n=32, h=64, d=8, a=14, k=22)


def slh_verify(of: Parameters, key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the key signed the message, in pure mode and with an empty context.

    `key` is the public seed and the root, `of.n` octets each. Source: algorithm 24.
    """
    return slh_verify_internal(of, key, b"\0\0" + message, signature)


def slh_verify_internal(of: Parameters, key: bytes, message: bytes, signature: bytes) -> bool:
    """The same of a message that has its prefix already. Source: algorithm 20."""
    if len(signature) != of.signature_octets:
        return False
    seed, root = key[: of.n], key[of.n :]
    picked, tree, leaf = _read_digest(of, signature[: of.n] + key + message)
    values = _Values(signature, of.n)
    place = seed + _place(0, tree)
    node = _fors_root(of, values, picked, place, leaf.to_bytes(4))
    for layer in range(of.d):
        place = seed + _place(layer, tree)
        node = _xmss_root(of, values, node, place, leaf)
        leaf = tree & (1 << of.h // of.d) - 1
        tree >>= of.h // of.d
    return node == root


class _Values:
    """Takes values of n octets off a signature, behind R."""

    def __init__(self, octets: bytes, n: int) -> None:
        self._octets = octets
        self._n = n
        self._at = n

    def take(self) -> bytes:
        start, self._at = self._at, self._at + self._n
        return self._octets[start : self._at]


def _read_digest(of: Parameters, octets: bytes) -> tuple[list[int], int, int]:
    """The leaves that a message picks in the k small trees, its tree and its leaf there."""
    bits_of_leaf = of.h // of.d
    bits_of_tree = of.h - bits_of_leaf
    picks, trees, leaves = (bits + 7 >> 3 for bits in (of.k * of.a, bits_of_tree, bits_of_leaf))
    digest = shake_256(octets).digest(picks + trees + leaves)
    number = int.from_bytes(digest[:picks]) >> 8 * picks - of.k * of.a
    mask = (1 << of.a) - 1
    picked = [number >> of.a * (of.k - 1 - at) & mask for at in range(of.k)]
    tree = int.from_bytes(digest[picks : picks + trees]) & (1 << bits_of_tree) - 1
    leaf = int.from_bytes(digest[picks + trees :]) & (1 << bits_of_leaf) - 1
    return picked, tree, leaf


def _place(layer: int, tree: int) -> bytes:
    return layer.to_bytes(4) + tree.to_bytes(12)


def _fors_root(
    of: Parameters, values: _Values, picked: list[int], place: bytes, key_pair: bytes
) -> bytes:
    """Algorithm 17."""
    where = place + _FORS_TREE + key_pair
    roots: list[bytes] = []
    for at, leaf in enumerate(picked):
        index = (at << of.a) + leaf
        node = shake_256(where + bytes(4) + index.to_bytes(4) + values.take()).digest(of.n)
        roots.append(_climb(values, node, where, (index, of.a)))
    return shake_256(place + _FORS_ROOTS + key_pair + bytes(8) + b"".join(roots)).digest(of.n)


def _xmss_root(of: Parameters, values: _Values, message: bytes, place: bytes, leaf: int) -> bytes:
    """Algorithm 11."""
    node = _wots_key(of, values, message, place, leaf.to_bytes(4))
    return _climb(values, node, place + _TREE + bytes(4), (leaf, of.h // of.d))


def _climb(values: _Values, node: bytes, where: bytes, start: tuple[int, int]) -> bytes:
    """Follow a path to the root of a tree, from the index of a node; the second is the height."""
    index, height = start
    n = len(node)
    for at in range(1, height + 1):
        beside = values.take()
        pair = beside + node if index & 1 else node + beside
        index >>= 1
        node = shake_256(where + at.to_bytes(4) + index.to_bytes(4) + pair).digest(n)
    return node


def _wots_key(
    of: Parameters, values: _Values, message: bytes, place: bytes, key_pair: bytes
) -> bytes:
    """Algorithm 8: finish every chain from where the message, or its checksum, left it."""
    digits = [half for octet in message for half in (octet >> 4, octet & 15)]
    checksum = sum(_STEPS - digit for digit in digits)
    digits += [checksum >> 8, checksum >> 4 & 15, checksum & 15]
    ends: list[bytes] = []
    for chain, digit in enumerate(digits):
        where = place + _WOTS_HASH + key_pair + chain.to_bytes(4)
        value = values.take()
        for step in _NUMBERED[digit:]:
            value = shake_256(where + step + value).digest(of.n)
        ends.append(value)
    return shake_256(place + _WOTS_PK + key_pair + bytes(8) + b"".join(ends)).digest(of.n)
