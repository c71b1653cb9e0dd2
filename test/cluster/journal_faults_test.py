"""The journal fails, is full, damaged, somebody else's, or of another time than the tables: the member says so, gives no vote, and keeps what it promised.

Member 3 suffers; the others go on. Crashes at every single write and sync are in test/unit/journal_test.cpp.
"""
import contextlib
import os
import shutil
import subprocess
import time

import psycopg2

from harness import Failure, Suite, check, equal, eventually, worker_pid

SEGMENT_MB, KEPT = 1, 2
VICTIM, OTHER = 3, 1
# Votes and write sets of what is not yet cut, beside the segments that are kept, the one being written and the spare one.
JOURNAL_MB_MAX = KEPT + 5

suite = Suite("journal_faults", port=8360, confs=(f"dadbs.journal_segment_size = {SEGMENT_MB}", f"dadbs.journal_segments_kept = {KEPT}"))


def data(c, i=VICTIM):
    return os.path.join(c.dir, f"m{i}")


def journal(c, i=VICTIM):
    return os.path.join(data(c, i), "dadbs", "journal")


def prepare(c):
    if c.value(OTHER, "SELECT to_regclass('entry') IS NULL"):
        c.run(OTHER, "CREATE TABLE entry (id bigint PRIMARY KEY, filler text)")
        c.settle()


def write(c, member, rows=1, bytes_each=10):
    """Until they are committed: a member that has just lost its primary may refuse for a moment."""
    for _ in range(rows):
        number = time.monotonic_ns()

        def try_once():
            try:
                c.run(member, f"INSERT INTO entry SELECT {number}, string_agg(md5(random()::text), '') FROM generate_series(0, {bytes_each // 32})")
                return True
            except psycopg2.Error as e:
                check(e.pgcode in ("40001", "DA001", "DA002"), f"a write on member {member}: {e.pgcode} {e}")
                return False
        eventually(try_once, 60, f"a write on member {member}")


def fill(c, megabytes):
    """Other members write more than one segment holds."""
    write(c, OTHER, rows=4 * megabytes, bytes_each=300_000)


def status(c, what):
    try:
        return c.value(VICTIM, f"SELECT {what} FROM dadbs.status") or ""
    except psycopg2.Error:
        return ""  # it is starting


def cannot_journal(c):
    """What a member whose journal cannot be written does and does not."""
    eventually(lambda: status(c, "state") == "unable to journal", 60, "member 3 says that it cannot journal")
    check(status(c, "reason"), "there is no reason in dadbs.status")
    equal(status(c, "can_write::text"), "false", "can_write")
    try:
        c.run(VICTIM, "INSERT INTO entry VALUES (-1, 'not taken')")
        raise Failure("a member that cannot journal takes a write")
    except psycopg2.Error as e:
        equal(e.pgcode, "DA002", f"SQLSTATE of a write: {e}")
        check("unable to journal" in str(e) and "Nothing was changed" in (e.diag.message_hint or ""), f"the error is not clear: {e}")
    check(c.value(VICTIM, "SELECT count(*) FROM entry") > 0, "reads go on")
    write(c, OTHER, rows=3)  # so do the others


def goes_on(c):
    """By itself, without a restart."""
    eventually(lambda: status(c, "state") == "ready", 60, "member 3 goes on")
    write(c, VICTIM)
    c.settle(60)
    equal(c.value(VICTIM, "SELECT count(*) FROM entry WHERE id = -1"), 0, "a refused row")


def limit_files_of(pid, largest):
    """As the user that the server runs as: root may not everywhere."""
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    subprocess.run([*user, "prlimit", "--pid", str(pid), f"--fsize={largest}:"], check=True, cwd="/")


