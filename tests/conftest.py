from bench.tracking import prepare_environment

prepare_environment()  # MLflow reads its environment when it is first imported, and MONAI imports it
