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
  plugins: [() => ({ statePlugins: { spec: { wrapActions: reading } } })],
});
