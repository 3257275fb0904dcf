// What an integrator writes with openapi-fetch, compiled against the generated types: a page loop, a claim, a problem.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema";

type Account = components["schemas"]["AccountRead"];

const client = createClient<paths>({ baseUrl: "https://tenantry.example.com" });

export async function logIn(email: string, password: string): Promise<string> {
  const { data, error } = await client.POST("/v1/sessions", { body: { email, password } });
  if (error) throw new Error(`${error.code}: ${error.detail}`);
  return data.access_token;
}

export async function everyAccount(partner_id: string): Promise<Account[]> {
  const found: Account[] = [];
  let cursor: string | null = null;
  do {
    const query: { limit: number; cursor?: string } = cursor === null ? { limit: 200 } : { limit: 200, cursor };
    const { data, error } = await client.GET("/v1/partners/{partner_id}/accounts", {
      params: { path: { partner_id }, query },
    });
    if (error) throw new Error(error.code);
    found.push(...data.items);
    cursor = data.next_cursor;
  } while (cursor !== null);
  return found;
}

export async function claim(partner_id: string, account_id: string): Promise<number | null> {
  const { data, error, response } = await client.POST("/v1/partners/{partner_id}/accounts/{account_id}/claims", {
    params: { path: { partner_id, account_id }, header: { "Idempotency-Key": "order-1188" } },
    body: { feature: "assets", resource: "asset:4711", units: 1 },
  });
  if (!error) return data.units;
  if (response.status === 409 && "limit" in error) return error.limit ?? null;
  throw new Error(`${error.code}: ${error.errors.map((one) => one.pointer).join(", ")}`);
}

export function shown(column: components["schemas"]["PropertyRead"]): string {
  switch (column.type) {
    case "select":
      return column.options.map((one) => one.key).join(", ");
    case "number":
      return `${column.min ?? ""}..${column.max ?? ""} ${column.unit ?? ""}`;
    default:
      return column.key;
  }
}

export function told(event: components["schemas"]["EventRead"]): string {
  return event.type === "account.created" ? `${event.data.after?.name ?? ""}` : event.type;
}
