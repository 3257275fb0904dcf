import create, { type Client, type ClientOptions } from "openapi-fetch";
import type { components, paths } from "./schema.js";

export type { components, paths } from "./schema.js";
/** The types of bodies and answers, by name: `Schemas["AccountRead"]`. */
export type Schemas = components["schemas"];
/** What every error is; decide by its `code`. */
export type Problem = Schemas["ProblemDetails"];
/** Every operation, by its method and path. */
export type Tenantry = Client<paths>;

/** The API at an address (`baseUrl`), with the bearer token of a person or the secret of an API client. */
export function createClient({ token, headers, ...options }: ClientOptions & { token?: string }): Tenantry {
  const client = create<paths>({ ...options, ...(headers === undefined ? {} : { headers }) });
  if (token !== undefined) {
    client.use({ onRequest: ({ request }) => request.headers.set("Authorization", `Bearer ${token}`) });
  }
  return client;
}
