"""The pages: what an invited or forgetful person meets, the documentation, the problems, the mailbox."""

import re
import time
from collections.abc import AsyncGenerator
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from httpx import AsyncClient
from playwright.async_api import Page, expect
from pydantic import SecretStr, ValidationError
from pyotp.totp import TOTP
from sqlalchemy import update

from app.config import Settings
from app.models import PLATFORM, Invitation, PasswordReset, utc_now
from app.policy import Role
from app.post import Mailbox
from app.problems import KINDS
from tests.browser import PHONE, Site, visited
from tests.conftest import PASSWORD, World, problem, running

NEW_PASSWORD = "nine purple lanterns"
DIALOGUES = ("/register", "/reset-password")
DRAWING = 60_000
"""Milliseconds in which Swagger UI must have read the contract: four seconds on a machine that does nothing else."""
PAGES = ("/", *DIALOGUES, "/docs", "/problems", "/problems/not_found", "/dev/mail")


@pytest.fixture
async def site(settings: Settings) -> AsyncGenerator[Site]:
    async with visited(settings) as site:
        yield site


async def host(world: World, *, partner: str = "Sensorhaus", language: str = "en") -> tuple[AsyncClient, str]:
    """Eva, who administers a partner, and the address of its account Nordwerk GmbH."""
    made = await world.partner(partner, language=language, Eva=Role.PARTNER_ADMIN)
    account = await world.account(made, by="Eva")
    return await world.client("Eva"), f"/v1/partners/{made.id}/accounts/{account.id}"


async def invite(eva: AsyncClient, here: str, email: str) -> str:
    """The address of a new invitation into the account."""
    made = await eva.post(f"{here}/invitations", json={"email": email, "role": "account_editor"})
    assert made.status_code == 201, made.text
    return made.headers["location"]


async def log_in(world: World, email: str, password: str) -> int:
    answer = await (await world.client()).post("/v1/sessions", json={"email": email, "password": password})
    return answer.status_code


async def roles(eva: AsyncClient, here: str) -> dict[str, str]:
    """The members of the account with their roles."""
    return {m["email"]: m["role"] for m in (await eva.get(f"{here}/members")).json()["items"]}


async def tab_to(page: Page, selector: str) -> None:
    """Press Tab until this has the focus."""
    for _ in range(10):
        await page.keyboard.press("Tab")
        if await page.locator(selector).evaluate("element => element === document.activeElement"):
            return
    raise AssertionError(f"Tab does not lead to {selector}")


async def ends(page: Page, code: str, heading: str) -> None:
    """The page shows its last state: this code, this heading, an explanation, and the focus to be read out."""
    status = page.locator(f"#status[data-code={code}]")
    await expect(status).to_be_visible()
    await expect(status).to_have_text(heading)
    await expect(status).to_be_focused()
    await expect(page.locator("#status-detail")).to_have_text(re.compile(r"^.{20,}[.:]"))
    await expect(page.locator("#task")).to_be_hidden()
    await expect(page).to_have_title(f"{heading} – Tenantry")


async def complains(page: Page, field: str, words: str) -> None:
    """The form marks this field, says why beside it, and puts the focus into it."""
    await expect(page.locator(f"#{field}-error")).to_have_text(words)
    await expect(page.locator(f"#{field}")).to_be_focused()
    await expect(page.locator(f"#{field}")).to_have_attribute("aria-invalid", "true")
    await expect(page.locator("#error")).to_be_visible()
    await expect(page.locator("#result")).to_be_hidden()


# --- accepting an invitation ---


