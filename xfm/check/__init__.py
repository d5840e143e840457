"""What `xfm data check` says of user data, before anything is trained."""

from .source_check import check

__all__ = ["check"]
