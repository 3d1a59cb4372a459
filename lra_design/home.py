"""Where an installation keeps its data and its secret.

That is `$LRA_DESIGN_HOME`, or `~/.local/share/lra-design`.

The secret seeds the held-out splits of generated tasks. It is made once, readable by its owner
only, and lies outside everything a sandbox may open.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from lra_design.errors import DataError

HOME_VARIABLE = "LRA_DESIGN_HOME"


def home() -> Path:
    """The installation's folder, made when missing. Raises DataError when it cannot be."""
    folder = _folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"cannot make the folder {folder}: {error.strerror}. "
            f"Set {HOME_VARIABLE} to a folder you can write to."
        ) from None
    return folder.resolve()


def _folder() -> Path:
    if chosen := os.environ.get(HOME_VARIABLE):
        return Path(chosen)
    try:
        return Path.home() / ".local" / "share" / "lra-design"
    except RuntimeError:
        raise DataError(
            f"user {os.getuid()} has no home, and HOME is not set. "
            f"Set {HOME_VARIABLE} to a folder that lasts, for the data and the secret."
        ) from None


def secret_seed(purpose: str) -> int:
    """A 64-bit seed for `purpose` that nobody without the installation's secret can compute."""
    digest = hmac.new(_secret(home() / "secret"), purpose.encode(), hashlib.sha256).digest()
    return int.from_bytes(digest[:8], "little")


def _secret(path: Path) -> bytes:
    """The secret in `path`; made on first use, by exactly one of several processes."""
    try:
        if not path.exists():
            draft = path.with_name(f".secret.{os.getpid()}.{secrets.token_hex(4)}")
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(32))
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(draft, path)
            except FileExistsError:
                pass  # another process was first, and its secret stands
            finally:
                draft.unlink()
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"cannot use the secret in {path}: {error.strerror}. "
            f"Make {path.parent} writable or set {HOME_VARIABLE} to another folder."
        ) from None
    if len(content) != 32:
        raise DataError(f"{path} is damaged: expected 32 bytes, found {len(content)}. Delete it.")
    return content
