"""The SQLite file under the log: opening, transactions, durability, purging, backup."""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
import time
from contextlib import closing, contextmanager, suppress
from importlib import resources
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from inhabit.durable import flush, flush_folder, replacement
from inhabit.exceptions import ConfigError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MIGRATIONS: Final = ("0001_events", "0002_decisions", "0003_meta")
_APPLICATION_ID: Final = 0x696E6862  # "inhb": tells our files from other SQLite databases
_OLDEST_SQLITE: Final = (3, 37, 0)  # STRICT tables
_PURGE_PENDING: Final = "purge_pending"

SETTINGS: Final = (
    "journal_mode = WAL",  # readers do not wait for the writer
    "synchronous = FULL",  # every commit is synced: acknowledged means kept
    "fullfsync = ON",  # macOS: all the way to the disk, as fsync is elsewhere
    "checkpoint_fullfsync = ON",
    "secure_delete = ON",  # deleted content is overwritten with zeros
    "foreign_keys = ON",
    "temp_store = MEMORY",  # nothing personal in temporary files
    "trusted_schema = OFF",
)

_READING: Final = ("query_only = ON", "temp_store = MEMORY", "trusted_schema = OFF")

_UNWRITABLE: Final = {errno.EROFS, errno.EACCES, errno.EPERM}

_ADVICE: Final = {
    sqlite3.SQLITE_FULL: "the disk is full, nothing of this call was kept: free some space and "
    "repeat it",
    sqlite3.SQLITE_BUSY: "another process is writing, nothing of this call was kept: repeat it, "
    "or open the log with a longer timeout_s",
    sqlite3.SQLITE_READONLY: "the file, or its folder, is read-only",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened: look at its path and permissions",
    sqlite3.SQLITE_NOTADB: "the file is no SQLite database, so no event log",
    sqlite3.SQLITE_CORRUPT: "the file is damaged: restore a backup",
}


