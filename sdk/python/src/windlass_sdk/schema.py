"""Dataclasses as JSON Schemas, and reading and writing JSON with them."""

from __future__ import annotations

import dataclasses
import inspect
import keyword
import re
import types
import typing
from enum import Enum
from typing import Annotated, Any, Literal, Optional, Union, get_args, get_origin


class Mismatch(ValueError):
    """A value that is not as its type says; the message begins with its place."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place}: {problem}" if place else problem)


@dataclasses.dataclass(frozen=True)
class Field:
    """What a type does not say: ``title: Annotated[str, Field("What people call it.", min_length=1)]``."""

    description: Optional[str] = None
    minimum: Optional[float] = None
    maximum: Optional[float] = None
    min_length: Optional[int] = None
    max_length: Optional[int] = None
    pattern: Optional[str] = None
    min_items: Optional[int] = None
    max_items: Optional[int] = None

    def keywords(self) -> dict[str, Any]:
        """As in JSON Schema."""
        given = {name: value for name, value in dataclasses.asdict(self).items() if value is not None}
        return {re.sub("_(.)", lambda it: it.group(1).upper(), name): value for name, value in given.items()}


_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
#: What a field may be set to.
_VALUES = (str, int, float, list, dict, tuple, Enum, dataclasses.Field)


def schema_of(kind: Any) -> dict[str, Any]:
    """The JSON Schema of a type: dataclasses, ``str int float bool``, ``Literal``, enums, ``list[…]``, ``dict[str, …]``,
    ``Optional[…]``, ``Any``, each possibly ``Annotated`` with a :class:`Field`."""
    if kind is Any:
        return {}
    if kind in _PLAIN:
        return {"type": _PLAIN[kind]}
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        result = schema_of(arguments[0])
        for extra in arguments[1:]:
            if isinstance(extra, Field):
                result.update(extra.keywords())
        return result
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [schema_of(argument) for argument in arguments]}
    if origin is list:
        return {"type": "array", "items": schema_of(arguments[0])}
    if origin is dict and arguments[0] is str:
        return {"type": "object", "additionalProperties": schema_of(arguments[1])}
    if isinstance(kind, type) and issubclass(kind, Enum):
        return {"enum": [member.value for member in kind]}
    refuse_undeclared(kind)
    if dataclasses.is_dataclass(kind):
        return _object_schema(kind)
    raise TypeError(f"{kind!r} has no JSON Schema; use dataclasses, str, int, float, bool, Literal, Enum, list, dict[str, …], Optional or Any")


def _object_schema(kind: Any) -> dict[str, Any]:
    properties, required = {}, []
    hints = hints_of(kind)
    for field in dataclasses.fields(kind):
        property = schema_of(hints[field.name])
        if field.default is not dataclasses.MISSING:
            if field.default is not None:
                property["default"] = encode(field.default)
        elif field.default_factory is dataclasses.MISSING:
            required.append(_json_name(field))
        properties[_json_name(field)] = property
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _json_name(field: Any) -> str:
    """A field's name in JSON. One that Python keeps for itself is written with a ``_`` after it: ``from_`` is ``from``."""
    name: str = field.name
    return name[:-1] if name.endswith("_") and keyword.iskeyword(name[:-1]) else name


def refuse_undeclared(kind: Any) -> None:
    """Refuses a class that would not be read as it is written: without its decorator, or with a field that has no type."""
    if not isinstance(kind, type) or issubclass(kind, Enum):
        return
    fields = vars(kind).get("__dataclass_fields__")
    if fields is None:
        if _has_annotations(kind):
            raise TypeError(f"`@dataclass` is missing above {kind.__name__} ({_place_of(kind, None)})")
        return
    for name, value in vars(kind).items():
        is_constant = name.startswith("_") or name.isupper()
        if name not in fields and not is_constant and (value is None or isinstance(value, _VALUES)):
            like = type(value).__name__ if isinstance(value, (str, int, float)) else "…"
            raise TypeError(f"`{kind.__name__}.{name}` has no type, so it is no field: `{name}: {like} = …` ({_place_of(kind, name)})")


def _has_annotations(kind: type) -> bool:
    try:
        return bool(inspect.get_annotations(kind))
    except (NameError, AttributeError):  # There is one, and what it names is not there.
        return True


def hints_of(kind: Any) -> dict[str, Any]:
    """The types of a dataclass's fields. What is written as a text, as all of them are after ``from __future__ import
    annotations``, may name what is not there; Python knows no line of such a text."""
    try:
        return typing.get_type_hints(kind, include_extras=True)
    except (NameError, AttributeError) as error:
        name = next((it.name for it in dataclasses.fields(kind) if error.name and error.name in _words(it.type)), None)
        field = f"{kind.__name__}.{name}" if name else kind.__name__
        raise TypeError(f"the type of `{field}`: {error} ({_place_of(kind, name)})") from None


def _words(annotation: Any) -> list[str]:
    return re.findall(r"\w+", annotation if isinstance(annotation, str) else repr(annotation))


