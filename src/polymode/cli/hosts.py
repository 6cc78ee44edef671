"""Keep what the host libraries print off our pages."""

import contextlib
import warnings
from collections.abc import Generator


@contextlib.contextmanager
def quiet_hosts() -> Generator[None]:
    """Keep the loading bars and deprecation notes of transformers and TRL off the page."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning)
        yield
