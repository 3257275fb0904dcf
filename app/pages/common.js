// What the pages share: language, calls to the API, one form (#form) and one final state (#result).
// The server's words and the names of partners and people are data: they only ever become textContent.

import { shared } from "./words.js";

export const byId = (id) => document.getElementById(id);

// --- language: the first of the browser's that we speak; a choice lives as long as the page ---

const texts = { en: {}, de: {} };
const preferred = navigator.languages.map((tag) => tag.slice(0, 2).toLowerCase());
export let language = preferred.find((tag) => tag in texts) ?? "en";

function text(key, values = {}) {
  return texts[language][key]?.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/** Put our own words into an element; they follow the language from then on. */
export function say(element, key, values = {}) {
  element.dataset.text = key;
  element.dataset.values = JSON.stringify(values);
  element.removeAttribute("lang");
  element.textContent = text(key, values);
}

/** Put the server's words into an element; they stay in the language in which they were asked for. */
function quote(element, words) {
  delete element.dataset.text;
  element.lang = language;
  element.textContent = words;
}

function translate() {
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-text]")) {
    element.textContent = text(element.dataset.text, JSON.parse(element.dataset.values ?? "{}"));
  }
  for (const element of document.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", text(element.dataset.label));
  }
  entitle();
}

function entitle() {
  const heading = document.querySelector("main > section:not([hidden]) h1");
  document.title = heading ? `${heading.textContent} – Tenantry` : "Tenantry";
}

/** Learn the page's words and follow the language switch. `changed` redraws what `say` cannot. */
export function speak(own, changed = () => {}) {
  for (const tag of Object.keys(texts)) Object.assign(texts[tag], shared[tag], own[tag]);
  byId("language").value = language;
  byId("language").addEventListener("change", (event) => {
    language = event.target.value;
    translate();
    changed();
  });
  for (const button of document.querySelectorAll("button[data-shows]")) button.addEventListener("click", toggle);
  translate();
}

function toggle({ currentTarget: button }) {
  const input = byId(button.dataset.shows);
  input.type = input.type === "password" ? "text" : "password";
  button.dataset.text = input.type === "password" ? "show" : "hide";
  button.dataset.label = `${button.dataset.text}.label`;
  translate();
}

/** The token of the link, taken out of the address bar at once; null without one. */
export function takeToken() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (location.hash) history.replaceState(null, "", location.pathname);
  addEventListener("hashchange", () => location.reload()); // another link was pasted into this tab
  return token;
}

// --- calls ---

export class Failure extends Error {
  constructor({ status = 0, code = "unexpected", title, detail, errors = [], request_id: id = "–" }, seconds = 60) {
    super(code);
    const time = new Date(Date.now() + seconds * 1000).toLocaleTimeString("en-GB");
    Object.assign(this, { status, code, title, detail, errors, values: { id, time } });
    if (errors.some((error) => error.pointer === "/token")) Object.assign(this, { status: 404, code: "not_found" });
  }

  /** Write it as a heading and a paragraph: in our words where we have some for it, else in the server's. */
  explain(heading, paragraph) {
    const kind = this.status === 429 ? "too_many_attempts" : this.status >= 500 ? "unexpected" : this.code;
    const key = [kind, this.title ? "" : "unexpected"].find((known) => `${known}.title` in texts.en);
    if (key) say(heading, `${key}.title`, this.values);
    else quote(heading, this.title);
    if (key) say(paragraph, `${key}.detail`, this.values);
    else quote(paragraph, this.detail);
  }
}

/** Call the API: the JSON of its answer, or a Failure. It is sent even when the page is being left. */
export async function call(method, path, body, bearer) {
  const headers = { Accept: "application/json, application/problem+json", "Accept-Language": language };
  if (body) headers["Content-Type"] = "application/json";
  if (bearer) headers.Authorization = `Bearer ${bearer}`;
  const options = { method, headers, body: body && JSON.stringify(body), credentials: "omit", keepalive: true };
  let response, content;
  try {
    response = await fetch(path, { ...options, cache: "no-store", signal: AbortSignal.timeout(20_000) });
    content = await response.text();
  } catch {
    throw new Failure({ code: "network" });
  }
  const isJson = /\bjson\b/.test(response.headers.get("Content-Type"));
  const answer = isJson && content ? JSON.parse(content) : {};
  if (response.ok) return answer;
  throw new Failure({ ...answer, status: response.status }, Number(response.headers.get("Retry-After")) || undefined);
}

// --- what the reader sees: one section of <main> at a time ---

export function show(id) {
  for (const section of document.querySelectorAll("main > section")) section.hidden = section.id !== id;
  entitle();
  byId(id).querySelector("h1")?.focus();
}

/** The good end. */
export function finish(values) {
  byId("status").dataset.code = "done";
  say(byId("status"), "done.title", values);
  say(byId("status-detail"), "done.detail", values);
  byId("retry").hidden = true;
  show("result");
}

/** A failure that no input on this page can mend; `retry` is offered where another try may help. */
export function giveUp(error, retry) {
  const failure = asFailure(error);
  byId("status").dataset.code = failure.code;
  failure.explain(byId("status"), byId("status-detail"));
  byId("retry").hidden = [404, 410].includes(failure.status) || failure.code === "already_member";
  byId("retry").onclick = retry;
  show("result");
}

function asFailure(error) {
  if (error instanceof Failure) return error;
  console.error(error); // a mistake of ours
  return new Failure({});
}

/** Show a field and require it, or take it out of the form. */
export function ask(id, wanted) {
  byId(id).disabled = !wanted;
  byId(id).closest(".field").hidden = !wanted;
}

/** Send #form, once at a time. What is missing and what fails is shown in it, or `retry` is offered instead of it. */
export function onSubmit(send, retry) {
  let sending = false;
  byId("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    if (sending || !complete()) return;
    sending = setSending(true);
    try {
      await send();
      sending = setSending(false);
    } catch (error) {
      const failure = asFailure(error);
      sending = setSending(false, failure.code === "network" ? "retry" : undefined);
      if ([403, 404, 409, 410].includes(failure.status)) giveUp(failure, retry);
      else complain(failure);
    }
  });
}

function setSending(sending, label = byId("form").dataset.submit) {
  byId("form").ariaBusy = String(sending);
  byId("submit").setAttribute("aria-disabled", String(sending)); // not `disabled`, which would lose the focus
  say(byId("submit-label"), sending ? "sending" : label);
  return sending;
}

function complete() {
  for (const input of byId("form").querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
  for (const message of byId("form").querySelectorAll(".field-error")) quote(message, "");
  byId("error").hidden = true;
  const wrong = [...byId("form").elements].filter((input) => input.willValidate && !input.checkValidity());
  for (const input of wrong) {
    mark(input, (message) => say(message, `${input.id}.${input.validity.valueMissing ? "missing" : "invalid"}`));
  }
  if (wrong.length) complain(new Failure({ code: "invalid" }));
  return !wrong.length;
}

function mark(input, write) {
  input.setAttribute("aria-invalid", "true");
  write(byId(`${input.id}-error`));
}

function complain(failure) {
  for (const { pointer, detail } of failure.errors) {
    const input = byId("form").elements[pointer.slice(1).replaceAll("_", "-")];
    if (input) mark(input, (message) => quote(message, detail));
  }
  const marked = byId("form").querySelector("[aria-invalid]");
  byId("error").hidden = false;
  (marked ? new Failure({ code: "invalid" }) : failure).explain(byId("error-title"), byId("error-detail"));
  (marked ?? byId("error")).focus();
}
