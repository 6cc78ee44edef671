"""The bar of verbs that train: how far, how long still, and the last figures."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["StepBar"]


class StepBar:
    """A bar with the last figures, where there is a terminal; lines stay on the screen.

    Parameters
    ----------
    console : Console
        Where to draw.
    counted : str
        What the bar counts, before it.
    """

    def __init__(self, console: Console, counted: str = "training") -> None:
        self._console = console
        columns = (
            TextColumn(counted),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=console, transient=True)
        self._task = self._bar.add_task("", total=None)

    def __enter__(self) -> "StepBar":
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Take the bar off the screen; one that was never there would leave an empty line."""
        if self._console.is_terminal:
            self._bar.stop()

    def show(self, done: int, total: int, figures: str) -> bool:
        """Move the bar; return whether anybody sees it."""
        if self._console.is_terminal:
            self._bar.update(self._task, completed=done, total=total, description=figures)
        return self._console.is_terminal

    def say(self, done: int, total: int, figures: str) -> None:
        """Print a line, which stays."""
        line = f"  {done:>6}/{total}  {figures}"
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)
