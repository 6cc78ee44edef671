"""Components that ask another program or a server.

Both answer in the format of REINVENT 4's ExternalProcess: SMILES go in, and out comes JSON,

.. code-block:: json

    {"version": 1, "payload": {"activity": [0.2, 0.9], "toxicity": [0.1, 0.3]}}
"""

import itertools
import json
import os
import shlex
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field, field_validator
from rdkit.Chem import MolToSmiles

from polymode.chemistry.oracles.builtin.base import BuiltIn, Mol
from polymode.chemistry.oracles.losses import Unavailable

__all__ = ["REST", "External"]

_BUSY = (408, 429, 500, 502, 503, 504)
"""HTTP statuses that may pass."""
_OURS = (401, 403, 404, 405)
"""HTTP statuses that say that the settings are wrong, not the molecules."""


class _Busy(Unavailable):
    """May be there in a moment."""


class _Asked(BuiltIn):
    """Something that answers with a payload."""

    span = "what it answers"
    is_score = True  # the user's to know, as with a function
    guarded = True
    many = True

    property: str | None = None
    """Which entry of the payload to take; unset: the only one, or the endpoints by their names."""

    def __call__(self, mols: Sequence[Mol]) -> Any:
        """Return the values of each molecule."""
        return _values(self.answer([MolToSmiles(mol) for mol in mols]), self.property)

    def answer(self, smiles: Sequence[str]) -> str:
        """Return the text of the answer."""
        raise NotImplementedError


class External(_Asked):
    """A program: reads canonical SMILES from its standard input, line by line, and prints JSON."""

    executable: str
    """Path, or a name on PATH. It is started for each call: batch_size says for how many
    molecules."""
    args: str | tuple[str, ...] = ()
    """Arguments: a list, or a string that is split as a shell would."""

    @field_validator("executable")
    @classmethod
    def _found(cls, executable: str) -> str:
        if shutil.which(executable) is None:
            raise ValueError(f"must be a program that can be run, got {executable!r}")
        return executable

    def answer(self, smiles: Sequence[str]) -> str:
        """Run the program."""
        args = shlex.split(self.args) if isinstance(self.args, str) else self.args
        try:
            done = subprocess.run(
                [self.executable, *args],
                input="\n".join(smiles) + "\n",
                capture_output=True,
                text=True,
                check=False,
            )
        except OSError as error:
            raise Unavailable(str(error)) from None
        if done.returncode:
            raise RuntimeError(f"ended with status {done.returncode}: {done.stderr[-300:].strip()}")
        return done.stdout


class REST(_Asked):
    """A server: gets ``{"version": 1, "smiles": […]}`` by POST and answers with JSON."""

    url: str = Field(pattern="^https?://")
    """Where to."""
    timeout: float = Field(default=30.0, gt=0, allow_inf_nan=False)
    """Seconds that one request may take."""
    retries: int = Field(default=3, ge=0)
    """How often a request is sent again if the server is busy or not there."""
    backoff: float = Field(default=0.5, ge=0, allow_inf_nan=False)
    """Seconds before the first of these; twice as long before each that follows."""
    headers: dict[str, str] = Field(default_factory=dict)
    """Of the request; are kept with the run, so no secrets."""
    token_variable: str | None = None
    """Name of the environment variable that holds a bearer token."""

    @field_validator("token_variable")
    @classmethod
    def _set(cls, name: str | None) -> str | None:
        if name is not None and not os.environ.get(name):
            raise ValueError(f"environment variable {name} must hold the token, but is not set")
        return name

    def answer(self, smiles: Sequence[str]) -> str:
        """Send the request, more than once if need be."""
        for attempt in itertools.count():
            try:
                return self._post(smiles)
            except _Busy:
                if attempt == self.retries:
                    raise
                time.sleep(self.backoff * 2**attempt)
        return ""  # not reached: the last attempt returns or raises

    def _post(self, smiles: Sequence[str]) -> str:
        """Send the request once."""
        headers = {"Content-Type": "application/json", "Accept": "application/json", **self.headers}
        if self.token_variable:
            headers["Authorization"] = f"Bearer {os.environ.get(self.token_variable, '')}"
        body = json.dumps({"version": 1, "smiles": list(smiles)}).encode()
        request = urllib.request.Request(self.url, data=body, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as response:
                return response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                text = f"HTTP {error.code} {error.reason}"
            if error.code in _BUSY:
                raise _Busy(f"{self.url} answered {text}") from None
            if error.code in _OURS:
                raise Unavailable(f"{self.url} answered {text}") from None
            raise ValueError(f"the server answered {text}") from None
        except TimeoutError:
            raise TimeoutError(f"no answer in {self.timeout} s") from None
        except (urllib.error.URLError, ConnectionError) as error:
            if isinstance(getattr(error, "reason", None), TimeoutError):
                raise TimeoutError(f"no connection in {self.timeout} s") from None
            raise _Busy(f"{self.url}: {getattr(error, 'reason', error)}") from None


def _values(answer: str, wanted: str | None) -> Any:
    """Return what an answer holds: an array, or arrays by their names."""
    try:
        payload: Any = json.loads(answer)["payload"]
    except (ValueError, TypeError, KeyError):
        start = " ".join(answer[:120].split())
        raise ValueError(f"answer must be JSON with a payload, got {start!r}") from None
    if not isinstance(payload, Mapping) or not payload:
        raise ValueError("payload must hold arrays by their names")
    if wanted is None:
        return next(iter(payload.values())) if len(payload) == 1 else payload
    if wanted not in payload:
        raise ValueError(f"payload has no {wanted!r} but {', '.join(map(str, payload))}")
    return payload[wanted]
