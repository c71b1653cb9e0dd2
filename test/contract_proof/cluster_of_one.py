"""A server with the extension and without a cluster yet, in a directory that goes with it, for programs that analyse many contracts."""
import os
import subprocess
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class ClusterOfOne:
    def __init__(self):
        self.base = tempfile.TemporaryDirectory(prefix="dadbs-proof-")
        os.chmod(self.base.name, 0o755)
        if os.geteuid() == 0:
            subprocess.run(["chown", "postgres", self.base.name], check=True)
        self.host = os.path.join(self.base.name, "cluster")
        self.port = os.environ.get("DADBS_TEST_PORT", "7620")
        self.command("start", "--bare", "1")

    def command(self, verb, *arguments):
        done = subprocess.run([os.path.join(ROOT, "scripts/cluster"), verb, "--dir", self.host, "--port", self.port, *arguments],
                              capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"scripts/cluster {verb}: {done.stdout}{done.stderr}")

    def remove(self):
        self.command("remove")
        self.base.cleanup()
