"""Processes that train together: their gradients are those of the whole batch, and they agree when to stop."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ganaug.checkpoint.snapshot import load_tensors
from ganaug.config import DISCRIMINATORS, GanConfig, NetworkConfig
from ganaug.data.dataset import DataSet
from ganaug.errors import ConfigError, UserError
from ganaug.train.distributed.gradients import Gradients
from ganaug.train.distributed.process_group import ProcessGroup, join_process_group
from ganaug.train.loop import train_gan
from ganaug.train.task import plan_training
from ganaug.workspace import Workspace, read_jsonl

GRADIENTS = """
import json, os, sys
import torch
torch.set_num_threads(1)
from torch import nn
from ganaug.train.distributed.gradients import Gradients
from ganaug.train.distributed.process_group import join_process_group

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.Softplus(), nn.Linear(8, 8), nn.Softplus(), nn.Linear(8, 1))
        self.unused = nn.Linear(3, 3)
    def forward(self, x):
        return self.layers(x)

with join_process_group("cpu") as processes:
    net, results = Net(), {}
    gradients = Gradients(net, processes, bucket_bytes=100)
    whole = torch.randn(8, 4, generator=torch.Generator().manual_seed(1))
    x = whole[processes.rank * 8 // processes.size : (processes.rank + 1) * 8 // processes.size]
    gradients.backward(net(x).square().mean())
    results["first"] = [p.grad.tolist() for p in net.layers.parameters()]
    assert all(p.grad is None for p in net.unused.parameters())
    net.zero_grad(set_to_none=True)
    x.requires_grad_(True)
    (slope,) = torch.autograd.grad(net(x).sum(), x, create_graph=True)  # as the R1 penalty does
    gradients.backward(slope.square().sum(dim=1).mean())
    results["penalty"] = [None if p.grad is None else p.grad.tolist() for p in net.layers.parameters()]
    net.zero_grad(set_to_none=True)
    for half in (0, 1):
        part = x[half * len(x) // 2 : (half + 1) * len(x) // 2]
        gradients.backward(net(part).square().mean() / 2, last=half == 1)
    results["parts"] = [p.grad.tolist() for p in net.layers.parameters()]
    results["any"] = [processes.any(processes.rank == 1), processes.any(False)]
    results["mean"] = float(processes.mean(torch.tensor(float(processes.rank))))
    if processes.is_main:
        print(json.dumps(results))
"""

NETWORK = NetworkConfig(16, 4, z_dim=16, w_dim=16, channel_base=128, channel_max=16)
CONFIG = GanConfig(
    NETWORK, total_kimg=0.064, batch=8, r1_interval=2, pl_interval=2, state_kimg=0.016, ada_pipeline="bgc"
)


def torchrun(program: str, arguments: list[str], num_processes: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={num_processes}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GANAUG_PROGRAM": program}
    runner = "import os; exec(compile(os.environ['GANAUG_PROGRAM'], 'program', 'exec'))"
    return subprocess.Popen(
        [*command, "--no-python", sys.executable, "-c", runner, *arguments],
        env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_gradients_of_two_processes_are_those_of_the_whole_batch() -> None:
    process = torchrun(GRADIENTS, [], 2)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    together = json.loads(out)
    alone = json.loads(
        subprocess.run([sys.executable, "-c", GRADIENTS], text=True, capture_output=True, check=True).stdout
    )
    for name in ("first", "penalty", "parts"):
        for grad, expected in zip(together[name], alone[name], strict=True):
            assert (grad is None) == (expected is None)
            if grad is not None:
                torch.testing.assert_close(torch.tensor(grad), torch.tensor(expected), atol=1e-6, rtol=1e-5)
    assert together["any"] == [True, False]
    assert together["mean"] == 0.5


THREADS = """
import os, sys
from ganaug.train.distributed.process_group import join_process_group

def num_threads():
    return len(os.listdir("/proc/self/task"))

with join_process_group("cpu") as processes:
    import torch
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([weight])
    weight.sum().backward()
    optimizer.step()
    processes.any(True)
    within = num_threads()
assert num_threads() <= within - 3, (within, num_threads())  # gloo has one for its connections and two for its work
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the system does not list a process's threads")
def test_no_thread_of_the_group_outlives_it() -> None:
    process = torchrun(THREADS, [], 2)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err


TRAIN = """
import sys
from dataclasses import replace
from pathlib import Path
import torch; torch.set_num_threads(1)
from ganaug.config import GanConfig, NetworkConfig
from ganaug.data.dataset import open_dataset
from ganaug.errors import Ended
from ganaug.train.loop import train_gans
from ganaug.train.task import plan_training
from ganaug.workspace import Workspace
workspace = Workspace(Path(sys.argv[1]))
network = NetworkConfig(16, 4, z_dim=16, w_dim=16, channel_base=128, channel_max=16)
config = GanConfig(network, total_kimg=float(sys.argv[2]), batch=8, r1_interval=2, pl_interval=2, state_kimg=0.016,
                   ada_pipeline="bgc")
if "projected" in sys.argv:
    config = replace(config, discriminator="projected", r1_gamma=0.0, ada_pipeline="none", class_penalty=0.15)
try:
    train_gans([plan_training(workspace, open_dataset(workspace, "phantom"), 0, config)])
except Ended:
    pass
"""
PROJECTED = replace(CONFIG, discriminator="projected", r1_gamma=0.0, ada_pipeline="none", class_penalty=0.15)


def states(workspace: Workspace) -> list[Path]:
    return sorted(workspace.root.glob("gans/*/state/state-*.safetensors"))


@pytest.mark.parametrize("discriminator", DISCRIMINATORS)
def test_two_processes_train_resume_and_hand_over_to_one(
    discriminator: str, workspace: Workspace, tiny: DataSet
) -> None:
    config = CONFIG if discriminator == "stylegan2" else PROJECTED
    for kimg in (0.032, 0.064):
        process = torchrun(TRAIN, [str(workspace.root), str(kimg), discriminator], 2)
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        assert int(load_tensors(states(workspace)[-1])[1]["num_images"]) == round(kimg * 1000)
    run = train_gan(plan_training(workspace, tiny, 0, replace(config, total_kimg=0.08)))
    assert len(workspace.gans()) == 1
    assert [line["kimg"] for line in read_jsonl(run.stats)] == [0.032, 0.064, 0.08]
    assert run.ema(0.08).exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_all_processes_stop_together_with_a_state(
    number: signal.Signals, workspace: Workspace, tiny: DataSet, wait_until: Callable[..., None]
) -> None:
    process = torchrun(TRAIN, [str(workspace.root), "1000"], 2)
    wait_until(lambda: states(workspace) or process.poll() is not None)
    assert process.poll() is None, process.communicate()[1]
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not children.exists():
        process.kill()
        pytest.skip("the system does not list a process's children")
    os.kill(int(children.read_text().split()[-1]), number)  # only one of them gets the signal
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    newest = int(load_tensors(states(workspace)[-1])[1]["num_images"])
    assert newest % 8 == 0


WAIT_FOR_A_PEER = """
import signal
from ganaug.cli.main import _stop_as_on_ctrl_c
from ganaug.errors import Ended
from ganaug.train.distributed.process_group import join_process_group
_stop_as_on_ctrl_c()
print("waiting", flush=True)
try:
    with join_process_group("cpu"):
        pass
except Ended:
    print("ended", flush=True)
"""


def test_a_stop_while_a_peer_is_missing_comes_at_once() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    names = {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = [sys.executable, "-c", WAIT_FOR_A_PEER]
    process = subprocess.Popen(command, env=os.environ | names, text=True, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=10)
    assert (process.returncode, out) == (0, "ended\n")


def test_alone_there_is_nothing_to_agree_on() -> None:
    processes = ProcessGroup()
    net = torch.nn.Linear(2, 1)
    Gradients(net, processes).backward(net(torch.ones(1, 2)).sum())
    assert net.weight.grad is not None
    assert processes.is_main
    assert float(processes.mean(torch.tensor(3.0))) == 3.0
    assert processes.any(True)
    assert not processes.any(False)


def test_a_batch_that_does_not_divide_is_refused(
    monkeypatch: pytest.MonkeyPatch, workspace: Workspace, tiny: DataSet
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ConfigError, match="a batch of 8 for 3 processes; expected a multiple of 3 from 6 up"):
        plan_training(workspace, tiny, 0, CONFIG)
    monkeypatch.setenv("WORLD_SIZE", "many")
    with pytest.raises(ConfigError, match="WORLD_SIZE"):
        plan_training(workspace, tiny, 0, CONFIG)


def test_a_port_in_use_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for name, value in (("WORLD_SIZE", "2"), ("RANK", "0"), ("LOCAL_RANK", "0"), ("MASTER_ADDR", "127.0.0.1")):
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("MASTER_PORT", str(taken.getsockname()[1]))
        with pytest.raises(UserError, match="2 processes") as refusal, join_process_group("cpu"):
            pass
    assert "\n" not in str(refusal.value)
