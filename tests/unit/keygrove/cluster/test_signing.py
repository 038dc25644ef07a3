"""The key by which a node signs: made once, kept, and refused when it is not what was made."""

import pytest

from keygrove.cluster.signing import KEY_FILE, Signing
from keygrove.errors import SecretFileError, SettingsError
from keygrove_chaos.node import MemoryFiles, SeededEntropy
from keygrove_protocols.proofs.note import lines_of
from tests.loops import Backend, virtual_trio

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> Backend:
    return virtual_trio()


def signing(files: MemoryFiles, name: str = "", fallback: str = "", seed: int = 0) -> Signing:
    return Signing(files, SeededEntropy(seed), name=name, fallback=fallback)


async def test_a_key_is_made_once_and_is_the_same_ever_after() -> None:
    files = MemoryFiles()
    first = await signing(files).key()
    again = await signing(files, seed=1).key()
    assert str(first) == str(again)
    assert lines_of(again.sign("lines\n").encode(), first.verifier) == "lines\n"
    assert await signing(MemoryFiles(), seed=1).key() is not first


@pytest.mark.parametrize(
    ("name", "fallback", "given"),
    [("a.example/set", "b.example", "a.example/set"), ("", "b.example", "b.example")],
)
async def test_a_key_has_the_name_that_was_given(name: str, fallback: str, given: str) -> None:
    key = await signing(MemoryFiles(), name, fallback).key()
    assert key.verifier.name == given


async def test_a_key_that_is_given_none_has_a_name_that_no_other_has() -> None:
    names = {(await signing(MemoryFiles(), seed=n).key()).verifier.name for n in range(10)}
    assert len(names) == 10
    assert all(name.startswith("keygrove-") for name in names)


async def test_the_name_stays_whatever_it_would_be_made_from() -> None:
    files = MemoryFiles()
    await signing(files, fallback="a.example").key()
    assert (await signing(files, fallback="b.example").key()).verifier.name == "a.example"
    assert (await signing(files, name="a.example").key()).verifier.name == "a.example"
    with pytest.raises(SettingsError, match=r"proofs\.name is b\.example, but .* of a\.example"):
        await signing(files, name="b.example").key()


async def test_no_damage_of_the_file_passes_for_another_key() -> None:
    files = MemoryFiles()
    await signing(files, name="a").key()
    whole = files.contents[KEY_FILE]
    secret = whole.rpartition(b"+")[2].strip()
    broken = [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(len(whole))]
    for content in (*broken, b"", whole[:-3], b"\0" * len(whole), whole * 20):
        files.contents[KEY_FILE] = content
        with pytest.raises(SecretFileError, match="damaged: restore it from a backup") as refused:
            await signing(files).key()
        assert secret.decode() not in str(refused.value)
        assert files.contents[KEY_FILE] == content
