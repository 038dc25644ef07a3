import pytest

from keygrove.ratelimit.places import place_of


@pytest.mark.parametrize(
    ("client", "place"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8::1", "2001:db8::/64"),
        ("here", "here"),
        ("", ""),
        (None, None),
    ],
)
def test_a_place_is_an_address_or_a_network(client: str | None, place: str | None) -> None:
    assert place_of(client) == place


def test_the_addresses_of_one_network_are_one_place() -> None:
    assert place_of("2001:db8::1") == place_of("2001:db8::ffff:1:2:3") != place_of("2001:db8:0:1::")
