"""What settings have to be beside each other, and what a host is, which no pattern tells."""

from collections.abc import Mapping
from ipaddress import ip_network
from urllib.parse import urlsplit

from keygrove.errors import SettingsError
from keygrove.forms import FORMS
from keygrove.push.address import address_of
from keygrove.recon.hosts import divided, host_fault, is_ours, joined, normal, target_fault
from keygrove.settings import HttpSettings, ReconPartner, ReconSettings, Settings


def check(settings: Settings, origins: Mapping[str, str]) -> None:
    """Look at what was converted, key by key, as a whole.

    Raises:
        SettingsError: with the key, and what to do.
    """
    _check_listens(settings, origins)
    _check_admin(settings)
    _check_http_port(settings)
    for network in settings.recon.allow:
        _check_network(network)
    _check_partners(settings.recon)
    _check_targets(settings)


def hints(settings: Settings) -> list[str]:
    """What is seldom meant so, and is no error."""
    recon = settings.recon
    if not recon.partner or recon.listen:
        return []
    return [
        "recon.listen: is empty, so that no partner can begin a session with this server; write "
        f"where they reach it, for example {FORMS['recon.listen'].example}"
    ]


def _check_listens(settings: Settings, origins: Mapping[str, str]) -> None:
    listens = {
        "http.listen": settings.http.listen,
        "metrics.listen": settings.metrics.listen,
        "recon.listen": settings.recon.listen,
    }
    taken: dict[str, str] = {}
    for key, addresses in listens.items():
        for address in addresses:
            origin = f"{key} ({origins.get(key, 'default')})"
            fault = host_fault(divided(address)[0])
            if fault:
                raise SettingsError(f"{origin}: {address} will not do: {fault}; {_advice(key)}")
            if address in taken and not address.endswith(":0"):
                used = taken[address]
                raise SettingsError(
                    f"{origin}: {address} is already used by "
                    f"{used} ({origins.get(used, 'default')}); choose another port"
                )
            taken[address] = key


def _check_admin(settings: Settings) -> None:
    if settings.admin.keys and not settings.admin.server:
        form = FORMS["admin.server"]
        raise SettingsError(
            "admin.server: is empty, and requests by admin.keys have to name this server; "
            f"write {form.words.removesuffix(', or empty text')}, for example {form.example}"
        )


def _check_http_port(settings: Settings) -> None:
    recon = settings.recon
    if recon.is_on and not settings.http.listen and not recon.http_port:
        raise SettingsError(
            "recon.http_port: is 0, and http.listen is empty, so that partners have nowhere to "
            f"fetch certificates; {_advice('http.listen')}, or set recon.http_port"
        )


def _check_network(network: str) -> None:
    try:
        ip_network(network)
    except ValueError as error:
        raise SettingsError(f"recon.allow: {error}; {_advice('recon.allow')}") from error


def _check_partners(recon: ReconSettings) -> None:
    names: dict[str, str] = {}
    at: dict[str, str] = {}
    for partner in recon.partner:
        name = partner.name
        same = names.get(name.lower())
        if same is not None:
            other = "" if same == name else f", or {same!r}, which differs in case only"
            raise SettingsError(
                f"recon.partner: two partners are called {name!r}{other}; rename one"
            )
        names[name.lower()] = name
        _check_reachable(partner)
        if is_ours(partner.recon, recon.listen):
            raise SettingsError(
                f"recon.partner: {name!r} is this server itself, which recon.listen has at "
                f"{partner.recon}; leave it out, or name the address of another server"
            )
        other = at.setdefault(normal(partner.recon), name)
        if other != name:
            raise SettingsError(
                f"recon.partner: {other!r} and {name!r} are both at {partner.recon}; leave one out"
            )


def _check_reachable(partner: ReconPartner) -> None:
    for key, address in (("recon", partner.recon), ("http", partner.http)):
        fault = target_fault(address) if address is not None else ""
        if fault:
            whole = f"recon.partner.{key}"
            raise SettingsError(
                f"{whole}: {address} of {partner.name!r} will not do: {fault}; {_advice(whole)}"
            )


def _check_targets(settings: Settings) -> None:
    partners = {partner.name: partner for partner in settings.recon.partner}
    at: dict[str, str] = {}
    for target in settings.push:
        url = address_of(target.to).url
        _check_place(target.to, url, settings.http)
        if url in at:
            other = "" if at[url] == target.to else f", as {at[url]}, too"
            raise SettingsError(f"push.to: {target.to} is there twice{other}; leave one out")
        at[url] = target.to
        partner = partners.get(target.partner or "")
        if target.partner is not None and partner is None:
            raise SettingsError(
                f"push.partner: there is no [[recon.partner]] called {target.partner!r}"
            )
        if target.when == "failover" and (partner is None or not partner.weight):
            raise SettingsError(
                f"push.when: {target.to} is sent something while recon with its partner fails; "
                "name it as push.partner, and let its weight be above 0"
            )


def _check_place(to: str, url: str, http: HttpSettings) -> None:
    parts = urlsplit(url)
    address = joined(parts.hostname or "", parts.port or 0)
    fault = target_fault(address)
    if fault:
        raise SettingsError(f"push.to: {to} will not do: {fault}; {_advice('push.to')}")
    if is_ours(address, http.listen):
        raise SettingsError(
            f"push.to: {to} is this server itself, which http.listen has there; leave it out, or "
            "name another server"
        )


def _advice(key: str) -> str:
    return FORMS[key].advice
