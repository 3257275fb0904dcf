"""`python -m app` is `tenantry`."""

from app.cli import main

main()
