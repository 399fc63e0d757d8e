import os

from bench.tracking.store import prepare_environment

os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # torch reads it when it is first imported; workers share the cores
prepare_environment()  # MLflow reads its environment when it is first imported, and MONAI imports it
