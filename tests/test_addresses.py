"""E-mail addresses: which ones are the same mailbox. Never two of one mailbox, never two mailboxes as one."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app import words
from app.policy import Role
from tests.conftest import World, problem, token_of

# Each line: spellings of one mailbox. Different lines are different mailboxes.
MAILBOXES = (
    ("anna@example.com", "Anna@example.com", "ANNA@EXAMPLE.COM", "anna@Example.Com", " anna@example.com", "anna@example.com\t",
     "anna@example.com\u00a0", "anna@ｅｘａｍｐｌｅ.com", "anna@example．com", "anna@example。com", "anna@example｡com",
     "anna@𝐞xample.com", "anna@ⓔxample.com", "anna@ℯxample.com", "anna@exampl\u1d49.com"),
    ("anna+a@example.com", "ANNA+A@example.com"),
    ("anna+b@example.com",),
    ("anna+@example.com",),
    ("an.na@example.com", "AN.NA@example.com"),
    ("a.nna@example.com",),
    ("anna-a@example.com",),
    ("anna_a@example.com",),
    ("anna%a@example.com",),
    ("anna=a@example.com",),
    ("anna'a@example.com",),
    ("anna/a@example.com",),
    ("anna!a@example.com",),
    ("anna`a@example.com",),
    ("anna{a@example.com",),
    ("anna~a@example.com",),
    ("anna*a@example.com",),
    ("anna^a@example.com",),
    ("anna#a@example.com",),
    ("anna$a@example.com",),
    ("anna&a@example.com",),
    ("anna?a@example.com",),
    ("anna|a@example.com",),
    ("anna1@example.com",),
    ("annal@example.com", "ANNAL@example.com"),
    ("annaI@example.com", "annai@example.com"),
    ("anna0@example.com",),
    ("annao@example.com", "annaO@example.com"),
    ("rn@example.com",),
    ("m@example.com",),
    ("anna@mail.example.com",),
    ("anna@example.org",),
    ("anna@example.com.de",),
    ("anna@examp1e.com",),
    ("anna@exarnple.com",),
    ("anna@exam-ple.com",),
    ("anna@müller.de", "anna@MÜLLER.de", "anna@mu\u0308ller.de", "anna@xn--mller-kva.de", "Anna@XN--MLLER-KVA.DE", "anna@ｍüller.de"),
    ("anna@muller.de",),
    ("anna@mueller.de",),
    ("anna@straße.de", "anna@xn--strae-oqa.de", "anna@STRAẞE.de"),
    ("anna@strasse.de", "anna@STRASSE.DE", "anna@ſtrasse.de"),
    ("anna@пример.рф", "anna@ПРИМЕР.РФ", "anna@xn--e1afmkfd.xn--p1ai"),
    ("anna@例え.jp", "anna@xn--r8jz45g.jp"),
    ("anna@пaypal.com", "anna@xn--aypal-oye.com"),
    ("anna@paypal.com", "anna@PayPal.com", "anna@ᵖaypal.com"),
    ("anna@раypal.com",),  # Cyrillic er and a: another domain, however alike it looks
    ("anna@paypaⅼ.de", "anna@paypal.de"),  # a Roman numeral that domains take for the letter
    ("anna@paypaⅰ.de", "anna@paypai.de"),
    ("anna@ﬁsh.com", "anna@fish.com"),
    ("anna@σίσυφος.gr", "anna@ΣΊΣΥΦΟς.gr"),
    ("anna@ο.gr",),  # Greek omicron
    ("anna@o.gr",),
    ("anna@о.gr",),  # Cyrillic o
    ("anna@x1.com", "anna@x①.com", "anna@x¹.com", "anna@x１.com"),
)  # fmt: skip

# What cannot be told apart, is no mailbox on the Internet, or hides something: refused, never guessed at.
REFUSED = (
    "", " ", "anna", "@", "anna@", "@example.com", "anna@@example.com", "anna@b@example.com", "anna＠example.com",
    "anna﹫example.com", "аnna@example.com", "ａnna@example.com", "аnnа@еxample.com", "änna@example.com", "a\u0308nna@example.com",
    "\u212aarl@example.com", "\u017fam@example.com", "ﬁsh@example.com", "ann\u0131@example.com", "ANN\u0130@example.com",
    "an\u200bna@example.com", "an\u200cna@example.com", "an\u200dna@example.com", "\ufeffanna@example.com", "an\u00adna@example.com",
    "anna\u202e@example.com", "anna@exam\u200bple.com", "anna@exam\u200dple.com", "anna@exam\u202eple.com", "anna@exam\u00adple.com",
    "anna@exam\u2060ple.com", "anna@example.com.", "anna@.example.com", "anna@example..com", ".anna@example.com", "anna.@example.com",
    "an..na@example.com", "anna@-example.com", "anna@example-.com", "anna@exam_ple.com", "anna@exam ple.com", "an na@example.com",
    "anna@example", "anna@localhost", "anna@127.0.0.1", "anna@[127.0.0.1]", "anna@[IPv6:::1]", '"anna"@example.com',
    '"an na"@example.com', "anna(comment)@example.com", "Anna <anna@example.com>", "<anna@example.com>", "anna@example.com,bob@example.com",
    "anna@example.com;bob@example.com", "anna@example.com bob@example.com", "anna\r\nBcc: bob@example.com", "anna@example.com\nBcc:bob",
    "anna\u2028@example.com", "anna@xn--.com", "anna@xn--0.com", "anna@ex:ample.com", "anna@example.com:25", "mailto:anna@example.com/",
    "anna%00@exa%00mple.com", "anna@" + "a" * 64 + ".com", "anna@" + "a." * 124 + "com", "anna@exa\u2044mple.com",
    "anna@a℀b.com",
)  # fmt: skip


def test_spellings_of_one_mailbox_have_one_key():
    for first, *others in MAILBOXES:
        for other in others:
            assert words.email_key(other) == words.email_key(first), other


def test_different_mailboxes_have_different_keys():
    keys = [words.email_key(first) for first, *_ in MAILBOXES]
    assert len(keys) * (len(keys) - 1) // 2 > 1000  # pairs
    assert len(set(keys)) == len(keys)


def test_a_key_and_a_normal_form_are_stable():
    for first, *others in MAILBOXES:
        for address in (first, *others):
            key, normal = words.email_key(address), words.email(address)
            assert words.email_key(key) == words.email_key(normal) == key
            assert words.email(normal) == normal
            assert key.isascii()
            assert unicodedata.is_normalized("NFC", normal)


def test_what_is_no_clear_mailbox_is_refused():
    for address in REFUSED:
        for form in (words.email, words.email_key):
            with pytest.raises(ValueError, match=r"^not an e-mail address$"):
                form(address)


async def test_one_mailbox_has_one_invitation_and_one_user(world: World):
    partner = await world.partner(Anna=Role.PARTNER_ADMIN)
    anna, api = await world.client("Anna"), await world.client()
    here = f"/v1/partners/{partner.id}/invitations"
    first, *others = (
        "eva@müller.example",
        "EVA@MU\u0308LLER.example",
        "eva@xn--mller-kva.example",
        " Eva@ｍüller.example",
    )

    async def invite(email: str):
        return await anna.post(here, json={"email": email, "role": "partner_viewer"})

    assert (await invite(first)).status_code == 201
    for other in others:
        assert problem(await invite(other)) == (409, "already_invited"), other
    new = {"token": token_of((await world.mails())[0]), "name": "Eva", "password": "nine purple lanterns"}
    joined = await api.post("/v1/registrations", json=new)
    assert joined.status_code == 201, joined.text
    for other in (first, *others):
        assert problem(await invite(other)) == (409, "already_member"), other
        opened = await api.post("/v1/sessions", json={"email": other, "password": new["password"]})
        assert opened.status_code == 201, opened.text
        eva = await world.client(token=opened.json()["access_token"])
        assert (await eva.get("/v1/me")).json()["id"] == joined.json()["user"]["id"]


async def test_different_mailboxes_are_invited_side_by_side(world: World):
    partner = await world.partner(Anna=Role.PARTNER_ADMIN)
    anna, api = await world.client("Anna"), await world.client()
    here = f"/v1/partners/{partner.id}/invitations"
    different = (
        "eva@muller.example",
        "eva@müller.example",
        "eva+1@muller.example",
        "e.va@muller.example",
        "eva@mail.muller.example",
    )
    for email in different:
        answer = await anna.post(here, json={"email": email, "role": "partner_viewer"})
        assert answer.status_code == 201, answer.text
    mails = await world.mails()
    assert {str(m["To"]) for m in mails} == {words.email_key(e) for e in different}
    users = set[str]()
    for mail in mails:
        new = {"token": token_of(mail), "name": "Eva", "password": "nine purple lanterns"}
        joined = await api.post("/v1/registrations", json=new)
        assert joined.status_code == 201, joined.text
        assert words.email_key(joined.json()["user"]["email"]) == mail["To"]
        users.add(joined.json()["user"]["id"])
    assert len(users) == len(different)


async def test_an_unclear_address_cannot_be_invited(world: World):
    partner = await world.partner(Anna=Role.PARTNER_ADMIN)
    anna = await world.client("Anna")
    here = f"/v1/partners/{partner.id}/invitations"
    for address in REFUSED:
        answer = await anna.post(here, json={"email": address, "role": "partner_viewer"})
        assert problem(answer) == (422, "invalid"), address
        assert [e["pointer"] for e in answer.json()["errors"]] == ["/email"]
    assert (await anna.get(here)).json()["items"] == []
    assert await world.mails() == []


PARTS = st.text("ab.Z0_+-@ é", max_size=12) | st.sampled_from(
    ["test", "local", "arpa", "onion", "com", "xn--bcher-kva.com", "a--b.de", "A.com", "a.b-c.example", "www.x.org", "a" * 63,
     "a" * 64 + ".de", "x.1", "x.co1", "in-addr.arpa", "localhost", "x.localhost", "b.invalid"])  # fmt: skip


@given(local=PARTS, domain=st.lists(PARTS, min_size=1, max_size=3).map(".".join))
@example(local="a" * 64, domain="example.com")
@example(local="a" * 65, domain="example.com")
def test_what_is_taken_without_the_validator_is_what_the_validator_leaves_as_it_is(local: str, domain: str):
    address = f"{local}@{domain}"
    if words._is_plain(address):
        assert words.email(address) == words._validated(address).normalized == address
        assert words.email_key(address) == address.lower()
