"""How much a file may hold before it is refused: what protects from files made to fill memory."""

from dataclasses import dataclass

from polymode.core import checks

__all__ = ["Limits", "size"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds on what is read; a longer row is counted as bad, a longer file is refused.

    Parameters
    ----------
    n_rows : int
        Rows of a file or frame.
    row_bytes : int
        Bytes of one row; of one cell in Parquet.
    row_group_bytes : int
        Bytes of one column in one row group of a Parquet file, unpacked.
    n_bytes : int
        Bytes of the whole file once it is unpacked.
    """

    n_rows: int = 50_000_000
    row_bytes: int = 1 << 24
    row_group_bytes: int = 1 << 32
    n_bytes: int = 1 << 38

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        checks.require(
            checks.whole(
                n_rows=self.n_rows,
                row_bytes=self.row_bytes,
                row_group_bytes=self.row_group_bytes,
                n_bytes=self.n_bytes,
            )
        )


def size(n_bytes: int) -> str:
    """Return a number of bytes in words.

    Parameters
    ----------
    n_bytes : int
        How many.

    Returns
    -------
    str
        With the unit that leaves a short number.

    Examples
    --------
    >>> size(1 << 24), size(900)
    ('16 MiB', '900 bytes')
    """
    for power, unit in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if n_bytes >= 1 << 10 * power:
            return f"{n_bytes / (1 << 10 * power):.3g} {unit}"
    return f"{n_bytes} bytes"
