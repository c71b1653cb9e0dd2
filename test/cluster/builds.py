"""Members that run another build of the extension: PostgreSQL in a folder of its own, with a library that is linked from the objects of `make install`."""
import contextlib
import os
import shutil
import subprocess

from harness import ROOT, equal

CONFIG = os.environ.get("PG_CONFIG", "/usr/lib/postgresql/15/bin/pg_config")


class Installation:
    """Of PostgreSQL, without dadbs.so and, where `extension` is so, without the extension's scripts. Servers find what belongs to them from where they stand."""

    def __init__(self, base, extension=False):
        bindir, libdir, sharedir = (subprocess.run([CONFIG, "--" + x], capture_output=True, text=True, check=True).stdout.strip()
                                    for x in ("bindir", "pkglibdir", "sharedir"))
        prefix = os.path.commonpath([bindir, libdir, sharedir])

        def there(path):
            return os.path.join(base, os.path.relpath(path, prefix))
        os.makedirs(there(bindir))
        for program in ("postgres", "pg_ctl", "pg_config", "psql", "initdb", "createdb"):
            shutil.copy2(os.path.join(bindir, program), there(bindir))
        self.config, self.libdir, self.extensions = os.path.join(there(bindir), "pg_config"), there(libdir), os.path.join(there(sharedir), "extension")
        link_all(libdir, self.libdir, lambda name: name != "dadbs.so")
        if extension:
            link_all(sharedir, there(sharedir), lambda name: name != "extension")
            link_all(os.path.join(sharedir, "extension"), self.extensions, lambda name: not name.startswith("dadbs"))
        else:
            os.makedirs(os.path.dirname(there(sharedir)), exist_ok=True)
            os.symlink(sharedir, there(sharedir))

    def make(self, module, *variables):
        made = subprocess.run(["make", "-s", "-f", f"test/modules/{module}/Makefile", f"PG_CONFIG={CONFIG}", f"DEST={self.libdir}", *variables, module],
                              cwd=ROOT, capture_output=True, text=True)
        equal(made.returncode, 0, f"the library is built: {made.stdout}{made.stderr}")


def link_all(folder, there, wanted):
    os.makedirs(there, exist_ok=True)
    for name in filter(wanted, os.listdir(folder)):
        os.symlink(os.path.join(folder, name), os.path.join(there, name))


@contextlib.contextmanager
def out_of(config):
    """What is started meanwhile comes out of the installation that this pg_config belongs to."""
    os.environ["PG_CONFIG"] = config
    try:
        yield
    finally:
        os.environ["PG_CONFIG"] = CONFIG


def start_with(c, member, config):
    with out_of(config):
        c.start_member(member)
