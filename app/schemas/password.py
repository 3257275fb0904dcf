from typing import Annotated

from pydantic import Field

from app.schemas.base import In, Password


class PasswordChange(In):
    """A new password; the present one proves that it is you."""

    current_password: Password
    password: Annotated[Password, Field(description="The new one.")]


class PasswordResetCreate(In):
    """Whose password to reset."""

    email: Annotated[str, Field(min_length=1, max_length=254, examples=["eva@nordwerk.example.com"])]


class PasswordResetConfirm(In):
    """The token of the mail, and the new password."""

    token: Annotated[str, Field(min_length=1, max_length=200, examples=["tnp_AZjFsnoe"])]
    password: Password
