"""What openapi.json is held to, by tools that know nothing of us: `make contract`, `make fuzz`, the two packages.

check       `make contract`: the table of its stages, each a function of an empty folder that says what went right
clients     clients by every generator: made, compiled, and four of them used (use/, which prints flows.txt)
packages    two of them packed (packages/), installed and used; `make client-python`, `make client-typescript`
fuzz        `make fuzz`: a server with a `scene`, and Schemathesis, as `plan` tells it, with the hooks of `reasons`
shapes      which refusals of what fits the contract are none of a shape, after all
document    openapi.json: its operations, and what its references stand for
breaking    what of the document breaks a client of the last release (released/)
server      the server that programs of use/ and packages/ talk to
tools       how programs are run, and where they are
lock, site  `make lock` of package-lock.json; what the guides' site has besides docs/
"""