@pytest.mark.slow
async def test_new_user_follows_the_mail_and_registers_by_keyboard(
    site: Site, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
):
    eva, here = await host(site.world)
    await invite(eva, here, "nina@example.com")
    async with site.window() as window:
        token = (await window.link_of_mail("nina@example.com", "Nordwerk")).partition("#token=")[2]
        assert re.fullmatch(r"tni_[\w-]{80,}", token)
        page = await window.follow_mail("nina@example.com", "Nordwerk")
        await expect(page.locator("#title")).to_have_text("You are invited to join Nordwerk GmbH")
        assert page.url == f"{site.url}/register"
        shown = {i: await page.locator(f"#{i}").inner_text() for i in ("partner", "account", "role", "inviter")}
        assert shown == {
            "partner": "Sensorhaus", "account": "Nordwerk GmbH", "role": "Account editor", "inviter": "Eva",
        }  # fmt: skip
        await expect(page.locator("#email")).to_have_value("nina@example.com")
        await expect(page.locator("#title")).to_be_focused()

        await tab_to(page, "#name")
        await page.keyboard.type("Nina Nord")
        await tab_to(page, "#password")
        await page.keyboard.type(NEW_PASSWORD)
        await page.keyboard.press("Enter")
        await ends(page, "done", "You are a member of Nordwerk GmbH")

        assert await log_in(site.world, "nina@example.com", NEW_PASSWORD) == 201
        assert (await roles(eva, here))["nina@example.com"] == "account_editor"
        assert (page.url, await page.evaluate("history.length")) == (f"{site.url}/register", 1)
        assert await page.locator("input").evaluate_all("inputs => inputs.map(i => i.value).join('')") == ""
    assert f"{site.url}/v1/registrations" in window.sent()
    written = capfd.readouterr()
    logged = written.out + written.err + caplog.text
    assert '"POST /v1/registrations HTTP/1.1" 201' in logged
    for secret in (token, token[-20:], NEW_PASSWORD):
        assert secret not in logged
        assert not [url for url in window.sent() if secret in url]


@pytest.mark.slow
async def test_existing_user_logs_in_to_accept_and_no_session_stays(site: Site):
    eva, here = await host(site.world)
    await site.world.user("Bob")
    await invite(eva, here, "bob@example.com")
    async with site.window(refused=["POST /v1/sessions 401"]) as window:
        page = await window.follow_mail("bob@example.com", "Nordwerk")
        await expect(page.locator("#submit")).to_have_text("Log in and accept")
        await expect(page.locator("#name")).to_be_hidden()
        await expect(page.locator("#one-time-code")).to_be_hidden()
        await page.locator("#password").fill("not the right one")
        await page.locator("#submit").click()
        await expect(page.locator("#error-title")).to_have_text("E-mail, password or code is wrong")
        await expect(page.locator("#error")).to_be_focused()
        assert "bob@example.com" not in await roles(eva, here)

        await page.locator("#password").fill(PASSWORD)
        async with page.expect_response(lambda answer: answer.request.method == "DELETE") as logged_out:
            await page.locator("#submit").click()
        assert (await logged_out.value).status == 204
        await ends(page, "done", "You are a member of Nordwerk GmbH")
    assert (await roles(eva, here))["bob@example.com"] == "account_editor"
    bob = await site.world.client("Bob")
    assert [s["current"] for s in (await bob.get("/v1/me/sessions")).json()["items"]] == [True]


@pytest.mark.slow
async def test_second_factor_is_asked_for_when_the_user_has_one(site: Site):
    eva, here = await host(site.world)
    await site.world.user("Bob", language="de")
    bob = await site.world.client("Bob")
    app = TOTP((await bob.post("/v1/me/totp", json={"password": PASSWORD})).json()["secret"])
    assert (await bob.post("/v1/me/totp/confirm", json={"code": app.now()})).status_code == 200
    await invite(eva, here, "bob@example.com")
    async with site.window("de-DE", refused=["POST /v1/sessions 401"] * 2) as window:
        page = await window.follow_mail("bob@example.com", "Nordwerk")
        await page.locator("#password").fill(PASSWORD)
        await page.locator("#submit").click()
        await expect(page.locator("#one-time-code")).to_be_focused()
        assert "bob@example.com" not in await roles(eva, here)
        await page.keyboard.type("000 000")
        await page.keyboard.press("Enter")
        await expect(page.locator("#error-title")).to_have_text("E-Mail, Passwort oder Code ist falsch")
        assert "bob@example.com" not in await roles(eva, here)

        code = app.at(int(time.time()) + 30)  # the present one was spent when the second factor was switched on
        await page.locator("#one-time-code").fill(f"{code[:3]} {code[3:]}")
        await page.keyboard.press("Enter")
        await ends(page, "done", "Sie sind Mitglied von Nordwerk GmbH")
    assert (await roles(eva, here))["bob@example.com"] == "account_editor"


