"""A network's class map of a whole volume, computed where the network is."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from bench.cost.memory import MIB, allocated_bytes, is_out_of_memory, peak_bytes, peak_left_out
from bench.cost.timing import Part
from bench.models.compiled import is_compiled
from bench.models.finite import is_finite
from bench.run.inference.room import SLICES_AT_ONCE, Room, count_sum_bytes, find_room, list_sizes
from bench.run.inference.windows import Blend, Shape, Tiling, build_weights
from bench.scoring.cases import NotFiniteError
from bench.specs.protocol import EvalSpec

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Window:
    """What a forward pass of one window gives and takes."""

    n_classes: int
    n_bytes: int  # on a GPU, of its largest moment; else 0


class Predictor:
    """Returns the classes (D, H, W), uint8, of an image (C, D, H, W), by the model as it then is.

    ``spec.blend`` is ``gaussian`` (nnU-Net) or ``constant``: equal weights of the windows that
    overlap (Med-Tuning). With ``spec.flips`` the logits of 8 mirrored volumes are averaged
    (Med-Tuning). Raises, when called: NotFiniteError if a logit is not finite, since argmax would
    call that voxel background.

    Attributes:
        at_once: windows in a forward pass, those of mirrored copies included. `Room` chooses it
            for each volume; where a device has too little memory nevertheless, it is halved.
        home: where the logits of the last volume were summed.
    """

    def __init__(self, model: nn.Module, patch: Shape, spec: EvalSpec, fabric: Fabric) -> None:
        self.model = model
        self.patch = patch
        self.spec = spec
        self.fabric = fabric
        self.at_once = 1
        self.home = torch.device("cpu")
        self._most = SLICES_AT_ONCE  # windows at once that were not yet too many
        self._window: Window | None = None
        self._said: set[str] = set()

    def __call__(self, image: np.ndarray) -> np.ndarray:
        logits = self.compute_logits(image)
        with peak_left_out(self.fabric.device):
            return logits.argmax(dim=0).to(torch.uint8).cpu().numpy()

    @torch.inference_mode()
    def compute_logits(self, image: np.ndarray) -> torch.Tensor:
        """Return the logits (K, D, H, W) of an image, on the device that summed them."""
        self.model.eval()
        volume = torch.from_numpy(np.asarray(image, dtype=np.float32))[None]
        tiling = Tiling(volume.shape[2:], self.patch, self.spec)
        with peak_left_out(self.fabric.device):
            logits = self._blend(volume, tiling)
        if not all(map(is_finite, logits)):
            raise NotFiniteError("the network's logits are not finite")
        return logits

    def find_room(self) -> Room:
        return find_room(self.fabric.device)

    def count_windows(self, image: np.ndarray) -> int:
        """Return how many windows of an image (C, D, H, W) and its mirrored copies there are."""
        return Tiling(image.shape[1:], self.patch, self.spec).n_windows

    @torch.inference_mode()  # its windows are as those of a volume
    def part_of(self, image: np.ndarray) -> Part:
        """Return the segmentation of as many windows as fill a forward pass.

        All windows of an image (C, D, H, W) and its mirrored copies are the whole. What is done
        once for a volume is not in it, such as the argmax.
        """
        noise = np.random.default_rng(0).standard_normal((self.at_once, len(image), *self.patch))
        patches = torch.from_numpy(noise.astype(np.float32)).to(self.home)
        weights = build_weights(self.patch, self.spec.blend).to(self.home)

        @torch.inference_mode()
        def segment() -> None:
            total: torch.Tensor | float = 0.0
            for logits in self._predict(patches):
                total = total + logits.to(self.home) * weights

        return Part(segment, self.count_windows(image) / self.at_once)

    def _blend(self, volume: torch.Tensor, tiling: Tiling) -> torch.Tensor:
        room = self.find_room()
        done = []
        if self._window is None:  # only of the first volume of this predictor
            logits, self._window = self._measure_window(
                next(tiling.iter_patches(volume)).contiguous()
            )
            done.append(logits)
        n_bytes = count_sum_bytes(volume.shape[1], self._window.n_classes, tiling.padded)
        self.home = room.choose_home(n_bytes)
        fitting = room.count_windows(self.patch[0], self._window.n_bytes)
        self.at_once = min(fitting, self._most)
        if is_compiled(self.model):
            self.at_once = list_sizes(self.at_once)[0]
        self._tell(room, n_bytes)
        blend = Blend(tiling, self.home)
        for logits in done:
            blend.add(logits)
        patches = islice(tiling.iter_patches(volume.to(self.home)), len(done), None)
        while chunk := list(islice(patches, self.at_once)):
            for part in self._split(torch.cat(chunk)):
                for logits in self._predict(part):
                    blend.add(logits[None])
        return blend.mean()

    def _split(self, patches: torch.Tensor) -> Sequence[torch.Tensor]:
        """Return windows as they go through the network: all at once, or in sizes it has met."""
        if not is_compiled(self.model):
            return [patches]
        return torch.split(patches, list_sizes(len(patches)))

    def _measure_window(self, patch: torch.Tensor) -> tuple[torch.Tensor, Window]:
        """Return the logits of a window, and what the network takes for it."""
        before = allocated_bytes(self.fabric.device)
        logits = self._predict(patch)
        return logits, Window(logits.shape[1], peak_bytes(self.fabric.device) - before)

    def _predict(self, patches: torch.Tensor) -> torch.Tensor:
        """Return the logits (n, K, *patch) of n windows, float32, on the network's device."""
        try:
            with self.fabric.autocast():
                return self.model(patches.to(self.fabric.device)).float()
        except RuntimeError as error:
            if len(patches) == 1 or not is_out_of_memory(error):
                raise
        # not in the handler above: the traceback keeps the tensors of the attempt
        self.at_once = self._most = len(patches) // 2
        torch.cuda.empty_cache()
        self._say_once("inference: memory was short", f"; {self.at_once} windows at once from here")
        return torch.cat([self._predict(part) for part in torch.split(patches, self.at_once)])

    def _tell(self, room: Room, n_bytes: int) -> None:
        """Say where the sums are, and how many windows are computed at once, if that was chosen."""
        if room.free is None:
            return
        need = f"a volume takes {n_bytes / MIB:.0f} MiB, {room.free / MIB:.0f} MiB are free"
        where = "in host memory" if self.home != room.device else f"on {self.home}"
        details = f"; {self.at_once} windows at once ({need})"
        self._say_once(f"inference: sums {where}", details)

    def _say_once(self, sentence: str, details: str = "") -> None:
        if sentence not in self._said:
            self._said.add(sentence)
            log.info("%s%s", sentence, details)
