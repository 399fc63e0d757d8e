"""A Slurm of one node, in a folder of its own, on the loopback interface alone."""

import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

CONFIGURATION = """\
ClusterName=box
SlurmctldHost={host}(127.0.0.1)
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/none
CredType=cred/none
SlurmUser=root
SlurmdUser=root
SlurmctldPort={ctld_port}
SlurmdPort={d_port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
SwitchType=switch/none
SchedulerParameters=sched_interval=2,batch_sched_delay=0
ReturnToService=2
MinJobAge=86400
KillWait=5
JobRequeue=1
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory=4000
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""
DAEMONS = ("slurmctld", "slurmd")
PATIENCE_S = 30.0


def find_obstacle() -> str:
    """Return why there can be no Slurm here, or nothing."""
    if os.getuid() != 0:
        return "Slurm's daemons need root"
    missing = [name for name in (*DAEMONS, "sbatch", "srun") if shutil.which(name) is None]
    if missing:
        return f"there is no {missing[0]} (apt-get install slurmctld slurmd slurm-client)"
    return ""


def find_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class OneNode:
    folder: Path
    cores: int = 2

    @property
    def configuration(self) -> Path:
        return self.folder / "slurm.conf"

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"SLURM_CONF": str(self.configuration)}

    def start(self) -> None:
        for name in ("state", "spool"):
            (self.folder / name).mkdir(parents=True)
        facts = {"host": socket.gethostname().split(".")[0], "folder": self.folder}
        ports = {"ctld_port": find_port(), "d_port": find_port(), "cores": self.cores}
        self.configuration.write_text(CONFIGURATION.format(**facts, **ports))
        subprocess.run(["slurmctld", "-c", "-f", self.configuration], check=True)
        self.start_slurmd()
        deadline = time.monotonic() + PATIENCE_S
        while "idle" not in self.ask("sinfo", "--noheader", "--format=%T", check=False):
            assert time.monotonic() < deadline, (self.folder / "slurmctld.log").read_text()
            time.sleep(0.2)

    def start_slurmd(self) -> None:
        subprocess.run(["slurmd", "-f", self.configuration], check=True)

    def ask(self, *command: str, check: bool = True) -> str:
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=check
        )
        return done.stdout

    def list_running(self) -> list[str]:
        return self.ask("squeue", "--noheader", "--array", "--states=R", "--format=%i").split()

    def kill_slurmd(self) -> None:
        """Kill the daemon of the node; its jobs go on."""
        os.kill(self._read_pid("slurmd"), signal.SIGKILL)

    def stop(self) -> None:
        """End all jobs and both daemons."""
        self.ask("scancel", "--full", "--user=root", check=False)
        deadline = time.monotonic() + PATIENCE_S
        while self.ask("squeue", "--noheader", check=False) and time.monotonic() < deadline:
            time.sleep(0.2)
        for name in reversed(DAEMONS):
            with suppress(OSError, ValueError):
                os.kill(self._read_pid(name), signal.SIGTERM)
        while any(map(self._is_alive, DAEMONS)) and time.monotonic() < deadline:
            time.sleep(0.2)

    def _is_alive(self, name: str) -> bool:
        try:
            os.kill(self._read_pid(name), 0)
        except (OSError, ValueError):
            return False
        return True

    def _read_pid(self, name: str) -> int:
        return int((self.folder / f"{name}.pid").read_text())
