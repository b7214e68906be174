"""Child processes, where they run, and what CPU time and memory they have used."""

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Generator
from pathlib import Path

CORES = sorted(os.sched_getaffinity(0))
LOAD_CORE = CORES[0]
"""The load generators and the upstream."""
GATEWAY_CORE = CORES[1] if len(CORES) > 1 else CORES[0]


class Child:
    """A running process whose stderr is kept, and which can be asked what its whole tree has used."""

    def __init__(self, command: list[str], *, core: int, cwd: Path, environment: dict[str, str] | None = None) -> None:
        """Start ``command`` pinned to ``core``."""
        self.command = command
        self.environment = environment or {}
        self.process = subprocess.Popen(
            ["taskset", "-c", str(core), *command],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(line.rstrip("\n") for line in iter(self.process.stdout.readline, ""))

    def wait_for_line(self, start: str, within_s: float = 20.0) -> str:
        """Wait for a line of output that begins with ``start`` and return the rest of it."""
        deadline = time.monotonic() + within_s
        while True:
            for line in list(self.lines):
                if line.startswith(start):
                    return line.removeprefix(start).strip()
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"no line {start!r} from {self.process.args}:\n" + "\n".join(self.lines))
            time.sleep(0.001)

    def cpu_ns(self) -> int:
        """CPU time used by this process and its descendants so far, in nanoseconds.

        It is the scheduler's own figure; ticks of utime and stime would be 10 ms coarse.
        """
        return sum(self.threads_cpu_ns().values())

    def threads_cpu_ns(self) -> dict[str, int]:
        """CPU time of every thread of the tree, by ``name/id``."""
        found: dict[str, int] = {}
        for pid in _tree(self.process.pid):
            for task in _tasks(pid):
                # A thread may end while it is looked at.
                with contextlib.suppress(OSError):
                    name = (task / "comm").read_text().strip()
                    found[f"{name}/{task.name}"] = int((task / "schedstat").read_text().split()[0])
        return found

    def rss_bytes(self) -> int:
        """Resident memory of this process and its descendants."""
        page = os.sysconf("SC_PAGE_SIZE")
        return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page for pid in _tree(self.process.pid))

    def stop(self) -> None:
        """Ask it to end, and insist after ten seconds."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join(5)
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextlib.contextmanager
def running(child: Child) -> Generator[Child]:
    """Stop ``child`` at the end of the block."""
    try:
        yield child
    finally:
        child.stop()


def _tree(root: int) -> list[int]:
    parents: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                # The command name may hold blanks and parentheses: count from its end.
                parents[int(entry)] = int(Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1])
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def _tasks(pid: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return []
