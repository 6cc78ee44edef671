"""Command lines, alone or in a shell script, as settings.

Nothing is run. A script's own assignments (``BETA=0.01``, ``ARGS="--beta 0.1"``, ``ARGS=(…)``) are
filled in where they are plain; what the shell would have to compute stays as it is written, and
what is set elsewhere is named in a remark.
"""

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polymode.diagnostics.audit.documents import read_text, yaml_value
from polymode.diagnostics.audit.settings import Setting, Settings, Source
from polymode.errors import InputError

__all__ = ["override_settings", "script_settings", "word_settings"]

_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=.*", re.DOTALL)
_OVERRIDE = re.compile(r"[+~]{0,2}([A-Za-z_][\w./@-]*)=(.*)", re.DOTALL)
_OPTION = re.compile(r"--?([A-Za-z][\w.\-]*)(?:=(.*))?", re.DOTALL)
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::?-([^}$]*))?\}|(\w+))")
_ALONE = re.compile(r"\$(?:\{\w+\}|\w+)")
_HERE = re.compile(r"(?<!<)<<-?\s*['\"]?([A-Za-z_]\w*)")
_ARRAY = re.compile(r"([A-Za-z_]\w*)\+?=\((.*)", re.DOTALL)
_UNFOLDED = re.compile(r"\$\{([A-Za-z_]\w*)\[[@*]\]\}")
_MAX_COMMAND, _MAX_TRIES = 50_000, 500
_MAX_WORDS, _MAX_LENGTH, _MAX_NESTED = 10_000, 10_000, 4
_LAUNCHERS = ("accelerate", "bash", "deepspeed", "exec", "nohup", "ray", "srun", "sudo", "torchrun")


@dataclass(frozen=True, slots=True)
class _Word:
    """A word and where it stands."""

    text: str
    line: int | None = None


def script_settings(path: Path) -> Settings:
    """Return the options of the command with most options in a shell script.

    Parameters
    ----------
    path : Path
        The script.

    Returns
    -------
    Settings
        With the program that the options are for, and their lines.

    Raises
    ------
    InputError
        If it cannot be read, or no command in it has options.
    """
    variables: dict[str, str] = {}
    best: tuple[int, list[_Word]] = (0, [])
    for command in _unfolded(_commands(read_text(path), str(path)), str(path)):
        words = _split_up([word for one in command for word in _expanded(one, variables)])
        words = words[1:] if words and words[0].text == "export" else words
        while words and _ASSIGNMENT.fullmatch(words[0].text):
            name, _, value = words.pop(0).text.partition("=")
            if name.endswith("+"):
                name = name[:-1]
                value = variables.get(name, "") + value
            if len(value) > _MAX_LENGTH:
                raise InputError(f"{path} unfolds into more than {_MAX_LENGTH:,} characters")
            variables[name] = value
        n_options = sum(_is_option(word.text) for word in words)
        if n_options > best[0]:
            best = n_options, words
    if not best[0]:
        raise InputError(
            f"{path} has no command with options (--beta 0.1, actor.beta=0.1); here-documents are "
            "not read"
        )
    for word in best[1]:
        if _HERE.search(word.text):
            raise InputError(
                f"{path}:{word.line}: the options stand in a here-document, which a shell would "
                "have to read: write them out"
            )
    found = _settings(best[1], lambda line: Source("file", str(path), line), str(path))
    return Settings(found.items_by_key, found.name, found.program, tuple(_unknown(best[1])))


def _expanded(word: _Word, variables: Mapping[str, str]) -> Iterator[_Word]:
    """Yield a word with its variables filled in; one that is a variable alone may be several."""
    text = _filled(word.text, variables)
    several = _several(text) if _ALONE.fullmatch(word.text) else []
    yield from (_Word(each, word.line) for each in several or [text])