def _place_of(kind: Any, field: Optional[str]) -> str:
    """The file and the line; the module alone where there is no source."""
    try:
        lines, first = inspect.getsourcelines(kind)
        file = inspect.getsourcefile(kind)
    except (OSError, TypeError):
        return f"in {kind.__module__}"
    declares = re.compile(rf"\s*{field}\s*[:=]")
    return f"{file}, line {first + next((at for at, line in enumerate(lines) if field and declares.match(line)), 0)}"


def decode(kind: Any, value: Any, *, strict: bool = True, place: str = "") -> Any:
    """A value of a type from JSON. ``strict`` refuses fields that a dataclass has not; what another system answers is
    read without."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        result = decode(arguments[0], value, strict=strict, place=place)
        for extra in arguments[1:]:
            if isinstance(extra, Field):
                _check(extra, value, place)
        return result
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        return _decode_union(arguments, value, strict, place)
    if origin is Literal:
        # `True == 1` in Python, not in JSON.
        if any(value == it and type(value) is type(it) for it in arguments):
            return value
        raise Mismatch(place, f"{_show(value)} is none of {', '.join(map(_show, arguments))}")
    if origin is list:
        _expect(isinstance(value, list), value, "array", place)
        return [decode(arguments[0], it, strict=strict, place=f"{place}[{at}]") for at, it in enumerate(value)]
    if origin is dict:
        _expect(isinstance(value, dict), value, "object", place)
        return {name: decode(arguments[1], it, strict=strict, place=_below(place, name)) for name, it in value.items()}
    if kind in _PLAIN:
        return _decode_plain(kind, value, place)
    if isinstance(kind, type) and issubclass(kind, Enum):
        for member in kind:
            if value == member.value:
                return member
        raise Mismatch(place, f"{_show(value)} is none of {', '.join(_show(it.value) for it in kind)}")
    if dataclasses.is_dataclass(kind):
        return _decode_object(kind, value, strict, place)
    raise TypeError(f"{kind!r} cannot be read from JSON")


def _decode_union(alternatives: Any, value: Any, strict: bool, place: str) -> Any:
    if value is None and type(None) in alternatives:
        return None
    rest = [it for it in alternatives if it is not type(None)]
    for last, alternative in enumerate(rest, start=1):
        try:
            return decode(alternative, value, strict=strict, place=place)
        except Mismatch:
            if last == len(rest):
                raise
    raise Mismatch(place, f"{_show(value)} is no null")


def _decode_plain(kind: Any, value: Any, place: str) -> Any:
    if kind is float:
        _expect(isinstance(value, (int, float)) and not isinstance(value, bool), value, "number", place)
        return float(value)
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    _expect(type(value) is kind, value, _PLAIN[kind], place)
    return value


def _decode_object(kind: Any, value: Any, strict: bool, place: str) -> Any:
    _expect(isinstance(value, dict), value, "object", place)
    hints = hints_of(kind)
    given = {}
    for field in dataclasses.fields(kind):
        name = _json_name(field)
        if name in value:
            given[field.name] = decode(hints[field.name], value[name], strict=strict, place=_below(place, name))
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise Mismatch(place, f"the field `{name}` is missing")
    if strict:
        known = {_json_name(field) for field in dataclasses.fields(kind)}
        for name in value:
            if name not in known:
                raise Mismatch(place, f"there is no field `{name}`")
    return kind(**given)


def _check(field: Field, value: Any, place: str) -> None:
    if isinstance(value, str):
        if field.min_length is not None and len(value) < field.min_length:
            raise Mismatch(place, f"has fewer than {field.min_length} characters")
        if field.max_length is not None and len(value) > field.max_length:
            raise Mismatch(place, f"has more than {field.max_length} characters")
        if field.pattern is not None and not re.search(field.pattern, value):
            raise Mismatch(place, f"does not match {field.pattern}")
    if isinstance(value, (int, float)):
        if field.minimum is not None and value < field.minimum:
            raise Mismatch(place, f"is less than {field.minimum}")
        if field.maximum is not None and value > field.maximum:
            raise Mismatch(place, f"is more than {field.maximum}")
    if isinstance(value, list):
        if field.min_items is not None and len(value) < field.min_items:
            raise Mismatch(place, f"has fewer than {field.min_items} items")
        if field.max_items is not None and len(value) > field.max_items:
            raise Mismatch(place, f"has more than {field.max_items} items")


def encode(value: Any) -> Any:
    """What ``json`` can write: dataclasses become objects, without fields that are None and may be left out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = ((field, getattr(value, field.name)) for field in dataclasses.fields(value))
        return {_json_name(field): encode(it) for field, it in fields if it is not None or field.default is not None}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (list, tuple)):
        return [encode(it) for it in value]
    if isinstance(value, dict):
        return {str(name): encode(it) for name, it in value.items()}
    return value


def _expect(condition: bool, value: Any, kind: str, place: str) -> None:
    if not condition:
        raise Mismatch(place, f"{_show(value)} is no {kind}")


def _below(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "…"
