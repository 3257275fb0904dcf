// What an integrator writes with openapi-fetch: the steps of flows.txt. Compiled with the generated types, then run.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema";

declare const process: { env: Record<string, string | undefined> };

type Schemas = components["schemas"];

const url = process.env["TENANTRY_URL"] ?? "";
const domain = process.env["MAIL_DOMAIN"] ?? "";
const password = "nine purple lanterns";
const anonymous = createClient<paths>({ baseUrl: url });
type Client = typeof anonymous;

// what was asked for; a problem is thrown, by its code
async function made<T>(answer: Promise<{ data?: T; error?: Schemas["ProblemDetails"] }>): Promise<T> {
  const { data, error } = await answer;
  if (data === undefined) throw new Error(`${error?.code}: ${error?.detail}`);
  return data;
}

async function logIn(email: string, password: string): Promise<Client> {
  const tokens = await made(anonymous.POST("/v1/sessions", { body: { email, password } }));
  return createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${tokens.access_token}` } });
}

// the token in a mail to somebody, which comes a moment after the invitation; each is good once
const seen = new Set<string>();
async function tokenFor(email: string): Promise<string> {
  const text = async (path: string) => (await fetch(url + path)).text();
  for (let tries = 0; tries < 300; tries++) {
    for (const [, mail] of (await text("/dev/mail")).matchAll(/href="(\/dev\/mail\/[^"]+)"/g)) {
      const shown = await text(mail ?? "");
      const token = /#token=([\w.-]+)/.exec(shown)?.[1];
      if (token !== undefined && !seen.has(token) && shown.includes(`<dd>${email}</dd>`)) {
        seen.add(token);
        return token;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`no mail to ${email}`);
}

async function register(email: string, name: string): Promise<Client> {
  const token = await tokenFor(email);
  await made(anonymous.POST("/v1/registrations", { body: { token, name, password } }));
  return logIn(email, password);
}

// every account for which the conditions hold, page by page
async function* accounts(client: Client, partner_id: string, filter: string[]): AsyncGenerator<Schemas["AccountRead"]> {
  let cursor: string | null | undefined;
  while (cursor !== null) {
    const query = { filter, sort: "-properties.seats", limit: 2, ...(cursor === undefined ? {} : { cursor }) };
    const page: Schemas["AccountPage"] = await made(
      client.GET("/v1/partners/{partner_id}/accounts", { params: { path: { partner_id }, query } }),
    );
    yield* page.items;
    cursor = page.next_cursor;
  }
}

// columns are told apart by their `type`
function shown(column: Schemas["PropertyRead"]): string {
  switch (column.type) {
    case "number":
      return `${column.key} in ${column.unit}`;
    case "money":
      return `${column.key} in ${column.currency}`;
    case "multi_select":
      return `${column.key} of ${column.options.map((option) => option.key).join(" ")}`;
    default:
      return column.key;
  }
}

function names(things: { name: string }[]): string {
  return things.map((thing) => thing.name).join(", ");
}

// an operator opens a partner, whose first admin follows the link of a mail, and lets a colleague see it
const operator = await logIn("operator@example.com", process.env["OPERATOR_PASSWORD"] ?? "");
const { id: partner_id } = await made(
  operator.POST("/v1/partners", { body: { name: "Sensorhaus GmbH", first_admin_email: `anna@${domain}` } }),
);
const partner = { path: { partner_id } };
const anna = await register(`anna@${domain}`, "Anna");
await made(
  anna.POST("/v1/partners/{partner_id}/invitations", {
    params: partner,
    body: { email: `bob@${domain}`, role: "partner_viewer" },
  }),
);
const bob = await register(`bob@${domain}`, "Bob");
for (const client of [anna, bob]) {
  const me = await made(client.GET("/v1/me"));
  console.log("partner:", me.name, "is", me.partners[0]?.role, "of", me.partners[0]?.name);
}

// she creates an account: the key makes it safe to ask again
const key = { "Idempotency-Key": `order-4711@${domain}` };
const nordwerk = { name: "Nordwerk GmbH", time_zone: "Europe/Berlin" };
const create = () =>
  made(anna.POST("/v1/partners/{partner_id}/accounts", { params: { ...partner, header: key }, body: nordwerk }));
const { id: account_id } = await create();
console.log("account: asked twice,", (await create()).id === account_id ? "made once" : "made twice");
const account = { path: { partner_id, account_id } };
const rows = await made(anna.GET("/v1/partners/{partner_id}/accounts", { params: partner }));
console.log("account:", names(rows.items));

// whoever is a member may enter it; a problem is a value with a type
for (const client of [anna, bob]) {
  const { data, error } = await client.POST("/v1/partners/{partner_id}/accounts/{account_id}/switch", {
    params: account,
  });
  console.log("enter:", data?.role ?? `${error?.status} ${error?.code}`);
}

// people are invited: one who is new, one who is known already, and one by mistake
const invitations = "/v1/partners/{partner_id}/accounts/{account_id}/invitations";
const invite = (email: string, role: Schemas["AccountInvitationCreate"]["role"]) =>
  made(anna.POST(invitations, { params: account, body: { email, role } }));
const otto = await invite(`otto@${domain}`, "account_admin");
await made(
  anna.POST(`${invitations}/{invitation_id}/resend`, { params: { path: { ...account.path, invitation_id: otto.id } } }),
);
await anna.DELETE(`${invitations}/{invitation_id}`, {
  params: { path: { ...account.path, invitation_id: otto.id }, header: { "If-Match": "*" } },
});
await invite(`eva@${domain}`, "account_editor");
const eva = await register(`eva@${domain}`, "Eva");
await invite(`bob@${domain}`, "account_viewer");
const pending = await made(anna.GET(invitations, { params: { ...account, query: { filter: ["status:eq:pending"] } } }));
console.log("pending:", pending.items.map((one) => one.email.replace(/@.*/, "")).join(", "));
const token = await tokenFor(`bob@${domain}`);
const preview = await made(anonymous.POST("/v1/invitations/preview", { body: { token } }));
console.log("preview:", preview.invited_by, "invites into", preview.account?.name, "as", preview.role);
await made(bob.POST("/v1/registrations", { body: { token } }));
const members = await made(
  anna.GET("/v1/partners/{partner_id}/accounts/{account_id}/members", {
    params: { ...account, query: { sort: "name" } },
  }),
);
console.log("members:", names(members.items));

// columns of her own, in an order of her own
const columns: Schemas["PropertyCreate"][] = [
  { type: "number", key: "seats", label: { en: "Seats", de: "Plätze" }, unit: "pcs", min: 0 },
  { type: "date", key: "contract_end", label: { en: "Contract end" } },
  { type: "money", key: "fee", label: { en: "Fee" }, currency: "EUR" },
  {
    type: "multi_select",
    key: "tags",
    label: { en: "Tags" },
    options: [
      { key: "vip", label: { en: "VIP" } },
      { key: "pilot", label: { en: "Pilot" } },
    ],
  },
];
for (const body of columns) await made(anna.POST("/v1/partners/{partner_id}/properties", { params: partner, body }));
const ordered = await made(
  anna.POST("/v1/partners/{partner_id}/property-order", {
    params: partner,
    body: { keys: ["tags", "seats", "fee", "contract_end"] },
  }),
);
console.log("columns:", ordered.items.map(shown).join(", "));

// values: a merge patch leaves alone what it does not name, and clears what is null
for (let seats = 1; seats <= 6; seats++) {
  const properties = { seats, tags: seats % 2 === 0 ? ["vip"] : ["pilot"], contract_end: `2027-0${seats}-01` };
  await made(
    anna.POST("/v1/partners/{partner_id}/accounts", {
      params: partner,
      body: { name: `Account ${seats}`, properties },
    }),
  );
}
const patch = (properties: Record<string, unknown>, version: string) =>
  anna.PATCH("/v1/partners/{partner_id}/accounts/{account_id}", {
    params: { ...account, header: { "If-Match": version } },
    body: { properties, time_zone: null },
  });
const first = await anna.GET("/v1/partners/{partner_id}/accounts/{account_id}", { params: account });
const version = first.response.headers.get("ETag") ?? "";
await made(patch({ seats: 40, fee: { amount: "12.50", currency: "EUR" }, tags: ["vip"] }, version));
const changed = await made(patch({ tags: null, contract_end: "2027-03-15" }, "*"));
console.log("values:", ["contract_end", "seats", "tags"].map((key) => changed.properties[key] ?? "none").join(", "));
console.log("time zone:", changed.time_zone ?? "none");

// a column of every other type: each is told by its type, takes a value, and leads to the account that has it
const manager = (await made(anna.GET("/v1/me"))).id;
const others: Schemas["PropertyCreate"][] = [
  { type: "boolean", key: "premium", label: { en: "Premium" } },
  { type: "datetime", key: "visited", label: { en: "Last visit" } },
  { type: "email", key: "contact", label: { en: "Contact" } },
  { type: "phone", key: "phone", label: { en: "Phone" } },
  { type: "select", key: "size", label: { en: "Size" }, options: [{ key: "large", label: { en: "Large" } }] },
  { type: "text", key: "hall", label: { en: "Hall" }, max_length: 40 },
  { type: "url", key: "website", label: { en: "Website" } },
  { type: "user", key: "manager", label: { en: "Manager" } },
];
const types: string[] = [];
for (const body of others) {
  types.push((await made(anna.POST("/v1/partners/{partner_id}/properties", { params: partner, body }))).type);
}
console.log("types:", types.join(", "));
const given = {
  premium: true,
  visited: "2027-01-31T10:30:00+01:00",
  contact: "ops@nordwerk.example",
  phone: "+49 30 123456",
  size: "large",
  hall: "Hall 3",
  website: "https://nordwerk.example",
  manager,
};
const typed = (await made(patch(given, "*"))).properties;
console.log("typed:", others.map(({ key }) => (typed[key] === manager ? "Anna" : typed[key])).join(", "));
const leads = ["premium:eq:true", "visited:lt:2027-02-01", "contact:contains:ops@", "phone:starts_with:+49"];
leads.push("size:eq:large", "hall:eq:hall 3", "website:contains:nordwerk", `manager:eq:${manager}`);
const led: Schemas["AccountRead"][] = [];
for (const lead of leads) {
  for await (const row of accounts(bob, partner_id, [`properties.${lead}`])) led.push(row);
}
console.log("by each:", names(led));

// the table, filtered and sorted, in pages of two; with typed conditions; by a view that others share; as a file
const found: Schemas["AccountRead"][] = [];
for await (const row of accounts(bob, partner_id, ["properties.seats:gte:2", "status:eq:active"])) found.push(row);
console.log("pages:", names(found));
const ending = { field: "properties.contract_end", operator: "lt", value: "2027-04-01" };
const search = {
  all: [ending],
  any: [
    { field: "properties.seats", operator: "in", value: ["1", "2"] },
    { field: "name", operator: "starts_with", value: "Nord" },
  ],
  sort: "name",
};
const searched = await made(
  anna.POST("/v1/partners/{partner_id}/account-searches", { params: partner, body: search }),
);
console.log("search:", names(searched.items));
const view = await made(
  anna.POST("/v1/partners/{partner_id}/views", {
    params: partner,
    body: {
      name: "Ending soon",
      shared: true,
      columns: ["name", "properties.contract_end"],
      all: [ending],
      sort: "name",
    },
  }),
);
const viewed = await made(
  bob.GET("/v1/partners/{partner_id}/accounts", { params: { ...partner, query: { view: view.id } } }),
);
console.log("view:", viewed.items.map((row) => `${row.name} ${row.properties["contract_end"]}`).join(", "));
const csv = await made(
  bob.GET("/v1/partners/{partner_id}/accounts.csv", {
    params: { ...partner, query: { view: view.id } },
    parseAs: "text",
  }),
);
console.log("csv:", csv.trim().split("\r\n").length, "lines");

// the file comes back: tried first, then done; what was exported imports back unchanged
const imports = "/v1/partners/{partner_id}/account-imports";
const begun = await made(
  anna.POST(imports, {
    params: partner,
    body: { file: csv, match: "name" },
    bodySerializer: ({ file, match }) => {
      const form = new FormData();
      form.append("file", new Blob([file]), "accounts.csv");
      form.append("match", match ?? "name");
      return form;
    },
  }),
);
const job = { path: { ...partner.path, import_id: begun.id } };
async function reached(status: Schemas["ImportStatus"]): Promise<Schemas["AccountImportRead"]> {
  for (let tries = 0; tries < 300; tries++) {
    const now = await made(anna.GET(`${imports}/{import_id}`, { params: job }));
    if (now.status === status) return now;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`not ${status}`);
}
await reached("checked");
await made(anna.POST(`${imports}/{import_id}/confirm`, { params: job }));
const counts = (await reached("done")).result;
console.log(`import: ${counts?.created} created, ${counts?.updated} updated, ${counts?.unchanged} unchanged`);

// problems: somebody was faster, and a field that is not valid
const { error: stale } = await patch({ seats: 41 }, version);
console.log("problem:", stale?.status, stale?.code);
const { error: invalid } = await anna.POST("/v1/partners/{partner_id}/accounts", {
  params: partner,
  body: { name: "Ost AG", properties: { seats: -1 } },
});
console.log("problem:", invalid?.status, invalid?.errors.map((one) => `${one.pointer} ${one.code}`).join());

// units of a feature that the operator has granted are taken, up to the limit
await made(
  operator.POST("/v1/partners/{partner_id}/accounts/{account_id}/licences", {
    params: account,
    body: { feature: "assets", units: 3, reason: "A trial" },
  }),
);
const claims = "/v1/partners/{partner_id}/accounts/{account_id}/claims";
const claim = (resource: string) =>
  eva.POST(claims, { params: account, body: { feature: "assets", resource, units: 2 } });
const taken = await made(claim("plant-1"));
console.log("claim:", taken.units, taken.feature, "for", taken.resource);
const { error: refused } = await claim("plant-2");
if (refused !== undefined && "available" in refused) {
  console.log("claim:", refused.code, refused.used, "of", refused.limit, "used,", refused.available, "left");
}
const released = await eva.DELETE(`${claims}/{claim_id}`, {
  params: { path: { ...account.path, claim_id: taken.id } },
});
console.log("release:", released.response.status);