def _several(text: str) -> list[str]:
    """Return the words of a value with options in it, as the shell splits it; [] for others."""
    try:
        words = shlex.split(text)
    except ValueError:
        return []
    return words if len(words) > 1 and any(map(_is_option, words)) else []


def _split_up(words: list[_Word]) -> list[_Word]:
    """Return the words of a command that is handed to another shell: ``bash -c "…"``."""
    for i in range(2, len(words)):
        shell, flag, text = (word.text for word in words[i - 2 : i + 1])
        if Path(shell).name in ("bash", "sh") and re.fullmatch(r"-\w*c", flag):
            inner = [_Word(each, words[i].line) for each in _several(text)]
            return [*words[: i - 2], *inner, *words[i + 1 :]] if inner else words
    return words


def _unknown(words: list[_Word]) -> Iterator[str]:
    """Yield a remark for words whose options are set elsewhere: a sourced file, the environment."""
    names = [word.text for word in words if _UNFOLDED.fullmatch(word.text)]
    names += [w.text for w in words if _ALONE.fullmatch(w.text) and w.text[1:2].isupper()]
    if names:
        listed = ", ".join(dict.fromkeys(names))
        yield f"The script does not say what {listed} is: options in there were not read."


def word_settings(words: Sequence[str], *, name: str = "command line") -> Settings:
    """Return the options of a command.

    Parameters
    ----------
    words : sequence of str
        The program and its options, or options alone.
    name : str
        What to call it.

    Returns
    -------
    Settings
        With the program, where there is one.

    Raises
    ------
    InputError
        If there are no options.
    """
    found = _settings([_Word(w) for w in words], lambda _: Source("command line", name), name)
    if not found:
        raise InputError(f"{name} must have options (--beta 0.1, actor.beta=0.1), got {words!r}")
    return found


def override_settings(words: Sequence[str]) -> Settings:
    """Return options that are laid over a configuration.

    Parameters
    ----------
    words : sequence of str
        ``key=value``, ``--key value`` or ``--key=value``.

    Returns
    -------
    Settings
        The options.

    Raises
    ------
    InputError
        If a word belongs to no option.
    """
    if words and not _is_option(words[0]):
        raise InputError(f"an override must be key=value or --key value, got {words[0]!r}")
    source = Source("command line")
    return Settings(dict(_options([_Word(word) for word in words], lambda _: source)))


def _commands(text: str, name: str) -> Iterator[list[_Word]]:
    """Yield the words of each command, which may go on over lines that end in a backslash."""
    command: list[_Word] = []
    pending, start, n_tries, until = "", 1, 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        if until:  # inside a here-document, which is no command
            until = "" if line.strip() == until else until
            continue
        until = found[1] if (found := _HERE.search(line.partition("#")[0])) else ""
        start = start if pending else number
        goes_on = line.rstrip().endswith("\\")
        pending += line.rstrip()[:-1] if goes_on else line
        if len(pending) > _MAX_COMMAND or n_tries > _MAX_TRIES:  # each try reads all of it
            raise InputError(f"{name}:{start}: a quotation is never closed")
        try:
            command += [_Word(word, start) for word in shlex.split(pending, comments=True)]
            pending, n_tries = "", 0
        except ValueError:  # a quotation that is still open
            pending, n_tries = pending + "\n", n_tries + 1
            continue
        if not goes_on:
            yield command
            command = []
    yield command


