"""What somebody with the files of a member can do to it: a server without the extension, pages of zeroes."""
import os
import subprocess

from harness import check


def heap_file(c, member, table):
    return os.path.join(c.dir, f"m{member}", c.value(member, f"SELECT pg_relation_filepath('{table}')"))


def empty(path):
    """Zeroed pages are sound to PostgreSQL: there is nothing on them."""
    with open(path, "r+b") as f:
        size = f.seek(0, 2)
        f.seek(0)
        f.write(bytes(size))


def single(c, member, *statements):
    """A server of its own on the files of a member that is down, without the extension."""
    binaries = subprocess.run([os.environ.get("PG_CONFIG", "pg_config"), "--bindir"], capture_output=True, text=True).stdout.strip()
    argv = [f"{binaries}/postgres", "--single", "-O", "-D", f"{c.dir}/m{member}", "-c", "shared_preload_libraries=", "shared"]
    if os.geteuid() == 0:
        argv = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *argv]
    done = subprocess.run(argv, input="\n".join(statements) + "\n", capture_output=True, text=True, cwd="/")
    check(done.returncode == 0 and "ERROR" not in done.stderr, done.stdout + done.stderr)


def behind(c, member, *statements):
    """They run while the extension is not there."""
    c.stop_member(member)
    single(c, member, *statements)
    c.start_member(member)
    c.wait_ready()