@pytest.mark.slow
async def test_address_that_got_a_user_meanwhile_is_asked_to_log_in(site: Site):
    eva, here = await host(site.world)
    await invite(eva, here, "bob@example.com")
    async with site.window(refused=["POST /v1/registrations 409"]) as window:
        page = await window.follow_mail("bob@example.com", "Nordwerk")
        await page.locator("#name").fill("Bob")
        await site.world.user("Bob")
        await page.locator("#password").fill(PASSWORD)
        await page.locator("#submit").click()
        await expect(page.locator("#submit")).to_have_text("Log in and accept")
        await page.locator("#password").fill(PASSWORD)
        async with page.expect_response(lambda answer: answer.request.method == "DELETE"):
            await page.locator("#submit").click()
        await ends(page, "done", "You are a member of Nordwerk GmbH")
    assert (await roles(eva, here))["bob@example.com"] == "account_editor"


@pytest.mark.slow
async def test_link_that_no_longer_works_says_why_in_the_readers_language(site: Site):
    eva, here = await host(site.world)
    people = ("used", "expired", "revoked", "replaced")
    made = {who: await invite(eva, here, f"{who}@example.com") for who in people}
    async with site.window() as window:
        links = {who: await window.link_of_mail(f"{who}@example.com", "Nordwerk") for who in people}
    assert len(set(links.values())) == 4

    body = {"token": links["used"].partition("#token=")[2], "name": "Uwe", "password": NEW_PASSWORD}
    assert (await eva.post(f"{made['replaced']}/resend")).status_code == 200
    assert (await eva.delete(made["revoked"], headers={"If-Match": "*"})).status_code == 204
    anonymous = await site.world.client()
    assert (await anonymous.post("/v1/registrations", json=body)).status_code == 201
    async with site.world.transaction(UUID(here.split("/")[3])) as db:
        expired = update(Invitation).where(Invitation.email == "expired@example.com")
        await db.execute(expired.values(expires_at=utc_now() - timedelta(seconds=1)))

    ended = {
        "en-GB": {
            "used": "This invitation was already accepted", "expired": "This invitation has expired",
            "revoked": "This invitation was withdrawn", "replaced": "There is a newer invitation",
            "not_found": "This link is incomplete",
        },
        "de-DE": {
            "used": "Diese Einladung wurde schon angenommen", "expired": "Diese Einladung ist abgelaufen",
            "revoked": "Diese Einladung wurde zurückgezogen", "replaced": "Es gibt eine neuere Einladung",
            "not_found": "Dieser Link ist unvollständig",
        },
    }  # fmt: skip
    refused = [f"POST /v1/invitations/preview {status}" for status in (404, 410, 410, 410, 410)]
    for locale, headings in ended.items():
        async with site.window(locale, refused=refused) as window:
            for who, link in links.items():  # in one tab: a link that is pasted into it counts
                page = await window.open(link)
                await ends(page, f"invitation_{who}", headings[who])
                await expect(page.locator("html")).to_have_attribute("lang", locale[:2])
                await expect(page.locator("#retry")).to_be_hidden()
                assert page.url == f"{site.url}/register"
            await ends(await window.open("/register"), "not_found", headings["not_found"])
            await window.open(links["used"][:-1])
            await ends(window.page, "not_found", headings["not_found"])

    async with site.window() as window:  # the newer one does work
        page = await window.follow_mail("replaced@example.com", "Reminder")
        await expect(page.locator("#title")).to_have_text("You are invited to join Nordwerk GmbH")