def _unfolded(commands: Iterable[list[_Word]], name: str) -> Iterator[list[_Word]]:
    """Yield commands with their arrays, ``ARGS=(…)``, unfolded where ``${ARGS[@]}`` stands."""
    arrays: dict[str, list[_Word]] = {}
    array: list[_Word] | None = None
    for command in commands:
        rest: list[_Word] = []
        for word in command:
            begins = _ARRAY.fullmatch(word.text) if array is None and not rest else None
            if begins:
                appended = arrays.get(begins[1], []) if "+=(" in word.text else []
                arrays[begins[1]] = array = [*appended]
                word = _Word(begins[2], word.line)
            if array is None:
                found = _UNFOLDED.fullmatch(word.text)
                rest += arrays.get(found[1], [word]) if found else [word]
                continue
            ends = word.text.endswith(")") and "(" not in word.text
            text = word.text[:-1] if ends else word.text
            nested = _UNFOLDED.fullmatch(text)
            array += arrays.get(nested[1], []) if nested else [_Word(text, word.line)] * bool(text)
            array = None if ends else array
            if (array is not None and len(array) > _MAX_WORDS) or len(rest) > _MAX_WORDS:
                raise InputError(f"{name} unfolds into more than {_MAX_WORDS:,} words")
        yield rest


def _filled(text: str, variables: Mapping[str, str]) -> str:
    """Return a word with its variables filled in, as far as they are known."""

    def value(match: re.Match[str]) -> str:
        default = match[2]
        return variables.get(match[1] or match[3], match[0] if default is None else default)

    for _ in range(_MAX_NESTED):  # ${A:-${B:-0.1}}, from within
        text, before = _VARIABLE.sub(value, text), text
        if text == before or len(text) > _MAX_LENGTH:
            break
    return text


def _is_option(word: str) -> bool:
    """Return whether a word starts an option: --key, --key=value or key=value."""
    return bool(_OVERRIDE.fullmatch(word)) or (
        word.startswith("--") and bool(_OPTION.fullmatch(word))
    )


def _settings(words: list[_Word], source: Any, name: str) -> Settings:
    """Return program and options of one command."""
    program, options = _split(words)
    return Settings(dict(_options(options, source)), name, program)


def _split(words: list[_Word]) -> tuple[str, list[_Word]]:
    """Return the program, without what launches it, and the words that follow it."""
    texts = [word.text for word in words]
    for i, text in enumerate(texts):
        if text in ("-m", "--module") and i + 1 < len(texts) and not texts[i + 1].startswith("-"):
            return texts[i + 1], words[i + 2 :]
        if text == "trl" and i + 1 < len(texts):
            return f"trl {texts[i + 1]}", words[i + 2 :]
    for i, text in enumerate(texts):
        if text.endswith(".py") and not _is_option(text):
            return text, words[i + 1 :]
    first = next((i for i, text in enumerate(texts) if _is_option(text)), len(texts))
    launched = [text for text in texts[:first] if Path(text).name not in _LAUNCHERS]
    return " ".join(launched), words[first:]


def _options(words: list[_Word], source: Any) -> Iterator[tuple[str, Setting]]:
    """Yield each option with its value; one without a value is set, several values are a list."""
    i = 0
    while i < len(words):
        word = words[i]
        i += 1
        match = _OVERRIDE.fullmatch(word.text)
        added = word.text.startswith("+")
        if match is None:
            match = _OPTION.fullmatch(word.text) if word.text.startswith("-") else None
            if match is None:
                continue
            if match[2] is None:
                values: list[Any] = []
                while i < len(words) and not _starts_option(words[i].text):
                    values.append(yaml_value(words[i].text))
                    i += 1
                value = True if not values else values[0] if len(values) == 1 else values
                yield from _flat(match[1], value, source(word.line))
                continue
        yield from _flat(match[1], yaml_value(match[2]), source(word.line), added=added)


def _starts_option(word: str) -> bool:
    """Return whether a word can be no value of the option before it; -1 and -.5 can."""
    return _is_option(word) or (word.startswith("-") and word[1:2].isalpha())


def _flat(
    key: str, value: Any, source: Source, *, added: bool = False
) -> Iterator[tuple[str, Setting]]:
    """Yield a value, a mapping under dotted keys."""
    if isinstance(value, Mapping) and value:
        for name, item in value.items():
            yield from _flat(f"{key}.{name}", item, source, added=added)
    else:
        yield key, Setting(key, value, source, added)
