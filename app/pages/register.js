// Accept an invitation: register as a new user, or log in as the one that exists.

import { ask, byId, call, Failure, finish, giveUp, language, onSubmit, say, show, speak, takeToken } from "./common.js";

const inactive = ["partner_suspended", "partner_management_off", "account_suspended", "account_archived"];

const words = {
  en: {
    title: "You are invited to join {place}",
    partner: "Partner",
    account: "Account",
    role: "Your role",
    inviter: "Invited by",
    until: "Valid until",
    partner_admin: "Partner administrator",
    partner_manager: "Partner manager",
    partner_viewer: "Partner viewer",
    account_admin: "Account administrator",
    account_editor: "Account editor",
    account_viewer: "Account viewer",
    "intro.new": "Enter your name and choose a password to accept. If you do not want to join, just close this page.",
    "intro.known":
      "There is already a user with your address. Log in to accept. If you do not want to join, just close this page.",
    name: "Your name",
    "name.missing": "Enter your name.",
    "password.new": "Choose a password",
    "password.known": "Password",
    "one-time-code": "One-time code",
    "one-time-code.hint": "The six digits from your authenticator app, or a recovery code.",
    "one-time-code.missing": "Enter the code from your authenticator app.",
    forgot: "Forgot your password? (opens a new tab)",
    "submit.new": "Register and accept",
    "submit.known": "Log in and accept",
    "done.title": "You are a member of {place}",
    "done.detail": "From now on, log in with {email} and your password. You can close this page.",
    "not_found.title": "This link is incomplete",
    "not_found.detail": "Open the link in the invitation mail again, or copy all of it into the address bar.",
    "invitation_used.title": "This invitation was already accepted",
    "invitation_used.detail": "If that was you, you are a member already and can log in. If not, tell whoever invited you.",
    "invitation_expired.title": "This invitation has expired",
    "invitation_expired.detail": "Ask whoever invited you to send it again.",
    "invitation_revoked.title": "This invitation was withdrawn",
    "invitation_revoked.detail": "If you did not expect that, ask whoever invited you.",
    "invitation_replaced.title": "There is a newer invitation",
    "invitation_replaced.detail": "It was sent to you again. Please use the link in the newest mail.",
    "already_member.title": "You are a member already",
    "already_member.detail": "There is nothing left to accept. You can close this page.",
    "inactive.title": "The invitation cannot be accepted right now",
    "inactive.detail": "The partner or account that invited you is not active. Ask whoever invited you.",
  },
  de: {
    title: "Sie sind eingeladen: {place}",
    partner: "Partner",
    account: "Konto",
    role: "Ihre Rolle",
    inviter: "Eingeladen von",
    until: "Gültig bis",
    partner_admin: "Partner-Administration",
    partner_manager: "Partner-Verwaltung",
    partner_viewer: "Partner-Lesezugriff",
    account_admin: "Konto-Administration",
    account_editor: "Konto-Bearbeitung",
    account_viewer: "Konto-Lesezugriff",
    "intro.new":
      "Geben Sie Ihren Namen ein und wählen Sie ein Passwort, um anzunehmen. Möchten Sie nicht, schließen Sie einfach diese Seite.",
    "intro.known":
      "Zu Ihrer Adresse gibt es schon einen Benutzer. Melden Sie sich an, um anzunehmen. Möchten Sie nicht, schließen Sie einfach diese Seite.",
    name: "Ihr Name",
    "name.missing": "Geben Sie Ihren Namen ein.",
    "password.new": "Passwort wählen",
    "password.known": "Passwort",
    "one-time-code": "Einmalcode",
    "one-time-code.hint": "Die sechs Ziffern aus Ihrer Authenticator-App oder ein Wiederherstellungscode.",
    "one-time-code.missing": "Geben Sie den Code aus Ihrer Authenticator-App ein.",
    forgot: "Passwort vergessen? (öffnet einen neuen Tab)",
    "submit.new": "Registrieren und annehmen",
    "submit.known": "Anmelden und annehmen",
    "done.title": "Sie sind Mitglied von {place}",
    "done.detail": "Melden Sie sich ab jetzt mit {email} und Ihrem Passwort an. Sie können diese Seite schließen.",
    "not_found.title": "Dieser Link ist unvollständig",
    "not_found.detail": "Öffnen Sie den Link in der Einladung noch einmal, oder kopieren Sie ihn ganz in die Adresszeile.",
    "invitation_used.title": "Diese Einladung wurde schon angenommen",
    "invitation_used.detail":
      "Waren Sie das, dann sind Sie bereits Mitglied und können sich anmelden. Sonst sagen Sie es der Person, die Sie eingeladen hat.",
    "invitation_expired.title": "Diese Einladung ist abgelaufen",
    "invitation_expired.detail": "Bitten Sie die Person, die Sie eingeladen hat, sie neu zu senden.",
    "invitation_revoked.title": "Diese Einladung wurde zurückgezogen",
    "invitation_revoked.detail": "Haben Sie das nicht erwartet, fragen Sie die Person, die Sie eingeladen hat.",
    "invitation_replaced.title": "Es gibt eine neuere Einladung",
    "invitation_replaced.detail": "Sie wurde Ihnen neu gesendet. Bitte verwenden Sie den Link in der neuesten Mail.",
    "already_member.title": "Sie sind bereits Mitglied",
    "already_member.detail": "Es gibt nichts mehr anzunehmen. Sie können diese Seite schließen.",
    "inactive.title": "Die Einladung kann gerade nicht angenommen werden",
    "inactive.detail":
      "Der Partner oder das Konto, das Sie eingeladen hat, ist nicht aktiv. Fragen Sie die Person, die Sie eingeladen hat.",
  },
};

