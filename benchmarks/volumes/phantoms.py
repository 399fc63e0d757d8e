"""Do the phantoms need context? A classifier of single voxels against a small 3-D net.

    python -m benchmarks.volumes.phantoms [--datasets brats,kits,lits] [--steps 500]

Both learn from the same patients and are scored on others: Dice, mean over regions and patients.
Gradient boosting sees the channels of one voxel, with and without class weights; the better of the
two on the scored patients counts: an upper estimate. Exit code 1 if a limit is missed.
"""

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from torch import nn

import datasets
from bench.run.training.loss import build_loss
from bench.scoring.metrics import dice, region_mask
from datasets.base import DatasetInfo
from datasets.phantoms.anatomy import Patient
from datasets.phantoms.layouts import DEFAULT_LAYOUT
from datasets.phantoms.write import draw_patient

VOXEL_LIMITS = {"brats": 0.45, "kits": 0.5, "lits": 0.5}
NET_LIMIT = 0.75
SEED = 77  # not that of the demo's patients
N_TRAIN, N_SCORED = 24, 12
N_VOXELS = 200_000  # that the boosting learns from
WIDTH, LR = 12, 4e-3
Patients = list[Patient]
Predict = Callable[[np.ndarray], np.ndarray]


def main() -> int:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--datasets", default="brats,kits,lits")
    parser.add_argument("--steps", type=int, default=500, help="of the net")
    arguments = parser.parse_args()
    in_limits = []
    print(f"mean Dice, {N_TRAIN} patients to learn from, {N_SCORED} scored; SYNTHETIC")
    for name in arguments.datasets.split(","):
        patients = [draw_patient(name, index, SEED) for index in range(N_TRAIN + N_SCORED)]
        train, scored = patients[:N_TRAIN], patients[N_TRAIN:]
        plain = score_boosting(name, train, scored, None)
        weighted = score_boosting(name, train, scored, "balanced")
        best = max(plain, weighted)
        net = score_net(name, train, scored, arguments.steps)
        in_limits.append(best <= VOXEL_LIMITS[name] and net >= NET_LIMIT)
        limits = f"(<= {VOXEL_LIMITS[name]}; weighted {weighted:.3f}, not {plain:.3f})"
        verdict = "holds" if in_limits[-1] else "FALLS SHORT"
        nets = f"3-D net {net:.3f} (>= {NET_LIMIT})"
        print(f"{name:6} single voxels {best:.3f} {limits}   {nets}   {verdict}", flush=True)
    return 0 if all(in_limits) else 1


def score_boosting(name: str, train: Patients, scored: Patients, weight: str | None) -> float:
    voxels = np.concatenate([list_voxels(normalise(patient.image)) for patient in train])
    classes = np.concatenate([patient.classes.ravel() for patient in train])
    n_chosen = min(N_VOXELS, len(classes))
    chosen = np.random.default_rng(0).choice(len(classes), size=n_chosen, replace=False)
    model = HistGradientBoostingClassifier(class_weight=weight, random_state=0)
    model.fit(voxels[chosen], classes[chosen])

    def predict(image: np.ndarray) -> np.ndarray:
        return model.predict(list_voxels(image)).reshape(image.shape[1:])

    return mean_dice(name, scored, predict)


def score_net(name: str, train: Patients, scored: Patients, steps: int) -> float:
    torch.manual_seed(0)
    net = SmallUNet(len(train[0].image), len(describe(name).classes))
    loss_function = build_loss()
    optimizer = torch.optim.AdamW(net.parameters(), lr=LR)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=LR, total_steps=steps)
    images = [torch.from_numpy(normalise(patient.image)) for patient in train]
    labels = [torch.from_numpy(patient.classes).long()[None] for patient in train]
    for step in range(steps):
        number = step % len(train)
        axes = [axis for axis in (1, 2, 3) if torch.rand(()) < 0.5]
        loss = loss_function(net(images[number].flip(axes)[None]), labels[number].flip(axes)[None])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    net.eval()

    @torch.inference_mode()
    def predict(image: np.ndarray) -> np.ndarray:
        return net(torch.from_numpy(image)[None])[0].argmax(dim=0).numpy()

    return mean_dice(name, scored, predict)


def mean_dice(name: str, patients: Patients, predict: Predict) -> float:
    dices = []
    for patient in patients:
        predicted = predict(normalise(patient.image))
        for region in describe(name).regions:
            reference = region_mask(patient.classes, region)
            dices.append(dice(region_mask(predicted, region), reference))
    return float(np.mean(dices))


def describe(name: str) -> DatasetInfo:
    return datasets.get(name).describe(DEFAULT_LAYOUT[name])


def normalise(image: np.ndarray) -> np.ndarray:
    """Return the channels (C, D, H, W) z-scored."""
    mean = image.mean((1, 2, 3), keepdims=True)
    deviation = image.std((1, 2, 3), keepdims=True)
    return ((image - mean) / deviation).astype(np.float32)


def list_voxels(image: np.ndarray) -> np.ndarray:
    """Return the voxels (D*H*W, C) of channels (C, D, H, W)."""
    return image.reshape(len(image), -1).T


class SmallUNet(nn.Module):
    """Three scales, one skip connection each; (B, C, D, H, W) to logits (B, K, D, H, W)."""

    def __init__(self, n_channels: int, n_classes: int) -> None:
        super().__init__()
        self.fine = build_stage(n_channels, WIDTH)
        self.middle = build_stage(WIDTH, 2 * WIDTH)
        stages = build_stage(2 * WIDTH, 4 * WIDTH), build_stage(4 * WIDTH, 2 * WIDTH)
        self.coarse = nn.Sequential(*stages)
        self.up_middle = build_stage(4 * WIDTH, WIDTH)
        self.up_fine = build_stage(2 * WIDTH, WIDTH)
        self.head = nn.Conv3d(WIDTH, n_classes, kernel_size=1)
        self.down = nn.MaxPool3d(2)
        self.up = nn.Upsample(scale_factor=2, mode="nearest")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        fine = self.fine(x)
        middle = self.middle(self.down(fine))
        coarse = self.coarse(self.down(middle))
        middle = self.up_middle(torch.cat([middle, self.up(coarse)], dim=1))
        return self.head(self.up_fine(torch.cat([fine, self.up(middle)], dim=1)))


def build_stage(n_in: int, n_out: int) -> nn.Sequential:
    convolution = nn.Conv3d(n_in, n_out, 3, padding=1, bias=False)
    return nn.Sequential(convolution, nn.InstanceNorm3d(n_out, affine=True), nn.GELU())


if __name__ == "__main__":
    sys.exit(main())