class Database:
    """One SQLite file, opened when needed, used by one thread at a time.

    A file that cannot be written is opened to be read. Everything that SQLite
    or the operating system complains of becomes a `StorageError` that says
    what to do.
    """

    def __init__(self, path: str | os.PathLike[str], timeout_s: float) -> None:
        if not (isfinite(timeout_s) and timeout_s >= 0):
            raise ConfigError(f"timeout_s: expected a number of seconds >= 0, got {timeout_s}")
        if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
            raise StorageError(
                f"inhabit needs SQLite 3.37 or newer, this Python has {sqlite3.sqlite_version}: "
                "use a Python that is built with a newer one"
            )
        self.path = os.fspath(path)
        self._errors = _Errors(self.path)
        self._timeout_s = timeout_s
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._times_opened = 0
        self._depth = 0
        self._closed = False
        self._unwritable: str | None = None  # why the file is only open to be read
        with self._lock, self._errors:
            self._open()

    @property
    def _in_memory(self) -> bool:
        return self.path == ":memory:"

    # -- using it --

    def fetch(
        self, sql: str, parameters: Sequence[object] | Mapping[str, object] = ()
    ) -> list[tuple[Any, ...]]:
        """Return all rows of one query."""
        with self._lock, self._errors:
            return self._open().execute(sql, parameters).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Everything inside the ``with`` block happens, or nothing.

        Holds the write lock from the start. Blocks nest within a thread; only
        the outermost commits, and an inner one that fails ends them all: half
        of a transaction is never what its author meant.
        """
        with self._lock, self._errors:
            connection = self._open_to_write()
            if self._depth == 0:
                connection.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                self._still_in(connection)
                yield connection
                self._still_in(connection)
                if self._depth == 1:
                    connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            finally:
                self._depth -= 1

    @staticmethod
    def _still_in(connection: sqlite3.Connection) -> None:
        if not connection.in_transaction:
            raise StorageError("an inner block failed, so nothing of this transaction is kept")

    @property
    def writable(self) -> bool:
        """Whether the file was opened to be written."""
        with self._lock, self._errors:
            self._open()
            return self._unwritable is None

    def revision(self) -> tuple[int, int, int]:
        """Something that differs once anything in the file may have changed."""
        with self._lock, self._errors:
            connection = self._open()
            (version,) = connection.execute("PRAGMA data_version").fetchone()
            return self._times_opened, version, connection.total_changes

    # -- deleting for good --

    def require_purge(self) -> None:
        """Note, in the current transaction, that deleted rows must also leave the file."""
        with self.transaction() as connection:
            connection.execute(
                "INSERT INTO meta (key, value) VALUES (?, '') ON CONFLICT DO NOTHING",
                (_PURGE_PENDING,),
            )

    def purge(self) -> None:
        """Rewrite the file without free space and empty the write-ahead log."""
        with self._lock, self._errors:
            if self._depth:
                raise StorageError("purge cannot run inside a transaction: leave it first")
            self._purge(self._open_to_write())

    def _purge(self, connection: sqlite3.Connection) -> None:
        try:
            # First, since it may free the very space that rewriting the file needs.
            self._empty_write_ahead_log(connection)
            connection.execute("VACUUM")
            self._empty_write_ahead_log(connection)
        except sqlite3.OperationalError as error:
            raise StorageError(
                f"{self.path}: the rows are deleted, but the file could not be rewritten "
                f"({error}): traces of them may be left. Once it can, open the log again, which "
                "purges it, or call purge()"
            ) from error
        # Only now is the promise kept; a crash before this line repeats the work.
        connection.execute("DELETE FROM meta WHERE key = ?", (_PURGE_PENDING,))

    def _finish_purge(self, connection: sqlite3.Connection) -> None:
        """Purge if a forget was interrupted. While others read, the wish waits."""
        wish = "SELECT TRUE FROM meta WHERE key = ?"
        if connection.execute(wish, (_PURGE_PENDING,)).fetchone():
            with suppress(StorageError):
                self._purge(connection)

    def _empty_write_ahead_log(self, connection: sqlite3.Connection) -> None:
        (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise StorageError(
                f"{self.path}: the rows are deleted, but another process is reading, so their "
                "bytes may still be in the -wal file. Close that reader, then open the log again, "
                "which purges it, or call purge()"
            )

    # -- keeping --

    def backup(self, path: str | os.PathLike[str]) -> None:
        """Write a consistent copy to `path`, complete and on the disk when this returns."""
        target = Path(path)
        with self._lock, self._errors:
            source = self._open()
            with _Errors(target):
                if not self._in_memory and target.exists() and target.samefile(self.path):
                    raise ConfigError(f"path: expected another file than the log itself: {target}")
                _back_up(source, target)

    # -- opening and letting go --

    def release_locks(self) -> None:
        """Let go of the file; the next call opens it again. A database in memory stays."""
        with self._lock, self._errors:
            if self._depth:
                raise StorageError("release_locks cannot run inside a transaction: leave it first")
            if self._connection is not None and not self._in_memory:
                self._connection.close()
                self._connection = None

    def close(self) -> None:
        """Close for good; closing twice is fine."""
        with self._lock, self._errors:
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            self._closed = True

    def _open(self) -> sqlite3.Connection:
        """Return the connection, opened if need be. The caller holds the lock."""
        if self._connection is not None:
            return self._connection
        if self._closed:
            raise StorageError(f"{self.path}: this log is closed: open a new one")
        self._unwritable = None
        try:
            self._connection = self._connect_to_write()
        except (OSError, sqlite3.Error) as error:
            if self._in_memory or not _is_unwritable(error) or not Path(self.path).is_file():
                raise
            self._connection = self._connect_to_read()
            self._unwritable = getattr(error, "strerror", None) or str(error)
        self._times_opened += 1
        return self._connection

    def _open_to_write(self) -> sqlite3.Connection:
        connection = self._open()
        if self._unwritable is not None:
            raise StorageError(
                f"{self.path} can be read but not written ({self._unwritable}): change its "
                "permissions, or copy the whole folder to where it can be written"
            )
        return connection

    def _connect_to_write(self) -> sqlite3.Connection:
        if not self._in_memory:
            Path(self.path).parent.mkdir(parents=True, exist_ok=True)
            _create_private(Path(self.path))
        with self._connect(self.path) as connection:
            _refuse_foreign(connection, self.path)
            for setting in SETTINGS:
                self._set(connection, setting)
            _migrate(connection)
            self._finish_purge(connection)
        return connection

    def _set(self, connection: sqlite3.Connection, setting: str) -> None:
        """Set one of the settings, waiting for others.

        SQLite does not wait by itself where processes make one new file write-ahead at once.
        """
        give_up = time.monotonic() + self._timeout_s
        while True:
            try:
                connection.execute(f"PRAGMA {setting}")
            except sqlite3.OperationalError as error:
                if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() >= give_up:
                    raise
                time.sleep(0.005)
            else:
                return

    def _connect_to_read(self) -> sqlite3.Connection:
        """Open without writing anything, not even beside the file."""
        uri = f"{Path(self.path).absolute().as_uri()}?mode=ro"
        ahead, shared = (Path(f"{self.path}-{name}") for name in ("wal", "shm"))
        if not ahead.exists() or ahead.stat().st_size == 0:
            # Nobody is writing. SQLite would still want to make these two files, and cannot.
            uri += "&immutable=1"
        elif not shared.exists():
            raise StorageError(
                f"{self.path} was not closed, its last events are still in {ahead}, and neither "
                "can be written: copy the whole folder to where it can"
            )
        with self._connect(uri) as connection:
            _refuse_foreign(connection, self.path)
            for setting in _READING:
                connection.execute(f"PRAGMA {setting}")
            if _schema(connection) < len(MIGRATIONS):
                raise StorageError(
                    f"{self.path} was written by an older inhabit and must be brought up to date, "
                    "but cannot be written: copy its folder to where it can"
                )
        return connection

    @contextmanager
    def _connect(self, path: str) -> Iterator[sqlite3.Connection]:
        """Connect; the connection is closed again if it cannot be set up."""
        connection = sqlite3.connect(
            path,
            uri=path.startswith("file:"),
            timeout=self._timeout_s,
            isolation_level=None,  # transactions are begun and ended here, explicitly
            check_same_thread=False,  # self._lock lets one thread in at a time
        )
        try:
            yield connection
        except BaseException:
            connection.close()
            raise


class _Errors:
    """Whatever SQLite or the operating system complains of, as a `StorageError` about a file."""

    def __init__(self, path: str | Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, sqlite3.Error):
            meaning = _ADVICE.get(_code(error), "SQLite refused")
            raise StorageError(f"{self._path}: {meaning} ({error})") from error
        if isinstance(error, OSError) and not isinstance(error, StorageError):
            raise StorageError(f"{self._path}: {error.strerror or error}") from error


def _code(error: sqlite3.Error) -> int:
    """Return the result code of SQLite, without its extended part."""
    return int(getattr(error, "sqlite_errorcode", -1)) & 0xFF  # Python's own complaints have none


def _is_unwritable(error: OSError | sqlite3.Error) -> bool:
    if isinstance(error, OSError):
        return error.errno in _UNWRITABLE
    return _code(error) in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}


def _back_up(source: sqlite3.Connection, target: Path) -> None:
    """Copy the database into a file of its own."""
    with replacement(target) as sibling:
        _create_private(sibling)
        with closing(sqlite3.connect(sibling, isolation_level=None)) as copy:
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, no -wal beside it
        with sibling.open("r+b") as file:
            flush(file.fileno())
    flush_folder(target.parent)


def _create_private(path: Path) -> None:
    """Create the file, if it is not there, for its owner only; SQLite would ask the umask."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def _refuse_foreign(connection: sqlite3.Connection, path: str) -> None:
    """Raise, before anything is written, if the file is not ours or too new for us."""
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application_id != _APPLICATION_ID and (application_id or version or tables):
        raise StorageError(f"{path} is a SQLite database, but no event log of inhabit")
    if version > len(MIGRATIONS):
        raise StorageError(
            f"{path} was written by a newer inhabit (schema {version}, this one knows "
            f"{len(MIGRATIONS)}): upgrade inhabit to open it"
        )


def _migrate(connection: sqlite3.Connection) -> None:
    """Bring the schema up to date; each step commits together with its own number."""
    while _schema(connection) < len(MIGRATIONS):
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Another process may have taken the step while we waited for the lock.
            version = _schema(connection)
            if version < len(MIGRATIONS):
                for statement in _statements(MIGRATIONS[version]):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {version + 1}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _schema(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def _statements(migration: str) -> Iterator[str]:
    """Yield the SQL statements of one migration."""
    script = resources.files("inhabit.events").joinpath("migrations", f"{migration}.sql")
    statement = ""
    for line in script.read_text("utf-8").splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