for (const code of inactive) {
  for (const own of Object.values(words)) {
    own[`${code}.title`] = own["inactive.title"];
    own[`${code}.detail`] = own["inactive.detail"];
  }
}

speak(words, writeExpiry);
const token = takeToken();
let invitation; // what the preview said
onSubmit(accept, start);
start();

async function start() {
  show("loading");
  try {
    if (!token) throw new Failure({ status: 404, code: "not_found" });
    invitation = await call("POST", "/v1/invitations/preview", { token });
    writeInvitation();
    show("task");
  } catch (error) {
    giveUp(error, start);
  }
}

function place() {
  return (invitation.account ?? invitation.partner).name;
}

function writeInvitation() {
  const { partner, account, role, invited_by: inviter, email, user_exists: known } = invitation;
  say(byId("title"), "title", { place: place() });
  const rows = { partner: partner.name, account: account?.name, inviter };
  for (const [id, words] of Object.entries(rows)) {
    byId(id).textContent = words ?? "";
    byId(id).parentElement.hidden = !words;
  }
  say(byId("role"), role);
  writeExpiry();
  const kind = known ? "known" : "new";
  say(byId("intro"), `intro.${kind}`);
  say(byId("password-label"), `password.${kind}`);
  byId("email").value = email;
  byId("password").autocomplete = known ? "current-password" : "new-password";
  byId("password-hint").hidden = known;
  byId("forgot").hidden = !known;
  ask("name", !known);
  ask("one-time-code", false);
  byId("form").dataset.submit = `submit.${kind}`;
  say(byId("submit-label"), `submit.${kind}`);
}

function writeExpiry() {
  if (!invitation) return;
  const parts = { day: "numeric", month: "long", year: "numeric", hour: "2-digit", minute: "2-digit", timeZoneName: "short" };
  const locale = language === "de" ? "de-DE" : "en-GB";
  byId("until").textContent = new Intl.DateTimeFormat(locale, parts).format(new Date(invitation.expires_at));
}

async function accept() {
  try {
    if (invitation.user_exists) await acceptAsKnown();
    else await acceptAsNew();
  } catch (failure) {
    if (failure.code === "log_in_required") return start(); // the address got a user in the meantime
    if (failure.code !== "one_time_code_required") throw failure;
    ask("one-time-code", true);
    byId("one-time-code").focus();
    return undefined;
  }
  byId("form").reset();
  return finish({ place: place(), email: invitation.email });
}

function acceptAsNew() {
  const [name, password] = [byId("name").value, byId("password").value];
  return call("POST", "/v1/registrations", { token, name, password, language });
}

/** Log in, accept, log out again: this page keeps no session. */
async function acceptAsKnown() {
  const credentials = { email: invitation.email, password: byId("password").value };
  if (!byId("one-time-code").disabled) credentials.one_time_code = byId("one-time-code").value.replace(/\s/g, "");
  const { access_token: bearer } = await call("POST", "/v1/sessions", credentials);
  byId("one-time-code").value = ""; // it is good for one log-in
  try {
    await call("POST", "/v1/registrations", { token }, bearer);
  } finally {
    call("DELETE", "/v1/sessions", undefined, bearer).catch(() => {}); // else the session ends by itself
  }
}
