"""A member that was away for longer than the others keep blocks in memory or journals: it takes them from their tables."""
import threading
import time

from harness import Suite, check, equal, eventually
from load import Load, prepare

# Small segments, so that what the member lacks has long been recycled.
suite = Suite("catch_up", port=7960, confs=("dadbs.journal_segment_size = 1", "dadbs.journal_segments_kept = 2"))
BLOCKS = 700  # the replica's memory has 256


def write_blocks(c, members, blocks):
    """Each commit is a block or shares one: sequential clients, one per member."""
    goal = c.value(members[0], "SELECT max(committed_height) FROM dadbs.nodes") + blocks
    errors = []

    def write(member):
        try:
            connection = c.connect(member)
            cursor = connection.cursor()
            while True:
                cursor.execute("INSERT INTO load VALUES (%s, %s)", (f"{member}-{time.monotonic_ns()}", member))
                cursor.execute("SELECT dadbs.applied_height()")
                if cursor.fetchone()[0] >= goal:
                    return connection.close()
        except Exception as e:  # noqa: BLE001 - shown below
            errors.append(e)
    threads = [threading.Thread(target=write, args=(m,)) for m in members]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(not errors, f"a client failed: {errors}")


@suite.test
def returns_from_far_behind(c):
    """The others go on writing meanwhile."""
    prepare(c)
    c.stop_member(4)
    write_blocks(c, (1, 2, 3), BLOCKS)
    began = time.monotonic()
    c.start_member(4)
    c.wait_ready()
    print(f"# {BLOCKS} blocks behind, ready after {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    suite.main()
