"""Pages for people: what a browser gets, with nothing in it that a stranger wrote as markup."""

from tests.e2e.conftest import Server, make_certificate

HOSTILE = '"><script>alert(1)</script> & <x@pages.example>'


def test_the_home_page_has_a_search_form_and_a_submission_form(server: Server) -> None:
    page = server.http.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert 'action="/pks/lookup"' in page.text
    assert 'action="/pks/add"' in page.text


def test_a_user_id_that_holds_markup_is_shown_as_text(server: Server) -> None:
    made = make_certificate("hostile", [HOSTILE])
    answer = server.http.post(
        "/pks/add",
        files={"keytext": ("key.pgp", made.packets)},
        headers={"Accept": "text/html"},
    )
    assert answer.status_code == 200
    assert made.fingerprint in answer.text

    page = server.get(op="index", search=f"0x{made.fingerprint}")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "<script>" not in page.text
    assert "&lt;script&gt;alert(1)" in page.text


def test_a_search_that_holds_markup_is_shown_as_text(server: Server) -> None:
    server.add(make_certificate("searched", ["<b>bold</b>"]).packets)
    page = server.get(op="vindex", search="<b>bold</b>")
    assert page.status_code == 200
    assert "<b>" not in page.text
    assert "<script>" not in server.get(op="index", search="<script>").text


def test_the_statistics_page_counts(server: Server) -> None:
    server.add(make_certificate("counted", ["Counted"]).packets)
    page = server.http.get("/pks/stats")
    assert f"{server.total()} certificates" in page.text
    assert server.get(op="stats").text.count("<table>") == page.text.count("<table>")


def test_a_browser_is_told_what_went_wrong_on_a_page(server: Server) -> None:
    asked = {"op": "index", "search": "<nobody>"}
    page = server.http.get("/pks/lookup", params=asked, headers={"Accept": "text/html"})
    assert page.status_code == 404
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "No certificate was found" in page.text
    assert 'action="/pks/lookup"' in page.text
    plain = server.http.get("/pks/lookup", params=asked | {"options": "mr"})
    assert plain.text == "no certificate was found\n"
