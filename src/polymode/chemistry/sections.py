"""Sections of a chemistry configuration, and what is wrong with one, in our words.

A section is a frozen pydantic model in which unknown keys are errors; `findings` turns what
pydantic found into lines: where, what must hold, what was given.
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from polymode.core.checks import did_you_mean
from polymode.errors import ConfigError

__all__ = ["Section", "checked", "findings"]


_Kind = TypeVar("_Kind", bound=BaseModel)


class Section(BaseModel):
    """A section of a configuration file: unknown keys are errors, values stay as they are."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def checked(kind: type[_Kind], content: Mapping[str, Any], *, owner: str) -> _Kind:
    """Return a section made of a mapping.

    Parameters
    ----------
    kind : type
        The class of the section.
    content : mapping
        What the file says.
    owner : str
        Name of the file or section; the error begins with it.

    Raises
    ------
    ConfigError
        If anything is wrong; lists everything.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise ConfigError(owner, list(findings(error, kind))) from None


def findings(error: ValidationError, kind: Any, *, prefix: str = "") -> Iterator[str]:
    """Yield what pydantic found, one line each.

    Parameters
    ----------
    error : ValidationError
        What it raised.
    kind : type
        The model or pydantic dataclass that was validated.
    prefix : str
        Put before every key.
    """
    for found in error.errors(include_url=False):
        kinds, path = _located(kind, found["loc"])
        place = prefix + ".".join(path)
        if found["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            known = [name for each in kinds for name in _fields(each)]
            hint = did_you_mean(path[-1], known)
            yield f"unknown key {place!r}{hint or ': known are ' + ', '.join(known)}"
        elif found["type"] in ("missing", "missing_argument"):
            yield f"{place} must be given"
        elif found["type"] == "value_error":
            lines = found["msg"].removeprefix("Value error, ").split("\n")
            yield from (f"{place}: {line}" if place else line for line in lines)
        else:
            text = found["msg"]
            yield f"{place}: {text[0].lower()}{text[1:]}, got {found['input']!r}"


def _located(kind: Any, location: tuple[int | str, ...]) -> tuple[list[Any], list[str]]:
    """Return the sections in which pydantic's location ends, and its path in the user's file.

    In a union of sections pydantic adds the `type` that it went by, which is no key.
    """
    kinds, path = [kind], list[str]()
    for part in location:
        at_key = [each for each in kinds if part in _fields(each)]
        of_type = [each for each in kinds if _type_of(each) == part]
        if at_key and of_type != at_key:
            kinds = [below for each in at_key for below in _sections_in(_annotation(each, part))]
        elif of_type:
            kinds = of_type
            continue
        path.append(str(part))
    return kinds, path


def _sections_in(annotation: Any) -> list[Any]:
    """Return the sections that an annotation names."""
    if isinstance(annotation, type) and _fields(annotation):
        return [annotation]
    return [section for each in get_args(annotation) for section in _sections_in(each)]


def _annotation(kind: Any, field: Any) -> Any:
    return _by_name(kind)[field].annotation


def _type_of(kind: Any) -> Any:
    """Return the fixed value of the field `type`, by which unions tell their members apart."""
    return _by_name(kind)["type"].default if "type" in _fields(kind) else None


def _fields(kind: Any) -> list[str]:
    """Return the names of the fields of a model or a pydantic dataclass."""
    return list(_by_name(kind))


def _by_name(kind: Any) -> Mapping[Any, Any]:
    return getattr(kind, "model_fields", None) or getattr(kind, "__pydantic_fields__", {})
