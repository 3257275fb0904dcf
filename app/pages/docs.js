// The API reference. "Authorize" takes the access_token of POST /v1/sessions.

// Examples of what may be left out are told, not filled in: "Execute" would send an invented cursor, filter or key.
function told(parameter) {
  const { example, required, schema, description = "", ...rest } = parameter;
  if (required || example === undefined || !schema) return parameter;
  const { examples, ...kind } = schema;
  return { ...rest, schema: kind, description: `${description} Example: \`${[example].flat().join(" ")}\`` };
}

function fillingInNothing(contract) {
  const all = contract.components.parameters;
  for (const name in all) all[name] = told(all[name]);
  for (const operations of Object.values(contract.paths)) {
    for (const operation of Object.values(operations)) {
      if (operation.parameters) operation.parameters = operation.parameters.map(told);
    }
  }
  return contract;
}

// Swagger UI would read the contract as YAML, which takes seconds.
const reading = {
  parseToJson: (_, { specActions }) => (text) => specActions.updateJsonSpec(fillingInNothing(JSON.parse(text))),
};

// A part of the contract with all that it leads to; "#/components/KIND/NAME" is what a reference looks like.
function around(contract, [section, key, name]) {
  if (key === undefined) return contract;
  const part = { ...contract, paths: {}, webhooks: {}, components: {} };
  const take = (kind, name) => {
    const taken = (part.components[kind] ??= {});
    if (name in taken) return;
    taken[name] = contract.components[kind][name];
    follow(taken[name]);
  };
  const follow = (node) => {
    if (node === null || typeof node !== "object") return;
    if (typeof node.$ref === "string") take(...node.$ref.split("/").slice(2));
    Object.values(node).forEach(follow);
  };
  if (section === "components" && name !== undefined) {
    take(key, name);
  } else {
    part[section] = { [key]: contract[section][key] };
    follow(part[section]);
  }
  return part;
}

// Swagger UI would resolve each part that it shows among all the others, which takes seconds.
function resolving({ fn: { resolveSubtree } }) {
  return {
    fn: { resolveSubtree: (contract, path, options) => resolveSubtree(around(contract, path), path, options) },
  };
}

SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#reference",
  deepLinking: true,
  filter: true,
  persistAuthorization: false,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  showExtensions: true,
  validatorUrl: null,
  plugins: [() => ({ statePlugins: { spec: { wrapActions: reading } } }), resolving],
});
