// What an integrator writes with openapi-fetch: from an operator to a claim. Compiled with the generated types, then run.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema";

declare const process: { env: Record<string, string | undefined> };

type Schemas = components["schemas"];
type Client = ReturnType<typeof client>;

const url = process.env["TENANTRY_URL"] ?? "";
const password = "nine purple lanterns";
const anonymous = client();

function client(token?: string) {
  return createClient<paths>({ baseUrl: url, headers: token === undefined ? {} : { Authorization: `Bearer ${token}` } });
}

function check(right: boolean, told: unknown): asserts right {
  if (!right) throw new Error(JSON.stringify(told));
}

async function made<T>(answer: Promise<{ data?: T; error?: Schemas["ProblemDetails"] }>): Promise<T> {
  const { data, error } = await answer;
  if (data === undefined) throw new Error(`${error?.code}: ${error?.detail}`);
  return data;
}

async function logIn(email: string, password: string): Promise<Client> {
  const tokens = await made(anonymous.POST("/v1/sessions", { body: { email, password } }));
  return client(tokens.access_token);
}

// the token of the newest mail to somebody; mails come a moment after what they tell of
async function tokenFor(email: string): Promise<string> {
  const text = async (path: string) => (await fetch(url + path)).text();
  for (let tries = 0; tries < 200; tries++) {
    for (const [, mail] of (await text("/dev/mail")).matchAll(/href="(\/dev\/mail\/[^"]+)"/g)) {
      const shown = await text(mail ?? "");
      const token = /#token=([\w.-]+)/.exec(shown)?.[1];
      if (token !== undefined && shown.includes(`<dd>${email}</dd>`)) return token;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`no mail to ${email}`);
}

async function join(email: string, name: string): Promise<Client> {
  const token = await tokenFor(email);
  await made(anonymous.POST("/v1/registrations", { body: { token, name, password } }));
  return logIn(email, password);
}

// every account for which the conditions hold, page by page
async function* rows(who: Client, partner_id: string, ...filter: string[]): AsyncGenerator<Schemas["AccountRead"]> {
  let cursor: string | null | undefined;
  while (cursor !== null) {
    const query = { filter, sort: "-properties.seats", limit: 2, ...(cursor === undefined ? {} : { cursor }) };
    const page: Schemas["AccountPage"] = await made(
      who.GET("/v1/partners/{partner_id}/accounts", { params: { path: { partner_id }, query } }),
    );
    yield* page.items;
    cursor = page.next_cursor;
  }
}

// unions are told apart by their `type`
export function shown(column: Schemas["PropertyRead"]): string {
  switch (column.type) {
    case "select":
      return column.options.map((one) => one.key).join(", ");
    case "number":
      return `${column.min ?? ""}..${column.max ?? ""} ${column.unit ?? ""}`;
    default:
      return column.key;
  }
}

export function told(event: Schemas["EventRead"]): string {
  return event.type === "account.created" ? `${event.data.after?.name ?? ""}` : event.type;
}

const operator = await logIn("operator@example.com", process.env["OPERATOR_PASSWORD"] ?? "");

// an operator opens a partner, whose first admin follows the link of a mail, and invites another
const { id: partner_id } = await made(
  operator.POST("/v1/partners", {
    body: { name: "Sensorhaus GmbH", first_admin_email: "anna@sensorhaus.example.com" },
  }),
);
const anna = await join("anna@sensorhaus.example.com", "Anna Admin");
const me = await made(anna.GET("/v1/me"));
check(me.partners.map((one) => one.name).join() === "Sensorhaus GmbH", me);
const within = { params: { path: { partner_id } } };
await made(
  anna.POST("/v1/partners/{partner_id}/invitations", {
    ...within,
    body: { email: "bob@sensorhaus.example.com", role: "partner_viewer" },
  }),
);
const bob = await join("bob@sensorhaus.example.com", "Bob");

// a column, accounts with values of it, and a table that is filtered by it and read in pages
const column = await made(
  anna.POST("/v1/partners/{partner_id}/properties", {
    ...within,
    body: { type: "number", key: "seats", label: { en: "Seats" }, unit: "pcs" },
  }),
);
check(shown(column) === ".. pcs", column);
const accounts: Schemas["AccountRead"][] = [];
for (let seats = 0; seats < 7; seats++) {
  const account = anna.POST("/v1/partners/{partner_id}/accounts", {
    params: { path: { partner_id }, header: { "Idempotency-Key": `nordwerk-${seats}` } },
    body: { name: `Nordwerk ${seats}`, properties: { seats } },
  });
  accounts.push(await made(account));
}
const account_id = accounts[6]?.id ?? "";
const changed = await made(
  anna.PATCH("/v1/partners/{partner_id}/accounts/{account_id}", {
    params: { path: { partner_id, account_id }, header: { "If-Match": "*" } },
    body: { properties: { seats: 40 } },
  }),
);
check(changed.properties["seats"] === 40, changed);
const found: string[] = [];
for await (const row of rows(bob, partner_id, "properties.seats:gte:2")) found.push(row.name);
check(found.join() === "Nordwerk 6,Nordwerk 5,Nordwerk 4,Nordwerk 3,Nordwerk 2", found);

// problems are values with types
const stale = await anna.PATCH("/v1/partners/{partner_id}/accounts/{account_id}", {
  params: { path: { partner_id, account_id }, header: { "If-Match": '"7"' } },
  body: { properties: { seats: 41 } },
});
check(stale.response.status === 412 && stale.error?.code === "version_mismatch", stale.error);
const unnamed = await anna.POST("/v1/partners/{partner_id}/accounts", { ...within, body: { name: "" } });
check(unnamed.error?.errors.map((one) => one.pointer).join() === "/name", unnamed.error);

// units of a feature that the operator has granted are taken, up to the limit
await made(operator.POST("/v1/features", { body: { key: "assets", kind: "quota", name: { en: "Assets" } } }));
const inside = { params: { path: { partner_id, account_id } } };
await made(
  operator.POST("/v1/partners/{partner_id}/accounts/{account_id}/licences", {
    ...inside,
    body: { feature: "assets", units: 3, reason: "A trial" },
  }),
);
const claims = "/v1/partners/{partner_id}/accounts/{account_id}/claims";
const claim = await made(anna.POST(claims, { ...inside, body: { feature: "assets", resource: "plant-1", units: 2 } }));
check(claim.units === 2 && claim.resource === "plant-1", claim);
const { error: refused } = await anna.POST(claims, {
  ...inside,
  body: { feature: "assets", resource: "plant-2", units: 2 },
});
check(refused !== undefined && "available" in refused, refused);
check(refused.code === "licence_exhausted" && refused.limit === 3 && refused.available === 1, refused);
const released = await anna.DELETE(`${claims}/{claim_id}`, {
  params: { path: { partner_id, account_id, claim_id: claim.id } },
});
check(released.response.status === 204, released.error);

console.log(`a partner, ${accounts.length} accounts, ${found.length} rows in pages of 2, a claim, 3 problems`);
