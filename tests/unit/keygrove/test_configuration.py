"""Settings from file, environment and command line; what is refused, and with which words."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from keygrove import configuration
from keygrove.coherence import hints
from keygrove.configuration import FILE_BYTES_MAX, OPTIONS, Configuration, flatten
from keygrove.errors import SettingsError
from keygrove.forms import FORMS
from keygrove.ingest.policy import policy_of
from keygrove.settings import PushTarget, ReconPartner, Settings
from keygrove_protocols.openpgp.keys import Fingerprint
from keygrove_protocols.openpgp.policy import MINIMAL, SKS_COMPATIBLE, VERIFIED, Policy


def load(
    text: str | None = None,
    environment: Mapping[str, str] | None = None,
    *,
    folder: Path | None = None,
    **overrides: object,
) -> Configuration:
    path = None
    if text is not None:
        assert folder is not None
        path = folder / "keygrove.toml"
        path.write_text(text)
    dotted = {key.replace("__", "."): value for key, value in overrides.items()}
    return configuration.load(path, environment or {}, dotted)


def refusal(text: str, folder: Path) -> str:
    with pytest.raises(SettingsError) as refused:
        load(text, folder=folder)
    return str(refused.value)


def test_without_any_source_all_is_at_its_default() -> None:
    assert load() == Configuration(Settings(), {})


def test_defaults_are_safe_to_run_with() -> None:
    settings = Settings()
    assert settings.http.listen == ("127.0.0.1:11371",)
    assert settings.metrics.listen == ("127.0.0.1:9626",)
    assert settings.storage.durability == "full"
    assert settings.storage.shards == 4
    assert not settings.http.short_ids
    assert settings.recon.listen == ()
    assert policy_of(settings.policy) == VERIFIED


def test_the_fixed_names_are_read_from_a_file(tmp_path: Path) -> None:
    text = """
        data_dir = "/srv/keys"
        [http]
        listen = ["0.0.0.0:11371", "[::]:80"]
        [metrics]
        listen = []
        [storage]
        shards = 8
        cache_bytes = 0
        [recon]
        listen = ["[::1]:11370"]
        gossip_interval = 1.5
        [[recon.partner]]
        name = "example"
        recon = "keys.example.org:11370"
        http = "keys.example.org:11371"
    """
    settings = load(text, folder=tmp_path).settings
    assert settings.data_dir == "/srv/keys"
    assert settings.http.listen == ("0.0.0.0:11371", "[::]:80")
    assert settings.metrics.listen == ()
    assert (settings.storage.shards, settings.storage.cache_bytes) == (8, 0)
    assert settings.recon.gossip_interval == 1.5
    found = ReconPartner("example", "keys.example.org:11370", "keys.example.org:11371")
    assert settings.recon.partner == (found,)


def test_each_source_overrides_the_one_before_and_is_named(tmp_path: Path) -> None:
    text = 'data_dir = "file"\n[storage]\nshards = 2\ncache_bytes = 1'
    environment = {"KEYGROVE_STORAGE__SHARDS": "3", "KEYGROVE_DATA_DIR": "environment"}
    loaded = load(text, environment, folder=tmp_path, data_dir="command")
    assert loaded.settings.data_dir == "command"
    assert loaded.settings.storage.shards == 3
    assert loaded.settings.storage.cache_bytes == 1
    assert loaded.origins == {
        "data_dir": "--data",
        "storage.shards": "environment KEYGROVE_STORAGE__SHARDS",
        "storage.cache_bytes": f"file {tmp_path / 'keygrove.toml'}",
    }


@pytest.mark.parametrize(
    ("value", "listens"),
    [
        ("127.0.0.1:1", ("127.0.0.1:1",)),
        ("127.0.0.1:1, [::1]:2", ("127.0.0.1:1", "[::1]:2")),
        ("[::1]:2", ("[::1]:2",)),
        ('"127.0.0.1:1"', ("127.0.0.1:1",)),
        ('["127.0.0.1:1", "[::1]:2"]', ("127.0.0.1:1", "[::1]:2")),
        ("", ()),
    ],
)
def test_a_list_in_the_environment_is_toml_or_comma_separated(
    value: str, listens: tuple[str, ...]
) -> None:
    loaded = load(environment={"KEYGROVE_HTTP__LISTEN": value})
    assert loaded.settings.http.listen == listens


@pytest.mark.parametrize("digits", ["0123456789" * 4, "1234567890" * 4, "ABCDEF0123" * 4])
def test_fingerprints_in_the_environment_need_no_brackets(digits: str) -> None:
    value = f"{digits}, {digits.lower()}"
    assert load(environment={"KEYGROVE_POLICY__BLOCKED": digits}).settings.policy.blocked == (
        digits,
    )
    environment = {"KEYGROVE_ADMIN__KEYS": value, "KEYGROVE_ADMIN__SERVER": "keys.example.org"}
    assert load(environment=environment).settings.admin.keys == (digits, digits.lower())


@pytest.mark.parametrize(
    ("name", "value", "key", "wanted"),
    [
        ("KEYGROVE_HTTP__WORD_SEARCH", "false", "http.word_search", False),
        ("KEYGROVE_RECON__GOSSIP_INTERVAL", "5", "recon.gossip_interval", 5.0),
        ("KEYGROVE_STORAGE__DURABILITY", "relaxed", "storage.durability", "relaxed"),
        ("KEYGROVE_STORAGE__DURABILITY", '"relaxed"', "storage.durability", "relaxed"),
        ("KEYGROVE_DATA_DIR", "/srv/my keys", "data_dir", "/srv/my keys"),
        ("KEYGROVE_DATA_DIR", "2024", "data_dir", "2024"),
        ("KEYGROVE_DATA_DIR", "true", "data_dir", "true"),
    ],
)
def test_values_in_the_environment_are_toml_or_plain_text(
    name: str, value: str, key: str, wanted: object
) -> None:
    assert flatten(load(environment={name: value}).settings)[key] == wanted


def test_other_variables_do_not_count() -> None:
    assert load(environment={"PATH": "/bin", "MY_KEYGROVE_X": "1", "KEYGROVER": "1"}).origins == {}


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("KEYGROVE_DATADIR", "did you mean KEYGROVE_DATA_DIR?"),
        ("KEYGROVE_HTTP__LISEN", "did you mean KEYGROVE_HTTP__LISTEN?"),
        ("KEYGROVE_ZZZ", "known are: KEYGROVE_DATA_DIR, KEYGROVE_HTTP__LISTEN, "),
        ("KEYGROVE_", "KEYGROVE_DATA_DIR"),
    ],
)
def test_an_unknown_variable_is_named(name: str, hint: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(environment={name: "1"})
    assert str(refused.value).startswith(f"environment {name} sets nothing; ")
    assert hint in str(refused.value)


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("", VERIFIED),
        ('preset = "minimal"', MINIMAL),
        ('preset = "sks-compatible"', SKS_COMPATIBLE),
        ('third_party = "attested"', Policy(third_party="attested")),
        ('preset = "minimal"\nthird_party = "all"', Policy(preset="minimal")),
        ("user_attributes = true", Policy(user_attributes=True)),
        ('sha1_until = "1970-01-02"', Policy(weak_third_party_until=2 * 86_400 - 1)),
        (
            f'blocked = ["{"aB" * 20}", "{"C0" * 32}"]',
            Policy(blocked=frozenset({Fingerprint(b"\xab" * 20), Fingerprint(b"\xc0" * 32)})),
        ),
    ],
)
def test_the_policy_is_the_preset_and_what_is_set_apart_from_it(
    tmp_path: Path, text: str, policy: Policy
) -> None:
    assert policy_of(load(f"[policy]\n{text}", folder=tmp_path).settings.policy) == policy


def test_a_day_that_there_is_not_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="there is no day '2019-02-29'; write one"):
        load('[policy]\nsha1_until = "2019-02-29"', folder=tmp_path)


def test_a_day_in_the_environment_is_text() -> None:
    loaded = load(environment={"KEYGROVE_POLICY__SHA1_UNTIL": "2019-01-19"})
    assert loaded.settings.policy.sha1_until == "2019-01-19"


HOSTS = 'write a list of HOST:PORT, for example ["127.0.0.1:11371"]'
SECONDS = "write a number of seconds, above 0 and up to 86400, for example 60"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[http]\nlisen = []", "http.lisen is not a setting; did you mean http.listen?"),
        ("[htp]\n", "htp is not a setting; did you mean http?"),
        ("[storage]\nzzz = 1", "storage.zzz is not a setting; known here: storage.cache_bytes, "),
        ("data_dir = 3", 'data_dir: 3 will not do; write a path, for example "/var/lib/keygrove"'),
        ('data_dir = ""', "data_dir: '' will not do; write a path"),
        ("[storage]\nshards = 0", "storage.shards: 0 will not do; write a number from 1 to 64"),
        ("[storage]\nshards = 65", "storage.shards: 65 will not do; write a number from 1 to 64"),
        ('[storage]\nshards = "4"', "storage.shards: '4' will not do; write a number"),
        ("[storage]\ncache_bytes = -1", "storage.cache_bytes: -1 will not do; write a number"),
        ('[storage]\ndurability = "fast"', "durability: 'fast' will not do; write \"full\" or"),
        ("[recon]\ngossip_interval = 0", f"recon.gossip_interval: 0 will not do; {SECONDS}"),
        ("[recon]\ngossip_interval = 86401", SECONDS),
        ("[recon]\ngossip_interval = nan", f"recon.gossip_interval: nan will not do; {SECONDS}"),
        ("http = 3", "http: 3 will not do; it is a table"),
        ('[policy]\npreset = "sks"', "preset: 'sks' will not do; write \"verified\", "),
        ('[policy]\nthird_party = "some"', "third_party: 'some' will not do; write \"preset\","),
        ("[policy]\nsha1_until = 2019-01-19", "sha1_until: 2019-01-19 will not do; write a day in"),
        (
            "[policy]\nsha1_until = 2019-01-19T07:00:00Z",
            "sha1_until: 2019-01-19T07:00:00+00:00 will not do; write a day in quotes",
        ),
        ("[policy]\nthird_party = true", 'third_party: true will not do; write "preset",'),
        ('[policy]\nsha1_until = "2019-02-30"', "sha1_until: there is no day '2019-02-30'"),
        ('[policy]\nsha1_until = "2019"', "sha1_until: '2019' will not do; write a day in"),
        (
            '[policy]\nblocked = ["AB"]',
            "blocked[0]: 'AB' will not do; write a list of fingerprints",
        ),
        ('[http]\nlisten = "127.0.0.1:1"', f"http.listen: '127.0.0.1:1' will not do; {HOSTS}"),
        ('[http]\nlisten = ["h:1", "nowhere"]', f"http.listen[1]: 'nowhere' will not do; {HOSTS}"),
        ('[http]\nlisten = ["h:65536"]', HOSTS),
        ('[http]\nlisten = ["h:080"]', HOSTS),
        ('[http]\nlisten = ["::1:80"]', HOSTS),
        ('[http]\nlisten = [":80"]', HOSTS),
        ('[http]\nword_search = "yes"', "http.word_search: 'yes' will not do; write true or false"),
        (
            '[[recon.partner]]\nname = "x"',
            "recon.partner[0].recon of 'x': is missing; write HOST:PORT, for example",
        ),
        (
            '[[recon.partner]]\nname = "a b"\nrecon = "h:1"\nhttp = "h:2"',
            "recon.partner[0].name: 'a b' will not do; write letters, digits, dots,",
        ),
        (
            '[[recon.partner]]\nnam = "x"',
            "recon.partner[0].nam is not a setting; did you mean recon.partner.name?",
        ),
    ],
)
def test_a_refusal_has_the_keys_path_and_what_to_write(
    tmp_path: Path, text: str, words: str
) -> None:
    said = refusal(text, tmp_path)
    assert words in said
    assert str(tmp_path / "keygrove.toml") in said


def test_a_long_value_is_cut_where_it_is_quoted(tmp_path: Path) -> None:
    said = refusal(f'[http]\nlisten = ["{"x" * 10_000}"]', tmp_path)
    assert len(said) < 400


@pytest.mark.parametrize("address", ["h:0", "h:1", "h:9999", "h:65535", "a-b.c_d:80", "[::1]:80"])
def test_every_possible_address_is_taken(address: str) -> None:
    assert load(http__listen=[address]).settings.http.listen == (address,)


def test_one_address_is_for_one_purpose(tmp_path: Path) -> None:
    text = '[http]\nlisten = ["h:1"]\n[metrics]\nlisten = ["h:1"]'
    source = f"(file {tmp_path / 'keygrove.toml'})"
    said = f"metrics.listen {source}: h:1 is already used by http.listen {source}"
    assert said in refusal(text, tmp_path)
    text = '[http]\nlisten = ["h:1", "h:1"]'
    assert f"http.listen {source}: h:1 is already used by http.listen" in refusal(text, tmp_path)


def test_an_address_that_is_taken_by_a_default_is_told_with_both_origins() -> None:
    with pytest.raises(SettingsError) as raised:
        load(environment={"KEYGROVE_HTTP__LISTEN": "127.0.0.1:9626"})
    assert str(raised.value) == (
        "metrics.listen (default): 127.0.0.1:9626 is already used by "
        "http.listen (environment KEYGROVE_HTTP__LISTEN); choose another port"
    )


def test_any_number_of_addresses_may_leave_the_choice_to_the_system(tmp_path: Path) -> None:
    text = '[http]\nlisten = ["h:0", "h:0"]\n[metrics]\nlisten = ["h:0"]'
    assert load(text, folder=tmp_path).settings.http.listen == ("h:0", "h:0")


def test_two_partners_have_two_names(tmp_path: Path) -> None:
    text = partner("x", "h:1", http="h:2")
    assert "two partners are called 'x'; rename one" in refusal(text * 2, tmp_path)


def test_names_of_partners_differ_in_more_than_case(tmp_path: Path) -> None:
    said = refusal(partner("Ann", "a:1") + partner("ann", "b:1"), tmp_path)
    why = "two partners are called 'ann', or 'Ann', which differs in case only; rename one"
    assert said == f"recon.partner: {why}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('recn = "b:1"', "recon.partner[1].recn of 'bob' is not a setting; did you mean recon.p"),
        ('recon = "b"', "recon.partner[1].recon of 'bob': 'b' will not do; write HOST:PORT"),
    ],
)
def test_which_partner_is_meant_is_said(tmp_path: Path, text: str, words: str) -> None:
    said = refusal(f'{partner("ann", "a:1")}[[recon.partner]]\nname = "bob"\n{text}', tmp_path)
    assert words in said


def test_which_target_is_meant_is_said(tmp_path: Path) -> None:
    said = refusal('[[push]]\nto = "hkp://a"\n[[push]]\nto = "hkp://b"\nwen = 1', tmp_path)
    assert "push[1].wen of 'hkp://b' is not a setting; did you mean push.when?" in said


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    assert load("\ufeff[storage]\nshards = 2", folder=tmp_path).settings.storage.shards == 2


def test_partners_who_cannot_reach_us_are_hinted_at(tmp_path: Path) -> None:
    text = partner("ann", "a:1")
    (hint,) = hints(load(text, folder=tmp_path).settings)
    assert hint.startswith("recon.listen: is empty, so that no partner can begin a session")
    listening = f'[recon]\nlisten = ["0.0.0.0:11370"]\n{text}'
    assert hints(load(listening, folder=tmp_path).settings) == []
    assert hints(Settings()) == []


def partner(name: str, recon: str, **more: str) -> str:
    rest = "".join(f'{key} = "{value}"\n' for key, value in more.items())
    return f'[[recon.partner]]\nname = "{name}"\nrecon = "{recon}"\n{rest}'


@pytest.mark.parametrize(
    ("listen", "at"),
    [
        ("192.0.2.1:11370", "192.0.2.1:11370"),
        ("keys.example.org:11370", "Keys.Example.org:11370"),
        ("[2001:db8::1]:11370", "[2001:DB8:0::1]:11370"),
        ("0.0.0.0:11370", "127.0.0.1:11370"),
        ("0.0.0.0:11370", "127.1.2.3:11370"),
        ("[::]:11370", "[::1]:11370"),
        ("[::]:11370", "localhost:11370"),
        ("127.0.0.1:11370", "localhost:11370"),
    ],
)
def test_a_server_is_no_partner_of_its_own(tmp_path: Path, listen: str, at: str) -> None:
    said = refusal(f'[recon]\nlisten = ["h:1", "{listen}"]\n{partner("x", at)}', tmp_path)
    assert f"recon.partner: 'x' is this server itself, which recon.listen has at {at};" in said


@pytest.mark.parametrize(
    ("listen", "at"),
    [
        ("192.0.2.1:11370", "192.0.2.1:11371"),
        ("192.0.2.1:11370", "192.0.2.2:11370"),
        ("127.0.0.1:11370", "127.0.0.2:11370"),
        ("0.0.0.0:11370", "192.0.2.1:11370"),
        ("0.0.0.0:11370", "[::1]:11370"),
        ("0.0.0.0:11370", "keys.example.org:11370"),
        ("keys.example.org:11370", "192.0.2.1:11370"),
    ],
)
def test_whoever_may_be_another_server_may_be_a_partner(
    tmp_path: Path, listen: str, at: str
) -> None:
    text = f'[recon]\nlisten = ["{listen}"]\n{partner("x", at)}'
    assert load(text, folder=tmp_path).settings.recon.partner == (ReconPartner("x", at),)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("h.example:11370", "h.example:11370"),
        ("h.example:11370", "H.Example.:11370"),
        ("[2001:db8::1]:11370", "[2001:DB8:0::1]:11370"),
    ],
)
def test_two_partners_are_at_two_addresses(tmp_path: Path, one: str, other: str) -> None:
    said = refusal(partner("x", one) + partner("y", other), tmp_path)
    assert said == f"recon.partner: 'x' and 'y' are both at {other}; leave one out"


def test_partners_have_somewhere_to_fetch_from(tmp_path: Path) -> None:
    text = f"{partner('x', 'h:1')}[http]\nlisten = []\n"
    said = refusal(text, tmp_path)
    assert said.startswith("recon.http_port: is 0, and http.listen is empty, so that partners")
    loaded = load(f"{text}[recon]\nhttp_port = 80\n", folder=tmp_path)
    assert loaded.settings.recon.http_port == 80


def test_two_partners_may_share_a_host(tmp_path: Path) -> None:
    text = partner("x", "h.example:1") + partner("y", "h.example:2")
    assert len(load(text, folder=tmp_path).settings.recon.partner) == 2


UNREACHABLE = [
    ("h:0", "no server has the TCP port 0"),
    ("0.0.0.0:1", "0.0.0.0 stands for all addresses of a machine"),
    ("[::]:1", ":: stands for all addresses of a machine"),
    ("999.1.1.1:1", "999.1.1.1 is no IP address"),
    ("192.0.2:1", "192.0.2 is no IP address"),
    ("[1:2]:1", "1:2 is no IP address"),
    ("a..example:1", "a..example is no name of a host"),
    (f"{'a' * 64}.example:1", "a.example is no name of a host"),
    ("xn--:1", "xn-- is no name of a host"),
    ("h.XN--9.example:1", "h.XN--9.example is no name of a host"),
    (f"{'a.' * 126}ab:1", "a.ab is no name of a host"),
]


@pytest.mark.parametrize(("at", "why"), UNREACHABLE)
@pytest.mark.parametrize("key", ["recon", "http"])
def test_a_partner_is_where_a_server_can_be(tmp_path: Path, at: str, why: str, key: str) -> None:
    where = {"recon": "h:1", key: at}
    said = refusal(partner("x", **where), tmp_path)
    assert said.startswith(f"recon.partner.{key}: {at} of 'x' will not do: ")
    assert why in said
    assert "; write HOST:PORT, for example " in said


NAMES = ["h:1", "h.example.:1", "a-b.c_d:1", "1.example:1", "xn--mnchen-3ya.de:1"]


@pytest.mark.parametrize("at", [*NAMES, "192.0.2.7:1"])
def test_a_name_that_may_be_there_is_no_matter_of_the_settings(tmp_path: Path, at: str) -> None:
    assert load(partner("x", at), folder=tmp_path).settings.recon.partner[0].recon == at


def test_who_listens_does_so_at_an_address_that_there_can_be() -> None:
    with pytest.raises(SettingsError) as refused:
        load(environment={"KEYGROVE_RECON__LISTEN": "999.1.1.1:11370"})
    assert str(refused.value).startswith(
        "recon.listen (environment KEYGROVE_RECON__LISTEN): 999.1.1.1:11370 will not do: "
        "999.1.1.1 is no IP address; write a list of HOST:PORT"
    )


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot read .*: No such file"):
        configuration.load(tmp_path / "none.toml", {}, {})


def test_a_file_that_is_no_toml_is_said_so(tmp_path: Path) -> None:
    assert "is not TOML: " in refusal("[http\n", tmp_path)


def test_a_file_that_is_no_text_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "k.toml").write_bytes(b"data_dir = '\xff'")
    with pytest.raises(SettingsError, match="is not UTF-8 at byte 12"):
        configuration.load(tmp_path / "k.toml", {}, {})


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    assert "is larger than" in refusal("#" * (FILE_BYTES_MAX + 1), tmp_path)


def keys_of(kind: object, prefix: str = "") -> set[str]:
    """Every key of a struct, those of its tables and of its lists of tables too."""
    found: set[str] = set()
    for field in msgspec.structs.fields(kind):  # type: ignore[arg-type]
        found |= keys_under(msgspec.inspect.type_info(field.type), prefix + field.name)
    return found


def keys_under(info: msgspec.inspect.Type, key: str) -> set[str]:
    match info:
        case msgspec.inspect.StructType(cls=cls):
            return keys_of(cls, f"{key}.")
        case msgspec.inspect.VarTupleType(item_type=msgspec.inspect.StructType(cls=cls)):
            return {key} | keys_of(cls, f"{key}.")
        case _:
            return {key}


def test_every_key_has_its_form_and_no_other_has() -> None:
    assert set(FORMS) == keys_of(Settings)


def test_options_are_for_keys_that_there_are() -> None:
    assert set(OPTIONS) <= keys_of(Settings)


TABLES_IN_LISTS = ("recon.partner.", "push.")


def test_flat_settings_have_every_key_but_those_within_lists() -> None:
    within_lists = {key for key in keys_of(Settings) if key.startswith(TABLES_IN_LISTS)}
    assert set(flatten(Settings())) == keys_of(Settings) - within_lists


def test_every_example_can_be_written(tmp_path: Path) -> None:
    for key, form in FORMS.items():
        value = f"[{form.example}]" if f"{key}." in TABLES_IN_LISTS else form.example
        if not key.startswith(TABLES_IN_LISTS):
            name = 'admin.server = "keys.example.org"\n' if key == "admin.keys" else ""
            load(f"{name}{key} = {value}", folder=tmp_path)


def test_administrators_need_the_name_of_the_server(tmp_path: Path) -> None:
    keys = f'admin.keys = ["{"ab" * 20}"]'
    told = refusal(keys, tmp_path)
    assert told.startswith("admin.server: is empty")
    assert told.endswith('write the host name of this server, for example "keys.example.org"')
    named = {"KEYGROVE_ADMIN__SERVER": "1234"}
    assert load(keys, named, folder=tmp_path).settings.admin.server == "1234"


@pytest.mark.parametrize(
    "to",
    ["hkp://h", "hkps://keys.example.org", "vks://h:443", "hkp://[2001:db8::1]:11371"],
)
def test_a_target_needs_a_place_only(to: str, tmp_path: Path) -> None:
    found = load(f'[[push]]\nto = "{to}"', folder=tmp_path).settings.push
    assert found == (PushTarget(to),)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('to = "http://h"', "push[0].to: 'http://h' will not do; write hkps://HOST,"),
        ('to = "hkp://h/pks"', "push[0].to: 'hkp://h/pks' will not do;"),
        ('to = "hkp://h:65536"', "push[0].to: 'hkp://h:65536' will not do;"),
        ('to = "hkp://h"\nwhen = "failover"', "push.when: hkp://h is sent something while"),
        ('to = "hkp://h"\nwhen = "failover"\npartner = "still"', "push.when: hkp://h is sent"),
        ('to = "hkp://h"\npartner = "x"', "push.partner: there is no [[recon.partner]] called"),
        ('to = "hkp://h"\n[[push]]\nto = "hkp://h"', "push.to: hkp://h is there twice; leave"),
        (
            'to = "hkp://h"\n[[push]]\nto = "hkp://H:11371"',
            "push.to: hkp://H:11371 is there twice, as hkp://h, too; leave one out",
        ),
        ('to = "hkp://h:1/"', "push[0].to: 'hkp://h:1/' will not do;"),
        ('to = "hkp://h:1/"', "with :PORT if need be, and no / at the end, for example"),
        ('to = "hkp://h:0"', "push.to: hkp://h:0 will not do: no server has the TCP port 0; write"),
        ('to = "vks://999.1.1.1"', "push.to: vks://999.1.1.1 will not do: 999.1.1.1 is no IP"),
        ('to = "hkp://127.0.0.1"', "push.to: hkp://127.0.0.1 is this server itself, which http"),
    ],
)
def test_targets_that_cannot_be_sent_anything_are_refused(
    text: str, told: str, tmp_path: Path
) -> None:
    still = '[[recon.partner]]\nname = "still"\nrecon = "h:1"\nweight = 0\n'
    assert told in refusal(f"{still}[[push]]\n{text}", tmp_path)


def test_a_target_of_failover_has_a_partner_with_which_we_begin(tmp_path: Path) -> None:
    begun = '[[recon.partner]]\nname = "x"\nrecon = "h:1"\n'
    text = f'{begun}[[push]]\nto = "hkp://h"\nwhen = "failover"\npartner = "x"'
    (found,) = load(text, folder=tmp_path).settings.push
    assert (found.when, found.partner) == ("failover", "x")


def test_a_partner_needs_a_name_and_the_place_of_its_recon_only(tmp_path: Path) -> None:
    text = '[[recon.partner]]\nname = "x"\nrecon = "h:1"\nweight = 0\nfilters = "a,b"'
    found = ReconPartner("x", "h:1", weight=0, filters="a,b")
    assert load(text, folder=tmp_path).settings.recon.partner == (found,)


def test_a_network_that_is_none_is_said_so(tmp_path: Path) -> None:
    said = refusal('[recon]\nallow = ["192.0.2.7/24"]', tmp_path)
    assert said.startswith("recon.allow: 192.0.2.7/24 has host bits set; write a list of IP")