@pytest.mark.slow
async def test_invitation_into_an_archived_account_can_be_tried_again_once_it_is_restored(site: Site):
    eva, here = await host(site.world)
    await invite(eva, here, "nina@example.com")
    async with site.window(refused=["POST /v1/invitations/preview 409"]) as window:
        link = await window.link_of_mail("nina@example.com", "Nordwerk")
        assert (await eva.delete(here, headers={"If-Match": "*"})).status_code == 204
        page = await window.open(link)
        await ends(page, "account_archived", "The invitation cannot be accepted right now")
        assert (await eva.post(f"{here}/restore")).status_code == 200
        await page.locator("#retry").click()
        await expect(page.locator("#title")).to_have_text("You are invited to join Nordwerk GmbH")


@pytest.mark.slow
async def test_field_that_is_empty_or_refused_says_so_and_has_the_focus(site: Site):
    eva, here = await host(site.world)
    await invite(eva, here, "nina@example.com")
    said = {
        "en-GB": ("Enter your name.", "Enter a password.", "At least 12 characters.",
                  "Too easy to guess: it is a common password, or little more than your name or address."),
        "de-DE": ("Geben Sie Ihren Namen ein.", "Geben Sie ein Passwort ein.", "Mindestens 12 Zeichen.",
                  "Zu leicht zu erraten: ein häufiges Passwort, oder kaum mehr als Ihr Name oder Ihre Adresse."),
    }  # fmt: skip
    for locale, (no_name, no_password, too_short, too_common) in said.items():
        async with site.window(locale, refused=["POST /v1/registrations 422"] * 2) as window:
            page = await window.follow_mail("nina@example.com", "Nordwerk")
            await page.locator("#submit").click()
            await complains(page, "name", no_name)
            await expect(page.locator("#password-error")).to_have_text(no_password)
            await page.locator("#name").fill("Nina Nord")
            await page.keyboard.press("Enter")
            await complains(page, "password", no_password)
            await expect(page.locator("#name-error")).to_be_empty()
            for password, why in (("short", too_short), ("password12345", too_common)):
                await page.locator("#password").fill(password)
                await page.locator("#submit").click()
                await complains(page, "password", why)
    assert "nina@example.com" not in await roles(eva, here)


@pytest.mark.slow
async def test_lost_connection_is_said_at_the_form_and_the_same_input_goes_through_later(site: Site):
    eva, here = await host(site.world)
    await invite(eva, here, "nina@example.com")
    async with site.window() as window:
        page = await window.follow_mail("nina@example.com", "Nordwerk")
        await page.locator("#name").fill("Nina Nord")
        await page.locator("#password").fill(NEW_PASSWORD)
        await window.context.set_offline(True)
        await page.locator("#submit").click()
        await expect(page.locator("#error-title")).to_have_text("The service cannot be reached")
        await window.context.set_offline(False)
        await page.get_by_role("button", name="Try again").click()
        await ends(page, "done", "You are a member of Nordwerk GmbH")


@pytest.mark.slow
async def test_language_of_a_page_can_be_changed_and_input_stays(site: Site):
    async with site.window("fr-FR") as window:
        page = await window.open("/reset-password")
        await expect(page.locator("#title")).to_have_text("Reset your password")
        await page.locator("#email").fill("bob@example.com")
        await page.get_by_label("Language").select_option("de")
        await expect(page.locator("#title")).to_have_text("Passwort zurücksetzen")
        await expect(page.locator("html")).to_have_attribute("lang", "de")
        await expect(page.locator("#email")).to_have_value("bob@example.com")


# --- a new password ---


@pytest.mark.slow
async def test_forgotten_password_is_replaced_by_mail(site: Site):
    await site.world.user("Bob")
    async with site.window(refused=["POST /v1/password-resets/confirm 422"]) as window:
        page = await window.open("/reset-password")
        await page.locator("#submit").click()
        await complains(page, "email", "Enter your e-mail address.")
        await page.locator("#email").fill("bob at home")
        await page.keyboard.press("Enter")
        await complains(page, "email", "Enter a complete e-mail address, such as name@example.com.")
        await page.locator("#email").fill("bob@example.com")
        await page.keyboard.press("Enter")
        await ends(page, "done", "Look into your mailbox")

        page = await window.follow_mail("bob@example.com", "Choose a new password")
        await expect(page.locator("#title")).to_have_text("Choose a new password")
        assert page.url == f"{site.url}/reset-password"
        await tab_to(page, "#password")
        await page.keyboard.type("bob@example")
        await page.keyboard.press("Enter")
        await complains(page, "password", "At least 12 characters.")
        assert await log_in(site.world, "bob@example.com", PASSWORD) == 201
        await page.locator("#password").fill(NEW_PASSWORD)
        await page.keyboard.press("Enter")
        await ends(page, "done", "Your password is changed")
    assert await log_in(site.world, "bob@example.com", NEW_PASSWORD) == 201
    assert await log_in(site.world, "bob@example.com", PASSWORD) == 401


