// Ask for a reset mail; or, with the token of that mail, choose a new password.

import { ask, byId, call, finish, onSubmit, say, show, speak, takeToken } from "./common.js";

const requesting = {
  en: {
    title: "Reset your password",
    intro: "Enter your e-mail address. We send you a link with which you can choose a new password.",
    submit: "Send the link",
    "done.title": "Look into your mailbox",
    "done.detail":
      "If there is a user with the address {email}, a mail is on its way. It may take a few minutes; look into the spam folder too.",
  },
  de: {
    title: "Passwort zurücksetzen",
    intro: "Geben Sie Ihre E-Mail-Adresse ein. Wir senden Ihnen einen Link, mit dem Sie ein neues Passwort wählen können.",
    submit: "Link senden",
    "done.title": "Sehen Sie in Ihr Postfach",
    "done.detail":
      "Wenn es zur Adresse {email} einen Benutzer gibt, ist eine Mail unterwegs. Das kann einige Minuten dauern; sehen Sie auch im Spam-Ordner nach.",
  },
};

const confirming = {
  en: {
    title: "Choose a new password",
    intro: "It replaces your old password at once, and you are logged out everywhere.",
    password: "New password",
    submit: "Save the new password",
    again: "Ask for a new mail",
    "done.title": "Your password is changed",
    "done.detail": "From now on, log in with the new password. You can close this page.",
    "reset_used.title": "This link was already used",
    "reset_used.detail": "Each link works once. If you still need a new password, ask for a new mail.",
    "reset_expired.title": "This link has expired",
    "reset_expired.detail": "For your safety it works for a short time only. Ask for a new mail.",
    "not_found.title": "This link is incomplete",
    "not_found.detail": "Open the link in the mail again, or copy all of it into the address bar. You can also ask for a new mail.",
  },
  de: {
    title: "Neues Passwort wählen",
    intro: "Es ersetzt Ihr altes Passwort sofort, und Sie werden überall abgemeldet.",
    password: "Neues Passwort",
    submit: "Neues Passwort speichern",
    again: "Neue Mail anfordern",
    "done.title": "Ihr Passwort ist geändert",
    "done.detail": "Melden Sie sich ab jetzt mit dem neuen Passwort an. Sie können diese Seite schließen.",
    "reset_used.title": "Dieser Link wurde schon benutzt",
    "reset_used.detail": "Jeder Link gilt einmal. Brauchen Sie noch ein neues Passwort, fordern Sie eine neue Mail an.",
    "reset_expired.title": "Dieser Link ist abgelaufen",
    "reset_expired.detail": "Zu Ihrer Sicherheit gilt er nur kurze Zeit. Fordern Sie eine neue Mail an.",
    "not_found.title": "Dieser Link ist unvollständig",
    "not_found.detail":
      "Öffnen Sie den Link in der Mail noch einmal, oder kopieren Sie ihn ganz in die Adresszeile. Sie können auch eine neue Mail anfordern.",
  },
};

const token = takeToken();
speak(token === null ? requesting : confirming);
ask("email", token === null);
ask("password", token !== null);
say(byId("title"), "title");
say(byId("intro"), "intro");
say(byId("submit-label"), "submit");
byId("form").dataset.submit = "submit";
byId("again").hidden = token === null; // with a token, each end but the good one needs it
onSubmit(token === null ? request : confirm, () => show("task"));
show("task");

async function request() {
  const email = byId("email").value.trim();
  await call("POST", "/v1/password-resets", { email });
  finish({ email });
}

async function confirm() {
  await call("POST", "/v1/password-resets/confirm", { token, password: byId("password").value });
  byId("form").reset();
  byId("again").hidden = true;
  finish();
}
