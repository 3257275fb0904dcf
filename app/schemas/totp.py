from typing import Annotated

from pydantic import Field

from app.schemas.base import In, Out, Password


class TotpRead(Out):
    """The second factor."""

    enabled: bool
    recovery_codes_left: Annotated[int, Field(ge=0, le=10)]


class TotpSetup(Out):
    """What an authenticator app needs. Nothing changes before the code is confirmed."""

    secret: Annotated[str, Field(max_length=64, description="Base32 (RFC 4648)", examples=["JBSWY3DPEHPK3PXP"])]
    uri: Annotated[
        str,
        Field(
            max_length=500,
            description="`otpauth://` address; show it as a QR code.",
            examples=["otpauth://totp/Tenantry:eva?secret=JBSWY3DPEHPK3PXP"],
        ),
    ]


class Code(In):
    """A one-time code."""

    code: Annotated[str, Field(min_length=6, max_length=6, pattern=r"^[0-9]{6}$", examples=["492039"])]


class PasswordProof(In):
    """The present password: proves that it is you."""

    password: Password


class RecoveryCodeList(Out):
    """Single-use codes for the day on which the authenticator is lost. Shown once."""

    recovery_codes: Annotated[
        list[Annotated[str, Field(max_length=40, examples=["k5q2-7ahd-x3mb-p6rt"])]], Field(max_length=10)
    ]