@pytest.mark.slow
async def test_reset_page_says_the_same_of_an_address_without_a_user(site: Site):
    await site.world.user("Bob")
    said: list[str] = []
    async with site.window() as window:
        for name in ("bob", "nobody"):
            page = await window.open("/reset-password")
            await page.locator("#email").fill(f"{name}@example.com")
            await page.keyboard.press("Enter")
            await ends(page, "done", "Look into your mailbox")
            said.append((await page.locator("main").inner_text()).replace(name, "…"))
        await window.open_mail("bob@example.com", "Choose a new password")
    assert said[0] == said[1]
    assert {mail["To"] for mail in await site.world.mails()} == {"bob@example.com"}


@pytest.mark.slow
async def test_reset_link_that_no_longer_works_says_why_and_offers_a_new_one(site: Site):
    links: dict[str, str] = {}
    async with site.window() as window:
        for name in ("used", "expired"):
            await site.world.user(name)
            anonymous = await site.world.client()
            asked = await anonymous.post("/v1/password-resets", json={"email": f"{name}@example.com"})
            assert asked.status_code == 202
            links[name] = await window.link_of_mail(f"{name}@example.com", "Choose a new password")
    body = {"token": links["used"].partition("#token=")[2], "password": NEW_PASSWORD}
    assert (await anonymous.post("/v1/password-resets/confirm", json=body)).status_code == 204
    async with site.world.transaction(PLATFORM) as db:
        expired = update(PasswordReset).where(PasswordReset.user_id == (await site.world.user("expired")).id)
        await db.execute(expired.values(expires_at=utc_now() - timedelta(seconds=1)))

    headings = {
        "en-GB": ("This link was already used", "This link has expired", "This link is incomplete"),
        "de-DE": ("Dieser Link wurde schon benutzt", "Dieser Link ist abgelaufen", "Dieser Link ist unvollständig"),
    }
    codes = ("reset_used", "reset_expired", "not_found")
    refused = [f"POST /v1/password-resets/confirm {status}" for status in (404, 410, 410)]
    for locale, expected in headings.items():
        async with site.window(locale, refused=refused) as window:
            for link, code, heading in zip((*links.values(), links["used"][:-1]), codes, expected, strict=True):
                page = await window.open(link)
                await page.locator("#password").fill("eleven violet candles")
                await page.keyboard.press("Enter")
                await ends(page, code, heading)
                await page.locator("#again a").click()
                await expect(page.locator("#email")).to_be_visible()
    assert await log_in(site.world, "expired@example.com", PASSWORD) == 201
    assert await log_in(site.world, "used@example.com", NEW_PASSWORD) == 201


# --- every page ---


@pytest.mark.slow
async def test_every_page_fits_a_phone_and_breaks_no_rule_of_its_own(site: Site):
    long = "W" * 120
    eva, here = await host(site.world, partner=long)
    await invite(eva, here, f"{'n' * 60}@example.com")
    async with site.window(size=PHONE, is_mobile=True, has_touch=True) as window:
        for path in PAGES:
            await window.open(path)
            await window.page.wait_for_load_state("networkidle")
            await expect(window.page.locator("h1:visible, .swagger-ui .opblock").first).to_be_visible(timeout=DRAWING)
            assert (path, await window.too_wide()) == (path, [])
        link = await window.link_of_mail(f"{'n' * 60}@example.com", "Nordwerk")
        await window.page.locator("details").last.click()
        await expect(window.page.locator("#mail-headers")).to_be_visible()
        assert await window.too_wide() == []
        mail = window.page.url
        await window.open(f"{mail}/html")
        assert await window.too_wide() == []
        await window.open(link)
        await expect(window.page.locator("#partner")).to_have_text(long)
        await window.page.locator("#submit").click()
        await expect(window.page.locator("#name-error")).to_be_visible()
        assert await window.too_wide() == []


