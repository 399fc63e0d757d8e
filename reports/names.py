"""How everything is called where a person reads it: one registry, and the user's own names.

Tables, captions, notes, pictures, the page, the terminal and names of runs in MLflow are these.
CSV files, macros, file names, other texts in MLflow and the command line keep the keys.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

METHODS = {
    "full": "Full fine-tuning",
    "scratch": "From scratch",
    "linear": "Linear probing",
    "vpt_shallow": "VPT-Shallow",
    "vpt_deep": "VPT-Deep",
    "lora": "LoRA",
    "houlsby": "Houlsby adapter",
    "pfeiffer": "Pfeiffer adapter",
    "adapter_plus": "Adapter+",
    "adaptformer": "AdaptFormer",
    "ssf": "SSF",
    "difffit": "DiffFit",
    "bitfit": "BitFit",
    "norm": "Norm tuning",
    "partial": "Partial tuning",
    "med_adapter": "Med-Adapter",
    "fact_tt": "FacT-TT",
    "fact_tk": "FacT-TK",
    "conv_lora": "Conv-LoRA",
    "arena": "ARENA",
    "convpass": "Convpass",
    "repadapter": "RepAdapter",
    "mona": "Mona",
    "dka": "Dual-Kernel Adapter",
    "gps": "GPS",
    "spt": "SPT",
    "st_adapter": "ST-Adapter",
    "aim": "AIM",
    "ma_sam": "MA-SAM",
}
PEFT = {  # types of that library
    "lora": "LoRA",
    "dora": "DoRA",
    "rslora": "rsLoRA",
    "pissa": "PiSSA",
    "olora": "OLoRA",
    "adalora": "AdaLoRA",
    "loha": "LoHa",
    "lokr": "LoKr",
    "hira": "HiRA",
    "delora": "DeLoRA",
    "gralora": "GraLoRA",
    "miss": "MiSS",
    "bone": "Bone",
    "randlora": "RandLoRA",
    "glora": "GLoRA",
    "adamss": "AdaMSS",
    "deft": "DEFT",
    "peanut": "PEANuT",
    "vera": "VeRA",
    "pvera": "PVeRA",
    "vblora": "VB-LoRA",
    "tinylora": "TinyLoRA",
    "unilora": "Uni-LoRA",
    "frod": "FRoD",
    "lily": "Lily",
    "oft": "OFT",
    "boft": "BOFT",
    "hra": "HRA",
    "psoft": "PSOFT",
    "road": "RoAd",
    "fourierft": "FourierFT",
    "waveft": "WaveFT",
    "c3a": "C3A",
    "shira": "SHiRA",
    "supertuning": "Super-Tuning",
    "osf": "OSF",
    "ia3": "(IA)3",
    "beft": "BEFT",
    "ln_tuning": "LN tuning",
}
BRIDGED = {f"peft:{name}": f"{title} (peft)" for name, title in PEFT.items()}
FAMILIES = {  # in the order of the tables
    "reference": "Baselines",
    "prompt": "Prompts",
    "adapter": "Adapters",
    "low_rank": "Low-rank updates",
    "scale_shift": "Scales and shifts",
    "selective": "Selected weights",
    "volumetric": "Volumetric",
    "orthogonal": "Rotations",
    "spectral": "Spectral updates",
    "other": "Other methods",
}
NETWORKS = {
    "net:nnunet": "nnU-Net",
    "net:nnunet_resenc": "nnU-Net ResEnc",
    "net:unetr": "UNETR",
    "net:swin_unetr": "Swin UNETR",
}
# Releases have their titles in the records of their runs. These are without one.
DATASETS = {"brats": "BraTS", "kits": "KiTS", "lits": "LiTS"}
BACKBONES = {
    "tiny_vit": "Tiny ViT/8",
    "tiny_vit4": "Tiny ViT/4",
    "tiny_swin": "Tiny Swin",
    "vit_ti16": "ViT-Ti/16",
    "vit_s16": "ViT-S/16",
    "vit_b16": "ViT-B/16",
    "swin_tiny": "Swin-T",
    "swin_t_unet": "Swin-T U-Net",
}
DECODERS = {  # where they are not the backbone's own
    "medtuning": "of Med-Tuning",
    "light": "light",
    "upernet": "UPerNet",
    "upernet_medtuning": "UPerNet of Med-Tuning",
    "swin_unet": "Swin U-Net",
    "swin_unet_medtuning": "Swin U-Net of Med-Tuning",
}
WEIGHTS = {
    "none": "random initialisation",
    "formula-vit": "formula images",
    "formula-vit (embedded)": "formula images",  # in older records
    "in1k": "ImageNet-1k",
    "in21k": "ImageNet-21k",
    "mae": "MAE",
    "clip": "CLIP",
    "sam": "SAM",
    "dino": "DINO",
    "dinov2": "DINOv2",
}
SETTINGS = {  # of methods, where the key with spaces is not how they are printed
    "fourier": "Fourier branch",
    "conv3": "3×3 branch",
    "conv5": "5×5 branch",
    "inter_stage": "inter-stage interaction",
    "zero_init": "zero initialisation",
}
BUILT_IN: Mapping[str, str] = MappingProxyType(
    METHODS | BRIDGED | NETWORKS | DATASETS | BACKBONES | DECODERS | WEIGHTS
)
LABEL = re.compile(r"([^\[]+)\[(.*)\]", re.DOTALL)  # lora[alpha=8,rank=4]


@dataclass(frozen=True)
class Names:
    """The names in one report: those of the user before the built-in ones.

    A key is a method, a label (``lora[rank=4]``), a setting of a method, a data set or release, a
    backbone, a name of weights, a region, or the key of a column (``dice``, ``tuned_m``).
    """

    own: Mapping[str, str] = field(default_factory=dict, hash=False)

    def find(self, key: str, default: str = "") -> str:
        """Return how a key is printed; without a name it is ``default``, or else itself."""
        return self.own.get(key) or default or BUILT_IN.get(key, key)

    def label(self, label: str) -> str:
        """Return how a method is printed: ``lora[rank=4]`` as ``LoRA [rank 4]``."""
        found = LABEL.fullmatch(label)
        if label in self.own or found is None:
            return self.find(label)
        settings = []
        for item in found[2].split(","):
            key, sign, value = item.partition("=")
            settings.append(self._print_setting(key, value) if sign else item)
        return f"{self.find(found[1])} [{', '.join(settings)}]"

    def setting(self, key: str) -> str:
        """Return how a setting of a method is printed."""
        return self.find(key, SETTINGS.get(key, key.replace("_", " ")))

    def _print_setting(self, key: str, value: str) -> str:
        if value in ("true", "false"):
            return f"{'with' if value == 'true' else 'without'} {self.setting(key)}"
        return f"{self.setting(key)} {value}"


BUILT_IN_NAMES = Names()


def name_dataset(dataset: str, title: str, names: Names) -> str:
    """Return how a data set is printed; ``title`` is that of its record, which may be empty."""
    return names.find(dataset, "" if title == dataset else title)
