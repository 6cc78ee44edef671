"""What was set, and where: dotted keys to values that know where they come from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Setting", "Settings", "Source", "SourceKind", "flatten"]

SourceKind = Literal["file", "command line", "object", "default"]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value was set.

    Parameters
    ----------
    kind : {"file", "command line", "object", "default"}
        What it stands in.
    where : str
        Path of the file, name of the class, or whose default: "TRL 1.16.0".
    line : int or None
        Line of the file, from 1.

    Examples
    --------
    >>> print(Source("file", "grpo.yaml", 12), Source("default", "TRL 1.16.0"), sep="; ")
    grpo.yaml:12; default of TRL 1.16.0
    """

    kind: SourceKind
    where: str = ""
    line: int | None = None

    def __str__(self) -> str:
        if self.kind == "default":
            return f"default of {self.where}"
        if self.kind == "command line":
            return self.where or self.kind
        return self.where if self.line is None else f"{self.where}:{self.line}"


@dataclass(frozen=True, slots=True)
class Setting:
    """A value with its key and source.

    Parameters
    ----------
    key : str
        Dotted key, as the framework spells it.
    value : object
        Plain value: number, text, bool, None, or a list of these.
    source : Source
        Where it was set.
    added : bool
        Whether it was said to be an option that the framework does not know: Hydra's ``+key=``.
    """

    key: str
    value: Any
    source: Source
    added: bool = False

    @property
    def given(self) -> bool:
        """Whether somebody set it, and it is no default."""
        return self.source.kind != "default"


@dataclass(frozen=True, slots=True)
class Settings(Mapping[str, Any]):
    """Settings by their dotted keys; as a mapping, keys to plain values.

    Parameters
    ----------
    items_by_key : mapping of str to Setting
        Later layers have replaced earlier ones already.
    name : str
        What was read: a path, the name of a class, "command line".
    program : str
        Words of the command in front of the options ("trl grpo"), empty for a file or an object;
        a class of config objects gives its name.
    remarks : tuple of str
        What could not be read, in whole sentences.
    """

    items_by_key: Mapping[str, Setting]
    name: str = "settings"
    program: str = ""
    remarks: tuple[str, ...] = ()

    @classmethod
    def from_mapping(
        cls, values: Mapping[str, Any], source: Source, *, name: str = "", program: str = ""
    ) -> "Settings":
        """Return settings of a nested mapping, all of one source.

        Parameters
        ----------
        values : mapping
            Nested or with dotted keys.
        source : Source
            Where all of them stand.
        name : str
            What was read.
        program : str
            See the class.

        Returns
        -------
        Settings
            With dotted keys.
        """
        flat = {key: Setting(key, value, source) for key, value in flatten(values).items()}
        return cls(flat, name or str(source), program)

    def __getitem__(self, key: str) -> Any:
        return self.items_by_key[key].value

    def __iter__(self) -> Iterator[str]:
        return iter(self.items_by_key)

    def __len__(self) -> int:
        return len(self.items_by_key)

    def setting(self, key: str) -> Setting | None:
        """Return a value with its source, or None where the key is not set.

        Parameters
        ----------
        key : str
            Dotted key.

        Returns
        -------
        Setting or None
            The setting.
        """
        return self.items_by_key.get(key)

    def given(self, key: str) -> bool:
        """Return whether somebody set this key.

        Parameters
        ----------
        key : str
            Dotted key.

        Returns
        -------
        bool
            False for defaults, and for keys that are not set.
        """
        found = self.items_by_key.get(key)
        return found is not None and found.given

    def over(self, base: "Settings") -> "Settings":
        """Return these settings laid over others: over defaults, or overrides over a file.

        Parameters
        ----------
        base : Settings
            Read where a key is not set here.

        Returns
        -------
        Settings
            Both, with the name of these, and with the program of whichever has one.
        """
        both = {**base.items_by_key, **self.items_by_key}
        remarks = (*self.remarks, *base.remarks)
        return Settings(both, self.name, self.program or base.program, remarks)


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a nested mapping with dotted keys; empty mappings stay values.

    Parameters
    ----------
    values : mapping
        Nested.
    prefix : str
        In front of every key.

    Returns
    -------
    dict
        Dotted keys to values.

    Examples
    --------
    >>> flatten({"actor": {"use_kl_loss": True}, "beta": 0.1})
    {'actor.use_kl_loss': True, 'beta': 0.1}
    """
    flat: dict[str, Any] = {}
    for key, value in values.items():
        dotted = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{dotted}.")
        else:
            flat[dotted] = value
    return flat
