"""What jobs have in common, whatever they are: words, and no table. Each kind of work has rows of its own."""

from enum import StrEnum


class JobKind(StrEnum):
    """What the work is. Each kind has an address of its own, with all that there is to say of one."""

    ACCOUNT_IMPORT = "account_import"


class JobStatus(StrEnum):
    """How a job stands, in words that all kinds share."""

    RUNNING = "running"
    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