@suite.test
def no_room_for_the_journal(c):
    """The file size limit of the consensus worker stands for a full disk: every write and every new segment fails."""
    prepare(c)
    write(c, OTHER, rows=3)
    c.settle()
    pid = eventually(lambda: worker_pid(c, VICTIM, "consensus"), 30, "a consensus worker")
    limit_files_of(pid, "64")
    try:
        write(c, OTHER, rows=2)
        cannot_journal(c)
        time.sleep(2)  # it has tried again
        equal(status(c, "state"), "unable to journal", "its state after a while")
    finally:
        limit_files_of(pid, "unlimited")
    goes_on(c)
    equal(worker_pid(c, VICTIM, "consensus"), pid, "the consensus worker is the same")


@contextlib.contextmanager
def small_disk(c, megabytes):
    """A file system of that size, or None where nothing may be mounted."""
    place = os.path.join(c.base, "disk")
    os.makedirs(place, exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0755", "tmpfs", place], capture_output=True).returncode == 0
    try:
        yield place if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", "-l", place], check=True)


def move_journal(c, source, target, setting):
    c.stop_member(VICTIM)
    shutil.copytree(source, target)
    own(target)
    shutil.rmtree(source)
    with open(os.path.join(data(c), "postgresql.auto.conf"), "a") as f:
        f.write(f"dadbs.journal_directory = '{setting}'\n")
    c.start_member(VICTIM)
    c.wait_ready()


@suite.test
def full_disk(c):
    """A real one, as far as one may be mounted here."""
    prepare(c)
    with small_disk(c, 16) as disk:
        if disk is None:
            print("# no file system may be mounted here: a full disk is played by a file size limit alone", flush=True)
            return
        shutil.chown(disk, "postgres", "postgres")
        there = os.path.join(disk, "journal")
        move_journal(c, journal(c), there, there)
        try:
            ballast = os.path.join(disk, "ballast")
            with open(ballast, "wb") as f, contextlib.suppress(OSError):
                while True:
                    f.write(bytes(65536))
                    f.flush()
            fill(c, 2)
            cannot_journal(c)
            check("No space left" in status(c, "reason"), f"reason {status(c, 'reason')!r}")
            os.remove(ballast)
            goes_on(c)
        finally:
            c.stop_member(VICTIM)
            move_journal(c, there, journal(c), "")


# ---- files

def own(path):
    for root, folders, files in os.walk(path):
        for name in [root, *(os.path.join(root, x) for x in folders + files)]:
            if os.geteuid() == 0:
                shutil.chown(name, "postgres", "postgres")
            os.chmod(name, 0o700 if os.path.isdir(name) else 0o600)


def put(source, target):
    shutil.rmtree(target)
    shutil.copytree(source, target)
    own(target)


def segments(path):
    return sorted(os.path.join(path, x) for x in os.listdir(path) if x.endswith(".seg"))


def end_of(path):
    """Behind the last record of a segment: zeros follow."""
    with open(path, "rb") as f:
        return (len(f.read().rstrip(b"\0")) + 7) // 8 * 8


def flip(path, offset):
    with open(path, "r+b") as f:
        f.seek(offset)
        byte = f.read(1)[0]
        f.seek(offset)
        f.write(bytes([byte ^ 0x40]))


def starts_halted(c, expected):
    """With the files as they are: it says why, takes no writes, reads go on, and the others too. Leaves it stopped."""
    c.start_member(VICTIM)
    eventually(lambda: status(c, "state") == "halted", 60, f"member 3 is halted: {expected}")
    check(expected in status(c, "reason"), f"the reason is {status(c, 'reason')!r}, not {expected!r}")
    equal(status(c, "can_write::text"), "false", "can_write")
    write(c, OTHER)
    c.stop_member(VICTIM)


def copied_before_writes(c, folder, name, *statements):
    """Member 3 is stopped, its folder copied, started, writes, and is stopped again. The copy."""
    c.stop_member(VICTIM)
    old = os.path.join(c.base, name)
    shutil.copytree(folder, old)
    c.start_member(VICTIM)
    c.wait_ready()
    write(c, VICTIM, rows=5)
    c.run(VICTIM, *statements)
    c.settle()
    c.stop_member(VICTIM)
    return old


@suite.test
def files_that_are_wrong(c):
    prepare(c)
    copied_before_writes(c, journal(c), "old-journal", "CHECKPOINT")
    right = os.path.join(c.base, "right-journal")
    shutil.copytree(journal(c), right)

    os.chmod(journal(c), 0o755)
    starts_halted(c, "has group or world access")
    put(journal(c, 4), journal(c))
    starts_halted(c, "is not this member's")
    put(right, journal(c))
    segment = segments(journal(c))[-1]
    flip(segment, 64 + (end_of(segment) - 64) // 3)
    starts_halted(c, f"journal segment \"{segment}\" at byte")

    # What a crash in the middle of a write leaves is not damage.
    put(right, journal(c))
    segment = segments(journal(c))[-1]
    with open(segment, "r+b") as f:
        f.seek(end_of(segment))
        f.write(os.urandom(1000))
    c.start_member(VICTIM)
    c.wait_ready()
    write(c, VICTIM)


@suite.test
def journal_older_than_the_tables(c):
    """What it signed since is forgotten: it votes for nothing until it has come back, in a new era of its incarnations."""
    old = os.path.join(c.base, "old-journal")
    check(os.path.exists(old), "this test goes on where files_that_are_wrong ends")
    c.stop_member(VICTIM)
    put(old, journal(c))
    c.start_member(VICTIM)
    eventually(lambda: status(c, "(can_write AND incarnation >= 1 << 20)::text") == "true", 60, "member 3 has rejoined")
    check("may have forgotten what it signed" in c.log(VICTIM), "its log says so")
    write(c, VICTIM)


def put_data(c, source):
    """Postgres's files as they were copied; what the member keeps for itself (key, genesis, journal) as it is now."""
    own_files = os.path.join(c.base, "own-files")
    shutil.move(os.path.join(data(c), "dadbs"), own_files)
    shutil.rmtree(data(c))
    shutil.copytree(source, data(c), ignore=shutil.ignore_patterns("dadbs"))
    shutil.move(own_files, os.path.join(data(c), "dadbs"))
    for root, _, files in os.walk(data(c)):
        for name in [root, *(os.path.join(root, x) for x in files)]:
            if os.geteuid() == 0:
                shutil.chown(name, "postgres", "postgres")


@suite.test
def tables_older_than_the_journal(c):
    """Postgres's files come from an older copy, the journal does not: as after a crash, what is missing comes from the journal."""
    prepare(c)
    put_data(c, copied_before_writes(c, data(c), "old-data"))
    c.start_member(VICTIM)
    c.wait_ready()
    write(c, VICTIM)


@suite.test
def its_size_is_bounded(c):
    prepare(c)
    for _ in range(3):
        fill(c, 2)
        c.settle(60)
        for i in c.members():
            c.run(i, "CHECKPOINT")  # what is durably applied may be cut
            write(c, i)
    c.settle(60)

    def largest():
        return max(sum(f.stat().st_size for f in os.scandir(journal(c, i))) for i in c.members())
    eventually(lambda: largest() <= JOURNAL_MB_MAX << 20, 30, f"journals of at most {JOURNAL_MB_MAX} MB")
    for i in c.members():
        check(c.value(i, "SELECT journal_bytes FROM dadbs.status") <= JOURNAL_MB_MAX << 20, "what dadbs.status says of it")


@suite.test
def tables_older_than_all_that_the_journal_holds(c):
    """Its segments of that time have been cut: the member is fenced, until the right files are back."""
    prepare(c)
    old = os.path.join(c.base, "old-data")
    check(os.path.exists(old), "this test goes on where tables_older_than_the_journal ends")
    c.stop_member(VICTIM)
    right = os.path.join(c.base, "right-data")
    shutil.copytree(data(c), right)
    put_data(c, old)
    starts_halted(c, "but the journal goes on with block")
    put_data(c, right)
    c.start_member(VICTIM)
    c.wait_ready()
    write(c, VICTIM)


if __name__ == "__main__":
    suite.main()
