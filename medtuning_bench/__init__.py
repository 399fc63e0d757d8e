"""Med-Tuning Bench as one package: parameter-efficient tuning methods compared on volumes.

In the repository it stands beside the packages ``bench``, ``methods``, ``datasets`` and
``reports``. The wheel keeps these four inside it, so that they overwrite no other distribution.
"""
