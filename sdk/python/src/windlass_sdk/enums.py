"""Enums that say which members there are."""

from __future__ import annotations

from enum import EnumMeta
from typing import TYPE_CHECKING, Any


class Members(EnumMeta):
    """Of an enum: asked for a member that it has not, it names those that it has."""

    if not TYPE_CHECKING:  # for a type checker every name would be a member

        def __getattr__(cls, name: str) -> Any:
            members = cls.__dict__.get("_member_map_", {})
            if name in members:
                return members[name]
            if name.startswith("_"):
                raise AttributeError(name)
            message = f"`{cls.__name__}` has no `{name}`; it has {', '.join(members)}"
            raise AttributeError(message, name=name, obj=cls)