async def test_every_page_forbids_what_it_does_not_need(world: World):
    api = await world.client()
    for path in PAGES:
        answer = await api.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
        policy = dict(rule.split(" ", 1) for rule in answer.headers["content-security-policy"].split("; "))
        assert (policy["default-src"], policy["script-src"]) == ("'none'", "'self'")
        assert (policy["frame-ancestors"], policy["form-action"]) == ("'none'", "'none'")
        more = {"/docs": ("'self' 'unsafe-inline'", "'self' data:")}.get(path, ("'self'", "'self'"))
        assert (policy["style-src"], policy["img-src"], policy["connect-src"]) == (*more, "'self'")
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-cache"
        assert not re.search(r"<script(?![^>]* src=)|\son\w+=|https?://", answer.text), path


async def test_page_file_is_sent_again_only_when_it_changed(world: World):
    api = await world.client()
    kinds = {"register.js": "text/javascript", "swagger-ui-bundle.js": "text/javascript", "style.css": "text/css",
             "icon.svg": "image/svg+xml"}  # fmt: skip
    for name, kind in kinds.items():
        first = await api.get(f"/pages/{name}")
        assert (first.status_code, first.headers["content-type"].partition(";")[0]) == (200, kind)
        again = await api.get(f"/pages/{name}", headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["cache-control"] == first.headers["cache-control"] == "no-cache"
    for name in ("base.html", "nothing.js", "..%2fmain.py", "%2e%2e", "x" * 400):
        assert problem(await api.get(f"/pages/{name}")) == (404, "not_found")


# --- the documentation ---


@pytest.mark.slow
async def test_documentation_works_offline_and_its_operations_can_be_tried(site: Site):
    token = await site.world.token("Olivia", operator=True)
    async with site.window(refused=["GET /v1/me 401"]) as window:
        page = await window.open("/docs")
        operations = sum(len(item) for item in site.world.app.openapi()["paths"].values())
        await expect(page.locator(".opblock")).to_have_count(operations, timeout=DRAWING)

        async def execute(tag: str, operation: str) -> str:
            await page.locator(".operation-filter-input").fill(tag)  # drawing all of them takes its time
            block = page.locator(f"#operations-{tag}-{operation}")
            if not await block.locator(".execute").count():
                await block.locator(".opblock-summary-control").click()
            await block.locator(".execute").click()
            answer = block.locator(".live-responses-table .response")
            await expect(answer).to_be_visible()
            return f"{await answer.locator('.response-col_status').inner_text()} {await answer.inner_text()}"

        roles = await execute("policy", "listRoles")
        assert roles.startswith("200")
        assert '"partner_admin"' in roles
        anonymous = await execute("me", "getMe")
        assert anonymous.startswith("401")
        assert '"unauthenticated"' in anonymous
        await expect(page.locator("#operations-me-getMe")).to_contain_text("x-permission")

        await page.locator(".auth-wrapper > .authorize").click()
        await page.locator(".modal-ux input").fill(token)
        await page.locator(".modal-ux button.authorize").click()
        await page.locator(".modal-ux button.btn-done").click()
        await page.locator("#operations-me-getMe .btn-clear").click()
        me = await execute("me", "getMe")
        assert me.startswith("200")
        assert '"olivia@example.com"' in me

        for _ in range(2):  # as it is filled in: no key that was used before goes along
            made = await execute("partners", "createPartner")
            assert made.startswith("201")
            assert '"Sensorhaus GmbH"' in made
            await page.locator("#operations-partners-createPartner .btn-clear").click()
        listed = await execute("partners", "listPartners")  # nor a cursor, nor a filter
        assert listed.startswith("200")
        assert listed.count('"Sensorhaus GmbH"') == 2
        words = page.locator("#operations-partners-listPartners .parameters")
        await expect(words.filter(has_text="Example: name:contains:nord").first).to_be_visible()


@pytest.mark.slow
async def test_problem_page_leads_to_the_operation_in_the_documentation(site: Site):
    async with site.window() as window:
        page = await window.open("/problems")
        await page.get_by_role("link", name="not_a_member").click()
        await page.get_by_role("link", name="switchAccount").click()
        await expect(page.locator("#operations-accounts-switchAccount.is-open")).to_be_visible(timeout=DRAWING)
        await page.get_by_role("link", name="Problems, by code").click(timeout=DRAWING)
        await page.get_by_role("link", name="too_many_api_clients").click()
        await page.get_by_role("link", name="createApiClient").click()
        await expect(page.locator("#operations-api_clients-createApiClient.is-open")).to_be_visible(timeout=DRAWING)


async def test_guides_are_linked_to_where_the_settings_say_that_they_are(settings: Settings):
    address = "https://guides.example.com/tenantry/"
    for given in ("", address):
        async with running(settings.model_copy(update={"guides_url": given})) as world:
            api = await world.client()
            for path in ("/", "/docs"):
                assert (f'href="{address}"' in (await api.get(path)).text) == bool(given), path
    with pytest.raises(ValidationError, match="guides_url"):
        Settings(_env_file=None, guides_url="javascript:alert(1)")  # pyright: ignore[reportCallIssue]


# --- problems ---


async def test_every_problem_has_a_page_that_says_what_to_do_and_where_it_comes_from(world: World):
    api = await world.client()
    overview = (await api.get("/problems")).text
    for code, kind in KINDS.items():
        answer = await api.get(f"/problems/{code}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
        shown = re.sub(r"&#39;", "'", answer.text)
        for words in (f'<code id="code">{code}</code>', *kind.title, *kind.detail, f"<dd>{kind.status}</dd>"):
            assert words in shown
        assert f'href="/problems/{code}"' in overview
    operations = {code: re.findall(r"/docs#/\w+/(\w+)", (await api.get(f"/problems/{code}")).text) for code in KINDS}
    assert operations["last_admin"] == [
        "updatePartnerMember", "removePartnerMember", "updateAccountMember", "removeAccountMember", "eraseMe",
    ]  # fmt: skip
    assert operations["refresh_raced"] == ["refreshSession"]
    assert "Every operation can." in (await api.get("/problems/unavailable")).text
    assert "None: " in (await api.get("/problems/method_not_allowed")).text
    assert problem(await api.get("/problems/no_such_code")) == (404, "not_found")


async def test_type_of_a_real_problem_is_the_address_of_its_page(world: World):
    eva, here = await host(world)
    anonymous = await world.client()
    met = [
        await anonymous.get("/nowhere"),
        await anonymous.put("/v1/roles"),
        await anonymous.get("/v1/me"),
        await anonymous.post("/v1/sessions", content=b"{", headers={"Content-Type": "application/json"}),
        await eva.post(f"{here}/invitations", json={}),
        await eva.patch(here, json={"name": "Other"}),
        await eva.delete(f"{here}/members/{(await world.user('Eva')).id}", headers={"If-Match": "*"}),
    ]
    codes = ("not_found", "method_not_allowed", "unauthenticated", "malformed_request", "invalid",
             "precondition_required", "last_admin")  # fmt: skip
    for answer, code in zip(met, codes, strict=True):
        assert problem(answer)[1] == code
        kind: str = answer.json()["type"]
        assert kind.startswith(f"{world.settings.url}/problems/")
        page = await anonymous.get(kind.removeprefix(world.settings.url))
        assert page.status_code == 200
        assert f'<code id="code">{code}</code>' in page.text


# --- the development mailbox ---


async def test_mailbox_exists_in_development_without_a_mail_server_only(world: World):
    api = await world.client()
    assert (await api.get("/dev/mail")).status_code == 200
    assert "/dev/mail" in (await api.get("/")).text
    smtp = SecretStr("smtp://127.0.0.1:1")
    production = {"environment": "production", "public_url": "https://tenantry.example.com"}
    kept = EmailMessage()
    kept["Message-ID"] = "<kept@localhost>"
    kept.set_content("From earlier days.")
    await world.mailbox.send(kept)
    assert (await api.get("/dev/mail/kept")).status_code == 200
    for change in ({}, production):
        async with running(world.settings.model_copy(update={"smtp_url": smtp, **change})) as other:
            api = await other.client()
            for path in ("/dev/mail", "/dev/mail/kept", "/dev/mail/kept/html"):
                assert problem(await api.get(path)) == (404, "not_found")
            assert "/dev/mail" not in (await api.get("/")).text


async def test_mail_id_leads_to_no_other_file(world: World, tmp_path: Path):
    eva, here = await host(world)
    await invite(eva, here, "nina@example.com")
    await world.mails()
    (mail,) = world.mailbox.listed()
    assert (await eva.get(f"/dev/mail/{mail.id}")).status_code == 200
    for outside in (world.settings.data_dir / "secret.eml", tmp_path / "secret.eml"):
        outside.write_text("Subject: Secret\n\nsecret")
    for mail_id in ("../secret", "..%2fsecret", "..%2f..%2fsecret", "%2e%2e%2fsecret", "..%5csecret", "..", "*", "secret",
                    f"{tmp_path}/secret", f"..%2fmailbox%2f{mail.id}", "x" * 400, f"{mail.id}.eml"):  # fmt: skip
        for path in (f"/dev/mail/{mail_id}", f"/dev/mail/{mail_id}/html"):
            assert problem(await eva.get(path)) == (404, "not_found"), path


@pytest.mark.slow
async def test_names_in_a_mail_are_words_and_never_markup(site: Site):
    name = "<script>document.title = 'owned'</script><b>&amp;"
    eva, here = await host(site.world, partner=name)
    await invite(eva, here, "nina@example.com")
    async with site.window() as window:
        page = await window.open_mail("nina@example.com", "Nordwerk")
        await expect(page.frame_locator("#mail iframe").get_by_text(name, exact=True)).to_be_visible()
        await expect(page.locator("#mail-text")).to_contain_text(name)
        answer = await eva.get(f"{urlsplit(page.url).path}/html")
        assert "<script" not in answer.text
        tab = await window.follow_mail("nina@example.com", "Nordwerk")
        await expect(tab.locator("#partner")).to_have_text(name)


@pytest.mark.slow
async def test_mail_with_a_script_cannot_run_it_nor_load_anything(site: Site):
    hostile = EmailMessage()
    hostile["Message-ID"], hostile["To"], hostile["Subject"] = "<hostile@localhost>", "nina@example.com", "Hostile"
    hostile.set_content("<script>document.title = 'owned'</script>")
    hostile.add_alternative(
        "<p id=mark>still here</p><script>document.body.textContent = parent.document.title = 'owned'</script>"
        f"<img src=http://127.0.0.1:9/x onerror=\"this.outerHTML='owned'\"><iframe src={site.url}/problems></iframe>",
        subtype="html",
    )
    mailbox = Mailbox(site.world.settings.data_dir / "mailbox")
    await mailbox.send(hostile)
    answer = await (await site.world.client()).get("/dev/mail/hostile/html")
    policy = answer.headers["content-security-policy"].split("; ")
    assert "default-src 'none'" in policy
    assert "sandbox allow-popups allow-popups-to-escape-sandbox" in policy
    assert "frame-ancestors 'self'" in policy
    async with site.window() as window:
        page = await window.open_mail("nina@example.com", "Hostile")
        await expect(page.frame_locator("#mail iframe").locator("#mark")).to_have_text("still here")
        assert await page.title() == "Hostile – Tenantry development"
        await window.open("/dev/mail/hostile/html")
        await expect(page.locator("#mark")).to_have_text("still here")
        assert await page.title() != "owned"
        assert [c for c in window.complaints if "Blocked script execution" in c]
        window.complaints.clear()  # each names what the sandbox and the policy kept from happening
