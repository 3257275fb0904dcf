"""How fast it is, against what could be and what is usual. See README.md."""
